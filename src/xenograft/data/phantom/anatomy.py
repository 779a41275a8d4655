"""Random numbers -> one patient's chest: sizes, outlines, ribs, vertebrae, vessels, in chest coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xenograft.data.phantom.canvas import Points, band, ellipse, smooth

_RIBS = 12
_SIDES = (-1, 1)  # the image's left (the patient's right lung), the image's right
_CORNERS = [(1.0, -1.0), (0.9, 0.0), (1.0, 1.0), (0.0, 0.93)]
_VERTEBRA = smooth(np.array([*_CORNERS, *[(-x, -y) for x, y in _CORNERS]]), closed=True, steps=3)
_PEDICLE = ellipse((0.0, 0.0), (0.2, 0.38))


@dataclass(frozen=True)
class Anatomy:
    """One patient. Lengths in chest units (1 = half the film), y down.

    Args:
        width: half width of the rib cage at the base. apex, base: y of the lung tops and of the costophrenic angles.
        dome: height of the diaphragm above the base. lift: how much higher the right dome stands.
        mediastinum: relative width of the upper mediastinum.
        heart: relative heart size. heart_shift: its offset to the patient's left.
        fat: soft tissue outside the ribs. rib_drop: how far a rib falls on its way to the front.
        rib_width: half width of a rib. bone: relative bone density.
        curve: sideways bend of the spine. arms: direction of each arm in radians, 0 = outwards, positive = down.
        head: y of the chin's centre, beyond -1.3 out of the film. gas: (K, 4) bowel gas as x, y, radius x, radius y.
        stems, twigs: bands of the lung vessels, (18, K, 2) and (108, K, 2).
    """

    width: float
    apex: float
    base: float
    dome: float
    lift: float
    mediastinum: float
    heart: float
    heart_shift: float
    fat: float
    rib_drop: float
    rib_width: float
    bone: float
    curve: float
    arms: tuple[float, float]
    head: float
    gas: Points
    stems: Points
    twigs: Points

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Anatomy:
        """A random patient, from infant-like to slender adult habitus."""
        u = rng.uniform
        width, apex, base, age = u(0.62, 0.74), u(-0.74, -0.62), u(0.60, 0.80), u()
        down = bool(u() < 0.3)
        arms = [u(0.9, 1.25) if down else u(-0.75, 0.35) for _ in _SIDES]
        dome = u(0.20, 0.34)
        stomach = [[u(0.25, 0.45), base - 0.55 * dome + 0.16, u(0.04, 0.15), u(0.04, 0.09)]]
        bowel = [[u(-0.4, 0.5), base + u(0.1, 0.4), u(0.03, 0.09), u(0.02, 0.06)] for _ in range(rng.integers(0, 5))]
        stems, twigs = _vessels(rng, width=width, apex=apex, base=base)
        return cls(
            width=width,
            apex=apex,
            base=base,
            dome=dome,
            lift=u(0.01, 0.08),
            mediastinum=u(0.85, 1.35),
            heart=u(0.78, 1.12) * (1.06 - 0.12 * age),
            heart_shift=u(-0.02, 0.06),
            fat=u(0.05, 0.18),
            rib_drop=u(0.22, 0.36) + 0.10 * age,
            rib_width=u(0.021, 0.027),
            bone=u(0.8, 1.2),
            curve=u(-0.03, 0.03),
            arms=(arms[0], arms[1]),
            head=u(-1.28, -1.04) if u() < 0.6 else -2.0,
            gas=np.array(stomach[: int(u() < 0.6)] + bowel).reshape(-1, 4),
            stems=stems,
            twigs=twigs,
        )

    @cached_property
    def spacing(self) -> float:
        """Distance between neighbouring ribs and vertebrae at the spine."""
        return (self.base - self.apex) / 9.3

    def wall(self, y: Points) -> Points:
        """Half width of the rib cage's inside at height y."""
        v = np.clip((y - self.apex) / (self.base - self.apex), 0.0, 1.0)
        top = 0.40 * self.width
        return np.asarray(top + (self.width - top) * (1 - (1 - v) ** 2.3) ** 0.62)

    def spine_x(self, y: Points) -> Points:
        """The spine's x at height y."""
        return np.asarray(self.curve * np.sin(2.2 * (y + 0.3)))

    def lungs(self) -> list[Points]:
        """Outlines of the patient's right and left lung, to the diaphragm; the heart is not cut out."""
        return [self._lung(side) for side in _SIDES]

    def _lung(self, side: int) -> Points:
        lift = self.lift if side < 0 else 0.0
        v = np.linspace(0.0, 1.0, 24) ** 1.6
        y = self.apex + (self.base - self.apex) * v
        outer = np.stack([self.wall(y), y], axis=1)
        hilum, top = 0.115, 0.40 * self.width
        u = np.linspace(1.0, 0.0, 20)
        x = hilum + (self.width - hilum) * u
        peak = 0.42
        fall = np.where(u > peak, np.abs((u - peak) / (1 - peak)) ** 2.4, 0.22 * np.abs((peak - u) / peak) ** 2.0)
        floor = np.stack([x, self.base - (self.dome + lift) * (1 - fall)], axis=1)
        w = np.linspace(0.0, 1.0, 12)[::-1]
        inner_y = self.apex + (floor[-1, 1] - self.apex) * w**1.6
        rise = np.clip((inner_y - self.apex) / 0.30, 0.0, 1.0)
        inner = np.stack([top - (top - hilum) * (1 - (1 - rise) ** 2.0) ** 0.6, inner_y], axis=1)
        return np.asarray(np.concatenate([outer, floor[1:], inner[1:-1]]) * np.array([side, 1.0]))

    def heart_outline(self) -> Points:
        """Heart and great vessels as one silhouette, apex to the patient's left."""
        high, bottom = self.apex + 0.12, self.base - self.dome + 0.13
        left = [(0.10, 0.0), (0.15, 0.14), (0.165, 0.22), (0.135, 0.30), (0.165, 0.38), (0.25, 0.52)]
        ventricle = [(0.40, 0.68), (0.475, 0.84), (0.455, 0.95), (0.30, 1.02), (0.0, 1.04)]
        right = [(-0.15, 1.0), (-0.245, 0.85), (-0.265, 0.70), (-0.20, 0.52), (-0.125, 0.38)]
        points = np.array([*left, *ventricle, *right, (-0.125, 0.15), (-0.10, 0.0)])
        lower = np.clip((points[:, 1] - 0.25) / 0.4, 0.0, 1.0)
        points[:, 0] *= lower * self.heart + (1 - lower) * self.mediastinum
        points[:, 0] += self.heart_shift * lower
        points[:, 1] = high + (bottom - high) * points[:, 1]
        return smooth(points, closed=True, steps=6)

    def body(self) -> list[Points]:
        """Outlines whose union is the body: trunk with neck, arms, head."""
        flank, tip = self.width + 0.05 + self.fat, self.width + 0.06
        half = [(0.21, -1.6), (0.22, self.apex - 0.30), (0.30, self.apex - 0.17), (tip, self.apex - 0.05)]
        half += [(tip + 0.12, self.apex + 0.14), (flank + 0.02, self.apex + 0.36), (flank, -0.05)]
        half += [(flank + 0.02, 0.5), (flank - 0.01, 1.0), (flank - 0.01, 1.7)]
        right = smooth(np.array(half))
        trunk = np.concatenate([right, right[::-1] * np.array([-1.0, 1.0])])
        girth = np.array([0.10, 0.18, 0.18, 0.17, 0.16, 0.15]) + 0.4 * self.fat
        arms = [band(self._arm(side), girth) for side in _SIDES]
        head = [ellipse((0.0, self.head), (0.30, 0.34))]
        return [trunk, *arms, *head]

    def skull(self) -> list[Points]:
        """The jaw, where the head is in the film."""
        return [ellipse((0.0, self.head), (0.24, 0.29))]

    def _arm(self, side: int) -> Points:
        angle = self.arms[0 if side < 0 else 1]
        along = np.linspace(0.0, 1.4, 6)[:, None]
        start = np.array([self.width - 0.02, self.apex + 0.12])
        line = start + along * np.array([np.cos(angle), np.sin(angle)])
        return np.asarray(line * np.array([side, 1.0]))

    def clavicles(self) -> list[Points]:
        """Both collar bones, S-shaped, rising outwards."""
        y = self.apex
        end = (self.width - 0.04, y + 0.005)
        points = [(0.065, y + 0.13), (0.17, y + 0.09), (0.32, y + 0.015), (0.48, y - 0.02), end]
        curve = smooth(np.array(points))
        bone = band(curve, np.interp(np.linspace(0, 1, len(curve)), [0, 0.2, 0.6, 1], [0.038, 0.025, 0.022, 0.030]))
        return [bone * (side, 1) for side in _SIDES]

    def humeri(self) -> list[Points]:
        """Both upper arm bones with their heads."""
        bones = []
        for side in _SIDES:
            line = self._arm(side)
            head, end = line[0] + 0.10 * (line[1] - line[0]), line[-1]
            ball = ellipse((float(head[0]), float(head[1])), (0.075, 0.075))
            bones += [band(np.linspace(head, end, 6), np.array([0.060, 0.046, 0.040, 0.038, 0.042, 0.055])), ball]
        return bones

    def scapulae(self) -> list[Points]:
        """Both shoulder blades as triangles at the edge of the rib cage."""
        w, top = self.width, self.apex
        half = np.array([(w - 0.02, top + 0.05), (w + 0.10, top + 0.12), (w + 0.07, top + 0.55), (w - 0.12, top + 0.2)])
        return [half * (side, 1) for side in _SIDES]

    def ribs(self, start: float, stop: float, *, width: float = 1.0) -> list[Points]:
        """Bands of the ribs between two angles around the chest (0 = spine, pi/2 = side wall, pi = breast bone)."""
        k = np.arange(_RIBS)[:, None]
        floating = k >= 10
        turn = start + (np.where(floating, min(stop, 1.2), stop) - start) * np.linspace(0.0, 1.0, 14)
        y0 = self.apex - 0.03 + k * self.spacing
        drop = self.rib_drop * np.minimum(1.25, 0.55 + 0.08 * k)
        y = y0 + drop * (1 - np.cos(turn)) - 0.05 * np.sin(turn) ** 2 * np.cos(turn)
        x = (self.wall(y0 + drop) + 0.012) * np.sin(turn) ** 0.9
        lines = np.stack([np.stack([side * x + self.spine_x(y), y], axis=-1) for side in _SIDES])
        return list(band(lines.reshape(-1, 14, 2), width * self.rib_width))

    def vertebrae(self) -> tuple[list[Points], list[Points]]:
        """Bodies and pedicles of the vertebrae in the film."""
        k = np.arange(-4, 13)
        y = np.asarray(self.apex + k * self.spacing, np.float64)
        centre = np.stack([self.spine_x(y), y], axis=1)[:, None]
        half = np.stack([0.068 + 0.0025 * np.maximum(k, 0), np.full(k.size, 0.385 * self.spacing)], axis=1)[:, None]
        pedicles = [centre + half * (_PEDICLE + np.array([side * 0.62, -0.25])) for side in _SIDES]
        return list(centre + half * _VERTEBRA), list(np.concatenate(pedicles))

    def airway(self) -> list[Points]:
        """Trachea and main bronchi."""
        fork = self.apex + 0.46
        trachea = band(np.array([(0.0, -1.2), (0.0, self.apex), (-0.012, fork)]), 0.036)
        right = band(np.array([(-0.012, fork - 0.01), (-0.10, fork + 0.12), (-0.15, fork + 0.22)]), 0.025)
        left = band(np.array([(-0.012, fork - 0.01), (0.10, fork + 0.09), (0.19, fork + 0.14)]), 0.022)
        return [trachea, right, left]

    def hila(self) -> list[Points]:
        """The roots of both lungs, the left one higher."""
        y = 0.5 * (self.apex + self.base) - 0.12
        return [ellipse((side * 0.17, y - 0.02 * side), (0.055, 0.12), tilt=0.25 * side) for side in _SIDES]

    def gas_bubbles(self) -> list[Points]:
        """Gas in stomach and bowel."""
        return [ellipse((x, y), (a, b)) for x, y, a, b in self.gas]


def _vessels(rng: np.random.Generator, *, width: float, apex: float, base: float) -> tuple[Points, Points]:
    """Branching lung vessels from each hilum, thinner outwards: stems and their twigs."""
    per_side, twigs = 9, 6
    n = 2 * per_side
    side = np.repeat(np.array([-1.0, 1.0]), per_side)
    angle = np.tile(np.linspace(-1.4, 1.4, per_side), 2) + rng.uniform(-0.15, 0.15, n)
    root = np.stack([np.full(n, 0.13), 0.5 * (apex + base) - 0.12 + 0.10 * np.sin(angle)], axis=1)
    reach = width * rng.uniform(0.55, 0.9, n)
    stems = _branches(rng, root, angle, reach)
    owner = np.repeat(np.arange(n), twigs)
    forks = stems[owner, rng.integers(2, 9, n * twigs)]
    turn = angle[owner] + rng.choice((-1.0, 1.0), n * twigs) * rng.uniform(0.3, 0.8, n * twigs)
    fine = _branches(rng, forks, turn, reach[owner] * rng.uniform(0.3, 0.55, n * twigs))
    mirror = np.stack([side, np.ones(n)], axis=1)[:, None, :]
    width_stem, width_twig = np.linspace(0.024, 0.004, 11), np.linspace(0.010, 0.002, 11)
    return band(stems * mirror, width_stem), band(fine * mirror[owner], width_twig)


def _branches(rng: np.random.Generator, start: Points, angle: Points, length: Points) -> Points:
    steps = 10
    heading = angle[:, None] + np.cumsum(rng.normal(0.0, 0.14, (len(angle), steps)), axis=1)
    move = np.stack([np.cos(heading), np.sin(heading)], axis=-1) * (length / steps)[:, None, None]
    return np.concatenate([start[:, None], start[:, None] + np.cumsum(move, axis=1)], axis=1)
