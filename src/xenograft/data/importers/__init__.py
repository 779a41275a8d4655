"""A path that the user gives -> a Listing: raw rows before anything is opened. One file per kind of source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xenograft.data.facts import Skip
from xenograft.errors import DataError, Notice, UsageError, printable


@dataclass(frozen=True, slots=True)
class RawRow:
    """One image as its source names it; `split` and `patient` are empty where the source is silent.

    Args:
        path: POSIX path below the listing's root. where: the place in the source, for messages.
    """

    id: str
    path: str
    label: str
    split: str = ""
    patient: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What an importer found.

    Args:
        declared_splits, declared_labels: those that the source names, also where no row of theirs is left.
    """

    root: Path
    rows: tuple[RawRow, ...]
    notices: tuple[Notice, ...] = ()
    skipped: tuple[Skip, ...] = ()
    declared_splits: frozenset[str] = frozenset()
    declared_labels: frozenset[str] = frozenset()


SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def folded(label: str) -> str:
    """A label without case and superfluous spaces: what two spellings of one class share (L8)."""
    return " ".join(label.split()).casefold()


def read_listing(
    data: Path,
    *,
    images: Path | None = None,
    patient_column: str | None = None,
    label_column: str | None = None,
) -> Listing:
    """List a folder or a CSV/TSV/Parquet table.

    Raises:
        DataError: there is nothing at `data`, or it is of no known kind. UsageError: columns of a folder.
    """
    from xenograft.data.importers import folder, table

    if data.is_dir():
        if images or patient_column or label_column:
            raise UsageError(
                f"{printable(data)} is a folder; --images, --label-column and --patient-column speak of a table",
                code="E-USAGE-08",
            )
        return folder.read(data)
    if not data.exists():
        raise DataError(f"there is nothing at {printable(data)}; give a folder or a table", code="E-DATA-06")
    if data.suffix.lower() in table.SUFFIXES:
        return table.read(data, images=images, patient_column=patient_column, label_column=label_column)
    raise DataError(
        f"{printable(data)} is not a folder, CSV, TSV or Parquet file; these are what can be read", code="E-DATA-06"
    )
