"""Bytes of a PNG -> what is stored in it, at full depth; transparency on black.

The decoder gets the chunks that make pixels only: text, colour profiles and EXIF are left out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import PngImagePlugin

from xenograft.data.readers.decoder import on_black, opencv, pillow
from xenograft.data.readers.picture import Stored, check_size, cut, several_frames
from xenograft.data.readers.tags import identifying, orientation
from xenograft.errors import printable


def decode(data: bytes, min_side: int) -> Stored:
    """Decode a PNG; any exception may leave, see `xenograft.data.readers.photo.decode`."""
    chunks = list(_chunks(data))
    header = _first(chunks, b"IHDR")
    if len(header) != 13 or not chunks or chunks[0][0] != b"IHDR":
        raise cut("png", "no header")
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    check_size(width, height, min_side)
    if (frames := int.from_bytes(_first(chunks, b"acTL")[:4], "big")) > 1:
        raise several_frames("animated PNG", frames)
    # palette transparency is the decoder's work; a key colour is applied below, on exact values
    kept = {b"IHDR", b"PLTE", b"IDAT", b"IEND"} | ({b"tRNS"} if colour == 3 else set())
    lean = b"".join([data[:8], *(whole for name, _, whole in chunks if name in kept)])
    if depth == 16 and colour != 0:
        mode = {2: "rgb", 4: "gray_alpha", 6: "rgba"}.get(colour, "rgb")
        pixels = opencv(lean, "png")
        stored = Stored(pixels, mode)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            stored.pixels, stored.notes = on_black(pixels), ["W-FILE-07"]
    else:
        stored = pillow(PngImagePlugin.PngImageFile(BytesIO(lean)), min_side)
    key = _first(chunks, b"tRNS")
    if colour in {0, 2} and len(key) == 2 * (colour + 1):
        _key_to_black(stored, struct.unpack(f">{colour + 1}H", key), depth)
    exif = _first(chunks, b"eXIf")
    stored.orientation = orientation(exif)
    stored.notes += identifying(exif)
    return stored


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(name, content, whole chunk) up to IEND; pixel chunks must be complete and match their checksum (fault F2)."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        size, name = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        end = at + 12 + size
        if end > len(data):
            break
        sound = zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")
        if name[:1].isupper() and not sound:
            raise cut("png", f"checksum of {printable(name.decode('latin-1'))} is wrong")
        if sound:
            yield name, b"" if name == b"IDAT" else bytes(view[at + 8 : end - 4]), data[at:end]
        if name == b"IEND":
            return
        at = end
    raise cut("png", "it ends early")


def _first(chunks: list[tuple[bytes, bytes, bytes]], name: bytes) -> bytes:
    return next((content for chunk, content, _ in chunks if chunk == name), b"")


def _key_to_black(stored: Stored, key: tuple[int, ...], depth: int) -> None:
    """Pixels of a PNG's transparent key colour become black."""
    scale = 255 // ((1 << depth) - 1) if depth < 8 else 1  # Pillow spreads 1, 2 and 4 bits over 0..255
    clear = stored.pixels == np.array(key if len(key) == 3 else key[0]) * scale
    if clear.ndim == 3:
        clear = clear.all(axis=2)
    stored.pixels = np.where(clear[..., None] if stored.pixels.ndim == 3 else clear, 0, stored.pixels).astype(
        stored.pixels.dtype
    )
    stored.notes.append("W-FILE-07")
