"""Columns of findings, or names of them in one cell -> what is known of each image: 1 present, 0 absent, -1 unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xenograft.data.importers import folded
from xenograft.data.importers.findings import of_columns
from xenograft.data.label_names import is_nothing
from xenograft.data.label_sets import MISSING, decode
from xenograft.errors import LabelError, listed, printable
from xenograft.study.score_columns import Rows

_BETWEEN, _UNKNOWN = "|", "?"


def truth_columns(found: Sequence[str], scored: Sequence[str]) -> dict[str, str]:
    """Finding -> the column that says whether it is present: ``label_NAME`` or ``NAME``, without case.

    Args:
        found: columns of the table. scored: names of the findings that have a score, as their columns call them.
    """
    plain = {folded(name): name for name in reversed(found)}
    pairs = {name: plain.get(folded(f"label_{name}"), plain.get(folded(name))) for name in scored}
    return {name: column for name, column in pairs.items() if column is not None}


def speaks_of_findings(cells: Sequence[str], scored: Sequence[str], sums: NDArray[np.float64]) -> bool:
    """Whether labels in one column are findings, of which an image has any number, rather than one class.

    Args:
        cells: of the column. scored: names with a score. sums: (N,) of each image's scores.
    """
    if any(_BETWEEN in cell for cell in cells):
        return True
    names = set(map(folded, scored))
    nothing = any(is_nothing(cell) and folded(cell) not in names for cell in set(cells) if cell)
    return nothing and bool((np.abs(sums - 1) > 0.01).any())


def by_columns(lines: Sequence[Mapping[str, str]], columns: Sequence[str], where: str) -> NDArray[np.int64]:
    """(N, L) of one column for each finding.

    Raises:
        LabelError: a cell says neither (E-LABEL-24).
    """
    rows: Rows = [(f"image {number}", line) for number, line in enumerate(lines, start=1)]
    found = of_columns(rows, columns, where)
    unknown = _BETWEEN.join(f"{_UNKNOWN}{name}" for name in found.findings)
    return decode([unknown if text is None else text for text in found.texts], found.findings)


def by_cells(cells: Sequence[str], scored: Sequence[str], where: str) -> NDArray[np.int64]:
    """(N, L) of the names in one cell, ``Effusion|?Mass``; ``No Finding`` is none of them, an empty cell unknown.

    Raises:
        LabelError: a finding without a score (E-LABEL-18), or beside "no finding" (E-LABEL-24).
    """
    index = {folded(name): k for k, name in enumerate(scored)}
    table = np.zeros((len(cells), len(scored)), dtype=np.int64)
    for row, cell in zip(table, cells, strict=True):
        names = [name.strip() for name in cell.split(_BETWEEN) if name.strip()]
        if not names:
            row[:] = MISSING
            continue
        nothing = [name for name in names if is_nothing(name) and folded(name) not in index]
        if nothing and len(names) > 1:
            raise LabelError(
                f"{where}: {printable(cell)!r} names findings and {printable(nothing[0])!r}; keep one or the other",
                code="E-LABEL-24",
            )
        for name in names if not nothing else ():
            plain = folded(name.removeprefix(_UNKNOWN))
            if plain not in index:
                raise LabelError(
                    f"{where}: finding {printable(name)!r} has no score; findings with one: {listed(scored)}",
                    code="E-LABEL-18",
                )
            row[index[plain]] = MISSING if name.startswith(_UNKNOWN) else 1
    return table
