"""(pixels, kind of change, level 0 to 5) -> the same image as another machine, room or archive might have made it.

Levels are meant for the question at which strength a model's answers change, so they begin where a reader hardly sees
anything and end where an image would be repeated. The kinds are those that Hendrycks & Dietterich 2019
(arXiv:1903.12261) applied to photographs and that can happen to a radiograph; their severities (H&D below) are for
photographs and mostly too strong here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xenograft.data.preprocess import Pixels
from xenograft.errors import UsageError

LEVELS = 5
REFERENCE_SIDE = 224
"""Lengths are pixels of an image with this shorter side, so that they mean the same at every resolution: 1 is 1.6 mm
where 35 cm of an adult chest fill it."""

Unit = NDArray[np.float32]
"""(H, W) or (H, W, 3) in [0, 1], black to white; results may reach beyond and are cut."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind of change.

    Args:
        name: its key in `PERTURBATIONS`.
        measure: what its strengths are, with their unit, for the axis of a figure.
        strengths: of levels 1 to 5.
        change: pixels, strength and a generator -> changed pixels.
    """

    name: str
    measure: str
    strengths: tuple[float, float, float, float, float]
    change: Callable[[Unit, float, np.random.Generator], Unit]


def perturbed(pixels: Pixels, name: str, level: int, *, content: str) -> Pixels:
    """One image changed; the same image, name, level and content always give the same pixels.

    Values are counted from black, 0, to the highest that as many bits as the image uses can hold: 255, or for uint16
    for example 4095 if its brightest pixel lies from 2048 to 4095. Nothing leaves that range. The pixels may be those
    before `xenograft.data.preprocess.prepare` or a plane of what it returns. Noise and JPEG blocks belong to the pixels
    given: of an image that is then made smaller, less of them remains. And a window by percentiles, which deeper images
    get there, takes ``brightness`` and ``contrast`` back but for what they cut off.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16; not changed.
        name: a key of `PERTURBATIONS`.
        level: 0 to 5; 0 returns the pixels as they are.
        content: hexadecimal hash of the image's file, 16 digits or more. It draws the noise, whose pattern all levels
            share, and the side to which the image is turned.

    Returns:
        Pixels of the same shape and type.

    Raises:
        UsageError: unknown name, a level outside 0 to 5, or pixels of another type or shape.
    """
    if name not in PERTURBATIONS:
        raise UsageError(f"unknown perturbation {name!r}; one of {', '.join(PERTURBATIONS)}", code="E-USAGE-06")
    if level not in range(LEVELS + 1):
        raise UsageError(f"perturbation level {level}; a whole number from 0 to {LEVELS}", code="E-USAGE-06")
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype not in (np.uint8, np.uint16) or not (pixels.ndim == 2 or colour):
        raise UsageError(
            f"pixels {pixels.shape} of {pixels.dtype}; (H, W) or (H, W, 3) of uint8 or uint16", code="E-USAGE-06"
        )
    if level == 0:
        return pixels
    kind = PERTURBATIONS[name]
    top = np.float32(2 ** max(8, int(pixels.max()).bit_length()) - 1)
    rng = np.random.default_rng(int(content[:16], 16))
    changed = kind.change(pixels.astype(np.float32) / top, kind.strengths[level - 1], rng)
    whole: Pixels = np.clip(np.rint(changed * top), 0, top).astype(pixels.dtype)
    return whole


def _brighter(pixels: Unit, shift: float, _: np.random.Generator) -> Unit:
    return pixels + np.float32(shift)


def _flatter(pixels: Unit, share: float, _: np.random.Generator) -> Unit:
    mean = pixels.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return _unit(mean + np.float32(share) * (pixels - mean))


def _darker_middle(pixels: Unit, exponent: float, _: np.random.Generator) -> Unit:
    return pixels ** np.float32(exponent)


def _blurred(pixels: Unit, sigma: float, _: np.random.Generator) -> Unit:
    return _unit(cv2.GaussianBlur(pixels, (0, 0), sigma * min(pixels.shape[:2]) / REFERENCE_SIDE))


def _noisy(pixels: Unit, deviation: float, rng: np.random.Generator) -> Unit:
    return pixels + np.float32(deviation) * rng.standard_normal(pixels.shape, dtype=np.float32)


def _turned(pixels: Unit, degrees: float, rng: np.random.Generator) -> Unit:
    angle = np.deg2rad(degrees if rng.random() < 0.5 else -degrees)
    return _warped(pixels, np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))


def _cropped(pixels: Unit, share: float, _: np.random.Generator) -> Unit:
    return _warped(pixels, share * np.eye(2))


def _compressed(pixels: Unit, quality: float, _: np.random.Generator) -> Unit:
    shown = np.rint(pixels * 255).astype(np.uint8)
    colour = shown.ndim == 3
    stored = cv2.imencode(
        ".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR) if colour else shown, [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    )[1]
    read = cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE)
    return _unit(read) / np.float32(255)


def _coarser(pixels: Unit, side: float, _: np.random.Generator) -> Unit:
    height, width = pixels.shape[:2]
    scale = side / max(REFERENCE_SIDE, min(height, width))
    small = cv2.resize(
        pixels, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    return _unit(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _warped(pixels: Unit, linear: NDArray[np.float64]) -> Unit:
    """Seen through a linear map about the centre, from places in the result to places in the image; black outside."""
    height, width = pixels.shape[:2]
    centre = np.array([width - 1, height - 1]) / 2
    matrix = np.column_stack([linear, centre - linear @ centre])
    return _unit(
        cv2.warpAffine(
            pixels,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
    )


def _unit(pixels: Any) -> Unit:
    return np.asarray(pixels, dtype=np.float32)


PERTURBATIONS = {
    kind.name: kind
    for kind in (
        Perturbation("brightness", "added, share of the gray scale", (0.04, 0.08, 0.12, 0.2, 0.3), _brighter),
        Perturbation("contrast", "contrast that remains, share", (0.85, 0.7, 0.55, 0.4, 0.3), _flatter),
        Perturbation("gamma", "exponent", (1.1, 1.22, 1.4, 1.8, 2.2), _darker_middle),
        Perturbation("blur", f"Gaussian sd, pixels of {REFERENCE_SIDE}", (0.5, 1.0, 1.5, 2.0, 3.0), _blurred),
        Perturbation("noise", "Gaussian sd, share of the gray scale", (0.01, 0.02, 0.04, 0.08, 0.12), _noisy),
        Perturbation("rotation", "angle, degrees", (2.0, 5.0, 10.0, 15.0, 20.0), _turned),
        Perturbation("crop", "side that remains, share", (0.95, 0.9, 0.85, 0.8, 0.7), _cropped),
        Perturbation("jpeg", "quality, scale of libjpeg", (65, 40, 25, 15, 7), _compressed),
        Perturbation("resolution", "shorter side, pixels", (168, 112, 84, 56, 28), _coarser),
    )
}
"""By name. What the five levels of each are, and why:

- brightness: added to every value, as by a window whose centre lies lower by that share of its width. H&D: 0.1 to 0.5.
- contrast: of the distance to the image's mean what remains, as in a wider window or with more scattered radiation.
  H&D: 0.4 to 0.05; levels 4 and 5 are its first two.
- gamma: exponent of values in 0 to 1, above 1 darker, as on another display: 1.22 is an image made for gamma 1.8 shown
  at 2.2; 1.8 and 2.2 are encoded values taken for light.
- blur: Gaussian standard deviation, as by motion or an enlarged focal spot; 1 is 1.6 mm of an adult chest. H&D: 1 to 6,
  here halved. Images far below 224 pixels cannot show the weakest.
- noise: Gaussian standard deviation at each pixel and channel, as at a lower dose. H&D: 0.08 to 0.38; levels 4 and 5
  are its first two.
- rotation: about the centre, black behind it, as by positioning; no source.
- crop: the central part that stays in view, shown at the old size, as by collimation or distance; no source.
- jpeg: quality on the scale of libjpeg, below its default of 75, of which many images are already: the same quality
  a second time changes nothing. H&D: 25, 18, 15, 10 and 7; levels 3 to 5 are its first, third and last. JPEG holds 8
  bits: a deeper image comes back with at most 256 values.
- resolution: averaged down to this shorter side and linearly back up, as from a thumbnail or a slide; of images smaller
  than 224 pixels the same share. H&D: 0.6 to 0.25 of 224, so 134 to 56; 28 is the side of the original MedMNIST sets.
"""
