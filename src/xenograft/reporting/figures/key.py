"""What lines and marks mean: one key on top of a sheet whose panels share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Sheet

LINE = 0.16
"""Height of one line of a key, in inches."""

_GAP, _LETTER = 0.26, 0.056  # inches


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample and its meaning; a mark stands alone in the middle of its sample, a line fills it."""

    words: str
    look: dict[str, Any]
    mark: bool = False
    colour: str = style.INK

    @property
    def sample(self) -> float:
        """Width of the sample in inches."""
        return 0.08 if self.mark else 0.26


def lines_of(entries: Sequence[Entry], width: float) -> list[list[Entry]]:
    """Entries in as many lines as a sheet of this width in inches needs."""
    lines: list[list[Entry]] = []
    left = 0.0
    for entry in entries:
        if not lines or left + _wide(entry) > width:
            lines.append([])
            left = 0.0
        lines[-1].append(entry)
        left += _wide(entry) + _GAP
    return lines


def draw_key(sheet: Sheet, entries: Sequence[Entry]) -> float:
    """Draw the key at the top of `sheet`; returns its height in inches."""
    lines = lines_of(entries, sheet.width)
    height = LINE * len(lines)
    axes = sheet.axes(0, 0, sheet.width, height)
    axes.set(xlim=(0, sheet.width), ylim=(height, 0))
    axes.set_axis_off()
    for row, line in enumerate(lines):
        left, y = 0.03, LINE * (row + 0.5)
        for entry in line:
            places = [left + entry.sample / 2] if entry.mark else [left, left + entry.sample]
            axes.plot(places, [y] * len(places), **entry.look)
            sheet.text(left + entry.sample + 0.06, y, entry.words, fontsize=7, color=entry.colour)
            left += _wide(entry) + _GAP
    return height


def _wide(entry: Entry) -> float:
    return entry.sample + 0.06 + _LETTER * len(entry.words)
