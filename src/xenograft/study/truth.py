"""Predictions and a table of labels, or their own columns -> the rows with a true class or findings, and what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import LabelError, Notice, listed
from xenograft.study.finding_columns import by_cells, by_columns, speaks_of_findings, truth_columns
from xenograft.study.score_columns import Rows, scores
from xenograft.study.score_sheet import PREFIX, Sheet


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of the images that have a true class or a known finding.

    Args:
        rows: of the predictions. lines: cells of the table with the truth, in the same order. columns: part -> column.
        findings: (N, L) 1 present, 0 absent, -1 unknown; None for classes. notices: what was left out.
    """

    rows: Rows
    lines: Sequence[Mapping[str, str]]
    columns: Mapping[str, str]
    findings: NDArray[np.int64] | None = None
    notices: tuple[Notice, ...] = ()

    def column(self, part: str) -> list[str]:
        """One part for each row; empty where there is none."""
        name = self.columns.get(part)
        return ["" if name is None else line[name].strip() for line in self.lines]


def truth_of(sheet: Sheet, rows: Rows, labels: Sheet | None) -> Truth:
    """The truth of rows of a table of predictions.

    Raises:
        LabelError: no column has it (E-LABEL-07), or labels and images do not match (E-LABEL-18).
    """
    found = (sheet if labels is None else labels).found
    names = [name.removeprefix(PREFIX) for name in sheet.scores]
    of_findings = truth_columns(found, names)
    if labels is None:
        if "label" not in sheet.columns and not of_findings:
            raise LabelError(f"{sheet.where} has no column with the true class; give --labels", code="E-LABEL-07")
        told = Truth(rows, [line for _, line in rows], sheet.columns)
    else:
        told = _joined(sheet, rows, labels, findings=bool(of_findings))
    if names and "label" not in told.columns:
        if missing := [name for name in names if name not in of_findings]:
            raise LabelError(
                f"{(sheet if labels is None else labels).where} says nothing of {listed(missing)}, which have a score; "
                "a finding needs a column label_NAME or NAME with 1, 0 or blank",
                code="E-LABEL-07",
            )
        given = by_columns(told.lines, [of_findings[name] for name in names], sheet.where)
        return _kept(told, given, np.any(given >= 0, axis=1), sheet.where, "known finding")
    cells = told.column("label")
    if len(names) > 1:
        sums = scores(rows, sheet.scores, sheet.where, exclusive=False).sum(axis=1)
        if speaks_of_findings(cells, names, sums):
            given = by_cells(cells, sheet.classes, sheet.where)
            return _kept(told, given, np.any(given >= 0, axis=1), sheet.where, "known finding")
    return _kept(told, None, np.array([bool(cell) for cell in cells]), sheet.where, "true class")


def _kept(told: Truth, findings: NDArray[np.int64] | None, some: Any, where: str, what: str) -> Truth:
    """Without images of which nothing is known."""
    kept = np.flatnonzero(some).tolist()
    if not kept:
        raise LabelError(f"{where}: no image has a {what}", code="E-LABEL-10")
    said = list(told.notices)
    if lost := len(told.rows) - len(kept):
        said.append(Notice("W-DATA-38", f"{where}: {lost} images have no {what} and were left out", lost))
    return Truth(
        [told.rows[k] for k in kept],
        [told.lines[k] for k in kept],
        told.columns,
        None if findings is None else findings[kept],
        tuple(said),
    )


def _joined(sheet: Sheet, rows: Rows, labels: Sheet, *, findings: bool) -> Truth:
    """The lines of the table of labels that belong to the rows."""
    if "id" not in labels.columns or ("label" not in labels.columns and not findings):
        raise LabelError(
            f"{labels.where} needs a column path or id and a column label, or one for each finding; columns found: "
            f"{listed(labels.found, most=12)}",
            code="E-LABEL-07",
        )
    name = labels.columns["id"]
    known = {line[name].strip(): line for _, line in labels.lines}
    keys = [line[sheet.columns["id"]].strip() for _, line in rows]
    notices: tuple[Notice, ...] = ()
    if not any(key in known for key in keys):  # folders differ: by name, if names are enough
        short = {PurePosixPath(key).name: line for key, line in known.items()}
        names = [PurePosixPath(key).name for key in keys]
        if len(short) == len(known) and len(set(names)) == len(names) and any(one in short for one in names):
            known, keys = short, names
            message = f"{sheet.where} and {labels.where} were joined by the names of files, without folders"
            notices = (Notice("W-LABEL-29", message),)
    if lacking := [key for key in keys if key not in known]:
        raise LabelError(
            f"{labels.where} has no label for {len(lacking)} of {len(keys)} images of {sheet.where}: "
            f"{listed(lacking)}; images are joined by {name}",
            code="E-LABEL-18",
        )
    return Truth(rows, [known[key] for key in keys], labels.columns, None, notices)
