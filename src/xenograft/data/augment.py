"""Random views of a prepared image: one affine warp and one lookup table, both drawn per image and view."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xenograft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Augment:
    """Ranges to draw from. The paper (§5.7) names the operations but not their strengths; these are ours.

    Args:
        scale: range of the cropped area as a share of the image (resize + crop).
        rotation: largest angle in degrees, both ways. flip: probability of a horizontal flip.
        brightness, contrast: largest relative change, both ways.
    """

    name: str
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


NONE = Augment("none")
PAPER = Augment("paper", scale=(0.8, 1.0), rotation=10.0, flip=0.5, brightness=0.2, contrast=0.2)
PRESETS = {a.name: a for a in (NONE, PAPER)}


def preset(name: str) -> Augment:
    """The augmentation preset called `name`.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown augmentation {name!r}; one of {', '.join(PRESETS)}", code="E-USAGE-06")
    return PRESETS[name]


def augmented(image: NDArray[np.uint8], augment: Augment, *, content: str, view: int, seed: int) -> NDArray[np.uint8]:
    """One random view of one image: the same image content, view and seed always give the same view.

    Args:
        image: (C, S, S) uint8. content: hexadecimal hash of the image's file. view: view or epoch number.

    Returns:
        (C, S, S) uint8.
    """
    if augment == NONE:
        return image
    channels, side, _ = image.shape
    matrix, table = drawn(augment, side, content=content, view=view, seed=seed)
    warped = cv2.warpAffine(
        cv2.LUT(image[0] if channels == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)), table),
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    view_pixels = np.asarray(warped, dtype=np.uint8)
    return view_pixels[None] if channels == 1 else np.ascontiguousarray(view_pixels.transpose(2, 0, 1))


def drawn(
    augment: Augment, side: int, *, content: str, view: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """What makes one view of one image, wherever the pixels lie: `draw_warp` (2, 3) and `draw_table` (256,)."""
    rng = np.random.default_rng([seed, view, int(content[:16], 16)])
    return draw_warp(augment, side, rng), draw_table(augment, rng)


def draw_warp(augment: Augment, side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, 3) map from output to input pixels: scale and flip, then rotation about the crop's centre."""
    zoom = float(np.sqrt(rng.uniform(*augment.scale)))
    room = (1.0 - zoom) * (side - 1) / 2  # between pixel centres: a crop alone never reaches over the border
    centre = (side - 1) / 2
    shift_x, shift_y = rng.uniform(-room, room, size=2) if room > 0 else (0.0, 0.0)
    angle = np.deg2rad(rng.uniform(-augment.rotation, augment.rotation))
    mirror = -1.0 if rng.random() < augment.flip else 1.0
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[cos * mirror, -sin], [sin * mirror, cos]])
    offset = np.array([centre + shift_x, centre + shift_y]) - linear @ np.array([centre, centre])
    return np.column_stack([linear, offset])


def draw_table(augment: Augment, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(256,) table: contrast about mid-gray, then brightness."""
    contrast = 1.0 + rng.uniform(-augment.contrast, augment.contrast)
    brightness = 1.0 + rng.uniform(-augment.brightness, augment.brightness)
    values = (np.arange(256, dtype=np.float64) - 127.5) * contrast + 127.5
    return np.clip(np.rint(values * brightness), 0, 255).astype(np.uint8)
