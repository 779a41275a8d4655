"""One encoded image -> pixels at the stored depth, by Pillow or by OpenCV.

Pillow decodes everything up to 8 bits and 16-bit gray; what it would reduce to 8 bits (16-bit colour) or lacks (32- and
64-bit TIFF) is decoded by OpenCV, which in turn never sees a JPEG: it fills a cut JPEG with gray.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from xenograft.data.readers.picture import Array, Stored, check_size, cut, unknown

_MODES = {"P": "palette", "PA": "palette", "LA": "gray_alpha", "La": "gray_alpha", "RGBA": "rgba", "CMYK": "cmyk"}


def pillow(image: Image.Image, min_side: int, *, working: int | None = None, collapse: bool = False) -> Stored:
    """Decode with Pillow after a look at the declared size; palette, alpha and CMYK become gray or RGB.

    Args:
        image: opened, not loaded.
        min_side: smallest accepted width and height as stored, in pixels.
        working: a JPEG is decoded at the smallest DCT scale that leaves both sides at least this long, in pixels.
        collapse: identical channels of an RGB image become one at once, which is faster than looking for them later.
    """
    check_size(*image.size, min_side)
    _reduce(image, working)
    image.load()
    mode = image.mode
    stored = Stored(np.empty(0), _MODES.get(mode, "gray" if mode in {"1", "L", "I;16", "I;16B"} else "rgb"))
    if mode in {"L", "RGB"}:
        stored.pixels = _collapsed(image) if collapse else np.asarray(image)
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
        stored.pixels = pixels if image.mode == "RGB" else on_black(pixels)
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
        raise unknown((image.format or "image").lower(), f"colour model {mode}")
    return stored


def _reduce(image: Image.Image, working: int | None) -> None:
    """Set the DCT scale: 1, 1/2, 1/4 or 1/8; formats without one ignore it."""
    if working is None:
        return
    width, height = image.size
    # a reduced side is rounded up: its last pixel is the average of what is left
    scale = next((scale for scale in (8, 4, 2) if -(-min(width, height) // scale) >= working), 1)
    if scale > 1:
        image.draft(None, (max(1, width // scale), max(1, height // scale)))


def _collapsed(image: Image.Image) -> Array:
    """(H, W) of a gray image, or of an RGB image whose channels are identical; (H, W, 3) of any other.

    A gray JPEG stored in colour has chroma of exactly zero: copying and comparing its planes costs less than a third of
    interleaving the pixels and taking them apart again.
    """
    if image.mode == "RGB":
        red = image.tobytes("raw", "R")
        if red == image.tobytes("raw", "G") and red == image.tobytes("raw", "B"):
            return np.frombuffer(red, np.uint8).reshape(image.height, image.width)
    return np.asarray(image)


def on_black(pixels: Array) -> Array:
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


def opencv(data: bytes, kind: str) -> Array:
    """Decode with OpenCV at the stored depth; channels in RGB(A) order."""
    import cv2  # late: a quarter of a second that most data sets never need

    cv2.utils.logging.setLogLevel(0)  # its decoders write to stderr; the reason of a failure is told by our own message
    pixels: Array | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise cut(kind, "the decoder gave up")
    if pixels.ndim == 3:
        order = {1: [0], 2: [0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
        pixels = pixels[..., order] if len(order) > 1 else pixels[..., 0]
    return pixels
