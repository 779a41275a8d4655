"""A path that the user gives -> a Listing: raw rows before anything is opened. One file per kind of source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xenograft.data.facts import Skip
from xenograft.errors import DataError, Notice, UsageError, printable

if TYPE_CHECKING:
    from xenograft.data.importers.unpacked import Progress
    from xenograft.data.importers.volumes import SliceRule


@dataclass(frozen=True, slots=True)
class RawRow:
    """One image as its source names it; `split` and `patient` are empty where the source is silent.

    Args:
        path: POSIX path below the listing's root. label: a class; of a multi-label set the findings, as
            `label_sets.encode` writes them. where: the place in the source, for messages.
    """

    id: str
    path: str
    label: str
    split: str = ""
    patient: str = ""
    where: str = ""
    acquisition: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """What an importer found.

    Args:
        declared_splits, declared_labels: those that the source names, also where no row of theirs is left.
        patient_rule: where the rows' patients are from, if they have any.
        findings: names of the findings, in order, of a multi-label set; else empty.
        name: of the data set where its path does not tell it, or "". facts: sentences that every report must carry.
    """

    root: Path
    rows: tuple[RawRow, ...]
    notices: tuple[Notice, ...] = ()
    skipped: tuple[Skip, ...] = ()
    declared_splits: frozenset[str] = frozenset()
    declared_labels: frozenset[str] = frozenset()
    patient_rule: str = "patient key from the table's patient column"
    findings: tuple[str, ...] = ()
    name: str = ""
    facts: tuple[str, ...] = ()


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
    cache: Path | None = None,
    slices: SliceRule | None = None,
    progress: Progress | None = None,
) -> Listing:
    """List a folder of images or volumes, a CSV/TSV/JSONL/Parquet table, an NPZ file, or the copy of a hub's data set.

    Args:
        data: folder or file. images, patient_column, label_column: of a table.
        cache: folder for what is converted (volumes, NPZ); None for one that goes when the process ends.
        slices: which slices of volumes. progress: called as ``progress(done, total)`` while pictures are converted.

    Raises:
        DataError: there is nothing at `data`, or it is of no known kind. UsageError: columns of what is no table,
            slices of what are no volumes. MissingPackage: volumes without nibabel.
    """
    from xenograft.data.importers import dicomdir, folder, hub, lines, npz, table, volumes

    if hub.is_address(data):
        return hub.read(
            data,
            images=images,
            label_column=label_column,
            patient_column=patient_column,
            cache=cache,
            slices=slices,
            progress=progress,
        )
    suffix = data.suffix.lower()
    if not data.exists():
        raise DataError(_nothing_at(data), code="E-DATA-06")
    if (images or patient_column or label_column) and (data.is_dir() or suffix in npz.SUFFIXES):
        kind = "a folder" if data.is_dir() else "an NPZ file"
        raise UsageError(
            f"{printable(data)} is {kind}; --images, --label-column and --patient-column speak of a table",
            code="E-USAGE-08",
        )
    if data.is_dir() and volumes.holds_volumes(data):
        return volumes.read(data, cache=cache, slices=slices, progress=progress)
    if slices is not None:
        raise UsageError(
            f"{printable(data)} holds no volumes in class folders; slices speak of these", code="E-USAGE-18"
        )
    dicomdir.refuse(data)
    if data.is_dir():
        return folder.read(data)
    if suffix in npz.SUFFIXES:
        return npz.read(data, cache=cache, progress=progress)
    if suffix in lines.SUFFIXES:
        images = dicomdir.folder_of(images)
        return table.read(data, images=images, patient_column=patient_column, label_column=label_column)
    raise DataError(
        f"{printable(data)} is not a folder, CSV, TSV, JSONL or Parquet file, nor NPZ; these are what can be read",
        code="E-DATA-06",
    )


def _nothing_at(data: Path) -> str:
    """What to do where DATA is not there: a name from the catalog is not data yet."""
    from xenograft.data.catalog import CATALOG

    spec = CATALOG.get(data.name.casefold().removeprefix("medmnist:"))
    if spec is None:
        return f"there is nothing at {printable(data)}; give a folder or a table"
    return (
        f"there is nothing at {printable(data)}; {spec.name} is known as {spec.title} but not downloaded by its name: "
        f"get it from {spec.address} (licence: {spec.licence}), then give the folder or file that you got"
    )
