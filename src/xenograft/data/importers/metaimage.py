"""Bytes of a MetaImage (.mha, or .mhd with its file of values) -> Voxels.

Written from ITK's description of the format (MetaIO, https://docs.itk.org/en/latest/learn/metaio.html): a header of
lines ``Name = Value`` that ``ElementDataFile`` ends. A library for it would bring all of ITK for fifty lines of text.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xenograft.data.importers.voxels import Voxels, check_declared, spatial, voxels
from xenograft.errors import FileError, printable

_HEAD = 1 << 16
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # four bytes in files on every machine
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the text says.

    Args:
        shape: (X, Y, ...) as declared, without trailing axes of length one after the third. size: bytes of the values.
        values_file: name of the file of values, empty where they follow the header at `start`. packed: by zlib.
        skip: bytes before the values in their file; -1 when they are its last bytes.
        affine: (4, 4) from indices to millimetres in RAS+.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    size: int
    values_file: str
    start: int
    packed: bool
    skip: int
    affine: NDArray[np.float64]


def sniff(data: bytes) -> bool:
    """Whether a file begins like a MetaImage."""
    return b"NDims" in data[:1024] and b"\0" not in data[: data.find(b"NDims")]


def header(data: bytes) -> Header:
    """The checked header at the beginning of a file.

    Raises:
        FileError: damaged (S-FILE-02), of a kind that is not read (S-FILE-04), too large (S-FILE-26).
    """
    lines, start = _lines(data)
    try:
        return _parsed(lines, start)
    except FileError:
        raise
    except (ValueError, LookupError, OverflowError) as error:
        reason = printable(error)[:80]
        raise FileError(f"has a damaged header ({reason}); export it again", code="S-FILE-02") from error


def read(data: bytes, values: bytes = b"") -> Voxels:
    """A whole volume.

    Args:
        data: the file. values: the file that its header names, where it names one.

    Raises:
        FileError: as `header`; cut (S-FILE-02), damaged (S-FILE-25), unpacks to more than is declared (S-FILE-26), NaN
            (S-FILE-13).
    """
    said = header(data)
    raw = memoryview(values if said.values_file else data)[0 if said.values_file else said.start :]
    raw = raw[len(raw) - said.size :] if said.skip < 0 and len(raw) > said.size else raw[max(0, said.skip) :]
    if said.packed:
        raw = memoryview(_unpacked(raw, said.size))
    if len(raw) < said.size:
        raise FileError(
            f"is cut: its header declares {said.size} bytes of values, {len(raw)} are there; copy it again",
            code="S-FILE-02",
        )
    return voxels(np.frombuffer(raw[: said.size], said.dtype).reshape(said.shape, order="F"), said.affine)


def _lines(data: bytes) -> tuple[dict[str, str], int]:
    """(value by name, where the values begin)."""
    lines: dict[str, str] = {}
    at = 0
    while (end := data.find(b"\n", at, _HEAD)) >= 0:
        name, _, value = data[at:end].decode("latin-1").partition("=")
        lines[name.strip()] = value.strip()
        at = end + 1
        if name.strip() == "ElementDataFile":
            return lines, at
    if (name := data[at:_HEAD].decode("latin-1")).startswith("ElementDataFile"):  # the last line of an .mhd may be open
        lines["ElementDataFile"] = name.partition("=")[2].strip()
        return lines, len(data)
    raise FileError("is cut or no MetaImage: no line ElementDataFile; copy it again", code="S-FILE-02")


def _parsed(lines: dict[str, str], start: int) -> Header:
    shape = tuple(int(side) for side in lines["DimSize"].split())
    if len(shape) != int(lines["NDims"]):
        raise ValueError(f"NDims {lines['NDims']}, DimSize {lines['DimSize']}")
    kind = lines["ElementType"]
    if (
        kind not in _TYPES
        or int(lines.get("ElementNumberOfChannels", "1")) != 1
        or not _true(lines, "BinaryData", "True")
    ):
        raise _unknown(f"{printable(kind)}, {printable(lines.get('ElementNumberOfChannels', '1'))} channels")
    name = lines["ElementDataFile"]
    if name == "LIST" or "%" in name or not name:
        raise _unknown(f"values in {printable(name) or 'no file'}")
    swapped = _true(lines, "BinaryDataByteOrderMSB") or _true(lines, "ElementByteOrderMSB")
    dtype: np.dtype[np.generic] = np.dtype((">" if swapped else "<") + _TYPES[kind])
    return Header(
        shape=spatial(shape),
        dtype=dtype,
        size=check_declared(shape, dtype.itemsize),
        values_file="" if name.upper() == "LOCAL" else name,
        start=start,
        packed=_true(lines, "CompressedData"),
        skip=int(lines.get("HeaderSize", "0")),
        affine=_affine(lines, len(shape)),
    )


def _unknown(what: str) -> FileError:
    return FileError(f"this variant of MetaImage cannot be read ({what}); export it as .nii.gz", code="S-FILE-04")


def _true(lines: dict[str, str], name: str, default: str = "False") -> bool:
    return lines.get(name, default).lower() in {"true", "1", "t"}


def _affine(lines: dict[str, str], dims: int) -> NDArray[np.float64]:
    """From indices to RAS+; the file speaks of LPS+, and has the direction of each index axis in a row."""
    directions = np.eye(3)
    given = _first(lines, "TransformMatrix", "Rotation", "Orientation")
    if given is not None and dims <= 3:
        directions[:dims, :dims] = np.array([float(n) for n in given.split()]).reshape(dims, dims)
    spacing = np.ones(3)
    given = _first(lines, "ElementSpacing", "ElementSize")
    if given is not None:
        spacing[: min(dims, 3)] = [float(n) for n in given.split()[:3]]
    affine = np.eye(4)
    affine[:3, :3] = directions.T * spacing
    affine[:2] *= -1
    return affine


def _first(lines: dict[str, str], *names: str) -> str | None:
    return next((lines[name] for name in names if name in lines), None)


def _unpacked(raw: memoryview, size: int) -> bytes:
    """Values that zlib packed, and nothing beyond the declared size."""
    engine = zlib.decompressobj()
    try:
        values = engine.decompress(raw, size + 1)
    except zlib.error as error:
        raise FileError(f"is damaged ({printable(error)[:80]}); copy it again", code="S-FILE-25") from error
    if len(values) > size:
        raise FileError(
            f"unpacks to more than the {size} bytes that its header declares; export it again", code="S-FILE-26"
        )
    return values
