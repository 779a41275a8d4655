"""Pixels at full depth -> the uint8 array a backbone's graph takes: colour, resize, window. Travels with weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from xenograft.errors import UsageError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Array = NDArray[Any]

NORMALISATIONS = ("weights", "paper")
FITS = ("squash", "pad", "crop")

WORKING = 448
"""Side in pixels down to which a JPEG may be decoded at a reduced scale: twice the usual input, so that the rest of the
way is averaging. Files are inspected at this scale too."""


@dataclass(frozen=True, slots=True)
class DicomReading:
    """What a DICOM file leaves open.

    Args:
        frame: of a multi-frame file, ``first``, ``middle`` or a number from 1 on; None refuses such files. ``all``: a
            listing has each as an image of its own (`xenograft.data.importers.frames`); here such files are refused.
        centre, width: window in modality units such as Hounsfield; None takes the file's first window.
        window: name of one instead, see `xenograft.data.readers.dicom_gray.gray`.
    """

    frame: str | None = None
    centre: float | None = None
    width: float | None = None
    window: str | None = None

    def __post_init__(self) -> None:
        number = int(self.frame) if self.frame is not None and self.frame.isdecimal() else 0
        if self.frame is not None and self.frame not in {"first", "middle", "all"} and number < 1:
            raise UsageError(f"frame {self.frame!r}; first, middle, all or a number from 1 on", code="E-USAGE-05")
        if self.window is not None and (not self.window.strip() or self.centre is not None):
            raise UsageError(f"window {self.window!r}; a name, or else a centre and a width", code="E-USAGE-05")
        if (self.centre is None) != (self.width is None) or (self.width is not None and not self.width > 0):
            raise UsageError(
                f"window {self.centre},{self.width}; a centre and a width above 0, e.g. 40,400", code="E-USAGE-05"
            )

    def as_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `xenograft.data.readers.decode_picture`."""
        frame = int(self.frame) if self.frame is not None and self.frame.isdecimal() else self.frame
        window = self.window if self.centre is None or self.width is None else (self.centre, self.width)
        return {"frame": frame, "window": window}

    def as_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold; without a name for the window it is what it was before windows had names."""
        return {k: v for k, v in asdict(self).items() if k != "window" or v is not None}


FIRST_WINDOW = DicomReading()


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an image becomes a network's input. Stored in every run and every bundle.

    Args:
        size: side of the square input in pixels.
        mean, std: per-channel normalisation of values in [0, 1], applied inside the engine's graph.
        channels: 1, gray, replicated to three channels inside the graph (Eq. 14); 3, colour as it is.
        fit: ``squash`` resizes both sides to `size` (whole image, aspect not kept); ``pad`` keeps the aspect and pads
            with black; ``crop`` takes the central square and resizes it.
        window: gray values mapped to 0 and 255. ``auto``: the full range of 8-bit images; for deeper ones the 0.5th
            and 99.5th percentile of the image. Two numbers are stored values.
        dicom: how DICOM files are read; no other format looks at it.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channels: Literal[1, 3] = 1
    fit: Literal["squash", "pad", "crop"] = "squash"
    window: Literal["auto"] | tuple[float, float] = "auto"
    dicom: DicomReading = FIRST_WINDOW

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 4096:
            raise UsageError(f"input size {self.size} is outside 16..4096 pixels", code="E-USAGE-05")
        if self.fit not in FITS:
            raise UsageError(f"unknown fit {self.fit!r}; one of {', '.join(FITS)}", code="E-USAGE-05")
        if self.channels not in (1, 3):
            raise UsageError(f"{self.channels} channels; 1 (gray) or 3 (colour)", code="E-USAGE-05")
        if self.window != "auto" and not self.window[0] < self.window[1]:
            raise UsageError(f"window {self.window} is empty; the first value must be lower", code="E-USAGE-05")

    def normalised(self, preset: str) -> Preprocess:
        """With the preset ``paper`` (mean and sd 0.5, §5.7) or ``weights`` (the weights' own, unchanged)."""
        if preset not in NORMALISATIONS:
            raise UsageError(f"unknown normalisation {preset!r}; weights or paper", code="E-USAGE-05")
        half = (0.5, 0.5, 0.5)
        return replace(self, mean=half, std=half) if preset == "paper" else self

    def as_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if k != "dicom"}
        # left out where nothing was asked for: keys of caches and bundles made before stay what they were
        return plain if self.dicom == FIRST_WINDOW else plain | {"dicom": self.dicom.as_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        if "dicom" in values:
            values["dicom"] = DicomReading(**values["dicom"])
        return cls(**values)


def working_side(preprocess: Preprocess) -> int:
    """The smallest side to decode for this preprocessing."""
    return max(WORKING, preprocess.size)


def prepare(pixels: Pixels, preprocess: Preprocess) -> NDArray[np.uint8]:
    """One image as (channels, size, size) uint8.

    Colour and geometry come first, at the stored depth; the depth is reduced once, by the window, at the end.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16.
    """
    low, high = _window(pixels, preprocess)
    shaped = _resize(_channels(pixels, preprocess.channels), preprocess)
    if not (shaped.dtype == np.uint8 and (low, high) == (0.0, 255.0)):
        scaled = (shaped.astype(np.float32) - low) * np.float32(255.0 / (high - low))
        shaped = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    if preprocess.channels == 1:
        return np.ascontiguousarray(shaped[None])
    return np.ascontiguousarray(shaped.transpose(2, 0, 1))


def _window(pixels: Pixels, preprocess: Preprocess) -> tuple[float, float]:
    if preprocess.window != "auto":
        return float(preprocess.window[0]), float(preprocess.window[1])
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.percentile(pixels, (0.5, 99.5))
    if low == high:  # nearly constant: the extremes are all there is
        low, high = float(pixels.min()), float(pixels.max())
    return float(low), float(high) if high > low else float(low) + 1.0


def _channels(pixels: Array, channels: int) -> Array:
    """(H, W) for one channel (luminance of colour images), (H, W, 3) for three."""
    if channels == 1 and pixels.ndim == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if channels == 3 and pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return pixels


def _resize(pixels: Array, preprocess: Preprocess) -> Array:
    size = preprocess.size
    height, width = pixels.shape[:2]
    if preprocess.fit == "squash":
        return _scaled(pixels, size, size)
    if preprocess.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _scaled(np.ascontiguousarray(pixels[top : top + side, left : left + side]), size, size)
    scale = size / max(height, width)
    inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
    pixels = _scaled(pixels, inner_w, inner_h)
    top, left = (size - inner_h) // 2, (size - inner_w) // 2
    below, right = size - inner_h - top, size - inner_w - left
    return cv2.copyMakeBorder(pixels, top, below, left, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def _scaled(pixels: Array, width: int, height: int) -> Array:
    """Area averaging where the image shrinks (no aliasing of ribs and grids), linear where it grows."""
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
