"""A table of predictions, of any program -> truth, patients and probabilities of the images that have all of them.

Columns are found by name, without case: the image (``id``, ``path``, ``image``, ``file``, ``filename``), the truth
(``label``, ``class``, ``target``, ``truth``, ``y_true``, ``diagnosis``), ``patient``, ``split``, and the scores:
``p_NAME`` for every class, or ``score``, ``probability``, ``prob``, ``y_score`` or ``y_prob`` for the positive of two.

Findings, of which an image has any number, have ``p_NAME`` too; the truth of each is in a column ``label_NAME`` or
``NAME`` (1, 0, or blank where unknown), or the names stand in one cell (``Effusion|Mass``, ``No Finding``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import LabelError, Notice, UsageError, listed, printable
from xenograft.evaluation.subgroups import age_bands
from xenograft.study.record import Predictions
from xenograft.study.score_columns import Rows, indices, positive_last, scores, two_classes
from xenograft.study.score_sheet import Sheet, read_predictions_sheet
from xenograft.study.truth import Truth, truth_of

_MOST_LEVELS = 20


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions with their truth, in the order of the table.

    Args:
        name: of the file, for messages and tables. sha256: of its bytes.
        classes: in the order of the probabilities; for two classes the second is the positive one. Or the findings.
        ids: of N images, each once. patients: (N,) keys.
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        probabilities: (N, C), each row sums to one; or (N, L), one for each finding.
        patients_known: False where every image counts as a patient of its own.
        threshold: that the table gives for the positive class, or for each finding, chosen by whoever made it.
        groups: column -> (N,) levels, empty where unknown.
        notices: what was left out.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    patients_known: bool
    threshold: float | tuple[float, ...] | None = None
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    @property
    def multi_label(self) -> bool:
        """Whether the classes are findings, of which an image has any number."""
        return self.labels.ndim == 2

    @property
    def binary(self) -> bool:
        """Whether there are two classes that exclude each other."""
        return not self.multi_label and len(self.classes) == 2

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class, or with each finding."""
        found = (
            (self.labels == 1).sum(axis=0)
            if self.multi_label
            else np.bincount(self.labels, minlength=len(self.classes))
        )
        return dict(zip(self.classes, map(int, found), strict=True))

    @property
    def known(self) -> dict[str, int] | None:
        """Images where each finding is known; None for classes, which always are."""
        if not self.multi_label:
            return None
        return dict(zip(self.classes, map(int, (self.labels >= 0).sum(axis=0)), strict=True))

    def finding(self, k: int) -> Scored:
        """One finding as two classes, on the images where it is known; there may be none."""
        known = np.flatnonzero(self.labels[:, k] >= 0)
        scores, name = self.probabilities[known, k], self.classes[k]
        return replace(
            self._at(known),
            classes=(f"no {name}", name),
            labels=self.labels[known, k],
            probabilities=np.stack([1 - scores, scores], axis=1),
            threshold=self.threshold[k] if isinstance(self.threshold, tuple) else None,
        )

    def only(self, kept: Sequence[int]) -> Scored:
        """Some of the findings, on all images."""
        return replace(
            self,
            classes=tuple(self.classes[k] for k in kept),
            labels=self.labels[:, kept],
            probabilities=self.probabilities[:, kept],
            threshold=tuple(self.threshold[k] for k in kept) if isinstance(self.threshold, tuple) else None,
        )

    def _at(self, rows: NDArray[np.intp]) -> Scored:
        """Some images, in this order."""
        return replace(
            self,
            ids=tuple(self.ids[k] for k in rows),
            labels=self.labels[rows],
            patients=self.patients[rows],
            probabilities=self.probabilities[rows],
            groups={name: levels[rows] for name, levels in self.groups.items()},
        )

    @classmethod
    def of_predictions(
        cls,
        name: str,
        classes: Sequence[str],
        predictions: Predictions,
        *,
        groups: Mapping[str, NDArray[np.str_]] | None = None,
        sha256: str = "",
        patients_known: bool = True,
    ) -> Self:
        """Predictions of one split, as a study's record holds them.

        Args:
            name: of the model. classes: in the order of the probabilities.
            predictions: of one split. groups: fact -> (N,) levels in the order of its ids, empty where unknown.
            sha256: of the file they come from. patients_known: False where every image counts as its own patient.
        """
        return cls(
            name=name,
            sha256=sha256,
            classes=tuple(classes),
            ids=tuple(predictions.ids.tolist()),
            labels=predictions.labels,
            patients=predictions.patients,
            probabilities=predictions.probabilities,
            patients_known=patients_known,
            groups=dict(groups or {}),
        )

    def in_order_of(self, other: Scored) -> Scored:
        """The same images as those of `other`, in its order.

        Raises:
            LabelError: they are not the same, or not labelled alike (L18).
        """
        place = {image: k for k, image in enumerate(self.ids)}
        if missing := sorted(set(other.ids) ^ set(place)):
            raise LabelError(
                f"{self.name} and {other.name} do not answer the same images; {len(missing)} are in one alone: "
                f"{listed(missing)}; give tables of one test set",
                code="E-LABEL-18",
            )
        order = np.array([place[image] for image in other.ids])
        found = self._at(order)
        if found.classes != other.classes or not np.array_equal(found.labels, other.labels):
            raise LabelError(
                f"{self.name} and {other.name} label the same images differently (classes {listed(self.classes)} and "
                f"{listed(other.classes)}); give one truth with --labels",
                code="E-LABEL-18",
            )
        return found


def read_scored(
    source: Path | Sheet,
    *,
    labels: Path | Sheet | None = None,
    positive: str | None = None,
    finding: str | None = None,
    split: str | None = None,
    usual: str = "test",
    by: Sequence[str] = (),
) -> Scored:
    """Read predictions, and the truth from `labels` where they do not carry it.

    Args:
        source: CSV, TSV, JSON lines or Parquet, or one that was read before.
        labels: a table with the image, its label or findings, and if known its patient.
        positive: the positive class of two. finding: one of several findings, to be evaluated as two classes.
        split: only images of this split. usual: the split that is taken without one, where the table names it.
        by: columns of either table to group images by; more than 20 different numbers are taken as ages in years.

    Raises:
        LabelError: columns are missing (E-LABEL-07), images and labels do not match (E-LABEL-18), an image twice
            (E-LABEL-03), one class (E-LABEL-10). DataError: scores are no probabilities (E-DATA-37). UsageError:
            `positive` or `finding` is not in the table.
    """
    sheet = source if isinstance(source, Sheet) else read_predictions_sheet(source)
    other = Sheet.read(labels) if isinstance(labels, Path) else labels
    rows, notices = sheet.usable(split, usual)
    truth = truth_of(sheet, rows, other)
    rows, ids, own = (
        truth.rows,
        tuple(line[sheet.columns["id"]].strip() for _, line in truth.rows),
        _patients(sheet, truth),
    )
    known = any(own)
    made = Scored(
        name=sheet.where,
        sha256=sheet.sha256,
        classes=sheet.classes,
        ids=ids,
        labels=np.empty(0, dtype=np.int64),
        patients=np.array([p or i for p, i in zip(own, ids, strict=True)], dtype=np.str_),
        probabilities=np.empty(0),
        patients_known=known,
        groups=_groups(rows, truth, by, sheet.where),
        notices=(*notices, *truth.notices, *([] if known else [_no_patients(sheet.where)])),
    )
    if truth.findings is None:
        if finding is not None:
            raise UsageError(
                f"--finding {finding!r}: {sheet.where} holds classes that exclude each other, not findings",
                code="E-USAGE-24",
            )
        return _of_classes(made, sheet, truth, positive)
    return _of_findings(made, sheet, truth, truth.findings, positive, finding)


def named_apart(tables: Sequence[Scored], sources: Sequence[Path]) -> list[Scored]:
    """The same tables; those whose files are called alike, as in the runs of a study, are named after their folders."""
    names = [table.name for table in tables]
    return [
        replace(table, name=printable(source.resolve().parent.name)) if names.count(table.name) > 1 else table
        for table, source in zip(tables, sources, strict=True)
    ]


def _of_classes(made: Scored, sheet: Sheet, truth: Truth, positive: str | None) -> Scored:
    where, names, cells = sheet.where, sheet.scores if len(sheet.scores) > 1 else [], truth.column("label")
    classes = made.classes if names else two_classes(cells, positive, where)
    table = scores(truth.rows, names or [sheet.columns["score"]], where)
    said: Sequence[Notice] = ()
    if not names:
        table = np.concatenate([1 - table, table], axis=1)
    if len(classes) == 2:
        classes, table, said = positive_last(classes, table, positive, where)
    elif positive is not None:
        raise UsageError(f"--positive {positive!r}: {where} has {len(classes)} classes, not two", code="E-USAGE-07")
    return replace(
        made,
        classes=classes,
        labels=indices(cells, classes, where),
        probabilities=table,
        threshold=_threshold(truth.rows, sheet.columns.get("threshold")),
        notices=(*said, *made.notices),
    )


def _of_findings(
    made: Scored, sheet: Sheet, truth: Truth, labels: NDArray[np.int64], positive: str | None, finding: str | None
) -> Scored:
    if positive is not None:
        raise UsageError(
            f"--positive {positive!r}: {sheet.where} holds findings, each present or not; name one with --finding",
            code="E-USAGE-24",
        )
    cuts = [_threshold(truth.rows, sheet.named(f"threshold_{name.removeprefix('p_')}")) for name in sheet.scores]
    table = replace(
        made,
        labels=labels,
        probabilities=scores(truth.rows, sheet.scores, sheet.where, exclusive=False),
        threshold=None if None in cuts else tuple(cut for cut in cuts if cut is not None),
    )
    if finding is None:
        return table.finding(0) if len(table.classes) == 1 else table
    plain = [name.strip().casefold() for name in table.classes]
    if finding.strip().casefold() not in plain:
        raise UsageError(
            f"--finding {finding!r}: {sheet.where} has {listed(table.classes, most=20)}", code="E-USAGE-24"
        )
    return table.finding(plain.index(finding.strip().casefold()))


def _patients(sheet: Sheet, truth: Truth) -> list[str]:
    """Of the table of labels, or of the predictions' own."""
    if "patient" in truth.columns or "patient" not in sheet.columns:
        return truth.column("patient")
    return [line[sheet.columns["patient"]].strip() for _, line in truth.rows]


def _groups(rows: Rows, truth: Truth, by: Sequence[str], where: str) -> dict[str, NDArray[np.str_]]:
    """(N,) levels of each column that is asked for, of the table of labels or of the rows' own; ages as bands."""
    groups = {}
    for asked in by:
        name, lines = None, truth.lines
        for candidate in (truth.lines, [line for _, line in rows]):
            name = next((n for n in candidate[0] if n.strip().casefold() == asked.strip().casefold()), None)
            if name is not None:
                lines = candidate
                break
        if name is None:
            raise LabelError(
                f"{where} has no column {asked!r}; columns found: {listed(list(truth.lines[0]), most=12)}",
                code="E-LABEL-07",
            )
        groups[printable(asked.strip())] = _banded(
            np.array([printable(line[name].strip()) for line in lines], dtype=np.str_)
        )
    return groups


def _banded(levels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Numbers of many values as bands of age, the only number that images are grouped by; words as they are."""
    if len(set(levels.tolist())) <= _MOST_LEVELS:
        return levels
    try:
        return age_bands(np.array([float(level) if level else np.nan for level in levels]))
    except ValueError:
        return levels


def _threshold(rows: Rows, column: str | None) -> float | None:
    """The one number that all rows give."""
    texts = {line[column].strip() for _, line in rows} if column is not None else set()
    if len(texts) != 1:
        return None
    try:
        value = float(texts.pop())
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _no_patients(where: str) -> Notice:
    message = f"{where} names no patients: every image counts as its own, and intervals are too narrow if it is not so"
    return Notice("W-LABEL-21", message)
