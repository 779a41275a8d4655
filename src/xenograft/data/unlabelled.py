"""A path that the user gives -> a Listing of images that need no labels: a folder of any depth, or any data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xenograft.data.importers import SPLIT_NAMES, Listing, RawRow, dicomdir, folder, hub, lines, npz, table
from xenograft.data.importers.unpacked import Progress
from xenograft.data.options import IngestOptions
from xenograft.errors import DataError, Notice, listed, printable

UNLABELLED = "unlabelled"
"""The one class of images that have none."""

_NO_CLASSES = "E-DATA-07"


def unlabelled_listing(
    data: Path, options: IngestOptions, cache: Path | None, *, progress: Progress | None = None
) -> Listing:
    """The images of a data set as `IngestOptions.listing` names them, or every image below a folder without classes.

    A folder is read as ``split/class/file`` or ``class/file`` where it is laid out so and no image lies outside of its
    class folders, so that a known data set is known; else all images of any depth count, and where every one of them
    lies in a folder named train, val or test, these are their splits. A table needs neither a column of
    labels nor a label in every row; an NPZ file needs no labels beside its images. On a hub both need them.

    Args:
        cache, progress: as in `IngestOptions.listing`.

    Raises:
        DataError, LabelError, UsageError: as `IngestOptions.listing`; E-DATA-07, a folder without an image.
    """
    if (found := _file(data, options, cache, progress)) is not None:
        return _framed(found, options, cache, progress)
    if not data.is_dir() or not _flat(data):
        try:
            return options.listing(data, cache, progress=progress)
        except DataError as error:
            if error.code != _NO_CLASSES or not data.is_dir():
                raise
    return _framed(_every_image(data), options, cache, progress)


def _file(data: Path, options: IngestOptions, cache: Path | None, progress: Progress | None) -> Listing | None:
    """A table, or an NPZ file; None for everything else, and where options are given that do not fit."""
    suffix = data.suffix.lower()
    if hub.is_address(data) or not data.is_file() or options.slices is not None:
        return None
    if suffix in lines.SUFFIXES:
        images = dicomdir.folder_of(options.images)
        return table.read(
            data,
            images=images,
            patient_column=options.patient_column,
            label_column=options.label_column,
            unlabelled=UNLABELLED,
        )
    if suffix in npz.SUFFIXES and not (options.images or options.patient_column or options.label_column):
        return npz.read(data, cache=cache, progress=progress, unlabelled=UNLABELLED)
    return None


def _framed(found: Listing, options: IngestOptions, cache: Path | None, progress: Progress | None) -> Listing:
    if options.frame != "all":
        return found
    from xenograft.data.importers.frames import every_frame  # late: few data sets need it

    return every_frame(found, cache=cache, window=options.dicom.window, progress=progress)


def _flat(root: Path) -> bool:
    """Whether images lie outside of class folders, or a DICOMDIR says that folders are no classes."""
    found, _ = _places(root)
    inside = tuple(f"{place}/" for _, place, _ in found)
    return any(not path.startswith(inside) for path in _images(root)) or any(
        dicomdir.holds(path) for path in root.iterdir()
    )


def _places(root: Path) -> tuple[list[tuple[str, str, str]], frozenset[str]]:
    try:
        return folder.places(root)
    except DataError as error:
        if error.code != _NO_CLASSES:
            raise
        return [], frozenset()


def _images(root: Path) -> list[str]:
    return [path for path in folder.files(root, ".") if Path(path).suffix.lower() not in folder.NOT_IMAGES]


def _every_image(root: Path) -> Listing:
    paths, tried = list(folder.files(root, ".")), _images(root)
    if not tried:
        raise DataError(
            f"{printable(root)} holds no image, at any depth; give a folder of images, or a table that names them",
            code=_NO_CLASSES,
        )
    splits = [SPLIT_NAMES.get(path.split("/")[0].lower(), "") if "/" in path else "" for path in tried]
    if not all(splits):
        splits = [""] * len(tried)
    rows = tuple(
        RawRow(id=path, path=path, label=UNLABELLED, split=split, where=path)
        for path, split in zip(tried, splits, strict=True)
    )
    notices: tuple[Notice, ...] = ()
    if left_out := sorted(set(paths) - set(tried)):
        message = f"{len(left_out)} files are not images by their name and were left out: {listed(left_out)}"
        notices = (Notice("W-DATA-08", message, len(left_out), tuple(map(printable, left_out[:5]))),)
    return replace(Listing(root, rows), notices=notices)
