"""Attenuation -> pixels: scatter, quantum noise, blur, vignetting, exposure, display curve."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from xenograft.data.phantom.canvas import Floats, blur

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

FULL_SCALE = {8: 255, 16: 4095}  # 16-bit files hold 12-bit content, as detectors deliver


@dataclass(frozen=True, slots=True)
class Film:
    """How one image was taken; drawn without regard to the class.

    Args:
        scatter: scattered part of the signal. photons: quanta per pixel in open air, at 224 px.
        readout: detector noise relative to open air. sharpness: blur in chest units.
        equalise: strength of dynamic range compression. vignette: signal lost in the corners.
        low, high: attenuation shown black and white, as quantiles of the image plus an offset. gamma: display exponent.
        contrast: strength of the S-curve. marker: position and size of the 'L', or None.
    """

    scatter: float
    photons: float
    readout: float
    sharpness: float
    equalise: float
    vignette: float
    low: float
    high: float
    gamma: float
    contrast: float
    marker: tuple[float, float, float] | None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Film:
        """Random technique."""
        u = rng.uniform
        marked = u() < 0.35
        place = (u(0.62, 0.84), u(-0.86, -0.45), u(0.8, 1.5))
        return cls(
            scatter=u(0.02, 0.12),
            photons=float(np.exp(u(np.log(7000), np.log(60000)))),
            readout=u(0.0005, 0.002),
            sharpness=u(0.002, 0.009),
            equalise=u(0.0, 0.45),
            vignette=u(0.0, 0.25),
            low=u(-0.15, 0.25),
            high=u(-0.15, 0.45),
            gamma=u(0.75, 1.35),
            contrast=u(0.0, 0.8),
            marker=place if marked else None,
        )


def expose(attenuation: Floats, film: Film, rng: np.random.Generator, *, bits: int) -> Pixels:
    """Take the image.

    Args:
        attenuation: (H, W), in nepers, at least 0.
        film: technique.
        rng: noise.
        bits: 8 (0..255, uint8) or 16 (0..4095, uint16).
    """
    size = attenuation.shape[0]
    signal = np.exp(-_marked(attenuation, film))
    signal += film.scatter * blur(signal, 0.12 * size)
    signal = blur(signal, film.sharpness * size / 2)
    signal *= 1 - film.vignette * _radius2(size)
    quanta = film.photons * (224 / size) ** 2
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    signal += noise * np.sqrt(signal / np.float32(quanta) + np.float32(film.readout**2))
    shade = -np.log(np.maximum(signal, 1e-3))
    if film.equalise > 0:
        shade -= film.equalise * blur(shade, 0.10 * size)
    return _display(shade, film, bits=bits)


def _radius2(size: int) -> Floats:
    axis = np.linspace(-1, 1, size) ** 2
    return np.asarray((axis[:, None] + axis[None, :]) / 2, np.float32)


def _marked(attenuation: Floats, film: Film) -> Floats:
    if film.marker is None:
        return attenuation
    x, y, scale = film.marker
    size = attenuation.shape[0]
    at = (round((x + 1) * size / 2), round((y + 1) * size / 2))
    lead = np.zeros((size, size), np.uint8)
    thickness = max(1, round(scale * size / 160))
    cv2.putText(lead, "L", at, cv2.FONT_HERSHEY_SIMPLEX, scale * size / 400, (255,), thickness, cv2.LINE_AA)
    return attenuation + lead * np.float32(2.5 / 255)


def _display(shade: Floats, film: Film, *, bits: int) -> Pixels:
    step = max(1, shade.shape[0] // 64)
    dark, bright = np.percentile(shade[::step, ::step], (4, 97))
    span = bright - dark
    low, high = dark + film.low * span, bright + film.high * span
    value = np.clip((shade - np.float32(low)) / np.float32(high - low), 0, 1)
    value = cv2.pow(value, film.gamma)
    value += np.float32(film.contrast) * (value * value * (3 - 2 * value) - value)
    full = FULL_SCALE[bits]
    return _whole(value * np.float32(full), bits)


def _whole(value: Floats, bits: int) -> Pixels:
    rounded = np.round(value)
    return rounded.astype(np.uint8) if bits == 8 else rounded.astype(np.uint16)
