"""A folder of images -> Listing. Layouts: ``split/class/file`` and ``class/file``, sub-folders of a class allowed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from xenograft.data.importers import SPLIT_NAMES, Listing, RawRow
from xenograft.errors import DataError, LabelError, Notice, listed, printable

# names that people keep beside images; anything else below a class folder is tried as an image, whatever its suffix
NOT_IMAGES = frozenset(
    (
        *(".txt", ".csv", ".tsv", ".json", ".xml", ".md", ".rst", ".html", ".ini", ".yaml", ".yml", ".toml"),
        *(".parquet", ".xls", ".xlsx", ".doc", ".docx", ".py", ".db", ".zip", ".gz"),
    )
)
_INDEXES = frozenset({"thumbs.db", "dicomdir"})  # what lies among images and names them
_HIDDEN = (".", "__MACOSX")  # the latter is left by macOS in archives, with a copy of every name


def read(root: Path) -> Listing:
    """List a folder; nothing is opened.

    Raises:
        DataError: no class folder. LabelError: a split folder without images (L11).
    """
    found, declared = places(root)
    rows: list[RawRow] = []
    left_out: list[str] = []
    for split, place, label in found:
        for path in files(root, place):
            if Path(path).suffix.lower() in NOT_IMAGES:
                left_out.append(path)
            else:
                rows.append(RawRow(id=path, path=path, label=label, split=split, where=path))
    if not rows:
        raise DataError(
            f"{printable(root)} holds no images in class folders; expected class/file or split/class/file with splits "
            f"named train, val, test; found: {listed(_folders(root)) or 'no folders'}",
            code="E-DATA-07",
        )
    if empty := declared - {row.split for row in rows}:
        raise LabelError(
            f"split {', '.join(sorted(empty))} of {printable(root)} holds no image; fill it or remove the folder",
            code="E-LABEL-11",
        )
    notices: tuple[Notice, ...] = ()
    if left_out:
        message = f"{len(left_out)} files are not images by their name and were left out: {listed(left_out)}"
        notices = (Notice("W-DATA-08", message, len(left_out), tuple(map(printable, left_out[:5]))),)
    return Listing(root, tuple(rows), notices, declared_splits=declared)


def places(root: Path) -> tuple[list[tuple[str, str, str]], frozenset[str]]:
    """((split, folder below `root`, label) of each class folder, declared splits); no split is an empty one.

    Raises:
        DataError: split folders beside others.
    """
    top = _folders(root)
    splits = [name for name in top if name.lower() in SPLIT_NAMES]
    if len(splits) < len(top) and any(SPLIT_NAMES[name.lower()] == "train" for name in splits):
        others = [name for name in top if name not in splits]
        raise DataError(
            f"{printable(root)} has split folders ({listed(splits)}) beside others ({listed(others)}); classes or "
            "splits? move the others away",
            code="E-DATA-07",
        )
    if splits and len(splits) == len(top):
        found = [(SPLIT_NAMES[s.lower()], f"{s}/{label}", label) for s in top for label in _folders(root / s)]
        return found, frozenset(SPLIT_NAMES[split.lower()] for split in top)
    return [("", label, label) for label in top], frozenset()


def _folders(place: Path) -> list[str]:
    try:
        return sorted(e.name for e in os.scandir(place) if e.is_dir() and not e.name.startswith(_HIDDEN))
    except PermissionError as error:
        raise _closed(place) from error


def _closed(place: Path | str) -> DataError:
    return DataError(f"{printable(place)} cannot be opened: no permission; ask its owner", code="E-DATA-09")


def files(root: Path, place: str) -> Iterator[str]:
    """Every file below a class folder in a fixed order; links are followed to files, never into folders."""

    def refuse(error: OSError) -> None:  # os.walk would pass over a closed folder in silence
        raise _closed(error.filename) from error

    for folder, inner, names in os.walk(root / place, onerror=refuse):
        inner[:] = sorted(n for n in inner if not n.startswith(_HIDDEN))
        for name in sorted(names):
            if not name.startswith(".") and name.lower() not in _INDEXES:
                yield (Path(folder) / name).relative_to(root).as_posix()
