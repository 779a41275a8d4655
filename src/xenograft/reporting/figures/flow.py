"""A study's view -> the flow of its images: files listed, left out, analysed, split, and what each split was used for.

The shape is that of the diagrams of STARD 2015 (Bossuyt et al., doi:10.1136/bmj.h5527) and CONSORT.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextToPath

from xenograft.errors import printable
from xenograft.reporting import data_words, style
from xenograft.reporting.figures.canvas import WIDTH, Drawing, Sheet
from xenograft.reporting.groups import View

_EDGE, _PAD, _LINE, _DOWN = 0.04, 0.09, 0.155, 0.3  # inches
_BETWEEN, _GAP = 0.14, 0.08
_SIZE, _SMALL = 7.6, 7.0  # points
_MOST_CLASSES, _MOST_CODES = 20, 4
_MEASURE = TextToPath()
_TITLES = {"train": "Training", "val": "Validation", "test": "Test"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a box: words on the left, and numbers that end at the right; bold for a heading."""

    text: str
    numbers: tuple[str, ...] = ()
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A box with its lines; `left`, `top`, `width` in inches from the upper left corner."""

    left: float
    top: float
    width: float
    lines: tuple[Line, ...]

    @property
    def height(self) -> float:
        """In inches, from the number of lines."""
        return 2 * _PAD + _LINE * len(self.lines)

    @property
    def bottom(self) -> float:
        """In inches."""
        return self.top + self.height

    @property
    def centre(self) -> float:
        """Of its width, in inches."""
        return self.left + self.width / 2

    def columns(self) -> tuple[float, ...]:
        """Widths of the columns of numbers, each with the gap before it, in inches."""
        rows = [line.numbers for line in self.lines if line.numbers]
        count = max(map(len, rows), default=0)
        return tuple(max(inches(row[k], _SMALL) for row in rows if len(row) > k) + _GAP for k in range(count))

    def shown(self, line: Line) -> str:
        """The words of a line, cut where they would run into its numbers or out of the box."""
        taken = sum(self.columns()) if line.numbers else 0.0
        return fitted(line.text, self.width - 2 * _PAD - taken, bold=line.bold)


@dataclass(frozen=True, slots=True)
class Layout:
    """Every box: `listed` and `out` are None where the record does not say what was left out."""

    listed: Box | None
    out: Box | None
    analysed: Box
    splits: tuple[Box, ...]
    uses: tuple[Box, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All of them, from the top."""
        return (*(box for box in (self.listed, self.out) if box), self.analysed, *self.splits, *self.uses)

    @property
    def height(self) -> float:
        """Of the sheet, in inches."""
        return max(box.bottom for box in self.boxes) + _EDGE


def flow(view: View) -> Drawing | None:
    """The figure; None where the record holds no counts."""
    found = layout(view)
    if found is None:
        return None
    sheet = Sheet(found.height, stamps=view.stamps)
    axes = sheet.axes(0, 0, sheet.width, found.height)
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(found.height, 0)
    axes.set_axis_off()
    for box in found.boxes:
        _draw(axes, box)
    _arrows(axes, found)
    drawing = sheet.finish(name="figure-flow", title="Flow of images through the study", caption=_caption(view))
    said = escape(f"{drawing.title}. {' '.join(_aloud(box, wraps=box in found.uses) for box in found.boxes)}")
    return replace(drawing, svg=re.sub('aria-label="[^"]*"', lambda _: f'aria-label="{said}"', drawing.svg, count=1))


def layout(view: View) -> Layout | None:
    """Where each box lies and what it says; None where the record holds no counts."""
    counts: dict[str, Any] = view.data.get("counts") or {}
    total = data_words.total(view)
    if not counts or total is None:
        return None
    middle, wide = 0.36 * WIDTH, 2.9
    top = _EDGE
    listed = out = None
    if "skipped" in view.data:
        left_out = data_words.skipped(view)
        number = sum(files for _, _, files in left_out)
        listed = Box(
            middle - wide / 2, top, wide, (Line(f"{style.plural(total[0] + number, 'file')} listed", bold=True),)
        )
        width = WIDTH - _EDGE - (middle + wide / 2 + 0.4)
        out = Box(middle + wide / 2 + 0.4, listed.bottom - 0.12, width, _left_out(left_out, number))
        top = max(listed.bottom + _DOWN, out.bottom - 0.2)
    analysed = Box(middle - wide / 2, top, wide, _analysed(view, total))
    row = max(analysed.bottom, out.bottom if out else 0) + _DOWN
    return Layout(listed, out, analysed, *_split_boxes(view, counts, row))


def _split_boxes(view: View, counts: dict[str, Any], top: float) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    width = (WIDTH - 2 * _EDGE - _BETWEEN * (len(counts) - 1)) / len(counts)
    lefts = [_EDGE + k * (width + _BETWEEN) for k in range(len(counts))]
    splits = [Box(at, top, width, _split(view, name)) for at, name in zip(lefts, counts, strict=True)]
    below = max(box.bottom for box in splits) + _DOWN
    words = [wrapped(_used(view, name), width - 2 * _PAD) for name in counts]
    most = max(map(len, words))
    uses = [
        Box(at, below, width, tuple(Line(part) for part in [*parts, *[""] * (most - len(parts))]))
        for at, parts in zip(lefts, words, strict=True)
    ]
    return tuple(splits), tuple(uses)


def _left_out(codes: Sequence[tuple[str, str, int]], number: int) -> tuple[Line, ...]:
    if not number:
        return (Line("No file left out"),)
    shown = codes if len(codes) <= _MOST_CODES else codes[: _MOST_CODES - 1]
    rest = number - sum(files for _, _, files in shown)
    lines = [Line(f"{style.plural(number, 'file')} left out", bold=True)]
    for code, reason, files in shown:
        lines.append(Line(f"{printable(code)} {reason}", (f"{files:,}",)))
    return (*lines, *([Line("other reasons", (f"{rest:,}",))] if rest else []))


def _analysed(view: View, total: tuple[int, int | None]) -> tuple[Line, ...]:
    extra = sum(int(n.get("count") or 0) for n in view.data.get("notices") or [] if n.get("code") == "W-LABEL-15")
    copies = (Line(f"{extra:,} of them extra {'copy' if extra == 1 else 'copies'} of a picture"),)
    return (
        Line(f"{style.plural(total[0], 'image')} analysed", bold=True),
        *((Line(f"of {style.plural(total[1], 'patient')}"),) if total[1] is not None else ()),
        *(copies if extra else ()),
    )


def _split(view: View, name: str) -> tuple[Line, ...]:
    images, patients = data_words.sizes(view)[name]
    entry: dict[str, Any] = view.data["counts"][name]
    names = [n for n in view.study.record.classes if n in entry]
    shown = names if len(names) <= _MOST_CLASSES else names[: _MOST_CLASSES - 1]
    rows = [_numbers(view, images, entry[n]) for n in shown]
    more = len(names) - len(shown)
    return (
        Line(_TITLES.get(name, printable(name)), bold=True),
        Line(style.plural(images, "image")),
        *((Line(f"of {style.plural(patients, 'patient')}"),) if patients is not None else ()),
        *(Line(printable(n), row) for n, row in zip(shown, rows, strict=True)),
        *((Line(f"and {more} more"),) if more else ()),
    )


def _numbers(view: View, images: int, own: dict[str, Any]) -> tuple[str, ...]:
    if view.multi_label:
        return (f"{int(own['images']):,} of {int(own.get('of', images)):,}",)
    patients = own.get("patients")
    return (f"{int(own['images']):,}", *(() if patients is None else (f"({int(patients):,})",)))


def _used(view: View, name: str) -> str:
    """What the split was used for, as the record tells it."""
    runs = view.study.runs
    if name == "train":
        return f"fits {style.plural(len(runs), 'model')}"
    if name == "val":
        chosen = ["epochs"] if any(run.history for run in runs) else []
        chosen += ["thresholds"] if any(set(run.thresholds) - {"fixed"} for run in runs) else []
        return f"chooses {data_words.joined([*chosen, 'the model that is named first'])}"
    if name == "test" and all(run.test_opened for run in runs):
        return f"measures: read once by each of {style.plural(len(runs), 'run')}, after its choices"
    return "measures"


def _caption(view: View) -> str:
    if view.multi_label:
        numbers = "Behind a finding: images that have it, of the images where it is known; an image may have several."
    elif any("patients" in own for entry in view.data["counts"].values() for own in entry.values()):
        numbers = "Behind a class: images, and in brackets patients; a patient with images of two classes is in both."
    else:
        numbers = "Behind a class: images."
    code = (
        " Codes of files that were left out are those of the list of skipped files." if view.data.get("skipped") else ""
    )
    dealt = data_words.folds(view)
    folds = f" Numbers are those before the images were dealt into folds. {dealt}" if dealt else ""
    return f"{numbers}{code}{folds}"


def _draw(axes: Axes, box: Box) -> None:
    shape = f"round,pad=0,rounding_size={0.05}"
    axes.add_patch(
        FancyBboxPatch(
            (box.left, box.top), box.width, box.height, boxstyle=shape, facecolor="white", edgecolor="#4d4d4d", lw=0.7
        )
    )
    columns = box.columns()
    for number, line in enumerate(box.lines):
        y = box.top + _PAD + _LINE * (number + 0.5)
        weight = "bold" if line.bold else "normal"
        axes.text(box.left + _PAD, y, box.shown(line), va="center", ha="left", fontsize=_SIZE, weight=weight)
        right = box.left + box.width - _PAD
        for k in reversed(range(len(line.numbers))):
            axes.text(right, y, line.numbers[k], va="center", ha="right", fontsize=_SMALL)
            right -= columns[k]


def _arrows(axes: Axes, found: Layout) -> None:
    if found.listed is not None and found.out is not None:
        _arrow(axes, (found.listed.centre, found.listed.bottom), (found.listed.centre, found.analysed.top))
        branch = found.out.top + min(found.out.height / 2, (found.analysed.top - found.listed.bottom) / 2 + 0.12)
        _arrow(axes, (found.listed.centre, branch), (found.out.left, branch))
    bar = found.splits[0].top - _DOWN / 2
    middle = found.analysed.centre
    centres = [box.centre for box in found.splits]
    axes.plot([middle, middle], [found.analysed.bottom, bar], color=style.SOFT, lw=0.8)
    axes.plot([min(*centres, middle), max(*centres, middle)], [bar, bar], color=style.SOFT, lw=0.8)
    for split, use in zip(found.splits, found.uses, strict=True):
        _arrow(axes, (split.centre, bar), (split.centre, split.top))
        _arrow(axes, (split.centre, split.bottom), (use.centre, use.top))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": style.SOFT, "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    axes.annotate("", xy=end, xytext=start, arrowprops=look)


def _aloud(box: Box, *, wraps: bool) -> str:
    return (" " if wraps else "; ").join(" ".join((line.text, *line.numbers)) for line in box.lines if line.text) + "."


@lru_cache(maxsize=4096)
def inches(text: str, size: float = _SIZE, *, bold: bool = False) -> float:
    """How wide `text` is at `size` points in the figure's own typeface."""
    face = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    return float(_MEASURE.get_text_width_height_descent(text, face, False)[0]) / 72


def fitted(text: str, room: float, *, bold: bool = False) -> str:
    """`text`, cut in its middle until it is `room` inches wide at most, so that both ends can still be told apart."""
    if inches(text, bold=bold) <= room:
        return text
    kept = bisect_right(range(len(text)), room, key=lambda n: inches(_cut(text, n), bold=bold)) - 1
    return _cut(text, max(0, kept))


def _cut(text: str, kept: int) -> str:
    """The first and the last of `kept` letters in all, the first half being the larger, around an ellipsis."""
    return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"


def wrapped(text: str, room: float) -> list[str]:
    """Lines of whole words, each `room` inches wide at most; a longer word is cut."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and inches(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(fitted(word, room))
    return lines
