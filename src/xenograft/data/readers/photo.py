"""File bytes -> pixels at full depth and facts, for JPEG, PNG, TIFF, BMP, GIF and WebP.

The format is decided by the first bytes, never by the name, and only the six formats above have a decoder (an
allow-list, fault F14). Sizes are checked as declared, before anything is decompressed (F9-F11). The decoders are
called directly instead of through ``Image.open``: no other plugin can be reached, and no warning is raised.

JPEG, PNG and TIFF are handed to the decoder with the parts that make pixels only; PNG and TIFF have files of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, WebPImagePlugin

from xenograft.data.readers import png, tiff
from xenograft.data.readers.decoder import pillow
from xenograft.data.readers.picture import Picture, Stored, check_size, cut, damaged, finish, several_frames
from xenograft.data.readers.tags import identifying, orientation
from xenograft.errors import FileError

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


def decode(data: bytes, *, suffix: str = "", min_side: int = 16, working: int | None = None) -> Picture:
    """Decode one image file completely.

    Three equal channels become one, (H, W). Lossy formats (JPEG, lossy WebP) colour gray pixels slightly: there the
    luminance (ITU-R 601) is taken when the channels differ by at most 8 in at least 99.9 % of the pixels. Transparent
    pixels are composited on black. Signed integers are shifted by half their range; float, 32- and 64-bit TIFF are
    scaled linearly, the image's minimum to 0 and its maximum to 65535 (W-FILE-13).

    With `working`, a JPEG is decoded at the smallest DCT scale (1, 1/2, 1/4 or 1/8) at which both sides still have that
    many pixels; damage is found at every scale, for all of the file is read. Whether it is gray or constant is then
    decided on the reduced pixels.

    Args:
        data: the file's bytes.
        suffix: the file name's ending; a note is made when it promises another format.
        min_side: smallest accepted width and height as stored, in pixels.
        working: smallest side in pixels that the caller needs; None for full resolution. Only JPEG is ever reduced.

    Raises:
        FileError: the bytes are no such image, or damaged, or too small or too large; nothing else is raised.
    """
    kind = sniff(data)
    if kind is None:
        raise FileError("the content is no JPEG, PNG, TIFF, BMP, GIF or WebP image; export it again", code="S-FILE-04")
    try:
        picture = finish(_jpeg(data, min_side, working) if kind == "jpeg" else _DECODERS[kind](data, min_side), kind)
    except FileError:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FileError("needs more memory than there is; export it smaller", code="S-FILE-10") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes; only FileError may leave
        raise damaged(kind, error) from error
    promised = SUFFIXES.get(suffix.lower(), kind)
    return picture if promised == kind else replace(picture, notes=("W-FILE-03", *picture.notes))


def _jpeg(data: bytes, min_side: int, working: int | None) -> Stored:
    lean, exif = _jpeg_parts(data)
    image = JpegImagePlugin.JpegImageFile(BytesIO(lean))
    image.decodermaxblock = len(lean)  # all of it is in memory: feeding 64 KB at a time only makes the decoder stop
    size = image.size
    stored = pillow(image, min_side, working=working, collapse=True)
    stored.orientation, stored.lossy, stored.size = orientation(exif), True, size
    stored.notes += identifying(exif)
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


def _bmp(data: bytes, min_side: int) -> Stored:
    return pillow(BmpImagePlugin.BmpImageFile(BytesIO(data)), min_side, collapse=True)


def _gif(data: bytes, min_side: int) -> Stored:
    width, height, frames = _gif_layout(data)
    check_size(width, height, min_side)
    if frames > 1:
        raise several_frames("animated GIF", frames)
    return pillow(GifImagePlugin.GifImageFile(BytesIO(data)), min_side)


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
            raise cut("gif", "unknown block")
        while size := data[at]:  # IndexError at the end of a cut file
            at += size + 1
        at += 1
    if not frames:
        raise cut("gif", "no frame")
    return width, height, frames


def _webp(data: bytes, min_side: int) -> Stored:
    names = []
    at, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise cut("webp", f"{end - len(data)} bytes missing")
    while at + 8 <= end:
        names.append(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + (size & 1)
    check_size(*_webp_size(data), min_side)
    if (frames := names.count(b"ANMF")) > 1:
        raise several_frames("animated WebP", frames)
    image = WebPImagePlugin.WebPImageFile(BytesIO(data))
    stored = pillow(image, min_side, collapse=True)
    stored.orientation = orientation(image.info.get("exif"))
    stored.notes += identifying(image.info.get("exif"))
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
    raise cut("webp", "no image chunk")


_DECODERS: dict[str, Callable[[bytes, int], Stored]] = {
    "png": png.decode,
    "tiff": tiff.decode,
    "bmp": _bmp,
    "gif": _gif,
    "webp": _webp,
}
