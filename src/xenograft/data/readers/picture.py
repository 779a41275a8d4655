"""What a decoder stored -> the finished picture; the sizes and refusals that all formats share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from xenograft.errors import FileError, printable

Array = npt.NDArray[Any]

PIXEL_LIMIT = 89_478_485
"""Most pixels an image may declare: Pillow's limit, where Pillow only warns."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded image.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16, contiguous and writable, upright. Smaller than `width` x `height`
            when a JPEG was read at a reduced scale, each side divided by 2, 4 or 8 and rounded up.
        width: pixels of the upright image as stored in the file, whatever scale was decoded.
        height: likewise.
        bits: 8 or 16, the depth of `pixels`; below 8 bits as stored is spread over 0..255, 9-15 bits keep their values.
        format: ``jpeg``, ``png``, ``tiff``, ``bmp``, ``gif``, ``webp`` or ``dicom``.
        mode: how it was stored: ``gray``, ``rgb``, ``palette``, ``rgba``, ``gray_alpha`` or ``cmyk``.
        notes: codes of what was done to it, sorted; `xenograft.data.readers.NOTE_TEXT` says what they mean.
        acquisition: what the file tells about how it was made, as sorted (name, value) pairs; no name, date or UID.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    width: int
    height: int
    bits: int
    format: str
    mode: str
    notes: tuple[str, ...] = ()
    acquisition: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Stored:
    """What a decoder hands on: pixels with alpha composited, before collapse and rotation.

    `size` is (width, height) as stored in the file, where the pixels may be a reduction.
    """

    pixels: Array
    mode: str
    notes: list[str] = field(default_factory=list)
    orientation: int = 1
    lossy: bool = False
    size: tuple[int, int] | None = None


def finish(stored: Stored, kind: str) -> Picture:
    """Collapse equal channels, turn upright, and note what was done."""
    pixels, notes = stored.pixels, stored.notes
    width, height = stored.size or (pixels.shape[1], pixels.shape[0])
    if pixels.ndim == 3:
        pixels = _collapse(pixels, lossy=stored.lossy)
    if 2 <= stored.orientation <= 8:
        pixels = _upright(pixels, stored.orientation)
        width, height = (height, width) if stored.orientation >= 5 else (width, height)
        notes.append("W-FILE-08")
    pixels = np.require(pixels, requirements=["C", "W"])
    first = pixels[0, 0]
    if (pixels[::8, ::8] == first).all() and (pixels == first).all():
        notes.append("W-FILE-20")
    return Picture(pixels, width, height, 8 * pixels.dtype.itemsize, kind, stored.mode, notes=tuple(sorted(set(notes))))


def damaged(kind: str, error: Exception) -> FileError:
    """What to raise when a decoder failed; a variant it does not know is told apart."""
    reason = printable(error)[:80] or type(error).__name__
    # Pillow wraps "ran out of bytes" in SyntaxError with a cause; a bare one means a variant it does not know
    if isinstance(error, SyntaxError | NotImplementedError) and isinstance(error.__cause__, KeyError | None):
        return unknown(kind, reason)
    return FileError(
        f"the {kind.upper()} data are damaged or cut ({reason}); copy or export the file again", code="S-FILE-02"
    )


def unknown(kind: str, reason: str) -> FileError:
    """What to raise for a variant that no decoder reads."""
    return FileError(
        f"this variant of {kind.upper()} cannot be read ({reason}); export it as 8- or 16-bit PNG", code="S-FILE-04"
    )


def cut(kind: str, reason: str) -> FileError:
    """What to raise when our own look at the bytes finds a part missing or wrong."""
    return damaged(kind, ValueError(reason))


def several_frames(kind: str, count: int) -> FileError:
    """What to raise for an animation or several pages (fault F12)."""
    return FileError(
        f"holds {count} frames ({kind}); one image per file is read, so export the frame you want as a single image",
        code="E-FILE-12",
    )


def check_size(width: int, height: int, min_side: int) -> None:
    """Refuse a declared size that is too large or too small (faults F9-F11).

    Raises:
        FileError: it is out of bounds.
    """
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
