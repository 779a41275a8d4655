"""DICOM data set and a frame number -> that frame as stored, checked before it is decompressed; colours as RGB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.readers.dicom_elements import Dataset, count, items, numbers, text
from xenograft.data.readers.dicom_gray import Table, Values, mapped, table
from xenograft.data.readers.picture import check_size
from xenograft.errors import FileError, require

Array = NDArray[Any]

_BASE = "1.2.840.10008.1.2"
BIG_ENDIAN = f"{_BASE}.2"
DEFLATED = f"{_BASE}.1.99"
_NATIVE = {_BASE, f"{_BASE}.1", DEFLATED, BIG_ENDIAN}
_JPEG = {f"{_BASE}.4.{number}" for number in (50, 51, 57, 70, 80, 81)}
_JPEG_2000 = {f"{_BASE}.4.{number}" for number in (90, 91, 201, 202, 203)}
_RLE = f"{_BASE}.5"
_LOSSY = {f"{_BASE}.4.{number}" for number in (50, 51, 81, 91, 203)}
_STANDARD_UID = re.compile(r"1\.2\.840\.10008\.[0-9.]{1,50}")
_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_INSTALL = "run: uv pip install 'xenograft[dicom]'"
_MUCH_LESS = 64
_ITEM = 8  # bytes before every fragment of compressed data, and a frame has one at least
_JP2 = b"\0\0\0\x0cjP  "
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
_MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence", "PixelMeasuresSequence")


@dataclass(frozen=True, slots=True)
class Layout:
    """How pixels are stored, as declared.

    Args:
        syntax: UID of the transfer syntax, one that is read. keyword: attribute that holds the pixels.
        rows, columns, samples: of a frame. allocated: bits of a sample. frames: how many there are.
        photometric: ``MONOCHROME2``, ``RGB`` ...
    """

    syntax: str
    keyword: str
    rows: int
    columns: int
    samples: int
    allocated: int
    frames: int
    photometric: str

    @property
    def lossy(self) -> bool:
        """Whether the pixels went through a codec that changes them."""
        return self.syntax in _LOSSY

    @property
    def little(self) -> bool:
        """Byte order."""
        return self.syntax != BIG_ENDIAN


def layout(dataset: Dataset, min_side: int) -> Layout:
    """What the file declares about its pixels, refused when it cannot be so.

    Raises:
        FileError: no pixels, a size out of bounds, or a codec that is not there. ValueError: other contradictions.
    """
    keyword = next((name for name in _KEYWORDS if name in dataset and dataset[name].value), None)
    if keyword is None:
        raise FileError(
            "holds no pixel data (a directory, a report, or a file that was cut); remove it or export the image again",
            code="S-DICOM-02",
        )
    syntax = text(dataset.file_meta, "TransferSyntaxUID")
    if not syntax:
        raise FileError(
            "does not say how its pixels are stored (transfer syntax); export it again as a DICOM file",
            code="S-DICOM-01",
        )
    found = Layout(
        syntax=syntax,
        keyword=keyword,
        rows=count(dataset, "Rows"),
        columns=count(dataset, "Columns"),
        samples=count(dataset, "SamplesPerPixel", 1),
        allocated=count(dataset, "BitsAllocated"),
        frames=count(dataset, "NumberOfFrames", 1) or 1,
        photometric=text(dataset, "PhotometricInterpretation"),
    )
    check_size(found.columns, found.rows, min_side)
    if found.frames < 1 or found.allocated not in {1, 8, 16, 32, 64}:
        raise ValueError("frames or bits")
    _check_colour(found)
    _check_bits(dataset, found)
    _check_codec(dataset, found)
    return found


def check_frames(dataset: Dataset, declared: Layout) -> None:
    """Refuse a file that is too small for the frames that it declares, before they are gone through one by one.

    Raises:
        FileError: it is.
    """
    present = len(dataset[declared.keyword].value)
    if declared.syntax in _NATIVE:
        _check_native(present, declared)
    elif present < _ITEM * declared.frames:
        raise _far_less(_ITEM * declared.frames, present, declared)


def frame_of(dataset: Dataset, declared: Layout, index: int) -> tuple[Array, str]:
    """One frame as (H, W) stored values or (H, W, 3), and its photometric interpretation, YBR already turned to RGB.

    Raises:
        FileError: bytes and declared size contradict each other. Any other exception: the data are damaged.
    """
    if declared.syntax in _NATIVE:
        _check_native(len(dataset[declared.keyword].value), declared)
    else:
        _check_encapsulated(_encapsulated(dataset, declared, index), declared)
    frame, properties = _pydicom("pixels").get_decoder(declared.syntax).as_array(dataset, index=index)
    shape = (declared.rows, declared.columns, declared.samples)
    if frame.shape != shape[: 2 + (declared.samples > 1)]:
        raise ValueError("size of the decoded frame")
    frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    return frame, str(properties["photometric_interpretation"])


def rgb(frame: Array, dataset: Dataset, declared: Layout, photometric: str) -> NDArray[np.uint8]:
    """Palette indices or RGB of any depth as (H, W, 3) uint8.

    Raises:
        FileError: colours stored in a way that is not converted. Any other exception: the data are damaged.
    """
    if photometric == "PALETTE COLOR":
        return _painted(frame, dataset, declared)
    if photometric != "RGB" or frame.dtype.kind != "u":
        raise _no_colour()
    bits = count(dataset, "BitsStored", declared.allocated)
    if bits == 8 and frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)

    def levels(values: Values) -> NDArray[np.uint8]:
        shares: Values = np.minimum(values / ((1 << bits) - 1), 1)
        return np.rint(shares * 255).astype(np.uint8)

    return mapped(frame, levels)


def for_frame(dataset: Dataset, index: int) -> Callable[[], None]:
    """Lay what holds for one frame (PS3.3 C.7.6.16: shared, then its own) over the data set's own attributes.

    Returns:
        What takes it off again.
    """
    own = {element.tag: element for element in _frame_elements(dataset, index)}
    before = {tag: dataset.get_item(tag) for tag in own if tag in dataset}
    for tag, element in own.items():
        dataset[tag] = element

    def off() -> None:
        for tag in own:
            del dataset[tag]
        dataset.update(before)

    return off


def _frame_elements(dataset: Dataset, index: int) -> Iterator[Any]:
    for name, at in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", index)):
        groups = items(dataset, name)
        if at < len(groups):
            for macro in _MACROS:
                for part in items(groups[at], macro)[:1]:
                    yield from part


def _pydicom(part: str) -> Any:
    return require(f"pydicom.{part}", extra="dicom")


def _check_colour(declared: Layout) -> None:
    if not declared.photometric:
        raise ValueError("no photometric interpretation")
    samples = 1 if declared.photometric in {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"} else 3
    if (samples == 3 and declared.photometric not in _COLOURS) or declared.samples != samples:
        raise _no_colour()


def _no_colour() -> FileError:
    return FileError(
        "stores colours in a way that is not converted; export it as MONOCHROME2 or as RGB with 8 bits",
        code="S-DICOM-10",
    )


def _check_bits(dataset: Dataset, declared: Layout) -> None:
    """Values must begin at the lowest bit, as PS3.5 8.1.1 asks since 1993: shifted ones would read as others."""
    stored = count(dataset, "BitsStored", declared.allocated)
    if not 1 <= stored <= declared.allocated:
        raise ValueError("bits stored")
    native = declared.syntax in _NATIVE and declared.keyword == "PixelData"
    if native and count(dataset, "HighBit", stored - 1) > stored - 1:
        raise FileError(
            f"stores {stored} bits not from the lowest of {declared.allocated} on; export it again with a new tool",
            code="S-DICOM-09",
        )


def _check_codec(dataset: Dataset, declared: Layout) -> None:
    """Refuse before any work what could only fail later (fault D5)."""
    syntax = declared.syntax
    if syntax in _NATIVE:
        return
    known = _pydicom("uid").UID(syntax).name if _STANDARD_UID.fullmatch(syntax) else syntax
    name = "an unknown transfer syntax" if known == syntax else f"{known} ({syntax})"
    if syntax not in _JPEG | _JPEG_2000 | {_RLE}:
        raise FileError(f"is compressed as {name}, which is not read; export it uncompressed", code="E-DICOM-05")
    plugins = set(_pydicom("pixels").get_decoder(syntax).available_plugins)
    if syntax.endswith(".51") and count(dataset, "BitsStored", declared.allocated) > 8:
        plugins -= {"pillow", "gdcm"}  # they are listed, and read 8 bits only
    if not plugins:
        raise FileError(f"is compressed as {name}, and its decoder is not installed; {_INSTALL}", code="E-DICOM-05")


def _check_native(present: int, declared: Layout) -> None:
    bits = declared.rows * declared.columns * declared.samples * declared.allocated
    if declared.photometric == "YBR_FULL_422":  # two pixels share their colour
        bits = bits * 2 // 3
    needed = (bits * declared.frames + 7) // 8
    if present * _MUCH_LESS < needed:
        raise _far_less(needed, present, declared)
    if present < needed or present - needed >= max(2, _side_bytes(declared)):
        raise FileError(
            f"declares {declared.frames} x {declared.columns} x {declared.rows} pixels in {needed} bytes and holds "
            f"{present} bytes: cut, or wrongly described; export it again",
            code="S-DICOM-06",
        )


def _far_less(needed: int, present: int, declared: Layout) -> FileError:
    return FileError(
        f"declares {declared.columns} x {declared.rows} pixels in {needed} bytes and holds {present} bytes; "
        "export it again",
        code="S-DICOM-07",
    )


def _side_bytes(declared: Layout) -> int:
    """Of the shorter side: less may be padding, more is a row or a column that was not declared."""
    return min(declared.rows, declared.columns) * declared.samples * declared.allocated // 8


def _encapsulated(dataset: Dataset, declared: Layout, index: int) -> bytes:
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    part = _pydicom("encaps").get_frame(
        dataset[declared.keyword].value, index, number_of_frames=declared.frames, extended_offsets=offsets
    )
    return bytes(part)


def _check_encapsulated(part: bytes, declared: Layout) -> None:
    """A decoder allocates what the codec's own header says, so that is compared first (faults D6, D7)."""
    wanted = declared.columns, declared.rows, declared.samples
    if declared.syntax == _RLE:
        needed = declared.rows * declared.columns * declared.samples * max(1, declared.allocated // 8)
        # PackBits turns 128 bytes into 2 at best and into 129 at worst
        if needed > _MUCH_LESS * len(part):
            raise _far_less(needed, len(part), declared)
        if len(part) <= 2 * needed + 4096:
            return
        found: tuple[int, ...] = ()
    elif declared.syntax in _JPEG:
        found = _jpeg_size(part)
    else:
        found = _jpeg_2000_size(part)
    if found != wanted:
        raise FileError(
            f"declares {declared.columns} x {declared.rows} pixels, and its compressed data are of another size; "
            "export it again",
            code="S-DICOM-06",
        )


def _jpeg_size(part: bytes) -> tuple[int, ...]:
    """(width, height, components) of the first frame header of a JPEG or JPEG-LS; empty when there is none."""
    at = 2 if part[:2] == b"\xff\xd8" else len(part)
    while at + 10 <= len(part) and part[at] == 0xFF:
        marker = part[at + 1]
        if marker in _FRAME_HEADERS:
            height, width = (int.from_bytes(part[k : k + 2], "big") for k in (at + 5, at + 7))
            return width, height, part[at + 9]
        if marker in {0x01, *range(0xD0, 0xD9), 0xFF}:  # padding, and markers without a length
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(part[at + 2 : at + 4], "big")
    return ()


def _jpeg_2000_size(part: bytes) -> tuple[int, ...]:
    """(width, height, components) of a JPEG 2000 codestream (ISO 15444-1 A.5.1); empty when it is not clear."""
    if part.startswith(_JP2) and not _boxes_end(part):
        return ()
    sizes = set()
    # all of them: a wrapper could show a small header first, and the decoder would follow another
    for found in re.finditer(rb"\xff\x4f\xff\x51(?=.{38})", part, re.DOTALL):
        at = found.start()
        right, bottom, left, top = (int.from_bytes(part[k : k + 4], "big") for k in range(at + 8, at + 24, 4))
        sizes.add((right - left, bottom - top, int.from_bytes(part[at + 40 : at + 42], "big")))
    return sizes.pop() if len(sizes) == 1 else ()


def _boxes_end(part: bytes) -> bool:
    """Whether the boxes of a JP2 wrapper lead to a codestream; pydicom would follow an empty one for ever."""
    at = len(_JP2) + 4
    while at + 8 <= len(part):
        if part[at + 4 : at + 8] == b"jp2c":
            return True
        length = int.from_bytes(part[at : at + 4], "big")
        if length < 8:
            return False
        at += length
    return False


def _painted(frame: Array, dataset: Dataset, declared: Layout) -> NDArray[np.uint8]:
    """Palette indices as colours (PS3.3 C.7.6.3.1.5 and C.7.9)."""
    if frame.dtype.kind == "f":
        raise ValueError("float palette indices")
    descriptor = numbers(dataset, "RedPaletteColorLookupTableDescriptor")
    shift = max(0, int(descriptor[2]) - 8)
    if "RedPaletteColorLookupTableData" not in dataset:
        return _segmented(frame, dataset, descriptor, shift)
    channels = []
    for colour in ("Red", "Green", "Blue"):
        own = numbers(dataset, f"{colour}PaletteColorLookupTableDescriptor")
        data = dataset[f"{colour}PaletteColorLookupTableData"].value
        lookup = table(own, data, little=declared.little, signed=frame.dtype.kind == "i")
        channels.append(mapped(frame, partial(_shade, lookup, shift)))
    return np.stack(channels, axis=-1)


def _shade(lookup: Table, shift: int, indices: Values) -> NDArray[np.uint8]:
    return (lookup(indices).astype(np.uint16) >> shift).astype(np.uint8)


def _segmented(frame: Array, dataset: Dataset, descriptor: tuple[float, ...], shift: int) -> NDArray[np.uint8]:
    length, first = int(descriptor[0]) % 65536 or 65536, int(descriptor[1])
    if shift == 0 and length > 256:
        raise ValueError("too many entries for the indices that pydicom uses")
    within = np.clip(frame.astype(np.int32), first, first + length - 1)
    painted: Array = _pydicom("pixels").apply_color_lut(within, dataset)[..., :3]
    return (painted >> shift).astype(np.uint8)
