"""Bytes of a TIFF, classic or big -> what is stored in its first page, at full depth.

The decoder gets the tags that make pixels only: text, colour profiles, EXIF and further pages are left out.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import TiffImagePlugin

from xenograft.data.readers.decoder import on_black, opencv, pillow
from xenograft.data.readers.picture import PIXEL_LIMIT, Array, Stored, check_size, cut, several_frames, unknown
from xenograft.data.readers.tags import SINGLE, Page, Tiff, identifying
from xenograft.errors import FileError

_PIXEL_TAGS = {*SINGLE, 258, 273, 279, 292, 293, 320, 324, 325, 338, 339, 347, *range(512, 522), 529, 530, 532}


def decode(data: bytes, min_side: int) -> Stored:
    """Decode a TIFF; any exception may leave, see `xenograft.data.readers.photo.decode`."""
    file = Tiff(data)
    page, following = file.page(file.first, wanted=_PIXEL_TAGS | {274})
    page.entries.pop(274, None)  # applied here, by all decoders alike
    width, height = page.one(256), page.one(257)
    check_size(width, height, min_side)
    if page.one(322) * page.one(323) > PIXEL_LIMIT:
        raise FileError("declares tiles larger than any image that is read; export it as PNG", code="S-FILE-10")
    if (frames := _count_frames(file, following)) > 1:
        raise several_frames("multi-page TIFF", frames)
    _check_strips(page, len(data))
    stored = _pixels(file, page, min_side)
    if stored.pixels.shape[:2] != (height, width):
        raise cut("tiff", "size differs from the declared one")
    stored.orientation = page.one(274, 1)
    stored.notes += identifying(data)
    return stored


def _count_frames(file: Tiff, following: int) -> int:
    """Pages without reduced-size copies of the first (thumbnails, pyramid levels)."""
    frames, seen = 1, {file.first}
    while following and following not in seen and len(seen) < 10_000:
        seen.add(following)
        page, following = file.page(following, wanted={254})
        frames += not page.one(254) & 1
    return frames


def _check_strips(page: Page, size: int) -> None:
    for offsets, lengths in ((273, 279), (324, 325)):
        pairs = zip(page.tags.get(offsets, ()), page.tags.get(lengths, ()), strict=False)
        if any(at + length > size for at, length in pairs):
            raise cut("tiff", "pixels lie outside the file")


def _pixels(file: Tiff, page: Page, min_side: int) -> Stored:
    depth, samples = max(page.tags.get(258, (1,))), page.one(277, 1)
    photometric, form = page.one(262), page.one(339, 1)
    lean = file.lean(page)
    if form != 1 or depth > 16:
        return _narrow(opencv(lean, "tiff"), unsigned=form == 1)
    if depth == 16 and samples > 1:
        if photometric != 2 or samples not in {3, 4}:
            raise unknown("tiff", f"16 bits, {samples} samples, photometric {photometric}")
        pixels = opencv(lean, "tiff")
        if samples == 3 or pixels.shape[2] == 3:
            return Stored(pixels, "rgb")
        # 2 is plain alpha; 1 is premultiplied, which is the composite on black; 0 is no alpha at all
        pixels = on_black(pixels) if page.one(338) == 2 else pixels[..., :3]
        return Stored(pixels, "rgba", ["W-FILE-07"])
    stored = pillow(TiffImagePlugin.TiffImageFile(BytesIO(lean)), min_side)
    if depth == 16 and photometric == 0:  # white is zero; Pillow turns 8 bits round, not 16
        stored.pixels = np.uint16(65535) - stored.pixels
    return stored


def _narrow(pixels: Array, *, unsigned: bool) -> Stored:
    """Signed, 32-bit, 64-bit and float pixels as unsigned 8 or 16 bits (NaN and Inf: fault F13)."""
    mode = "gray" if pixels.ndim == 2 else "rgb"
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise unknown("tiff", f"{pixels.shape[2]} samples of {pixels.dtype}")
    if pixels.dtype in (np.uint8, np.uint16):
        return Stored(pixels, mode)
    if pixels.dtype in (np.int8, np.int16):
        to, flip = (np.uint8, 0x80) if pixels.dtype == np.int8 else (np.uint16, 0x8000)
        return Stored(np.bitwise_xor(pixels.view(to), to(flip)), mode, ["W-FILE-13"])
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
    return Stored(scaled, mode, ["W-FILE-13"])
