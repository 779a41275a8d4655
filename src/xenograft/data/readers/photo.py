"""File bytes -> pixels at full depth and facts, for JPEG, PNG, TIFF, BMP, GIF and WebP.

The format is decided by the first bytes, never by the name, and only the six formats above have a decoder (an
allow-list, fault F14). Sizes are checked as declared, before anything is decompressed (F9-F11). The decoders are
called directly instead of through ``Image.open``: no other plugin can be reached, and no warning is raised.

JPEG, PNG and TIFF are handed to the decoder with the parts that make pixels only: text, colour profiles, EXIF and
further pages are left out. Pillow decodes everything up to 8 bits and 16-bit gray; what it would reduce to 8 bits
(16-bit colour) or lacks (32- and 64-bit TIFF) is decoded by OpenCV, which in turn never sees a JPEG: it fills a cut
JPEG with gray.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from xenograft.errors import FileError, printable

Array = npt.NDArray[Any]

PIXEL_LIMIT = 89_478_485
"""Most pixels an image may declare: Pillow's limit, where Pillow only warns."""

SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".bmp", ".dib"), "bmp"),
    **dict.fromkeys((".png", ".apng"), "png"),
    ".gif": "gif",
    ".webp": "webp",
    ".dcm": "dicom",
    ".nii": "nifti",
}
"""File name endings and the format each one promises; other endings promise nothing."""

_MODES = {"P": "palette", "PA": "palette", "LA": "gray_alpha", "La": "gray_alpha", "RGBA": "rgba", "CMYK": "cmyk"}
_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
_JPEG_EXTRAS = {*range(0xE1, 0xF0), 0xFE} - {0xEE}
"""Comments and application data, without Adobe's segment, which says how colours are stored."""
_JPEG_BARE = {0x00, 0x01, 0xC8, 0xFF, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}
"""Markers and padding that no length follows."""
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded image.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16, contiguous and writable, upright.
        bits: 8 or 16, the depth of `pixels`; below 8 bits as stored is spread over 0..255, 9-15 bits keep their values.
        format: ``jpeg``, ``png``, ``tiff``, ``bmp``, ``gif`` or ``webp``.
        mode: how it was stored: ``gray``, ``rgb``, ``palette``, ``rgba``, ``gray_alpha`` or ``cmyk``.
        notes: codes of what was done to it, sorted; `xenograft.data.readers.NOTE_TEXT` says what they mean.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    bits: int
    format: str
    mode: str
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Stored:
    """What a decoder hands on: pixels with alpha composited, before collapse and rotation."""

    pixels: Array
    mode: str
    notes: list[str] = field(default_factory=list)
    orientation: int = 1
    lossy: bool = False


def sniff(data: bytes) -> str | None:
    """Format of a file from its first bytes, or None when it is none of the six."""
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith(b"BM") and len(data) >= 18 and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    return None


def decode(data: bytes, *, suffix: str = "", min_side: int = 16) -> Picture:
    """Decode one image file completely.

    Three equal channels become one, (H, W). Lossy formats (JPEG, lossy WebP) colour gray pixels slightly: there the
    luminance (ITU-R 601) is taken when the channels differ by at most 8 in at least 99.9 % of the pixels. Transparent
    pixels are composited on black. Signed integers are shifted by half their range; float, 32- and 64-bit TIFF are
    scaled linearly, the image's minimum to 0 and its maximum to 65535 (W-FILE-13).

    Args:
        data: the file's bytes.
        suffix: the file name's ending; a note is made when it promises another format.
        min_side: smallest accepted width and height in pixels.

    Raises:
        FileError: the bytes are no such image, or damaged, or too small or too large; nothing else is raised.
    """
    kind = sniff(data)
    if kind is None:
        raise FileError("the content is no JPEG, PNG, TIFF, BMP, GIF or WebP image; export it again", code="S-FILE-04")
    try:
        picture = _finish(_DECODERS[kind](data, min_side), kind)
    except FileError:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FileError("needs more memory than there is; export it smaller", code="S-FILE-10") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes; only FileError may leave
        raise _damaged(kind, error) from error
    promised = SUFFIXES.get(suffix.lower(), kind)
    return picture if promised == kind else replace(picture, notes=("W-FILE-03", *picture.notes))


def _finish(stored: _Stored, kind: str) -> Picture:
    pixels, notes = stored.pixels, stored.notes
    if pixels.ndim == 3:
        pixels = _collapse(pixels, lossy=stored.lossy)
    if 2 <= stored.orientation <= 8:
        pixels = _upright(pixels, stored.orientation)
        notes.append("W-FILE-08")
    pixels = np.require(pixels, requirements=["C", "W"])
    first = pixels[0, 0]
    if (pixels[::8, ::8] == first).all() and (pixels == first).all():
        notes.append("W-FILE-20")
    return Picture(pixels, 8 * pixels.dtype.itemsize, kind, stored.mode, tuple(sorted(set(notes))))


def _damaged(kind: str, error: Exception) -> FileError:
    reason = printable(error)[:80] or type(error).__name__
    # Pillow wraps "ran out of bytes" in SyntaxError with a cause; a bare one means a variant it does not know
    if isinstance(error, SyntaxError | NotImplementedError) and isinstance(error.__cause__, KeyError | None):
        return _unknown(kind, reason)
    return FileError(
        f"the {kind.upper()} data are damaged or cut ({reason}); copy or export the file again", code="S-FILE-02"
    )


def _unknown(kind: str, reason: str) -> FileError:
    return FileError(
        f"this variant of {kind.upper()} cannot be read ({reason}); export it as 8- or 16-bit PNG", code="S-FILE-04"
    )


def _cut(kind: str, reason: str) -> FileError:
    return _damaged(kind, ValueError(reason))


def _frames(kind: str, count: int) -> FileError:
    return FileError(
        f"holds {count} frames ({kind}); one image per file is read, so export the frame you want as a single image",
        code="E-FILE-12",
    )


def _check_size(width: int, height: int, min_side: int) -> None:
    pixels = width * height
    if pixels > PIXEL_LIMIT:
        raise FileError(
            f"declares {width} x {height} pixels, more than the {PIXEL_LIMIT} that are read; export it smaller",
            code="S-FILE-10" if pixels > 2 * PIXEL_LIMIT else "S-FILE-11",
        )
    if min(width, height) < min_side:
        raise FileError(
            f"is {width} x {height} pixels, below the minimum side of {min_side}; use the full-size image",
            code="S-FILE-09",
        )


# JPEG, BMP, GIF, WebP


def _jpeg(data: bytes, min_side: int) -> _Stored:
    lean, exif = _jpeg_parts(data)
    stored = _load(JpegImagePlugin.JpegImageFile(BytesIO(lean)), min_side)
    stored.orientation = _orientation(exif)
    stored.lossy = True
    return stored


def _jpeg_parts(data: bytes) -> tuple[bytes, bytes]:
    """(the file without the segments that make no pixels, its EXIF): Pillow warns about broken EXIF."""
    kept, exif, start, at = [], b"", 0, 2
    # walks as Pillow does: over padding and stray bytes, to the scan
    while 0 <= (at := data.find(b"\xff", at)) <= len(data) - 4 and (marker := data[at + 1]) != 0xDA:
        if marker in _JPEG_BARE:
            at += 1 if marker in {0x00, 0xFF} else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _JPEG_EXTRAS:
            if not exif and marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
                exif = data[at + 4 : end]
            kept.append(data[start:at])
            start = end
        at = end
    return (b"".join([*kept, data[start:]]) if kept else data), exif


def _bmp(data: bytes, min_side: int) -> _Stored:
    return _load(BmpImagePlugin.BmpImageFile(BytesIO(data)), min_side)


def _gif(data: bytes, min_side: int) -> _Stored:
    width, height, frames = _gif_layout(data)
    _check_size(width, height, min_side)
    if frames > 1:
        raise _frames("animated GIF", frames)
    return _load(GifImagePlugin.GifImageFile(BytesIO(data)), min_side)


def _gif_layout(data: bytes) -> tuple[int, int, int]:
    """(width, height, frames) of everything that would be drawn; raises on a cut file."""

    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, frames = 13 + table(flags), 0
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x2C:
            left, top, across, down, flags = struct.unpack_from("<HHHHB", data, at + 1)
            width, height, frames = max(width, left + across), max(height, top + down), frames + 1
            at += 11 + table(flags)
        elif data[at] == 0x21:
            at += 2
        else:
            raise _cut("gif", "unknown block")
        while size := data[at]:  # IndexError at the end of a cut file
            at += size + 1
        at += 1
    if not frames:
        raise _cut("gif", "no frame")
    return width, height, frames


def _webp(data: bytes, min_side: int) -> _Stored:
    names = []
    at, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise _cut("webp", f"{end - len(data)} bytes missing")
    while at + 8 <= end:
        names.append(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + (size & 1)
    _check_size(*_webp_size(data), min_side)
    if (frames := names.count(b"ANMF")) > 1:
        raise _frames("animated WebP", frames)
    image = WebPImagePlugin.WebPImageFile(BytesIO(data))
    stored = _load(image, min_side)
    stored.orientation = _orientation(image.info.get("exif"))
    stored.lossy = b"VP8L" not in names
    return stored


def _webp_size(data: bytes) -> tuple[int, int]:
    first = data[12:16]
    if first == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if first == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if first == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise _cut("webp", "no image chunk")


def _load(image: Image.Image, min_side: int) -> _Stored:
    """Decode with Pillow after a look at the declared size; palette, alpha and CMYK become gray or RGB."""
    _check_size(*image.size, min_side)
    image.load()
    mode = image.mode
    stored = _Stored(np.empty(0), _MODES.get(mode, "gray" if mode in {"1", "L", "I;16", "I;16B"} else "rgb"))
    if mode in {"L", "RGB"}:
        stored.pixels = np.asarray(image)
    elif mode in {"I;16", "I;16B"}:
        stored.pixels = np.asarray(image).astype(np.uint16)
    elif mode == "1":
        stored.pixels = np.asarray(image.convert("L"))
    elif mode in {"P", "PA", "LA", "RGBA"}:
        if mode == "PA" or (mode == "P" and "transparency" in image.info):
            image = image.convert("RGBA")
        elif mode == "P":
            image = image.convert("RGB")
        pixels = np.asarray(image)
        stored.pixels = pixels if image.mode == "RGB" else _on_black(pixels)
        stored.notes.append("W-FILE-07")
    elif mode == "CMYK":
        stored.pixels = np.asarray(image.convert("RGB"))
        stored.notes.append("W-FILE-05")
    elif mode == "YCbCr":
        stored.pixels = np.asarray(image.convert("RGB"))
    elif mode == "La":
        stored.pixels = np.asarray(image)[..., 0]  # premultiplied: this is the composite on black
        stored.notes.append("W-FILE-07")
    else:
        raise _unknown((image.format or "image").lower(), f"colour model {mode}")
    return stored


def _on_black(pixels: Array) -> Array:
    """Drop the last channel, alpha; colours are composited on black first where it is not opaque."""
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    top = np.iinfo(pixels.dtype).max
    if alpha.min() < top:
        wide = np.uint32 if top > 255 else np.uint16  # top * top + top // 2 just fits
        product = colour.astype(wide)
        np.multiply(product, alpha, out=product)
        np.add(product, wide(top // 2), out=product)
        colour = np.floor_divide(product, wide(top), out=product).astype(pixels.dtype)
    return colour[..., 0] if colour.shape[2] == 1 else colour


# PNG


def _png(data: bytes, min_side: int) -> _Stored:
    chunks = list(_png_chunks(data))
    header = _first(chunks, b"IHDR")
    if len(header) != 13 or not chunks or chunks[0][0] != b"IHDR":
        raise _cut("png", "no header")
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    _check_size(width, height, min_side)
    if (frames := int.from_bytes(_first(chunks, b"acTL")[:4], "big")) > 1:
        raise _frames("animated PNG", frames)
    # palette transparency is the decoder's work; a key colour is applied below, on exact values
    kept = {b"IHDR", b"PLTE", b"IDAT", b"IEND"} | ({b"tRNS"} if colour == 3 else set())
    lean = b"".join([data[:8], *(whole for name, _, whole in chunks if name in kept)])
    if depth == 16 and colour != 0:
        mode = {2: "rgb", 4: "gray_alpha", 6: "rgba"}.get(colour, "rgb")
        pixels = _opencv(lean, "png")
        stored = _Stored(pixels, mode)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            stored.pixels, stored.notes = _on_black(pixels), ["W-FILE-07"]
    else:
        stored = _load(PngImagePlugin.PngImageFile(BytesIO(lean)), min_side)
    key = _first(chunks, b"tRNS")
    if colour in {0, 2} and len(key) == 2 * (colour + 1):
        _key_to_black(stored, struct.unpack(f">{colour + 1}H", key), depth)
    stored.orientation = _orientation(_first(chunks, b"eXIf"))
    return stored


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(name, content, whole chunk) up to IEND; pixel chunks must be complete and match their checksum (fault F2)."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        size, name = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        end = at + 12 + size
        if end > len(data):
            break
        sound = zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")
        if name[:1].isupper() and not sound:
            raise _cut("png", f"checksum of {printable(name.decode('latin-1'))} is wrong")
        if sound:
            yield name, b"" if name == b"IDAT" else bytes(view[at + 8 : end - 4]), data[at:end]
        if name == b"IEND":
            return
        at = end
    raise _cut("png", "it ends early")


def _first(chunks: list[tuple[bytes, bytes, bytes]], name: bytes) -> bytes:
    return next((content for chunk, content, _ in chunks if chunk == name), b"")


def _key_to_black(stored: _Stored, key: tuple[int, ...], depth: int) -> None:
    """Pixels of a PNG's transparent key colour become black."""
    scale = 255 // ((1 << depth) - 1) if depth < 8 else 1  # Pillow spreads 1, 2 and 4 bits over 0..255
    clear = stored.pixels == np.array(key if len(key) == 3 else key[0]) * scale
    if clear.ndim == 3:
        clear = clear.all(axis=2)
    stored.pixels = np.where(clear[..., None] if stored.pixels.ndim == 3 else clear, 0, stored.pixels).astype(
        stored.pixels.dtype
    )
    stored.notes.append("W-FILE-07")


# TIFF


@dataclass(slots=True)
class _Page:
    """One image file directory: tag -> (raw entry, values where they are whole numbers)."""

    entries: dict[int, bytes]
    tags: dict[int, tuple[int, ...]]

    def one(self, tag: int, default: int = 0) -> int:
        return self.tags.get(tag, (default,))[0]


_WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SINGLE = {256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}
_PIXEL_TAGS = {*_SINGLE, 258, 273, 279, 292, 293, 320, 324, 325, 338, 339, 347, *range(512, 522), 529, 530, 532}


class _Tiff:
    """Directories of a classic or big TIFF, either byte order. Also reads the TIFF inside EXIF."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = data[2:4] in {b"+\0", b"\0+"}
        self.word = "Q" if self.big else "I"
        self.first = self._unpack(self.word, 8 if self.big else 4)

    def _unpack(self, form: str, at: int) -> int:
        return int(struct.unpack_from(self.order + form, self.data, at)[0])

    def page(self, at: int, *, wanted: set[int]) -> tuple[_Page, int]:
        """(page, offset of the next one); struct.error when it lies outside the file."""
        width, step = (20, 8) if self.big else (12, 2)
        count = self._unpack("Q" if self.big else "H", at)
        start = at + step
        following = self._unpack(self.word, start + count * width)
        page = _Page({}, {})
        for offset in range(start, start + count * width, width):
            tag, kind = struct.unpack_from(self.order + "HH", self.data, offset)
            if tag in wanted and tag not in page.entries:
                page.entries[tag] = self.data[offset : offset + width]
                self._values(page, tag, kind, offset + 4)
        return page, following

    def _values(self, page: _Page, tag: int, kind: int, at: int) -> None:
        length = struct.calcsize("<" + self.word)
        count, place = self._unpack(self.word, at), at + length
        size = count * _SIZES.get(kind, 1)
        if size > length:
            place = self._unpack(self.word, place)
        if place + size > len(self.data) or count == 0 or (tag in _SINGLE and count != 1):
            raise _cut("tiff", f"tag {tag} lies outside the file")
        if kind in _WHOLE:
            page.tags[tag] = struct.unpack_from(f"{self.order}{count}{_WHOLE[kind]}", self.data, place)

    def lean(self, page: _Page) -> bytes:
        """The same file with one directory that holds the tags of the pixels only."""
        gap = b"\0" * (len(self.data) % 2)
        at = len(self.data) + len(gap)
        body = b"".join(entry for _, entry in sorted(page.entries.items()))
        count = struct.pack(self.order + ("Q" if self.big else "H"), len(page.entries))
        none = struct.pack(self.order + self.word, 0)
        head = self.data[: 8 if self.big else 4] + struct.pack(self.order + self.word, at)
        return b"".join([head, self.data[len(head) :], gap, count, body, none])


def _tiff(data: bytes, min_side: int) -> _Stored:
    file = _Tiff(data)
    page, following = file.page(file.first, wanted=_PIXEL_TAGS | {274})
    page.entries.pop(274, None)  # applied here, by all decoders alike
    width, height = page.one(256), page.one(257)
    _check_size(width, height, min_side)
    if page.one(322) * page.one(323) > PIXEL_LIMIT:
        raise FileError("declares tiles larger than any image that is read; export it as PNG", code="S-FILE-10")
    if (frames := _tiff_frames(file, following)) > 1:
        raise _frames("multi-page TIFF", frames)
    _check_strips(page, len(data))
    stored = _tiff_pixels(file, page, min_side)
    if stored.pixels.shape[:2] != (height, width):
        raise _cut("tiff", "size differs from the declared one")
    stored.orientation = page.one(274, 1)
    return stored


def _tiff_frames(file: _Tiff, following: int) -> int:
    """Pages without reduced-size copies of the first (thumbnails, pyramid levels)."""
    frames, seen = 1, {file.first}
    while following and following not in seen and len(seen) < 10_000:
        seen.add(following)
        page, following = file.page(following, wanted={254})
        frames += not page.one(254) & 1
    return frames


def _check_strips(page: _Page, size: int) -> None:
    for offsets, lengths in ((273, 279), (324, 325)):
        pairs = zip(page.tags.get(offsets, ()), page.tags.get(lengths, ()), strict=False)
        if any(at + length > size for at, length in pairs):
            raise _cut("tiff", "pixels lie outside the file")


def _tiff_pixels(file: _Tiff, page: _Page, min_side: int) -> _Stored:
    depth, samples = max(page.tags.get(258, (1,))), page.one(277, 1)
    photometric, form = page.one(262), page.one(339, 1)
    lean = file.lean(page)
    if form != 1 or depth > 16:
        return _narrow(_opencv(lean, "tiff"), unsigned=form == 1)
    if depth == 16 and samples > 1:
        if photometric != 2 or samples not in {3, 4}:
            raise _unknown("tiff", f"16 bits, {samples} samples, photometric {photometric}")
        pixels = _opencv(lean, "tiff")
        if samples == 3 or pixels.shape[2] == 3:
            return _Stored(pixels, "rgb")
        # 2 is plain alpha; 1 is premultiplied, which is the composite on black; 0 is no alpha at all
        pixels = _on_black(pixels) if page.one(338) == 2 else pixels[..., :3]
        return _Stored(pixels, "rgba", ["W-FILE-07"])
    stored = _load(TiffImagePlugin.TiffImageFile(BytesIO(lean)), min_side)
    if depth == 16 and photometric == 0:  # white is zero; Pillow turns 8 bits round, not 16
        stored.pixels = np.uint16(65535) - stored.pixels
    return stored


def _narrow(pixels: Array, *, unsigned: bool) -> _Stored:
    """Signed, 32-bit, 64-bit and float pixels as unsigned 8 or 16 bits (NaN and Inf: fault F13)."""
    mode = "gray" if pixels.ndim == 2 else "rgb"
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise _unknown("tiff", f"{pixels.shape[2]} samples of {pixels.dtype}")
    if pixels.dtype in (np.uint8, np.uint16):
        return _Stored(pixels, mode)
    if pixels.dtype in (np.int8, np.int16):
        to, flip = (np.uint8, 0x80) if pixels.dtype == np.int8 else (np.uint16, 0x8000)
        return _Stored(np.bitwise_xor(pixels.view(to), to(flip)), mode, ["W-FILE-13"])
    if pixels.dtype == np.int32 and unsigned:
        pixels = pixels.view(np.uint32)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise FileError("holds NaN or infinite pixels; replace them and export it again", code="S-FILE-13")
    scaled = np.zeros(pixels.shape, np.uint16)
    if span := high / 2 - low / 2:  # halves: the difference of two large floats may overflow
        for row in range(0, len(pixels), 256):  # in bands: a float64 copy of the whole would be 4x the result
            band = pixels[row : row + 256].astype(np.float64) / 2 - low / 2
            scaled[row : row + 256] = np.rint(band / span * 65535)
    return _Stored(scaled, mode, ["W-FILE-13"])


def _opencv(data: bytes, kind: str) -> Array:
    """Decode with OpenCV at the stored depth; channels in RGB(A) order."""
    import cv2  # late: a quarter of a second that most data sets never need

    cv2.utils.logging.setLogLevel(0)  # its decoders write to stderr; the reason of a failure is told by our own message
    pixels: Array | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise _cut(kind, "the decoder gave up")
    if pixels.ndim == 3:
        order = {1: [0], 2: [0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
        pixels = pixels[..., order] if len(order) > 1 else pixels[..., 0]
    return pixels


# After decoding


def _orientation(exif: object) -> int:
    """EXIF orientation 1..8; 1 when it is missing or unreadable (metadata never costs an image)."""
    if not isinstance(exif, bytes) or not exif:
        return 1
    try:
        file = _Tiff(exif.removeprefix(b"Exif\0\0"))
        return file.page(file.first, wanted={274})[0].one(274, 1)
    except (struct.error, FileError, IndexError):
        return 1


def _upright(pixels: Array, orientation: int) -> Array:
    """Undo an EXIF orientation (2..8): flips and quarter turns, exact."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels


def _collapse(rgb: Array, *, lossy: bool) -> Array:
    """(H, W) when the three channels say the same, else the image as it is."""
    limit = 8 if lossy and rgb.dtype == np.uint8 else 0
    allowed = rgb.shape[0] * rgb.shape[1] // 1000 if limit else 0
    # every 64th pixel first: more far-off pixels than the whole image may have is proof of colour
    if np.count_nonzero(_spread(rgb[::8, ::8]) > limit) > allowed:
        return rgb
    spread = _spread(rgb)
    if not spread.any():
        return np.ascontiguousarray(rgb[..., 0])
    if not limit or np.count_nonzero(spread > limit) > allowed:
        return rgb
    return np.asarray(Image.fromarray(rgb).convert("L"))


def _spread(rgb: Array) -> Array:
    """Largest minus smallest channel of each pixel."""
    red, green, blue = (np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
    low, high = np.minimum(red, green), np.maximum(red, green)
    spread: Array = np.maximum(high, blue, out=high) - np.minimum(low, blue, out=low)
    return spread


_DECODERS: dict[str, Callable[[bytes, int], _Stored]] = {
    "jpeg": _jpeg,
    "png": _png,
    "tiff": _tiff,
    "bmp": _bmp,
    "gif": _gif,
    "webp": _webp,
}
