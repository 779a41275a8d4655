"""One encoded image -> pixels at the stored depth, by Pillow or by OpenCV.

Pillow decodes everything up to 8 bits and 16-bit gray; what it would reduce to 8 bits (16-bit colour) or lacks (32- and
64-bit TIFF) is decoded by OpenCV, which in turn never sees a JPEG: it fills a cut JPEG with gray.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from xenograft.data.readers.picture import Array, Stored, check_size, cut, unknown

_MODES = {"P": "palette", "PA": "palette", "LA": "gray_alpha", "La": "gray_alpha", "RGBA": "rgba", "CMYK": "cmyk"}


def pillow(image: Image.Image, min_side: int) -> Stored:
    """Decode with Pillow after a look at the declared size; palette, alpha and CMYK become gray or RGB."""
    check_size(*image.size, min_side)
    image.load()
    mode = image.mode
    stored = Stored(np.empty(0), _MODES.get(mode, "gray" if mode in {"1", "L", "I;16", "I;16B"} else "rgb"))
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
