"""A sheet measured in inches from its top left corner, direct labels, and finished drawings as text and bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xenograft.reporting import style

WIDTH = 7.1  # inches: the text width of an A4 page
_FONT = "'Helvetica Neue',Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif"
_STAMP = 0.26


@dataclass(frozen=True, slots=True)
class Drawing:
    """One finished figure.

    Args:
        name: file stem.
        title: the caption's first sentence.
        caption: the rest of it.
        svg: inline SVG for the page (no prologue, ids unique to this figure).
        file: the SVG as a file.
        pdf: the PDF as a file.
        share: width as a share of the text width.
        number: as cited, ``Figure 3``; a page numbers its figures in the order it shows them.
    """

    name: str
    title: str
    caption: str
    svg: str
    file: str
    pdf: bytes
    share: float
    number: str = ""


class Sheet:
    """A figure with axes placed in inches; `stamps` take a line of their own on top.

    Args: height, width: inches, without the stamps. stamps: warnings that must travel with the figure.
    """

    def __init__(self, height: float, *, width: float = WIDTH, stamps: Sequence[str] = ()) -> None:
        self.width = width
        self.top = _STAMP if stamps else 0.0
        self.height = height + self.top
        self.figure = Figure(figsize=(width, self.height))
        if stamps:
            self.text(0.02, -_STAMP + 0.1, " · ".join(stamps), color=style.ALARM, weight="bold", fontsize=7.5)

    def axes(self, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
        """Axes whose upper left corner lies at (left, top)."""
        bottom = self.height - self.top - top - height
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box, **options)

    def text(self, left: float, top: float, words: str, **options: Any) -> None:
        """Text whose vertical middle lies at `top`."""
        y = 1 - (self.top + top) / self.height
        self.figure.text(left / self.width, y, words, **{"va": "center", "ha": "left", **options})

    def finish(self, *, name: str, title: str, caption: str) -> Drawing:
        """Save as SVG and PDF, without dates, so that the same records give the same bytes."""
        file = self._svg()
        return Drawing(
            name=name,
            title=title,
            caption=caption,
            svg=_inline(file, name, title),
            file=file,
            pdf=_pdf(self.figure),
            share=min(1.0, self.width / WIDTH),
        )

    def panel(self, *, name: str, label: str) -> str:
        """The inline SVG alone, for a figure that a page puts together from several; `label` is what it shows."""
        return _inline(self._svg(), name, label)

    def _svg(self) -> str:
        svg = io.StringIO()
        self.figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return re.sub(r"'DejaVu Sans'(?:, [^;\"<]*?sans-serif)?", _FONT, svg.getvalue())


def _pdf(figure: Figure) -> bytes:
    """The figure with its fonts embedded; subsetting them is most of a report's time."""
    pdf = io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return pdf.getvalue()


def _inline(file: str, name: str, label: str) -> str:
    """The `<svg>` element alone: no prologue, no global style, ids prefixed, width left to the page."""
    svg = file[file.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]+"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]+"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def apart(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions moved as little as possible (least squares) so that neighbours are `gap` apart, within [low, high].

    >>> apart([1.0, 1.0], 0.5, 0.0, 2.0)
    [0.75, 1.25]
    """
    if not positions:
        return []
    gap = min(gap, (high - low) / max(1, len(positions) - 1))
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    blocks: list[tuple[float, int]] = []  # (mean, size) of pooled neighbours, after subtracting rank * gap
    for rank, i in enumerate(order):
        mean, size = positions[i] - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), size + count
        blocks.append((mean, size))
    means = [mean for mean, size in blocks for _ in range(size)]
    ceiling = high - (len(positions) - 1) * gap
    placed = [0.0] * len(positions)
    for rank, i in enumerate(order):
        placed[i] = max(low, min(ceiling, means[rank])) + rank * gap
    return placed


def label_ends(
    axes: Axes, ends: Sequence[tuple[float, float, str, str]], *, height: float, reach: float, size: float = 6.8
) -> None:
    """Write each line's name beside its end, moved apart, with a thin leader.

    Args: ends: (x, y, text, colour) in data units. height: of the axes, in inches. reach: leader length as a share of
        the axes' width. size: type size in points.
    """
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    share = [(y - low) / (high - low) for _, y, _, _ in ends]
    places = apart(share, 1.18 * size / 72 / height, 0.0, 1.0)
    for (x, _, text, colour), start, place in zip(ends, share, places, strict=True):
        begin = (x - left) / (right - left)
        axes.plot(
            [begin + 0.01, 1 + reach * 0.45, 1 + reach * 0.9],
            [start, place, place],
            color=colour,
            linewidth=0.5,
            alpha=0.7,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(
            1 + reach,
            place,
            text,
            color=style.ink(colour),
            fontsize=size,
            va="center",
            ha="left",
            transform=axes.transAxes,
        )


def quiet(axes: Axes) -> None:
    """A light horizontal grid behind the data."""
    axes.grid(visible=True, axis="y", color=style.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
