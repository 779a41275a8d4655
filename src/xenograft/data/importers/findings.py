"""Cells of a table -> the label of each row: a class, or findings, as names in one cell or with a column for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xenograft.data.importers import folded
from xenograft.data.label_names import is_nothing
from xenograft.data.label_sets import MISSING, check_names, encode
from xenograft.errors import LabelError, Notice, listed, printable

_WORDS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "positive", "present"), 1),
    **dict.fromkeys(("0", "0.0", "false", "no", "negative", "absent"), 0),
    # -1 is CheXpert's "uncertain"
    **dict.fromkeys(("", "nan", "-1", "-1.0", "na", "n/a", "unknown", "uncertain", "u"), MISSING),
}
_ODD = 2
_BETWEEN = "|"


@dataclass(frozen=True, slots=True)
class Labels:
    """The label of each line, None where it has none; `findings` as in `Listing`."""

    texts: tuple[str | None, ...]
    findings: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def of_columns(lines: Sequence[tuple[str, Mapping[str, str]]], columns: Sequence[str], source: str) -> Labels:
    """One finding for each column; a line where all are unknown has no label.

    Args:
        lines: place in the table and cells. columns: as the table names them. source: name of the table.

    Raises:
        LabelError: a cell that is none of the words, or a name that no finding can have (E-LABEL-24).
    """
    findings = tuple(" ".join(name.split()) for name in columns)
    check_names(findings)
    texts: list[str | None] = []
    for place, line in lines:
        values = [_WORDS.get(line[name].strip().casefold(), _ODD) for name in columns]
        if _ODD in values:
            raise _no_finding(f"{source} {place}", line, columns[values.index(_ODD)])
        texts.append(encode(values, findings) if set(values) != {MISSING} else None)
    return Labels(tuple(texts), findings)


def _no_finding(where: str, line: Mapping[str, str], column: str) -> LabelError:
    return LabelError(
        f"{where}, column {printable(column)}: {printable(line[column])!r}; a finding is 1, true, yes, positive or "
        "present; 0, false, no, negative or absent; unknown is blank, nan, na, u, unknown, uncertain or -1",
        code="E-LABEL-24",
    )


def of_cells(lines: Sequence[tuple[str, Mapping[str, str]]], column: str, source: str) -> Labels:
    """Classes; or, if a cell holds ``|``, the findings between them, and none where the only name says so.

    Raises:
        LabelError: a cell with findings and "no finding", or a name that no finding can have (E-LABEL-24).
    """
    cells = [line[column] for _, line in lines]  # as written: that spaces were dropped is said (L8)
    if not any(_BETWEEN in cell for cell in cells):
        return Labels(tuple(cell if cell.strip() else None for cell in cells))
    named = [_names(cell, f"{source} {place}") for (place, _), cell in zip(lines, cells, strict=True)]
    findings = tuple(sorted({name for names in named for name in names or ()}, key=lambda name: (folded(name), name)))
    check_names(findings)
    several = sum(_BETWEEN in cell for cell in cells)
    message = (
        f"{source}: {several} cells of column {printable(column)} hold '{_BETWEEN}': an image has any number of "
        f"{len(findings)} findings ({listed(findings, most=3)}); if these are names of classes, rename them without it"
    )
    return Labels(
        tuple(None if names is None else _BETWEEN.join(n for n in findings if n in names) for names in named),
        findings,
        (Notice("W-LABEL-27", message, several),),
    )


def _names(cell: str, where: str) -> frozenset[str] | None:
    """The findings of a cell; None where it is blank."""
    names = frozenset(name.strip() for name in cell.split(_BETWEEN) if name.strip())
    if not names:
        return None
    negative = sorted(name for name in names if is_nothing(name))
    if negative and len(negative) < len(names):
        raise LabelError(
            f"{where}: {printable(cell)!r} names findings and {printable(negative[0])!r}; keep one or the other",
            code="E-LABEL-24",
        )
    return frozenset() if negative else names
