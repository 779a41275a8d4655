"""Anatomy on a canvas -> thickness maps: soft tissue, air, bone, vessels, and the lung field."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xenograft.data.phantom.anatomy import Anatomy
from xenograft.data.phantom.canvas import Canvas, Floats, Mask, blur

_FINE = 160  # below this side, shapes are drawn at twice the size and averaged


@dataclass(frozen=True, slots=True)
class Thorax:
    """What the rays pass, each float32 (H, W); tissue of the thickest part is 1.

    Args:
        tissue: soft tissue as if there were no air. air: part of it that is air instead.
        bone: bone, relative to cortical bone of rib thickness. vessels: lung vessels, 0..1.
        field: lung seen free of heart and diaphragm, 0..1.
    """

    tissue: Floats
    air: Floats
    bone: Floats
    vessels: Floats
    field: Floats

    @property
    def lungs(self) -> Mask:
        """The lung field as a mask (H, W)."""
        return self.field > 0.5


def thorax(anatomy: Anatomy, canvas: Canvas, grain: Floats) -> Thorax:
    """Draw one patient's chest.

    Args:
        anatomy: the patient.
        canvas: pixel grid and position.
        grain: coarse noise (n, n) that makes the tissue uneven.
    """
    if canvas.size >= _FINE:
        return _draw(anatomy, canvas, grain)
    fine = _draw(anatomy, Canvas(2 * canvas.size, canvas.angle, canvas.zoom, canvas.shift), grain)
    layers = (fine.tissue, fine.air, fine.bone, fine.vessels, fine.field)
    side = (canvas.size, canvas.size)
    return Thorax(*(np.asarray(cv2.resize(layer, side, interpolation=cv2.INTER_AREA), np.float32) for layer in layers))


def _draw(anatomy: Anatomy, canvas: Canvas, grain: Floats) -> Thorax:
    unit = canvas.length(1.0)
    lungs = canvas.fill(canvas.blank(), anatomy.lungs())
    heart = blur(canvas.fill(canvas.blank(), [anatomy.heart_outline()]), 0.010 * unit) / np.float32(255)
    tissue = _tissue(anatomy, canvas) * (1 + 0.03 * canvas.spread(grain))
    edge = blur(lungs, 0.006 * unit) / np.float32(255)
    depth = cv2.distanceTransform((lungs > 127).astype(np.uint8), cv2.DIST_L2, 3) / np.float32(0.20 * unit)
    depth = blur(np.sqrt(np.minimum(depth, 1)), 0.02 * unit)
    recess = blur(lungs, 0.07 * unit) / np.float32(255) * (1 - edge)  # lung behind the diaphragm
    air = tissue * (edge * (0.42 + 0.25 * depth) + 0.10 * recess) * (1 - 0.84 * heart)
    air += _other_air(anatomy, canvas) * (1 - edge)
    vessels = _vessels(anatomy, canvas) * edge * (1 - 0.7 * heart)
    return Thorax(tissue, air, _bone(anatomy, canvas), vessels, edge * (1 - heart))


def _tissue(anatomy: Anatomy, canvas: Canvas) -> Floats:
    """Body thickness: an ellipse's chord near the skin, flat inside."""
    unit = canvas.length(1.0)
    body = canvas.fill(canvas.blank(), anatomy.body())
    inside = cv2.distanceTransform((body > 127).astype(np.uint8), cv2.DIST_L2, 5) / np.float32(0.48 * unit)
    rest = 1 - np.minimum(inside, 1)
    return blur(np.sqrt(1 - rest * rest), 0.012 * unit)


def _other_air(anatomy: Anatomy, canvas: Canvas) -> Floats:
    unit = canvas.length(1.0)
    airway = canvas.fill(canvas.blank(), anatomy.airway(), value=30)
    gas = blur(canvas.fill(canvas.blank(), anatomy.gas_bubbles(), value=90), 0.02 * unit)
    return (blur(airway, 0.010 * unit) + gas) / np.float32(255)


def _vessels(anatomy: Anatomy, canvas: Canvas) -> Floats:
    hila = blur(canvas.fill(canvas.blank(), anatomy.hila(), value=95), 0.04 * canvas.length(1.0))
    layer = canvas.fill(canvas.blank(), anatomy.twigs, value=125)
    canvas.fill(layer, anatomy.stems, value=170)
    return (blur(layer, 0.006 * canvas.length(1.0)) + hila) / np.float32(255)


def _bone(anatomy: Anatomy, canvas: Canvas) -> Floats:
    unit = canvas.length(1.0)
    behind, front, rim = canvas.blank(), canvas.blank(), canvas.blank()
    back_ribs, side_ribs = anatomy.ribs(0.10, 1.75), anatomy.ribs(1.12, 2.05)
    canvas.fill(behind, back_ribs, value=120)
    canvas.outline(rim, back_ribs, width=0.006, value=75)
    canvas.fill(front, anatomy.ribs(1.5, 2.45, width=1.1), value=80)
    canvas.fill(front, side_ribs, value=150)
    limbs = anatomy.humeri()
    canvas.fill(behind, limbs, value=85)
    canvas.outline(rim, limbs[::2], width=0.012, value=80)
    clavicles = anatomy.clavicles()
    canvas.fill(front, clavicles, value=165)
    canvas.outline(rim, clavicles, width=0.008, value=80)
    blades = blur(canvas.fill(canvas.blank(), anatomy.scapulae(), value=42), 0.01 * unit)
    soft = blur(np.asarray(cv2.add(cv2.add(behind, front), rim), np.uint8), 0.006 * unit)
    return (soft + blades + _spine(anatomy, canvas)) * np.float32(anatomy.bone / 255)


def _spine(anatomy: Anatomy, canvas: Canvas) -> Floats:
    layer = canvas.blank()
    bodies, pedicles = anatomy.vertebrae()
    canvas.fill(layer, anatomy.skull(), value=60)
    canvas.fill(layer, bodies, value=190)
    canvas.outline(layer, bodies, width=0.008, value=225)
    canvas.fill(layer, pedicles, value=255)
    return blur(layer, 0.008 * canvas.length(1.0))
