"""A table on disk -> its rows and what its columns are, read once however often it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from xenograft.data.importers import SPLIT_NAMES
from xenograft.data.importers.lines import SUFFIXES, lines_of
from xenograft.errors import DataError, LabelError, Notice, UsageError, listed, printable
from xenograft.storage import read_json, sha256_file
from xenograft.study.score_columns import Rows

PREFIX = "p_"
_NAMES = {
    "id": ("id", "path", "image", "file", "filename", "file_name", "image_path", "image_id", "image index"),
    "label": ("label", "class", "target", "truth", "y_true", "diagnosis"),
    "patient": ("patient", "patient_id", "patientid", "patient id", "subject", "subject_id"),
    "split": ("split", "subset", "fold"),
    "score": ("score", "probability", "prob", "y_score", "y_prob"),
    "error": ("error",),
    "threshold": ("threshold",),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as text.

    Args:
        source: the file. where: its name, safe to print. sha256: of its bytes.
        found: the columns as the table names them. lines: place and cells of each row.
        columns: part (``id``, ``label``, ``patient``, ``split``, ``score``, ``error``, ``threshold``) -> column.
    """

    source: Path
    where: str
    sha256: str
    found: tuple[str, ...]
    lines: Rows
    columns: Mapping[str, str]

    @classmethod
    def read(cls, source: Path) -> Self:
        """Read `source`: CSV, TSV, JSON lines or Parquet.

        Raises:
            DataError: it is none of these, or not there. LabelError: rows do not fit the header.
        """
        if source.suffix.lower() not in SUFFIXES or not source.is_file():
            raise DataError(
                f"{printable(source)} is no CSV, TSV, JSON-lines or Parquet file that is there", code="E-DATA-06"
            )
        found, lines = lines_of(source)
        plain = {name.strip().casefold(): name for name in reversed(found)}
        chosen = {part: next((plain[name] for name in names if name in plain), None) for part, names in _NAMES.items()}
        columns = {part: name for part, name in chosen.items() if name is not None}
        return cls(source, printable(source.name), sha256_file(source), tuple(found), lines, columns)

    @property
    def scores(self) -> list[str]:
        """Columns p_NAME, one for each class or finding."""
        return [name for name in self.found if name.startswith(PREFIX)]

    @property
    def classes(self) -> tuple[str, ...]:
        """Of columns p_NAME; the tables of a study's runs number them, and its record has the names."""
        found = tuple(name.removeprefix(PREFIX) for name in self.scores)
        record = self.source.resolve().parent.parent.parent / "study.json"
        if found and found == tuple(map(str, range(len(found)))) and record.is_file():
            known = tuple(read_json(record).get("classes", []))
            return known if len(known) == len(found) else found
        return found

    def named(self, wanted: str) -> str | None:
        """The column of this name, without case; None if there is none."""
        return next((name for name in self.found if name.strip().casefold() == wanted.strip().casefold()), None)

    def has_split(self, split: str) -> bool:
        """Whether there are rows of this split."""
        return "split" in self.columns and any(self._split(line) == split for _, line in self.lines)

    def usable(self, split: str | None, usual: str) -> tuple[Rows, list[Notice]]:
        """Rows of the split, each image once, without those whose image could not be read.

        Args:
            split: the one that is asked for. usual: the one that is taken without, where the table names it.

        Raises:
            LabelError: an image twice (E-LABEL-03), or no row (E-LABEL-02). UsageError: no column names splits.
        """
        lines, notices, name = self.lines, [], self.columns["id"]
        if "split" in self.columns:
            wanted = split or (usual if self.has_split(usual) else None)
            lines = [row for row in lines if wanted is None or self._split(row[1]) == wanted]
        elif split is not None:
            raise UsageError(f"{self.where} has no column split; leave --split out", code="E-USAGE-24")
        if error := self.columns.get("error"):
            if failed := [line[name] for _, line in lines if line[error].strip()]:
                message = f"{self.where}: {len(failed)} images have no answer and were left out: {listed(failed)}"
                notices.append(Notice("W-DATA-38", message, len(failed), tuple(map(printable, failed[:5]))))
            lines = [row for row in lines if not row[1][error].strip()]
        seen: dict[str, str] = {}
        for place, line in lines:
            image = line[name].strip()
            if (first := seen.setdefault(image, place)) != place:
                raise LabelError(
                    f"{self.where}: image {printable(image)} stands in {first} and in {place}; keep one",
                    code="E-LABEL-03",
                )
        if not lines:
            of = f" in split {split}" if split else ""
            raise LabelError(f"{self.where} has no row to evaluate{of}", code="E-LABEL-02")
        return lines, notices

    def _split(self, line: Mapping[str, str]) -> str:
        return SPLIT_NAMES.get(line[self.columns["split"]].strip().casefold(), "")


def read_predictions_sheet(source: Path) -> Sheet:
    """A table that names images and has scores.

    Raises:
        LabelError: a column is missing (E-LABEL-07). Others as `Sheet.read`.
    """
    sheet = Sheet.read(source)
    if "id" not in sheet.columns:
        raise _lacking(sheet, "has no column that names the image")
    if len(sheet.scores) < 2 and "score" not in sheet.columns and not _one_finding(sheet):
        raise _lacking(sheet, "has no columns p_CLASS, one for each class, and no column score")
    return sheet


def _one_finding(sheet: Sheet) -> bool:
    """Whether its only p_NAME is a finding, whose truth may be in another table."""
    return len(sheet.scores) == 1 and "label" not in sheet.columns


def _lacking(sheet: Sheet, what: str) -> LabelError:
    return LabelError(f"{sheet.where} {what}; columns found: {listed(sheet.found, most=12)}", code="E-LABEL-07")
