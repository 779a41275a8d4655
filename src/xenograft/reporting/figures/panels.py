"""A figure of several drawings, one for each model, which a page sets side by side or below each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Sheet

WIDTH = 2.35
"""Of one panel, in inches: three fill the width of a page."""

LEFT, SIDE, HEAD = 0.42, 1.86, 0.27
_LONGEST = 36  # letters of a name over a panel


@dataclass(frozen=True, slots=True)
class Panels:
    """A figure: `name` is its identifier on the page, `svgs` its drawings."""

    name: str
    title: str
    caption: str
    svgs: tuple[str, ...]


def panel(height: float, name: str, colour: str) -> tuple[Sheet, Axes]:
    """A sheet with a model's name over its axes, `height` inches high below the name; the axes leave 0.4 below them."""
    sheet = Sheet(HEAD + height, width=WIDTH)
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    sheet.text(LEFT, 0.13, short, color=style.ink(colour), weight="bold", fontsize=7.6)
    return sheet, sheet.axes(LEFT, HEAD, SIDE, height - 0.4)


def unit_ticks(axes: Axes, *, which: str = "xy") -> None:
    """Ticks at 0, a half and 1, with short labels."""
    options: dict[str, Any] = {"ticks": (0, 0.5, 1), "labels": ("0", "0.5", "1")}
    if "x" in which:
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks(**options)
    if "y" in which:
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks(**options)
