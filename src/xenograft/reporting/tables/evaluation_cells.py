"""Entries of an evaluation's record -> the cells, columns and tables of its page; in CSV a value and its interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import Json, flat
from xenograft.reporting.p_values import p_text
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

Cells = Sequence[str | Cell]


def table(name: str, title: str, caption: str, columns: Sequence[Column], rows: Iterable[Cells]) -> Table:
    """A table without a number, which the page gives; a text alone is a cell, and stands as it is in CSV."""
    made = tuple(Row(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row)) for row in rows)
    return Table(
        name=f"table-{name}",
        number="",
        title=title,
        caption=caption[:1].upper() + caption[1:],
        columns=tuple(columns),
        blocks=(Block("", made),),
    )


def words(label: str) -> Column:
    """A column of words."""
    return Column(label, words=True, csv=(_plain(label),))


def numbers(label: str, key: str = "") -> Column:
    """A column of numbers with intervals, in CSV three: ``auroc``, ``auroc_low``, ``auroc_high``."""
    name = key or _plain(label)
    return Column(label, csv=(name, f"{name}_low", f"{name}_high"))


def single(label: str, key: str = "") -> Column:
    """A column of numbers without intervals."""
    return Column(label, csv=(key or _plain(label),))


def named(name: str, first: bool) -> Cell:
    """A name that the page shows once, and CSV in every row."""
    return Cell(name if first else "", raw=(name,))


def cell(
    entry: Mapping[str, Any] | None, *, metric: str = "", signed: bool = False, key: str = "value", note: str = ""
) -> Cell:
    """A number over its interval; shares as percentages on the page, as they are in CSV."""
    if entry is None or entry.get(key) is None:
        return Cell(style.MISSING, raw=("", "", ""))
    ends = style.interval(entry.get("low"), entry.get("high"), metric=metric, signed=signed)
    ends = "no interval*" if flat(entry) else ends
    notes = tuple(text for text in (ends, note) if text)
    raw = (entry[key], entry.get("low"), entry.get("high"))
    return Cell(style.number(entry[key], metric=metric, signed=signed), notes, raw)


def p_cell(p: float | None) -> Cell:
    """A p in words; in CSV the number."""
    return Cell(p_text(p), raw=("" if p is None else p,))


def count(number: int, note: str = "") -> Cell:
    """A whole number."""
    return Cell(f"{number:,}", (note,) if note else (), (number,))


def blank() -> Cell:
    """Nothing to show."""
    return Cell("", raw=("",))


def counts(confusion: Sequence[Sequence[int]]) -> dict[str, str]:
    """How many of how many, rows of the matrix being the truth."""
    (tn, fp), (fn, tp) = confusion
    return {
        "recall": f"{tp:,} of {tp + fn:,}",
        "specificity": f"{tn:,} of {tn + fp:,}",
        "precision": f"{tp:,} of {tp + fp:,}",
        "accuracy": f"{tp + tn:,} of {tp + tn + fp + fn:,}",
    }


def rest(entry: Json) -> dict[str, float | None]:
    """One minus a share."""
    value, low, high = (None if entry[k] is None else 1 - entry[k] for k in ("value", "low", "high"))
    return {"value": value, "low": high, "high": low}


def ratio(entry: Json) -> Cell:
    """A likelihood ratio, which may have no upper bound."""
    raw = (entry["value"], entry["low"], entry["high"])
    if entry["value"] is None:
        above = "" if entry["low"] is None else f"{entry['low']:.2f} or more"
        return Cell("no bound" if entry["unbounded"] else style.MISSING, (above,) if above else (), raw)
    low, high = (None if entry[end] is None else f"{entry[end]:.2f}" for end in ("low", "high"))
    ends = f"{low}–{high}" if low and high else f"{low} or more" if low else ""
    return Cell(f"{entry['value']:.2f}", (ends,) if ends else (), raw)


def _plain(label: str) -> str:
    """A heading as the name of a column in CSV: without units, in one word."""
    kept = label.replace("−", "minus").replace("+", "plus").partition(" (")[0]
    return "_".join("".join(c if c.isalnum() else " " for c in kept).casefold().split())
