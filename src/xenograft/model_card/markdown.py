"""Values -> Markdown that renders: tables, cells, numbers with their intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xenograft.errors import printable

UNDEFINED = "–"


def text(value: object) -> str:
    """A name or sentence from a data set as one line that Markdown shows as it is."""
    return re.sub(r"([\\`*<>\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", printable(value))


def code(value: object) -> str:
    """A name in the letters of a typewriter."""
    return f"`{printable(value).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> list[str]:
    """Lines of a table, with an empty one before and after it; none without rows. Cells are Markdown already.

    Args:
        numbers: the columns behind the first one are set to the right.
    """
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|" + "|".join("---:" if k and numbers else "---" for k in range(len(headings))) + "|"
    return ["", "| " + " | ".join(headings) + " |", rule, *lines, ""] if lines else []


def number(value: float | None, digits: int = 3) -> str:
    """Three decimals; a dash for what is undefined."""
    return UNDEFINED if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """``90.1 %``; a dash for what is undefined."""
    return UNDEFINED if value is None else f"{100 * value:.1f} %"


def interval(entry: Mapping[str, Any] | None, *, key: str = "value", share: bool = False) -> str:
    """``0.960 (0.945 to 0.973)``; as per cent for shares."""
    if entry is None or entry[key] is None:
        return UNDEFINED
    if entry["low"] is None:
        return percent(entry[key]) if share else number(entry[key])
    if share:
        return f"{100 * entry[key]:.1f} % ({100 * entry['low']:.1f} to {100 * entry['high']:.1f})"
    return f"{number(entry[key])} ({number(entry['low'])} to {number(entry['high'])})"
