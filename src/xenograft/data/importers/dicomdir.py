"""A DICOMDIR, the index of a CD or an export -> the images that it names.

It names no labels: what a study reads is a table of labels, with the DICOMDIR or its folder for the images.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from xenograft.data.readers import check_inside, read_bytes
from xenograft.data.readers.dicom_elements import Dataset, items, text, texts
from xenograft.data.readers.dicom_parsing import parsed, safely
from xenograft.errors import DataError, FileError, listed, printable

NAME = "DICOMDIR"


def holds(path: Path) -> bool:
    """Whether this is a DICOMDIR, by its name and kind."""
    return path.name.upper() == NAME and path.is_file()


def images(path: Path) -> tuple[str, ...]:
    """Paths of its images below its folder, in its order.

    Args:
        path: the DICOMDIR.

    Raises:
        DataError: it cannot be read (E-DICOM-19, E-DICOM-05), or names a file outside of its folder (E-DICOM-12).
    """
    try:
        dataset = parsed(read_bytes(path))
        records = safely(partial(_records, dataset))
    except FileError as error:
        code = error.code if error.code.startswith("E-") else "E-DICOM-19"
        raise DataError(f"{printable(path)}: {error.args[0]}", code=code) from None
    if outside := ["/".join(parts) for _, parts in records if not _below(path.parent, parts)]:
        raise DataError(
            f"{printable(path)} names {len(outside)} files outside of its folder: {listed(outside)}; copy the whole "
            "export here, or give the folder of the images itself",
            code="E-DICOM-12",
        )
    return tuple(dict.fromkeys("/".join(parts) for kind, parts in records if kind == "IMAGE"))


def refuse(data: Path) -> None:
    """Say what is missing where `data` is a DICOMDIR, or an export: a folder with one, and its images where it says.

    Folders of an export are patients, not classes. A DICOMDIR that was left over among class folders is passed over.

    Raises:
        DataError: labels are missing (E-DICOM-18); or as `images`.
    """
    index = data
    if data.is_dir():
        index = next((path for path in sorted(data.iterdir()) if holds(path)), data)
    if not holds(index):
        return
    try:
        found = images(index)
    except DataError as error:
        if index == data or error.code == "E-DICOM-12":
            raise
        return
    if index == data or any((data / one).is_file() for one in found):
        raise DataError(
            f"{printable(index)} names {len(found)} images ({listed(found, most=3)}) and no labels; write a table with "
            f"the columns path, as these are, and label, and give it as DATA with --images {printable(index.parent)}",
            code="E-DICOM-18",
        )


def folder_of(path: Path | None) -> Path | None:
    """The folder that a path names: a DICOMDIR stands for its own, once its entries were looked at.

    Raises:
        DataError: as `images`.
    """
    if path is None or not holds(path):
        return path
    images(path)
    return path.parent


def _records(dataset: Dataset) -> list[tuple[str, tuple[str, ...]]]:
    """(kind, parts of the path) of every record that names a file."""
    if not (records := items(dataset, "DirectoryRecordSequence")):
        raise FileError("is no DICOMDIR inside, or is cut; copy the export again", code="S-DICOM-02")
    named = [(text(record, "DirectoryRecordType").upper(), texts(record, "ReferencedFileID")) for record in records]
    return [(kind, parts) for kind, parts in named if any(parts)]


def _below(root: Path, parts: tuple[str, ...]) -> bool:
    """Whether a path stays in the folder, also through links (fault D12)."""
    if any(part in {"", ".", ".."} or set(part) & set("/\\:\0") for part in parts):
        return False
    try:
        check_inside(root.joinpath(*parts), root)
    except (FileError, OSError, ValueError):
        return False
    return True
