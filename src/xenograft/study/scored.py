"""A table of predictions, of any program -> truth, patients and probabilities of the images that have all of them.

Columns are found by name, without case: the image (``id``, ``path``, ``image``, ``file``, ``filename``), the truth
(``label``, ``class``, ``target``, ``truth``, ``y_true``, ``diagnosis``), ``patient``, ``split``, and the scores:
``p_NAME`` for every class, or ``score``, ``probability``, ``prob``, ``y_score`` or ``y_prob`` for the positive of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from xenograft.data.importers import SPLIT_NAMES
from xenograft.data.importers.lines import SUFFIXES, lines_of
from xenograft.errors import DataError, LabelError, Notice, UsageError, listed, printable
from xenograft.evaluation.subgroups import age_bands
from xenograft.storage import read_json, sha256_file
from xenograft.study.score_columns import Rows, indices, positive_last, scores, two_classes

_NAMES = {
    "id": ("id", "path", "image", "file", "filename", "file_name", "image_path", "image_id", "image index"),
    "label": ("label", "class", "target", "truth", "y_true", "diagnosis"),
    "patient": ("patient", "patient_id", "patientid", "patient id", "subject", "subject_id"),
    "split": ("split", "subset", "fold"),
    "score": ("score", "probability", "prob", "y_score", "y_prob"),
    "error": ("error",),
    "threshold": ("threshold",),
}
_PREFIX = "p_"
_MOST_LEVELS = 20


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions with their truth, in the order of the table.

    Args:
        name: of the file, for messages and tables. sha256: of its bytes.
        classes: in the order of the probabilities; for two classes the second is the positive one.
        ids: of N images, each once. labels: (N,) class index. patients: (N,) keys.
        probabilities: (N, C), each row sums to one.
        patients_known: False where every image counts as a patient of its own.
        threshold: that the table gives for the positive class, chosen by whoever made it; None without one.
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
    threshold: float | None = None
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

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
        found = replace(
            self,
            ids=other.ids,
            labels=self.labels[order],
            patients=self.patients[order],
            probabilities=self.probabilities[order],
            groups={name: levels[order] for name, levels in self.groups.items()},
        )
        if found.classes != other.classes or not np.array_equal(found.labels, other.labels):
            raise LabelError(
                f"{self.name} and {other.name} label the same images differently (classes {listed(self.classes)} and "
                f"{listed(other.classes)}); give one truth with --labels",
                code="E-LABEL-18",
            )
        return found


def read_scored(
    source: Path,
    *,
    labels: Path | None = None,
    positive: str | None = None,
    split: str | None = None,
    usual: str = "test",
    by: Sequence[str] = (),
) -> Scored:
    """Read predictions, and the truth from `labels` where they do not carry it.

    Args:
        source: CSV, TSV, JSON lines or Parquet. labels: a table with the image, its label, and if known its patient.
        positive: the positive class of two.
        split: only images of this split. usual: the split that is taken without one, where the table names it.
        by: columns of either table to group images by; more than 20 different numbers are taken as ages in years.

    Raises:
        LabelError: columns are missing (E-LABEL-07), images and labels do not match (E-LABEL-18), an image twice
            (E-LABEL-03), one class (E-LABEL-10). DataError: scores are no probabilities (E-DATA-37).
    """
    where = printable(source.name)
    lines, columns, names = _read(source, where)
    rows, notices = _usable(lines, columns, split, usual, where)
    rows, told, said = _labelled(rows, _told(rows, columns, labels, where), where)
    truth = told.column("label")
    patients = (told if "patient" in told.columns else _Told([line for _, line in rows], columns)).column("patient")
    classes = _class_names(source, names) or two_classes(truth, positive, where)
    table = scores(rows, names or [columns["score"]], where)
    if not names:
        table = np.concatenate([1 - table, table], axis=1)
    if len(classes) == 2:
        classes, table, guessed = positive_last(classes, table, positive, where)
        said += guessed
    elif positive is not None:
        raise UsageError(f"--positive {positive!r}: {where} has {len(classes)} classes, not two", code="E-USAGE-07")
    known = any(patients)
    ids = tuple(line[columns["id"]].strip() for _, line in rows)
    return Scored(
        name=where,
        sha256=sha256_file(source),
        classes=classes,
        ids=ids,
        labels=indices(truth, classes, where),
        patients=np.array([p or i for p, i in zip(patients, ids, strict=True)], dtype=np.str_),
        probabilities=table,
        patients_known=known,
        threshold=_threshold(rows, columns),
        groups=_groups(rows, told, by, where),
        notices=(*notices, *said, *([] if known else [_no_patients(where)])),
    )


def _read(source: Path, where: str) -> tuple[Rows, dict[str, str], list[str]]:
    """Rows, the columns by part, and those of the classes; of one score for two classes, none."""
    if source.suffix.lower() not in SUFFIXES or not source.is_file():
        raise DataError(
            f"{printable(source)} is no CSV, TSV, JSON-lines or Parquet file that is there", code="E-DATA-06"
        )
    found, lines = lines_of(source)
    columns = _columns(found)
    if "id" not in columns:
        raise LabelError(
            f"{where} has no column that names the image; columns found: {listed(found, most=12)}", code="E-LABEL-07"
        )
    names = [name for name in found if name.startswith(_PREFIX)]
    if len(names) > 1 and any(name.startswith(("label_", "threshold_")) for name in found):
        raise DataError(
            f"{where} holds findings, of which an image may have several; classes that exclude each other can be "
            "evaluated: give one finding as columns label and score",
            code="E-DATA-37",
        )
    if len(names) < 2 and "score" not in columns:
        raise LabelError(
            f"{where} has no columns p_CLASS, one for each class, and no column score; columns found: "
            f"{listed(found, most=12)}",
            code="E-LABEL-07",
        )
    return lines, columns, names if len(names) > 1 else []


def _class_names(source: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Of columns p_NAME; the tables of a study's runs number them, and its record has the names."""
    found = tuple(name.removeprefix(_PREFIX) for name in names)
    record = source.resolve().parent.parent.parent / "study.json"
    if found and found == tuple(map(str, range(len(found)))) and record.is_file():
        known = tuple(read_json(record).get("classes", []))
        return known if len(known) == len(found) else found
    return found


def names_split(source: Path, split: str) -> bool:
    """Whether a table has rows of this split."""
    found, lines = lines_of(source)
    columns = _columns(found)
    return "split" in columns and split in _splits(lines, columns["split"])


def named_apart(tables: Sequence[Scored], sources: Sequence[Path]) -> list[Scored]:
    """The same tables; those whose files are called alike, as in the runs of a study, are named after their folders."""
    names = [table.name for table in tables]
    return [
        replace(table, name=printable(source.resolve().parent.name)) if names.count(table.name) > 1 else table
        for table, source in zip(tables, sources, strict=True)
    ]


def _splits(lines: Rows, column: str) -> set[str]:
    return {SPLIT_NAMES.get(line[column].strip().casefold(), "") for _, line in lines}


def _columns(found: Sequence[str]) -> dict[str, str]:
    plain = {name.strip().casefold(): name for name in reversed(found)}
    chosen = {part: next((plain[name] for name in names if name in plain), None) for part, names in _NAMES.items()}
    return {part: name for part, name in chosen.items() if name is not None}


def _usable(
    lines: Rows, columns: Mapping[str, str], split: str | None, usual: str, where: str
) -> tuple[Rows, list[Notice]]:
    """Rows of the split, without those whose image could not be read."""
    notices = []
    if "split" in columns:
        given = _splits(lines, columns["split"])
        wanted = split or (usual if usual in given else None)
        if wanted is not None:
            lines = [row for row in lines if SPLIT_NAMES.get(row[1][columns["split"]].strip().casefold(), "") == wanted]
    elif split is not None:
        raise UsageError(f"{where} has no column split; leave --split out", code="E-USAGE-24")
    if "error" in columns:
        failed = [line[columns["id"]] for _, line in lines if line[columns["error"]].strip()]
        if failed:
            message = f"{where}: {len(failed)} images have no answer and were left out: {listed(failed)}"
            notices.append(Notice("W-DATA-38", message, len(failed), tuple(map(printable, failed[:5]))))
            lines = [row for row in lines if not row[1][columns["error"]].strip()]
    seen: dict[str, str] = {}
    for place, line in lines:
        image = line[columns["id"]].strip()
        if (first := seen.setdefault(image, place)) != place:
            raise LabelError(
                f"{where}: image {printable(image)} stands in {first} and in {place}; keep one", code="E-LABEL-03"
            )
    if not lines:
        raise LabelError(f"{where} has no row to evaluate" + (f" in split {split}" if split else ""), code="E-LABEL-02")
    return lines, notices


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of each row's image: lines of a table with its columns by part, in the order of the rows."""

    lines: Sequence[Mapping[str, str]]
    columns: Mapping[str, str]
    notices: tuple[Notice, ...] = ()

    def column(self, part: str) -> list[str]:
        """One part for each row; empty where there is none."""
        name = self.columns.get(part)
        return ["" if name is None else line[name].strip() for line in self.lines]


def _told(rows: Rows, columns: Mapping[str, str], labels: Path | None, where: str) -> _Told:
    """The rows' own table, or the lines of the table of labels that belong to them."""
    if labels is None:
        if "label" not in columns:
            raise LabelError(f"{where} has no column with the true class; give --labels", code="E-LABEL-07")
        return _Told([line for _, line in rows], columns)
    found, lines = lines_of(labels)
    theirs = _columns(found)
    if "id" not in theirs or "label" not in theirs:
        raise LabelError(
            f"{printable(labels.name)} needs a column path or id and a column label; columns found: "
            f"{listed(found, most=12)}",
            code="E-LABEL-07",
        )
    known = {line[theirs["id"]].strip(): line for _, line in lines}
    keys = [line[columns["id"]].strip() for _, line in rows]
    notices: tuple[Notice, ...] = ()
    if not any(key in known for key in keys):  # folders differ: by name, if names are enough
        short = {PurePosixPath(key).name: line for key, line in known.items()}
        names = [PurePosixPath(key).name for key in keys]
        if len(short) == len(known) and len(set(names)) == len(names) and any(name in short for name in names):
            known, keys = short, names
            message = f"{where} and {printable(labels.name)} were joined by the names of files, without folders"
            notices = (Notice("W-LABEL-29", message),)
    if lacking := [key for key in keys if key not in known]:
        raise LabelError(
            f"{printable(labels.name)} has no label for {len(lacking)} of {len(keys)} images of {where}: "
            f"{listed(lacking)}; images are joined by {theirs['id']}",
            code="E-LABEL-18",
        )
    return _Told([known[key] for key in keys], theirs, notices)


def _labelled(rows: Rows, told: _Told, where: str) -> tuple[Rows, _Told, list[Notice]]:
    """Without images whose true class is missing."""
    said = list(told.notices)
    kept = [k for k, label in enumerate(told.column("label")) if label]
    if len(kept) < len(rows):
        count = len(rows) - len(kept)
        said.append(Notice("W-DATA-38", f"{where}: {count} images have no true class and were left out", count))
    if not kept:
        raise LabelError(f"{where}: no image has a true class", code="E-LABEL-10")
    return [rows[k] for k in kept], replace(told, lines=[told.lines[k] for k in kept]), said


def _groups(rows: Rows, told: _Told, by: Sequence[str], where: str) -> dict[str, NDArray[np.str_]]:
    """(N,) levels of each column that is asked for, of the table of labels or of the rows' own; ages as bands."""
    groups = {}
    for asked in by:
        lines: Sequence[Mapping[str, str]] = told.lines
        for candidate in (told.lines, [line for _, line in rows]):
            name = next((n for n in candidate[0] if n.strip().casefold() == asked.strip().casefold()), None)
            if name is not None:
                lines = candidate
                break
        if name is None:
            raise LabelError(
                f"{where} has no column {asked!r}; columns found: {listed(list(told.lines[0]), most=12)}",
                code="E-LABEL-07",
            )
        levels = np.array([printable(line[name].strip()) for line in lines], dtype=np.str_)
        groups[printable(asked.strip())] = _banded(levels)
    return groups


def _banded(levels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Numbers of many values as bands of age, the only number that images are grouped by; words as they are."""
    if len(set(levels.tolist())) <= _MOST_LEVELS:
        return levels
    try:
        return age_bands(np.array([float(level) if level else np.nan for level in levels]))
    except ValueError:
        return levels


def _threshold(rows: Rows, columns: Mapping[str, str]) -> float | None:
    texts = {line[columns["threshold"]].strip() for _, line in rows} if "threshold" in columns else set()
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
