"""(kind, patient's generator, image's generator) -> one synthetic chest radiograph with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xenograft.data.phantom.anatomy import Anatomy
from xenograft.data.phantom.canvas import Canvas, Floats, Mask
from xenograft.data.phantom.film import FULL_SCALE, Film, Pixels, expose
from xenograft.data.phantom.lesions import KINDS, Lesion, mask_of
from xenograft.data.phantom.thorax import thorax
from xenograft.errors import UsageError

MIN_SIZE, MAX_SIZE = 64, 1024

_DENSITY = 2.9  # attenuation of the thickest soft tissue, in nepers
_BONE = 0.80  # attenuation of a rib's worth of bone in a thin part
_HARDENED = 0.62  # share of it lost behind the thickest tissue, where the beam is harder
_VESSEL = 0.42


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One image without a name.

    Args:
        pixels: (H, W), uint8 0..255 or uint16 0..4095; air dark, bone bright.
        kind: the lesion's kind, or None.
        mask: lesion, bool (H, W); empty if and only if there is none.
        lungs: lung field free of heart and diaphragm, bool (H, W).
    """

    pixels: Pixels
    kind: str | None
    mask: Mask
    lungs: Mask


@dataclass(frozen=True)
class Patient:
    """What stays the same from film to film: the anatomy, the tissue's grain, the lesion."""

    anatomy: Anatomy
    grain: Floats
    lesion: Lesion | None

    @classmethod
    def draw(cls, kind: str | None, rng: np.random.Generator) -> Patient:
        """A random patient with a lesion of this kind, or with none. The same generator gives the same anatomy
        whatever the kind.

        Raises:
            UsageError: unknown kind.
        """
        if kind is not None and kind not in KINDS:
            raise UsageError(f"unknown lesion kind {kind!r}; use one of {', '.join(KINDS)}", code="E-USAGE-02")
        anatomy = Anatomy.draw(rng)
        grain = rng.standard_normal((10, 10), dtype=np.float32)
        return cls(anatomy, grain, None if kind is None else Lesion.draw(kind, anatomy, rng))


def radiograph(patient: Patient, *, rng: np.random.Generator, size: int = 224, bits: int = 8) -> Radiograph:
    """Take one film of a patient: random position and technique, scatter, noise.

    Args:
        patient: from `Patient.draw`.
        rng: position, technique and noise.
        size: side in pixels, 64..1024.
        bits: 8, or 16 for 12-bit content.

    Raises:
        UsageError: size or bits out of range.
    """
    check_format(size=size, bits=bits)
    canvas, film = _position(rng, size), Film.draw(rng)
    chest = thorax(patient.anatomy, canvas, patient.grain)
    vessels = np.float32(_VESSEL) * chest.vessels
    air = chest.air
    mask = np.zeros((size, size), np.bool_)
    if patient.lesion is not None:
        opacity = patient.lesion.opacity(canvas, chest)
        mask = mask_of(opacity * air, chest)
        air = air * (1 - opacity)
        vessels *= 1 - opacity  # vessels in airless lung have nothing to stand out against
    soft = chest.tissue - air
    bone = np.float32(_BONE) * chest.bone * (1 - np.float32(_HARDENED) * soft)
    attenuation = np.float32(_DENSITY) * soft + bone + vessels
    pixels = expose(np.maximum(attenuation, 0), film, rng, bits=bits)
    return Radiograph(pixels, patient.lesion.kind if patient.lesion else None, mask, chest.lungs)


def check_format(*, size: int, bits: int) -> None:
    """Refuse sizes and depths that cannot be made.

    Raises:
        UsageError: size outside 64..1024, or bits neither 8 nor 16.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"size {size} is not in {MIN_SIZE}..{MAX_SIZE}; choose e.g. 224", code="E-USAGE-02")
    if bits not in FULL_SCALE:
        raise UsageError(f"bits {bits} is not possible; use 8, or 16 for 12-bit content", code="E-USAGE-02")


def _position(rng: np.random.Generator, size: int) -> Canvas:
    angle = rng.normal(0.0, 0.025)
    zoom = rng.uniform(0.93, 1.10)
    shift = (rng.normal(0.0, 0.025), rng.normal(0.0, 0.03))
    return Canvas(size, float(angle), zoom, (float(shift[0]), float(shift[1])))
