"""Random numbers -> a lesion; lesion and chest -> the share of lung air that it replaces, and its mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xenograft.data.phantom.anatomy import Anatomy
from xenograft.data.phantom.canvas import Canvas, Floats, Mask, Points
from xenograft.data.phantom.thorax import Thorax

KINDS = ("consolidation", "patchy", "interstitial", "nodule")

_VISIBLE = 0.35  # share of the lesion's greatest attenuation from which a pixel belongs to the mask


@dataclass(frozen=True)
class Lesion:
    """One patient's lesion, in chest coordinates, so that it stays in place from film to film.

    Args:
        kind: one of KINDS.
        strength: share of air replaced at its densest, 0..1.
        blobs: (K, 5) centre x, y, radius x, radius y, weight.
        softness: width of the border relative to the radius.
        fissure: y of the sharp edge of a lobe and +1 (lesion below) or -1 (above); 0 = none.
        coarse, fine: random grids for the texture.
    """

    kind: str
    strength: float
    blobs: Points
    softness: float
    fissure: tuple[float, int]
    coarse: Floats
    fine: Floats

    @classmethod
    def draw(cls, kind: str, anatomy: Anatomy, rng: np.random.Generator) -> Lesion:
        """A random lesion of a kind; strengths range from subtle to obvious."""
        blobs, strength, softness, fissure = _DRAW[kind](anatomy, rng)
        coarse = rng.standard_normal((14, 14), dtype=np.float32)
        fine = rng.standard_normal((112, 112), dtype=np.float32)
        return cls(kind, strength, np.array(blobs), softness, fissure, coarse, fine)

    def opacity(self, canvas: Canvas, chest: Thorax) -> Floats:
        """Share of the lung's air that the lesion replaces, (H, W) in 0..1, zero outside the lungs."""
        x, y = canvas.coordinates()
        coarse, fine = canvas.spread(self.coarse), canvas.spread(self.fine)
        share = np.zeros_like(x)
        wobble = np.float32(0.06 if self.kind == "nodule" else 0.22) * coarse + 0.03 * fine
        for cx, cy, rx, ry, weight in self.blobs.astype(np.float32):
            distance = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
            ramp = np.clip((1 - distance + wobble) / np.float32(self.softness), 0, 1)
            np.maximum(share, weight * ramp * ramp * (3 - 2 * ramp), out=share)
        share *= self._texture(coarse, fine)
        if self.fissure[1]:
            edge = np.float32(self.fissure[0]) + 0.06 * x + 0.02 * coarse
            share *= np.clip(0.5 + self.fissure[1] * (y - edge) / 0.03, 0, 1)
        return np.asarray(np.clip(share * np.float32(self.strength), 0, 1) * chest.field, np.float32)

    def _texture(self, coarse: Floats, fine: Floats) -> Floats:
        if self.kind == "interstitial":  # lines where the noise changes sign form a net; haze between them
            net = np.exp(-((fine / 0.45) ** 2))
            return np.asarray(
                np.maximum(0.38 + 0.62 * net * np.clip(0.8 + 0.5 * coarse, 0, 1.3) + 0.12 * coarse, 0), np.float32
            )
        if self.kind == "nodule":
            return np.asarray(1 + 0.04 * fine, np.float32)
        return np.asarray(np.clip(0.88 + 0.10 * coarse + 0.09 * fine, 0, 1.2), np.float32)


def mask_of(added: Floats, chest: Thorax) -> Mask:
    """The visible extent of a lesion: where it adds a good part of its greatest attenuation, within the lungs.

    Args:
        added: attenuation that the lesion adds, (H, W).
        chest: the chest it lies in.
    """
    inside = np.where(chest.lungs, added, 0)
    return np.asarray((inside > _VISIBLE * inside.max()) & chest.lungs)


_Blob = tuple[float, float, float, float, float]
_Draw = tuple[list[_Blob], float, float, tuple[float, int]]


def _place(anatomy: Anatomy, rng: np.random.Generator, side: int, height: float) -> tuple[float, float]:
    """A point in the aerated part of a lung; `height` 0 = apex, 1 = diaphragm."""
    low = anatomy.base - 0.75 * anatomy.dome
    y = anatomy.apex + 0.12 + height * (low - anatomy.apex - 0.16)
    outer = float(anatomy.wall(np.array(y))) - 0.10
    inner = 0.17 + (0.30 * height if side > 0 else 0.06 * height)  # the heart takes room in the left lung
    return side * (inner + rng.uniform(0.1, 0.9) * max(outer - inner, 0.02)), y


def _side(rng: np.random.Generator) -> int:
    return -1 if rng.uniform() < 0.55 else 1


def _consolidation(anatomy: Anatomy, rng: np.random.Generator) -> _Draw:
    u = rng.uniform
    side, height = _side(rng), u(0.05, 0.95)
    x, y = _place(anatomy, rng, side, height)
    blobs = [(x, y, u(0.18, 0.50), u(0.16, 0.46), 1.0)]
    blobs += [(x + u(-0.15, 0.15), y + u(-0.15, 0.15), u(0.1, 0.25), u(0.1, 0.25), u(0.4, 0.8)) for _ in range(2)]
    lobar = u() < 0.45
    edge = y + u(-0.02, 0.10) if height < 0.5 else y - u(-0.02, 0.10)
    return blobs, u(0.42, 0.95), u(0.6, 1.2), (edge, (-1 if height < 0.5 else 1) if lobar else 0)


def _patchy(anatomy: Anatomy, rng: np.random.Generator) -> _Draw:
    u = rng.uniform
    only = _side(rng) if u() < 0.5 else 0
    blobs = []
    for _ in range(rng.integers(4, 11)):
        x, y = _place(anatomy, rng, only or _side(rng), u(0.15, 1.0))
        radius = u(0.06, 0.16)
        blobs.append((x, y, radius * u(0.8, 1.3), radius, u(0.5, 1.0)))
    return blobs, u(0.38, 0.85), u(0.8, 1.3), (0.0, 0)


def _interstitial(anatomy: Anatomy, rng: np.random.Generator) -> _Draw:
    u = rng.uniform
    height = u(0.35, 0.75)
    reach = (u(0.45, 0.8), u(0.5, 0.95))
    middle = anatomy.apex + height * (anatomy.base - anatomy.apex)
    blobs = [(side * 0.32, middle, *reach, u(0.8, 1.0)) for side in (-1, 1)]
    return blobs, u(0.22, 0.50), 1.1, (0.0, 0)


def _nodule(anatomy: Anatomy, rng: np.random.Generator) -> _Draw:
    u = rng.uniform
    x, y = _place(anatomy, rng, _side(rng), u(0.05, 0.95))
    radius = u(0.05, 0.12)
    blobs = [(x, y, radius, radius * u(0.85, 1.15), 1.0)]
    return blobs, u(0.30, 0.68), u(0.5, 0.9), (0.0, 0)


_DRAW: dict[str, Callable[[Anatomy, np.random.Generator], _Draw]] = {
    "consolidation": _consolidation,
    "patchy": _patchy,
    "interstitial": _interstitial,
    "nodule": _nodule,
}
