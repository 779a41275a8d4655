"""An NPZ file in MedMNIST's layout -> Listing of PNG files below the cache; sizes are checked before they are believed.

MedMNIST v2 and v3 (Yang et al. 2023, Scientific Data 10:41): arrays ``{train,val,test}_{images,labels}`` in one file.
"""

from __future__ import annotations

import math
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data import catalog
from xenograft.data.importers import Listing, RawRow
from xenograft.data.importers.unpacked import Pixels, Progress, counting, unpacked, write_pictures
from xenograft.data.label_sets import check_names, encode
from xenograft.data.readers.picture import PIXEL_LIMIT
from xenograft.errors import DataError, LabelError, Notice, listed, printable
from xenograft.storage import sha256_file

SUFFIXES = frozenset({".npz"})

ARRAY_LIMIT = 32 << 30
"""Most bytes of one array of images: above the largest of MedMNIST, 13.5 GB of PathMNIST at 224 px."""

_RULE = "npz 1"  # raise it when other pixels come out
_SPLITS = ("train", "val", "test")
_LABELS_LIMIT = 1 << 28
_FINDINGS = 1000  # most labels of an image; a row of pixels is no label
_Labels = NDArray[Any]
_PIECE = 8 << 20  # bytes of images in memory at once
_HEAD = 1 << 14  # more than any header that is read
_EXPANSION = 1040  # deflate makes at most 1,032 bytes of one (zlib's technical details)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class _Array:
    """A member of the archive as its header declares it; `start`: bytes before the values."""

    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read(
    data: Path,
    *,
    cache: Path | None = None,
    names: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    unlabelled: str | None = None,
) -> Listing:
    """Convert an NPZ file once into PNG files and list them.

    Images are (N, H, W) or (N, H, W, 3), uint8 or uint16, in C or Fortran order; labels (N,) or (N, 1) integers, or
    (N, L) of 0 and 1 for L findings. Splits may be missing, not all of them. Memory stays below some 50 MB plus the
    labels, whatever the size of the file.

    Args:
        data: the file; it is never changed.
        cache: folder below which the PNG files are kept; None for a folder that goes when the process ends.
        names: class name of each label, which is written as a decimal number; others keep that number, findings with
            ``label`` before it. None takes those of a known data set.
        progress: called as ``progress(done, total)`` with images while they are converted.
        unlabelled: class of all images where labels are not needed and those of a split are missing; None: they are
            needed.

    Raises:
        DataError: damaged (E-DATA-10); an array that claims other bytes than there are (E-FILE-21) or too many
            (E-FILE-22), holds objects (E-FILE-23), or does not fit the layout (E-FILE-24).
        LabelError: findings that are not 0 or 1 (E-LABEL-24). ProcessError: the disk is full.
    """
    where = printable(data.name)
    before = _stamp(data)
    with _opened(data) as archive:
        members = {name.removesuffix(".npy") for name in _listed_members(archive)}
        splits = [split for split in _SPLITS if {f"{split}_images", f"{split}_labels"} & members]
        if not splits:
            raise DataError(
                f"{where} holds {listed(sorted(members)) or 'no array'}; expected train_images, train_labels, and the "
                "same for val and test",
                code="E-FILE-24",
            )
        images = {split: _images(archive, f"{split}_images", where) for split in splits}
        bare = unlabelled is not None and not {f"{s}_labels" for s in splits} <= members
        labelled = [] if bare else splits
        labels = {s: _labels(archive, f"{s}_labels", where, len_images=images[s].shape[0]) for s in labelled}
        if names is None:
            spec = catalog.of_archive(data.name, [images[s].shape[0] if s in images else 0 for s in _SPLITS])
            names = spec.label_names if spec is not None else {}
        findings = _findings(labels, names, where)
        with _reading(where):
            digest = sha256_file(data)
        made = unpacked(
            cache,
            {"source": digest, "how": _RULE},
            partial(_convert, data=data, before=before, images=images, progress=progress),
        )
    rows = tuple(
        RawRow(
            id=f"{printable(data.stem)}/{split}/{k}",
            path=_path(split, k),
            label=_text(labels[split][k], names, findings) if split in labels else str(unlabelled),
            split=split,
            where=f"{where} {split} image {k}",
        )
        for split in splits
        for k in range(images[split].shape[0])
    )
    notices = (*_left_out(where, members - {f"{s}_{what}" for s in splits for what in ("images", "labels")}),)
    notices = (*notices, *_classes_perhaps(where, labels, findings))
    return Listing(made.root, rows, (*notices, *made.notices), declared_splits=frozenset(splits), findings=findings)


def _text(label: _Labels, names: Mapping[str, str], findings: tuple[str, ...]) -> str:
    """A row's label as a listing has it."""
    number = str(int(label[0]))
    return encode(label, findings) if findings else names.get(number, number)


def _findings(labels: Mapping[str, _Labels], names: Mapping[str, str], where: str) -> tuple[str, ...]:
    """Names of the findings, none where labels are classes."""
    widths = {split: values.shape[1] for split, values in labels.items()}
    if len(set(widths.values())) > 1:
        raise DataError(f"{where} has other numbers of labels in each split: {widths}", code="E-FILE-24")
    width = next(iter(widths.values()), 1)
    findings = tuple(names.get(str(k), f"label {k}") for k in range(width)) if width > 1 else ()
    check_names(findings)
    return findings


def _classes_perhaps(where: str, labels: Mapping[str, _Labels], findings: tuple[str, ...]) -> Iterator[Notice]:
    if findings and all((values.sum(axis=1) == 1).all() for values in labels.values()):
        message = (
            f"{where}: every image has one of {len(findings)} findings, never two and never none; if these are "
            "classes, save labels (N,) that hold the number of the class"
        )
        yield Notice("W-LABEL-27", message)


def _path(split: str, number: int) -> str:
    return f"{split}/{number:06d}.png"


def _left_out(where: str, others: set[str]) -> Iterator[Notice]:
    if others:
        names = sorted(map(printable, others))
        message = f"{where}: {len(names)} arrays are neither images nor labels of a split and were left out"
        yield Notice("W-FILE-24", f"{message}: {listed(names)}", len(names), tuple(names[:5]))


def _stamp(data: Path) -> tuple[int, int]:
    """(size, time of the last change); what is no ordinary file is refused, because a pipe would be waited for."""
    try:
        found = data.stat()
    except OSError as error:
        raise DataError(f"{printable(data)} cannot be opened: {error.strerror}", code="E-DATA-10") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{printable(data)} is a folder, pipe or device, not an NPZ file", code="E-DATA-10")
    return found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)


@contextmanager
def _opened(data: Path) -> Iterator[zipfile.ZipFile]:
    with _reading(printable(data.name)):
        archive = zipfile.ZipFile(data)
    with archive:
        yield archive


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """zipfile, zlib and numpy raise much on hostile bytes; only our own errors may leave."""
    try:
        yield
    except Exception as error:
        reason = printable(error)[:100] or type(error).__name__
        raise DataError(
            f"{where} is damaged, cut or no NPZ file ({reason}); copy or download it again", code="E-DATA-10"
        ) from error


def _listed_members(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.endswith(".npy")]


def _declared(archive: zipfile.ZipFile, key: str, where: str) -> _Array:
    """What the header of an array says, after a look at whether there can be so many bytes."""
    if f"{key}.npy" not in archive.namelist():
        raise DataError(f"{where} has no array {key}; images and labels come in pairs", code="E-FILE-24")
    member = archive.getinfo(f"{key}.npy")
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise DataError(f"{where}: {key} is compressed in a way that numpy never writes", code="E-DATA-10")
    if member.file_size > _EXPANSION * member.compress_size + _HEAD:
        raise DataError(
            f"{where}: {key} claims {member.file_size} bytes, more than its {member.compress_size} compressed bytes "
            "can hold; the file is damaged or hostile",
            code="E-FILE-22",
        )
    with _reading(where), archive.open(member) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that Python 2 wrote
        head = BytesIO(stream.read(_HEAD))  # numpy would read as long a header as the file claims
        version = np.lib.format.read_magic(head)
        if version not in _HEADERS:
            raise ValueError(f"array format {version[0]}.{version[1]} holds no images")
        shape, fortran, dtype = _HEADERS[version](head)
    array = _Array(member, shape, dtype, fortran, head.tell())
    if dtype.hasobject:
        raise DataError(
            f"{where}: {key} holds Python objects, which could run code when they are read; save plain numbers",
            code="E-FILE-23",
        )
    if array.size > ARRAY_LIMIT:
        raise DataError(
            f"{where}: {key} claims {array.size} bytes {shape}, more than the {ARRAY_LIMIT} that are read; split it",
            code="E-FILE-22",
        )
    if min(shape, default=0) < 0 or array.start + array.size != member.file_size:
        raise DataError(
            f"{where}: {key} claims {array.size} bytes {shape}, but {member.file_size - array.start} are there; the "
            "file is damaged",
            code="E-FILE-21",
        )
    return array


def _images(archive: zipfile.ZipFile, key: str, where: str) -> _Array:
    array = _declared(archive, key, where)
    shape, dtype = array.shape, array.dtype
    if len(shape) not in {3, 4} or 0 in shape or (len(shape) == 4 and shape[3] not in {1, 3}):
        raise DataError(
            f"{where}: {key} is {shape}; images are (N, H, W) or (N, H, W, 3), volumes are not read from NPZ",
            code="E-FILE-24",
        )
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise DataError(f"{where}: {key} is {dtype}; images are uint8 or uint16", code="E-FILE-24")
    if shape[1] * shape[2] > PIXEL_LIMIT:
        raise DataError(
            f"{where}: {key} has images of {shape[2]} x {shape[1]} pixels, more than the {PIXEL_LIMIT} that are read",
            code="E-FILE-22",
        )
    return array


def _labels(archive: zipfile.ZipFile, key: str, where: str, *, len_images: int) -> _Labels:
    """(N, 1) classes or (N, L) findings."""
    array = _declared(archive, key, where)
    shape = array.shape
    if array.dtype.kind not in "biu":
        raise DataError(f"{where}: {key} is {array.dtype}; labels are whole numbers", code="E-FILE-24")
    if shape not in {(len_images,), (len_images, *shape[1:2])} or not 0 < (shape[1] if shape[1:] else 1) <= _FINDINGS:
        raise DataError(
            f"{where}: {key} is {shape} for {len_images} images; one label for each is needed, or a row of at most "
            f"{_FINDINGS} findings",
            code="E-FILE-24",
        )
    if array.size > _LABELS_LIMIT:
        raise DataError(f"{where}: {key} has {array.size} bytes, more than the {_LABELS_LIMIT} read", code="E-FILE-22")
    with _reading(where), archive.open(array.member) as stream:
        _exactly(stream, array.start)
        values = np.frombuffer(_exactly(stream, array.size), array.dtype)
        stream.read(1)  # the end, where zipfile compares the checksum
    table = values.reshape(len_images, -1, order="F" if array.fortran else "C")
    if table.shape[1] > 1 and (odd := np.argwhere((table != 0) & (table != 1))).size:
        row, column = odd[0].tolist()
        raise LabelError(
            f"{where}: {key} has {table[row, column]} for finding {column} of image {row}; of several labels for each "
            "image, 1 is present and 0 absent",
            code="E-LABEL-24",
        )
    return table


def _convert(
    folder: Path, *, data: Path, before: tuple[int, int], images: Mapping[str, _Array], progress: Progress | None
) -> None:
    written = counting(progress, sum(array.shape[0] for array in images.values()))
    with _opened(data) as archive:
        for split, array in images.items():
            pieces = _spooled if array.fortran else _streamed
            pictures = pieces(archive, array, folder, printable(data.name))
            write_pictures(folder, ((_path(split, k), pixels) for k, pixels in enumerate(pictures)), written=written)
    if _stamp(data) != before:  # the folder is named after the hash of what was there before
        raise DataError(f"{printable(data)} changed while it was read; run again when it is complete", code="E-FILE-19")


def _streamed(archive: zipfile.ZipFile, array: _Array, folder: Path, where: str) -> Iterator[Pixels]:
    """Images in C order, one after the other as they lie in the file."""
    del folder
    count, each = array.shape[0], array.size // array.shape[0]
    step = max(1, _PIECE // each)
    with _reading(where):
        stream = archive.open(array.member)
    with stream:
        with _reading(where):
            _exactly(stream, array.start)
        for first in range(0, count, step):
            some = min(step, count - first)
            with _reading(where):
                block = np.frombuffer(_exactly(stream, some * each), array.dtype)
            yield from map(_plain, block.reshape(some, *array.shape[1:]))
        with _reading(where):
            stream.read(1)  # the end, where zipfile compares the checksum


def _spooled(archive: zipfile.ZipFile, array: _Array, folder: Path, where: str) -> Iterator[Pixels]:
    """Images in Fortran order, where a single one is spread over all of the array: by way of the disk."""
    with tempfile.TemporaryFile(dir=folder) as spool:
        with _reading(where):
            stream = archive.open(array.member)
        with stream:
            with _reading(where):
                _exactly(stream, array.start)
            left = array.size
            while left:
                with _reading(where):
                    piece = _exactly(stream, min(left, _PIECE))
                spool.write(piece)
                left -= len(piece)
            with _reading(where):
                stream.read(1)  # the end, where zipfile compares the checksum
        spool.flush()
        yield from map(_plain, np.memmap(spool, array.dtype, "r", shape=array.shape, order="F"))


def _plain(image: NDArray[Any]) -> Pixels:
    """In this machine's byte order, without a channel axis that says nothing."""
    pixels: Pixels = image.astype(image.dtype.newbyteorder("="), order="C", copy=False)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _exactly(stream: IO[bytes], count: int) -> bytes:
    """The next `count` bytes."""
    pieces = []
    while count:
        piece = stream.read(min(count, _PIECE))
        if not piece:
            raise EOFError(f"{count} bytes are missing")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
