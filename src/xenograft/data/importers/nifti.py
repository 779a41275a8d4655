"""Bytes of a NIfTI-1 or NIfTI-2 file, also compressed by gzip -> Voxels; its header decides how much is unpacked."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.importers.voxels import Voxels, check_declared, spatial, voxels
from xenograft.errors import FileError, printable, require

_GZIP = b"\x1f\x8b"
_EXPANSION = 1040  # deflate makes at most 1,032 bytes of one
_SLACK = 1 << 20  # bytes that may follow the values
_PIECE = 1 << 20
_MAGICS = {348: (344, b"n+1\0"), 540: (4, b"n+2\0")}


@dataclass(frozen=True, slots=True)
class _Declared:
    header: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    size: int


def sniff(data: bytes) -> bool:
    """Whether a file's first bytes are those of NIfTI, or compressed ones."""
    return data.startswith(_GZIP) or _kind(data) is not None


def shape(data: bytes) -> tuple[int, ...]:
    """The declared shape, without trailing axes of length one after the third.

    Raises:
        FileError: the header cannot be read.
    """
    return _Opened(data).declared.shape


def read(data: bytes) -> Voxels:
    """Unpack and check a whole file; stored numbers keep their type.

    Raises:
        FileError: damaged, cut or wrong checksum (S-FILE-02, -25), unpacks to more than its header declares
            (S-FILE-26), no real numbers (S-FILE-04), NaN (S-FILE-13).
    """
    opened = _Opened(data)
    declared = opened.declared
    values = opened.values()
    with np.errstate(all="ignore"):
        try:
            slope, inter = declared.header.get_slope_inter()
            affine = np.asarray(declared.header.get_best_affine(), dtype=np.float64)
        except Exception as error:  # nibabel raises what numpy raises on hostile numbers
            raise _bad_header(error) from error
    return voxels(
        values, affine, slope=1.0 if slope is None else float(slope), inter=0.0 if inter is None else float(inter)
    )


class _Opened:
    """The bytes of a file as they are unpacked, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._packed = data.startswith(_GZIP)
        self._bytes = len(data)
        self._stream = gzip.GzipFile(fileobj=BytesIO(data)) if self._packed else BytesIO(data)
        self._head = self._next(540)
        self.declared = self._declare()

    def values(self) -> NDArray[Any]:
        """The declared values as stored, in the declared shape, after a look at all that follows them."""
        declared = self.declared
        end = declared.start + declared.size
        if self._packed and end > _EXPANSION * self._bytes + _SLACK:
            raise FileError(
                f"declares {declared.size} bytes, more than its {self._bytes} compressed bytes can hold; it is damaged",
                code="S-FILE-26",
            )
        raw = bytearray(self._head)
        while len(raw) < end and (piece := self._next(min(_PIECE, end - len(raw)))):
            raw += piece
        if len(raw) < end:
            raise FileError(
                f"is cut: its header declares {end} bytes, {len(raw)} are there; copy it again", code="S-FILE-02"
            )
        more = max(0, len(raw) - end)
        while self._packed and (piece := self._next(_PIECE)):  # to the end, where the checksum is compared
            more += len(piece)
            if more > _SLACK:
                raise FileError(
                    f"unpacks to more than the {end} bytes that its header declares; export it again", code="S-FILE-26"
                )
        flat = np.frombuffer(raw, declared.dtype, count=declared.size // declared.dtype.itemsize, offset=declared.start)
        return flat.reshape(declared.shape, order="F")

    def _next(self, count: int) -> bytes:
        try:
            return self._stream.read(count)
        except (gzip.BadGzipFile, zlib.error) as error:
            raise FileError(
                f"is damaged: its compressed bytes or their checksum are wrong ({printable(error)[:80]}); copy it "
                "again",
                code="S-FILE-25",
            ) from error
        except EOFError as error:
            raise FileError(
                "is cut: the end of the compressed bytes is missing; copy it again", code="S-FILE-02"
            ) from error

    def _declare(self) -> _Declared:
        nibabel = require("nibabel", extra="nifti")
        found = _kind(self._head)
        if found is None:
            raise FileError("is no NIfTI file in one piece (n+1 or n+2); export it as .nii", code="S-FILE-04")
        length, order = found
        kind = nibabel.Nifti1Header if length == 348 else nibabel.Nifti2Header
        with np.errstate(all="ignore"):
            try:
                header = kind(self._head[:length], endianness=order, check=False)
                dtype, start = header.get_data_dtype(), int(header.get_data_offset())
                sides = tuple(int(side) for side in header.get_data_shape())
                dimensions = int(header["dim"][0])
            except Exception as error:  # nibabel raises what numpy raises on hostile numbers
                raise _bad_header(error) from error
        if dtype.kind not in "iuf":
            raise FileError(
                f"holds {printable(dtype)}, not one real number a voxel; export it as gray", code="S-FILE-04"
            )
        if not 1 <= dimensions <= 7:
            raise FileError(f"declares {dimensions} dimensions; the header is damaged", code="S-FILE-02")
        size = check_declared(sides, dtype.itemsize)
        if not length <= start <= size + (64 << 20):
            raise FileError(f"declares values at byte {start}; the header is damaged", code="S-FILE-02")
        return _Declared(header, spatial(sides), dtype, start, size)


def _kind(head: bytes) -> tuple[int, str] | None:
    """(348 for NIfTI-1 or 540 for NIfTI-2, byte order), None for anything else."""
    for length, (at, magic) in _MAGICS.items():
        for mark, code in (("little", "<"), ("big", ">")):
            if head[:4] == length.to_bytes(4, mark) and len(head) >= length:  # type: ignore[arg-type]  # both are allowed
                return (length, code) if head[at : at + 4] == magic else None
    return None


def _bad_header(error: Exception) -> FileError:
    reason = printable(error)[:80] or type(error).__name__
    return FileError(f"has a damaged header ({reason}); export it again", code="S-FILE-02")
