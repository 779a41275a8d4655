"""(pairs of thumbnails) -> zoom and shift between them, and how alike they are in fine detail. Finds crops."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from xenograft.data.glance import SIDE

Floats = NDArray[np.float32]

_BAND = (0.4, 1.0)  # in thumbnail pixels: what is finer is resampling, what is coarser is anatomy that all share
_ROUGH, _FINE, _STEPS = 2.0, (1.2, 0.7), 3  # smoothing in thumbnail pixels, steps of alignment at each
_RIDGE = 1e-3
_ZOOM, _SHIFT, _FARTHEST = 1.35, 0.3, 0.1

WAVES: Floats = scipy.fft.dct(np.eye(SIDE), norm="ortho", axis=0).astype(np.float32)
"""(32, 32) cosine transform, a frequency a row: with borders that reflect, smoothing is a factor per frequency."""


def rough_fit(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """How to get from `a` to `b`, by what is seen from afar (Lucas and Kanade 1981, brightness and contrast free).

    Args:
        a, b: (P, 32, 32) thumbnails.

    Returns:
        (P, 4) zoom and shift in x, then in y: what `b` shows at x is in `a` at zoom * x + shift, in -1..1 over the
        image; and (P,) correlation of the smoothed images after that.
    """
    small_a, small_b = (_halved(_blurred(images, _ROUGH)) for images in (a, b))
    fit = _fitted(small_a, small_b, np.tile(np.array([1, 0, 1, 0], np.float32), (len(a), 1)))
    return fit, _alike(small_a, small_b, fit)


def fine_match(a: Floats, b: Floats, fit: Floats) -> Floats:
    """(P,) correlation of the high-passed thumbnails over what both show, after the fit was refined."""
    for sigma in _FINE:
        fit = _fitted(_blurred(a, sigma), _blurred(b, sigma), fit)
    return _alike(_high_passed(a), _high_passed(b), fit)


def resampled(waves: Floats, zoom: float, shift: float) -> Floats:
    """(K, 32) waves that give of a whole line what `waves` (K, 32) give of the part at zoom * x + shift."""
    return np.asarray(waves @ _weights((_axis(SIDE) * zoom + shift)[None], cubic=False)[0], dtype=np.float32)


def high_pass(size: int) -> Floats:
    """(size, size) factors of the lowest frequencies that leave the fine detail of a thumbnail."""
    fine, coarse = (_smoothing(sigma)[:size] for sigma in _BAND)
    return np.asarray(np.outer(fine, fine) - np.outer(coarse, coarse), dtype=np.float32)


def _smoothing(sigma: float) -> Floats:
    return np.exp(-0.5 * (sigma * np.pi * np.arange(SIDE) / SIDE) ** 2).astype(np.float32)


def _blurred(images: Floats, sigma: float) -> Floats:
    matrix = (WAVES.T * _smoothing(sigma)) @ WAVES
    return np.asarray(matrix @ images @ matrix, dtype=np.float32)


def _high_passed(images: Floats) -> Floats:
    return _blurred(images, _BAND[0]) - _blurred(images, _BAND[1])


def _fitted(a: Floats, b: Floats, fit: Floats) -> Floats:
    for _ in range(_STEPS):
        fit = fit + _step(a, b, fit)
        fit[:, ::2] = np.clip(fit[:, ::2], 1 / _ZOOM, _ZOOM)
        fit[:, 1::2] = np.clip(fit[:, 1::2], -_SHIFT, _SHIFT)
    return fit


def _alike(a: Floats, b: Floats, fit: Floats) -> Floats:
    """(P,) correlation over what both show: half of an image or more, by the limits of zoom and shift."""
    warped, inside = _warped(a, fit, cubic=True)
    together = (_standard(warped, inside) * _standard(b, inside) * inside).mean(axis=(1, 2))
    return np.asarray(together / inside.mean(axis=(1, 2)), dtype=np.float32)


def _step(a: Floats, b: Floats, fit: Floats) -> Floats:
    """(P, 4) one Gauss-Newton step, brightness and contrast matched over what both show."""
    axis = _axis(a.shape[1])
    warped, inside = _warped(a, fit, cubic=False)
    image, target = _standard(warped, inside), _standard(b, inside)
    slope_y, slope_x = np.gradient(image, 2 / len(axis), axis=(1, 2))
    change = np.stack([slope_x * axis, slope_x, slope_y * axis[:, None], slope_y], axis=1) * inside[:, None]
    change = change.reshape(len(a), 4, -1)
    square = change @ change.transpose(0, 2, 1)
    ridge = _RIDGE * np.trace(square, axis1=1, axis2=2)[:, None, None] + 1e-6
    towards = change @ ((target - image) * inside).reshape(len(a), -1, 1)
    step = np.linalg.solve(square + np.eye(4) * ridge, towards)[:, :, 0]
    return np.clip(step, -_FARTHEST, _FARTHEST).astype(np.float32)


def _warped(images: Floats, fit: Floats, *, cubic: bool) -> tuple[Floats, Floats]:
    """(P, S, S) images taken at zoom * axis + shift, and 1 where that lies inside them, else 0."""
    at_x, at_y = (fit[:, k, None] * _axis(images.shape[1]) + fit[:, k + 1, None] for k in (0, 2))
    inside = (np.abs(at_y) <= 1)[:, :, None] & (np.abs(at_x) <= 1)[:, None, :]
    warped = _weights(at_y, cubic=cubic) @ images @ _weights(at_x, cubic=cubic).transpose(0, 2, 1)
    return np.asarray(warped, dtype=np.float32), inside.astype(np.float32)


def _weights(at: Floats, *, cubic: bool) -> Floats:
    """(P, S, S) rows of interpolation at places in [-1, 1]: linear, or cubic (Keys 1981, a = -1/2)."""
    side = at.shape[1]
    place = np.clip((at + 1) * (side / 2) - 0.5, 0, side - 1)
    away = np.abs(place[:, :, None] - np.arange(side, dtype=np.float32))
    if not cubic:
        return np.asarray(np.maximum(0, 1 - away), dtype=np.float32)
    near = (1.5 * away - 2.5) * away**2 + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    kernel = np.where(away <= 1, near, np.where(away < 2, far, 0))
    return np.asarray(kernel / kernel.sum(axis=2, keepdims=True), dtype=np.float32)


def _axis(side: int) -> Floats:
    return ((np.arange(side) + 0.5) * (2 / side) - 1).astype(np.float32)


def _halved(images: Floats) -> Floats:
    half = SIDE // 2
    return np.asarray(images.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)), dtype=np.float32)


def _standard(images: Floats, inside: Floats) -> Floats:
    """Mean 0 and deviation 1 over what is inside."""
    weight = np.maximum(1, inside.sum(axis=(1, 2), keepdims=True))
    centred = images - (images * inside).sum(axis=(1, 2), keepdims=True) / weight
    deviation = np.sqrt((centred**2 * inside).sum(axis=(1, 2), keepdims=True) / weight)
    standard: Floats = centred / np.maximum(1e-6, deviation)
    return standard
