"""Shapes in chest coordinates -> anti-aliased layers on one image's pixel grid.

Chest coordinates: x to the image's right (the patient's left), y down, both about -1..1 across the film, so that a
patient keeps their shape whatever the image size, position and zoom.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

_SUBPIXEL_BITS = 4
_TURNS = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.cos(_TURNS), np.sin(_TURNS)


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Floats, Floats]:
    """Film coordinates of the pixel centres, each (size, size) in -1..1; shared, hence read-only."""
    axis = ((np.arange(size) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return x, y


@dataclass(frozen=True, slots=True)
class Canvas:
    """A square pixel grid and the patient's position on it.

    Args:
        size: side in pixels.
        angle: rotation in radians.
        zoom: film units per chest unit.
        shift: film position of the chest's origin.
    """

    size: int
    angle: float = 0.0
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def _turn(self) -> Points:
        c, s = np.cos(self.angle), np.sin(self.angle)
        return self.zoom * np.array([[c, -s], [s, c]])

    def pixels(self, points: Points) -> Points:
        """Chest coordinates (..., 2) -> pixel coordinates (..., 2)."""
        film = points @ self._turn().T + np.array(self.shift)
        return np.asarray((film + 1.0) * (self.size / 2.0) - 0.5)

    def length(self, chest: float) -> float:
        """A chest length in pixels."""
        return chest * self.zoom * self.size / 2.0

    def coordinates(self) -> tuple[Floats, Floats]:
        """Chest x and y of every pixel, each (size, size)."""
        x, y = _grid(self.size)
        back = np.linalg.inv(self._turn()).astype(np.float32)
        dx, dy = x - np.float32(self.shift[0]), y - np.float32(self.shift[1])
        return back[0, 0] * dx + back[0, 1] * dy, back[1, 0] * dx + back[1, 1] * dy

    def blank(self) -> Bytes:
        """An empty layer (size, size)."""
        return np.zeros((self.size, self.size), np.uint8)

    def fill(self, layer: Bytes, shapes: Iterable[Points], *, value: int = 255) -> Bytes:
        """Fill each polygon (K, 2) with `value`; a later shape covers an earlier one. Returns `layer`."""
        for shape in self._fixed(shapes):
            cv2.fillPoly(layer, [shape], (value,), cv2.LINE_AA, _SUBPIXEL_BITS)
        return layer

    def outline(self, layer: Bytes, shapes: Iterable[Points], *, width: float, value: int = 255) -> Bytes:
        """Draw each polygon's border, `width` in chest units (at least a pixel). Returns `layer`."""
        pixels = max(1, round(self.length(width)))
        cv2.polylines(layer, self._fixed(shapes), True, (value,), pixels, cv2.LINE_AA, _SUBPIXEL_BITS)
        return layer

    def _fixed(self, shapes: Iterable[Points]) -> list[npt.NDArray[np.int32]]:
        listed = list(shapes)
        if not listed:
            return []
        fixed = np.round(self.pixels(np.concatenate(listed)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        ends = list(accumulate(len(shape) for shape in listed))
        return [fixed[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def spread(self, cells: Floats) -> Floats:
        """A coarse random grid (n, n) that covers the chest, smoothly enlarged onto the pixels and moving with the
        patient, (size, size)."""
        corners = self.pixels(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        axes = np.stack([corners[1] - corners[0], corners[2] - corners[0]], axis=1)
        step = 2.6 / cells.shape[0]  # the grid spans -1.3..1.3 and is mirrored beyond
        offset = corners[0] + axes @ np.full(2, step / 2.0 - 1.3)
        matrix = np.concatenate([axes * step, offset[:, None]], axis=1)
        field = cv2.warpAffine(
            cells, matrix, (self.size, self.size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        return np.asarray(field, np.float32)


def blur(layer: npt.NDArray[np.uint8] | Floats, sigma: float) -> Floats:
    """Gaussian blur, sigma in pixels; wide blurs run on a reduced copy. Returns float32 of the same scale as given."""
    source = np.asarray(layer, np.float32)
    side = source.shape[0]
    step = int(min(sigma / 2.0, side / 16))
    if step < 2:
        return np.asarray(cv2.GaussianBlur(source, (0, 0), max(sigma, 0.1)), np.float32)
    small = cv2.resize(source, (side // step, side // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def smooth(points: Points, *, closed: bool = False, steps: int = 8) -> Points:
    """Catmull-Rom curve through control points (K, 2) -> (about K * steps, 2)."""
    ends = (points[-1:], points[:2]) if closed else (2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1])
    p = np.concatenate([ends[0], points, ends[1]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[i : len(p) - 3 + i, None] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.asarray(curve.reshape(-1, 2))


def band(line: Points, half_width: float | Points) -> Points:
    """The polygons (..., 2 K, 2) around lines (..., K, 2); `half_width` is one number or (K,), in chest units."""
    along = np.empty_like(line)
    along[..., 1:-1, :] = line[..., 2:, :] - line[..., :-2, :]
    along[..., 0, :] = line[..., 1, :] - line[..., 0, :]
    along[..., -1, :] = line[..., -1, :] - line[..., -2, :]
    normal = along[..., ::-1] * np.array([-1.0, 1.0])
    normal /= np.maximum(np.sqrt((normal * normal).sum(axis=-1, keepdims=True)), 1e-9)
    offset = normal * np.reshape(np.asarray(half_width), (-1, 1))
    return np.concatenate([line + offset, (line - offset)[..., ::-1, :]], axis=-2)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], *, tilt: float = 0.0) -> Points:
    """An ellipse as a polygon (24, 2)."""
    x, y = radii[0] * _CIRCLE[0], radii[1] * _CIRCLE[1]
    c, s = np.cos(tilt), np.sin(tilt)
    return np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], axis=1)
