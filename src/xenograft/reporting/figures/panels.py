"""A figure of several panels, which a page sets side by side or below each other, and a file holds in rows of three."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet

WIDTH = 2.35
"""Of one panel, in inches: three fill the width of a page."""

LEFT, SIDE, HEAD = 0.42, 1.86, 0.27
_LONGEST = 36  # letters of a name over a panel
_ABREAST, _GAP = 3, 0.12


@dataclass(frozen=True, slots=True)
class Panels:
    """A figure: `name` is its identifier on the page, `svgs` its panels there, `drawing` all of them for files."""

    name: str
    title: str
    caption: str
    svgs: tuple[str, ...]
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a panel is drawn: its upper left corner on a sheet, in inches."""

    sheet: Sheet
    left: float = 0.0
    top: float = 0.0

    def head(self, name: str, colour: str) -> None:
        """A name over the axes."""
        short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        self.sheet.text(
            self.left + LEFT, self.top + 0.13, short, color=style.ink(colour), weight="bold", fontsize=7.6
        )  # fmt: skip

    def axes(self, height: float, *, below: float = 0.0) -> Axes:
        """Axes of this height, `below` inches under the head."""
        return self.sheet.axes(self.left + LEFT, self.top + HEAD + below, SIDE, height)


def assemble(
    panels: Sequence[tuple[str, Callable[[Spot], None]]], height: float, *, name: str, title: str, caption: str
) -> Panels:
    """Draw each panel by itself for the page, and all on one sheet for files.

    Args:
        panels: what each shows, in words, and what draws it. height: of one, in inches, with its head.
        name: identifier of the figure on the page, and its file stem.
    """
    svgs = []
    for i, (label, draw) in enumerate(panels):
        alone = Sheet(height, width=WIDTH)
        draw(Spot(alone))
        svgs.append(alone.panel(name=f"{name.removeprefix('figure-')}-{i}", label=label))
    rows = -(-len(panels) // _ABREAST)
    sheet = Sheet(rows * (height + _GAP), width=WIDTH * min(_ABREAST, len(panels)))
    for i, (_, draw) in enumerate(panels):
        draw(Spot(sheet, i % _ABREAST * WIDTH, i // _ABREAST * (height + _GAP)))
    drawing = sheet.finish(name=name, title=title, caption=caption)
    return Panels(name=name, title=title, caption=caption, svgs=tuple(svgs), drawing=drawing)


def unit_ticks(axes: Axes, *, which: str = "xy") -> None:
    """Ticks at 0, a half and 1, with short labels."""
    options: dict[str, Any] = {"ticks": (0, 0.5, 1), "labels": ("0", "0.5", "1")}
    if "x" in which:
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks(**options)
    if "y" in which:
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks(**options)
