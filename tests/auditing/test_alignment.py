"""Crops of known place: the fit must find the place, and the match must tell the same picture from another one."""

import cv2
import numpy as np
import pytest
import scipy.fft

from xenograft.auditing.alignment import WAVES, fine_match, high_pass, resampled, rough_fit
from xenograft.data.glance import SIDE


@pytest.fixture(scope="module")
def scenes():
    """(40, 320, 320) smooth random pictures, each finer than a thumbnail's pixels."""
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(40, 320, 320)).astype(np.float32)
    made = [cv2.GaussianBlur(n, (0, 0), 30) * 30 + cv2.GaussianBlur(n, (0, 0), 12) * 4 for n in noise]
    return np.stack([(m - m.min()) / (m.max() - m.min()) for m in made])


def thumbnails(pictures):
    return np.stack([cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in pictures])


@pytest.mark.parametrize(
    ("left", "right", "top", "bottom"), [(0, 0, 0, 0), (16, 16, 16, 16), (20, 0, 0, 0), (0, 30, 24, 0), (10, 20, 0, 16)]
)
def test_a_crop_is_found_in_its_place(scenes, left, right, top, bottom):
    whole = thumbnails(scenes)
    part = thumbnails(0.2 + 0.5 * scenes[:, top : 320 - bottom, left : 320 - right])
    fit, likeness = rough_fit(whole, part)
    # the part's -1..1 lies in the whole at zoom * x + shift
    expected = [1 - (left + right) / 320, (left - right) / 320, 1 - (top + bottom) / 320, (top - bottom) / 320]
    assert np.median(fit, axis=0) == pytest.approx(expected, abs=0.02)  # refined by fine_match
    assert np.median(likeness) > 0.99
    assert np.median(fine_match(whole, part, fit)) > 0.9
    back, _ = rough_fit(part, whole)
    assert np.median(back[:, 0]) == pytest.approx(1 / expected[0], abs=0.02)


def test_other_pictures_do_not_match_however_they_are_fitted(scenes):
    whole = thumbnails(scenes)
    fit, likeness = rough_fit(whole, np.roll(whole, 1, axis=0))
    assert fine_match(whole, np.roll(whole, 1, axis=0), fit).max() < 0.6
    assert np.median(likeness) < 0.8


def test_a_fit_at_its_limits_still_shares_half_of_the_image(scenes):
    whole = thumbnails(scenes)
    far = np.tile(np.array([1.35, 0.3, 1.35, 0.3], np.float32), (len(whole), 1))
    match = fine_match(whole, whole, far)
    assert np.isfinite(match).all()
    assert np.abs(match).max() <= 1


def test_waves_are_those_of_scipy_and_smoothing_is_gaussian():
    line = np.random.default_rng(0).normal(size=SIDE)
    assert WAVES @ line == pytest.approx(scipy.fft.dct(line, norm="ortho"), abs=1e-5)
    picture = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    blurred = [cv2.GaussianBlur(picture, (31, 31), s, borderType=cv2.BORDER_REFLECT) for s in (0.4, 1.0)]
    ours = WAVES.T @ (high_pass(SIDE) * (WAVES @ picture @ WAVES.T)) @ WAVES
    # a Gaussian sampled at 0.4 pixels is not quite the continuous one
    assert np.corrcoef(ours.ravel(), (blurred[0] - blurred[1]).ravel())[0, 1] > 0.98


def test_resampled_waves_see_the_crop():
    line = np.sin(np.linspace(0, 3, SIDE))
    zoom, shift = 0.9, 0.1
    axis = (np.arange(SIDE) + 0.5) * 2 / SIDE - 1
    crop = np.interp(zoom * axis + shift, axis, line)
    assert resampled(WAVES[:8], zoom, shift) @ line == pytest.approx(WAVES[:8] @ crop, abs=1e-4)
