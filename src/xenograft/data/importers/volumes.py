"""A folder of volumes (NIfTI, MetaImage) in class folders -> Listing of their slices as PNG files below the cache.

Layouts as for images: ``split/class/file`` and ``class/file``, sub-folders of a class allowed.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from xenograft.data.facts import Skip
from xenograft.data.importers import Listing, RawRow, folder, metaimage, nifti
from xenograft.data.importers.unpacked import Pixels, Progress, counting, unpacked, write_pictures
from xenograft.data.importers.voxels import Voxels
from xenograft.data.readers import read_bytes
from xenograft.errors import DataError, FileError, LabelError, Notice, UsageError, listed, printable, require
from xenograft.storage import sha256_bytes

ENDINGS = (".nii", ".nii.gz", ".mha", ".mhd")

_DETACHED = (".raw", ".zraw")  # values that an .mhd names
_NAME_RULE = "patient key: the file name of the volume, so that no volume is cut"
_FOLDER_RULE = "patient key: the folder below the class, because volumes of different folders are named alike"
_RULE = "volumes 1"  # raise it when other pixels come out


@dataclass(frozen=True, slots=True)
class SliceRule:
    """Which slices of a volume become images.

    Args:
        axis: 0 sagittal, 1 coronal, 2 axial, after the volume was turned to RAS+.
        take: ``middle``, ``all``, or every n-th, of which the first is number ``n // 2``.

    Raises:
        UsageError: anything else.
    """

    axis: int = 2
    take: Literal["middle", "all"] | int = "middle"

    def __post_init__(self) -> None:
        number = type(self.take) is int and self.take >= 1
        if self.axis not in {0, 1, 2} or not (number or self.take in {"middle", "all"}):
            raise UsageError(
                f"slices {self.take!r} across axis {self.axis!r}; take middle, all or a number of 1 or more, across "
                "axis 0, 1 or 2",
                code="E-USAGE-18",
            )

    def indices(self, depth: int) -> range:
        """The chosen ones of `depth` slices; at least one."""
        if self.take == "middle":
            return range(depth // 2, depth // 2 + 1)
        step = 1 if self.take == "all" else int(self.take)
        return range(min(step, depth) // 2, depth, step)


@dataclass(frozen=True, slots=True)
class _Found:
    """One volume that could be opened: its row, the hash of its bytes and its shape."""

    row: RawRow
    digest: str
    shape: tuple[int, ...]


def holds_volumes(root: Path) -> bool:
    """Whether any file in a class folder is a volume by its name; stops at the first, opens nothing.

    Raises:
        DataError: as `folder.read`.
    """

    def leave(error: OSError) -> None:
        del error  # whoever reads the folder says it

    for _, place, _ in folder.places(root)[0]:
        for _, inner, names in os.walk(root / place, onerror=leave):
            inner[:] = [name for name in inner if not name.startswith(folder._HIDDEN)]
            if any(name.lower().endswith(ENDINGS) and not name.startswith(".") for name in names):
                return True
    return False


def read(
    root: Path,
    *,
    cache: Path | None = None,
    slices: SliceRule | None = None,
    progress: Progress | None = None,
) -> Listing:
    """Convert the slices of all volumes once into 16-bit PNG files and list them.

    The number that a file stores is scaled as the file says (``scl_slope``, ``scl_inter``); then the least value of the
    *whole volume* becomes 0 and its greatest 65535, linearly, so that nothing of its depth is lost. How a slice is
    turned is said at `Voxels.picture`. All slices of a volume have the volume's name without ending as patient; so have
    those of two volumes with the same name. Where a few names come back in many folders (``patient01/t1.nii.gz``,
    ``patient02/t1.nii.gz``) the folder is the patient.

    Args:
        root: folder with class folders. cache: folder below which the PNG files are kept; None for a temporary one.
        slices: which ones; without a rule the middle one across axis 2, and that is said.
        progress: called as ``progress(done, total)`` with volumes while they are converted.

    Raises:
        DataError: no class folders (E-DATA-07), volumes beside other images (E-FILE-29), more than three dimensions
            (E-FILE-27). LabelError: a split without volumes (E-LABEL-11). MissingPackage: nibabel is not installed.
    """
    require("nibabel", extra="nifti")
    rule = slices or SliceRule()
    named, others, declared = _named(root)
    named, patient_rule = _patients(root, named)
    found: list[_Found] = []
    skipped: list[Skip] = []
    for row in named:
        try:
            found.append(_probe(root, row))
        except FileError as error:
            skipped.append(Skip(printable(row.path), error.code, str(error.args[0])))
    _three_dimensional(found)
    made = unpacked(
        cache,
        {"source": [[f.row.path, f.digest] for f in found], "how": _RULE, "axis": rule.axis, "take": rule.take},
        partial(_convert, root=root, found=found, rule=rule, written=counting(progress, len(found))),
    )
    taken: dict[str, list[int]] = made.facts["slices"]
    skipped += [Skip(*entry) for entry in made.facts["skipped"]]
    rows = tuple(_slice(f.row, k) for f in found for k in taken.get(f.row.path, ()))
    used = [f.row.path for f in found if f.row.path in taken]
    notices = (*_notices(used, rows, others, rule, given=slices is not None), *made.notices)
    labels = frozenset(row.label for row in named)
    return Listing(made.root, rows, notices, tuple(skipped), declared, labels, patient_rule)


def _slice(row: RawRow, number: int) -> RawRow:
    return replace(
        row, id=f"{row.id}/{number}", path=_path(row.path, number), where=f"{printable(row.path)} slice {number}"
    )


def _path(volume: str, number: int) -> str:
    return f"{volume}/{number:04d}.png"


def _notices(
    used: Sequence[str], rows: Sequence[RawRow], others: Sequence[str], rule: SliceRule, *, given: bool
) -> Iterator[Notice]:
    examples = tuple(map(printable, used[:5]))
    if others:
        message = f"{len(others)} files are not images by their name and were left out: {listed(others)}"
        yield Notice("W-DATA-08", message, len(others), tuple(map(printable, others[:5])))
    if used and not given:
        message = (
            f"no rule for slices was given: the middle one across axis {rule.axis} was taken of each of {len(used)} "
            "volumes"
        )
        yield Notice("W-FILE-27", message, len(used), examples)
    if used:
        message = (
            f"{len(used)} volumes gave {len(rows)} slices; each volume's least value became 0 and its greatest 65535, "
            "so equal grays of two volumes need not be equal values"
        )
        yield Notice("W-FILE-28", message, len(used), examples)


def _named(root: Path) -> tuple[list[RawRow], list[str], frozenset[str]]:
    """(volumes by their names, files that are no images, declared splits)."""
    kinds: dict[str, list[RawRow]] = defaultdict(list)
    places, declared = folder.places(root)
    for split, place, label in places:
        for path in folder.files(root, place):
            name = Path(path).name
            patient = name[: len(name) - len(_ending(name))]
            kinds[_kind(name)].append(RawRow(path, path, label, split, patient, where=path))
    rows = kinds["volume"]
    homes = {Path(row.path).parent for row in rows if row.path.lower().endswith(".mhd")}
    foreign = [*kinds["foreign"], *(row for row in kinds["values"] if Path(row.path).parent not in homes)]
    if not rows:
        raise DataError(
            f"{printable(root)} holds no volumes in class folders; expected class/file or split/class/file with splits "
            "named train, val, test",
            code="E-DATA-07",
        )
    if foreign:
        raise DataError(
            f"{printable(root)} holds {len(rows)} volumes in class folders beside {len(foreign)} other files "
            f"({listed(row.path for row in foreign)}); one data set is either of volumes or of images, move the others "
            "away",
            code="E-FILE-29",
        )
    if empty := declared - {row.split for row in rows}:
        raise LabelError(
            f"split {', '.join(sorted(empty))} of {printable(root)} holds no volume; fill it or remove the folder",
            code="E-LABEL-11",
        )
    return rows, [row.path for row in kinds["no image"]], declared


def _patients(root: Path, rows: list[RawRow]) -> tuple[list[RawRow], str]:
    """Rows with their patients, and where those are from.

    The folder is the patient only where each name is in two folders or more, and there are fewer names than folders:
    a few kinds of scan of many people, not many people at a few times. It is the topmost level at which the folders of
    a class differ, so that two visits of somebody stay together.
    """
    places = {place for _, place, _ in folder.places(root)[0]}
    inner: list[tuple[str, ...]] = []  # the folders between the class and the file
    classes: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for row in rows:
        place = next(parent for parent in Path(row.path).parents if parent.as_posix() in places)
        inner.append(Path(row.path).parent.parts[len(place.parts) :])
        classes[place.as_posix()].append(inner[-1])
    differs = (k for k in range(min(map(len, inner))) if any(len({p[k] for p in of}) > 1 for of in classes.values()))
    at = next(differs, None)
    if at is None:
        return rows, _NAME_RULE
    folders: dict[str, set[str]] = defaultdict(set)
    for row, parts in zip(rows, inner, strict=True):
        folders[row.patient].add(parts[at])
    everywhere = set().union(*folders.values())
    if min(map(len, folders.values())) < 2 or len(folders) >= len(everywhere):
        return rows, _NAME_RULE
    return [replace(row, patient=parts[at]) for row, parts in zip(rows, inner, strict=True)], _FOLDER_RULE


def _kind(name: str) -> str:
    if _ending(name):
        return "volume"
    if name.lower().endswith(_DETACHED):
        return "values"
    return "no image" if Path(name).suffix.lower() in folder.NOT_IMAGES else "foreign"


def _ending(path: str) -> str:
    return next((end for end in sorted(ENDINGS, key=len, reverse=True) if path.lower().endswith(end)), "")


def _load(root: Path, path: str) -> tuple[bytes, bytes]:
    """(the file, the file of values that its header names)."""
    data = read_bytes(root / path, root)
    if not data:
        raise FileError("is empty (zero bytes); copy or export it again", code="S-FILE-01")
    if metaimage.sniff(data) and (beside := metaimage.header(data).values_file):
        return data, read_bytes((root / path).parent / beside, root)
    return data, b""


def _probe(root: Path, row: RawRow) -> _Found:
    """Look at one volume without unpacking it."""
    try:
        row.path.encode()
    except UnicodeEncodeError as error:
        raise FileError("its name is not UTF-8; rename it", code="S-FILE-18") from error
    data, beside = _load(root, row.path)
    if nifti.sniff(data):
        shape = nifti.shape(data)
    elif metaimage.sniff(data):
        shape = metaimage.header(data).shape
    else:
        raise FileError("is neither NIfTI nor MetaImage inside; export it again", code="S-FILE-04")
    return _Found(row, _digest(data, beside), shape)


def _digest(data: bytes, beside: bytes) -> str:
    return f"{sha256_bytes(data)} {sha256_bytes(beside)}" if beside else sha256_bytes(data)


def _three_dimensional(found: Sequence[_Found]) -> None:
    if many := [f for f in found if len(f.shape) > 3]:
        names = listed([f"{f.row.path} {f.shape}" for f in many])
        raise DataError(
            f"{len(many)} volumes have more than three dimensions, and there is no rule which of them to take: {names}"
            "; export one volume of each series",
            code="E-FILE-27",
        )


def _convert(
    target: Path, *, root: Path, found: Sequence[_Found], rule: SliceRule, written: Callable[[int], None]
) -> dict[str, Any]:
    """Write the slices of all volumes; which ones, and which volumes could not be read."""
    slices: dict[str, list[int]] = {}
    skipped: list[tuple[str, str, str]] = []
    for one in found:
        path = one.row.path
        written(1)
        try:
            volume = _voxels(root, one)
        except FileError as error:
            skipped.append((printable(path), error.code, str(error.args[0])))
            continue
        chosen = rule.indices(volume.values.shape[rule.axis])
        write_pictures(target, _pictures(volume, path, rule.axis, chosen))
        slices[path] = list(chosen)
    return {"slices": slices, "skipped": skipped}


def _pictures(volume: Voxels, path: str, axis: int, chosen: Sequence[int]) -> Iterator[tuple[str, Pixels]]:
    return ((_path(path, k), volume.picture(axis, k)) for k in chosen)


def _voxels(root: Path, one: _Found) -> Voxels:
    try:
        data, beside = _load(root, one.row.path)
        if _digest(data, beside) != one.digest:
            raise FileError("changed while it was read; run again when it is complete", code="S-FILE-19")
        return nifti.read(data) if nifti.sniff(data) else metaimage.read(data, beside)
    except MemoryError as error:
        raise FileError("needs more memory than there is; export it smaller", code="S-FILE-10") from error
