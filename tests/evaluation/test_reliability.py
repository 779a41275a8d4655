import json
import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm

from xenograft.errors import DataError
from xenograft.evaluation.calibration import calibration_metrics
from xenograft.evaluation.reliability import (
    FEWEST,
    INTERVALS,
    clustered_wilson,
    equal_mass,
    equal_width,
    reliability,
    smooth_error,
)
from xenograft.evaluation.uncertainty import wilson


def drawn(n=300, seed=0, slope=1.0):
    """Labels drawn from the true probability, scores whose log-odds are `slope` times the true ones."""
    rng = np.random.default_rng(seed)
    log_odds = 2 * rng.normal(size=n)
    return (rng.random(n) < expit(log_odds)).astype(int), expit(slope * log_odds)


def folded_kernel(t, scores, bandwidth):
    """Gaussian around each score and its mirror images beyond 0 and 1: (T, N)."""
    images = np.stack([sign * scores + 2 * k for k in range(-2, 3) for sign in (1, -1)])
    return (
        np.exp(-0.5 * ((t[:, None, None] - images) / bandwidth) ** 2).sum(axis=1) / bandwidth / math.sqrt(2 * math.pi)
    )


def error_at(labels, scores, bandwidth):
    grid = np.linspace(0, 1, 2001)
    return np.trapezoid(np.abs((folded_kernel(grid, scores, bandwidth) * (labels - scores)).mean(axis=1)), grid)


@pytest.mark.parametrize(("n", "seed", "slope"), [(12, 0, 1.0), (40, 1, 3.0), (60, 2, 0.3)])
def test_smooth_error_is_the_fixed_point_of_the_definition(n, seed, slope):
    labels, scores = drawn(n, seed, slope)
    (error,), (bandwidth,) = smooth_error(scores, (labels - scores)[None] / n)
    expected = brentq(lambda s: error_at(labels, scores, s) - s, 0.005, 1, xtol=1e-4)
    assert bandwidth == pytest.approx(expected, abs=2e-4)
    assert error == pytest.approx(error_at(labels, scores, bandwidth), abs=2e-5)
    assert error == pytest.approx(bandwidth, abs=1e-4)


def test_a_small_smooth_error_needs_the_fine_transform():
    scores = np.r_[np.full(50, 0.004), np.full(50, 0.99)]
    labels = np.repeat([0, 1], 50)
    (error,), (bandwidth,) = smooth_error(scores, (labels - scores)[None] / 100)
    assert error == pytest.approx(0.007, rel=1e-3)  # 0.004 / 2 + 0.01 / 2: nothing cancels
    assert bandwidth == pytest.approx(0.007, rel=1e-3)


def test_curve_lies_as_far_from_the_diagonal_as_the_smooth_error_says():
    labels, scores = drawn(2000, slope=2.0)
    curve = reliability(labels, scores, np.arange(2000), resamples=20, rng=np.random.default_rng(0)).curve
    gap = np.array([abs(y - t) if y is not None else 0 for y, t in zip(curve.share, curve.scores, strict=True)])
    assert np.trapezoid(curve.density, curve.scores) == pytest.approx(1, abs=1e-4)
    distance = np.trapezoid(gap * curve.density, curve.scores)
    assert distance == pytest.approx(calibration_metrics(labels, scores)["smooth_ece"], rel=0.01)


def test_curve_is_the_score_plus_the_kernel_mean_of_the_residual():
    labels, scores = drawn(500, slope=0.7)
    curve = reliability(labels, scores, np.arange(500), resamples=20, rng=np.random.default_rng(0)).curve
    for k in (20, 40, 64, 101):
        (kernel,) = folded_kernel(np.array([curve.scores[k]]), scores, curve.bandwidth)
        assert curve.density[k] == pytest.approx(kernel.mean(), rel=1e-3)
        expected = curve.scores[k] + (kernel * (labels - scores)).sum() / kernel.sum()
        assert curve.share[k] == pytest.approx(expected, abs=1e-4)
        assert curve.low[k] < curve.share[k] < curve.high[k]


def test_curve_is_undefined_where_there_are_no_images():
    labels, scores = drawn(400)
    curve = reliability(labels, 0.2 + 0.2 * scores, np.arange(400), resamples=20, rng=np.random.default_rng(0)).curve
    reach = 400 * np.array(curve.density) * curve.bandwidth * 2 * math.sqrt(math.pi)
    shown = np.array([value is not None for value in curve.share])
    assert np.array_equal(shown, reach >= FEWEST)
    assert shown[INTERVALS * 3 // 10]
    assert not shown[-1]
    for column in (curve.low, curve.high):
        assert [value is not None for value in column] == shown.tolist()


def test_curve_stays_a_probability():
    curve = reliability(
        np.ones(50, dtype=int), np.full(50, 0.8), np.arange(50), resamples=20, rng=np.random.default_rng(0)
    ).curve
    shares = [value for value in curve.share if value is not None]
    assert max(shares) == 1
    assert curve.bandwidth == pytest.approx(0.2, abs=1e-4)


def test_diagram():
    labels, scores = drawn(300)
    patients = np.arange(300) // 2
    got = reliability(labels, scores, patients, resamples=50, rng=np.random.default_rng(1))
    assert (got.n, got.patients, got.resamples, got.level) == (300, 150, 50, 0.95)
    assert [b.n for b in got.bins] == [30] * 10
    assert sum(got.positives) == labels.sum()
    assert np.array_equal(got.negatives, np.histogram(scores[labels == 0], bins=20, range=(0, 1))[0])
    for k, one in enumerate(got.bins):
        inside = np.sort(scores)[30 * k : 30 * k + 30]
        assert (one.score_low, one.score_high) == (inside[0], inside[-1])
        assert one.score == pytest.approx(inside.mean())
        members = np.isin(scores, inside)
        assert one.share == pytest.approx(labels[members].mean())
        assert one.patients == np.unique(patients[members]).size
        assert one.low <= one.share <= one.high
    again = reliability(labels, scores, patients, resamples=50, rng=np.random.default_rng(1))
    assert again == got
    assert json.loads(json.dumps(got.as_json(), allow_nan=False))["bins"][3]["n"] == 30


def test_copies_of_images_of_a_patient_narrow_neither_bins_nor_band():
    labels, scores = drawn(300)
    once = reliability(labels, scores, np.arange(300), resamples=200, rng=np.random.default_rng(1))
    copied = [np.repeat(a, 3) for a in (labels, scores, np.arange(300))]
    thrice = reliability(*copied, resamples=200, rng=np.random.default_rng(1))
    for one, three in zip(once.bins, thrice.bins, strict=True):
        assert three.n == 3 * one.n
        assert three.high - three.low >= 0.98 * (one.high - one.low)
    middle = INTERVALS // 2
    assert thrice.curve.low[middle] == pytest.approx(once.curve.low[middle], abs=1e-9)


def test_clustered_wilson():
    single = np.ones(20)
    for positives in (0, 3, 20):
        interval = clustered_wilson((np.arange(20) < positives).astype(float), single)
        # n - 1 in the variance between patients makes the effective number one in twenty smaller
        assert interval == pytest.approx(wilson(positives, 20), abs=0.007)
    assert clustered_wilson(np.zeros(5), np.full(5, 4.0)) == pytest.approx(wilson(0, 5))
    assert clustered_wilson(np.array([3.0]), np.array([4.0])) == pytest.approx(
        (0.75 + (z2 := norm.ppf(0.975) ** 2) / 2 + np.array([-1, 1]) * math.sqrt(z2 * (0.1875 + z2 / 4))) / (1 + z2)
    )
    alike = clustered_wilson(np.repeat([4.0, 0.0], 5), np.full(10, 4.0))  # patients of one class: ten images' worth
    assert alike == pytest.approx(wilson(5, 10), abs=0.02)
    assert clustered_wilson(np.full(10, 2.0), np.full(10, 4.0)) == pytest.approx(wilson(20, 40))  # never narrower


def covered(images_each, rng, *, runs):
    """How often the clustered and the plain interval hold the share, 100 images, patients alike within."""
    hits = np.zeros(2)
    for _ in range(runs):
        risk = np.clip(rng.beta(1.2, 2.8, 100 // images_each), 0, 1)  # mean 0.3
        positives = rng.binomial(images_each, risk).astype(float)
        images = np.full(positives.size, float(images_each))
        for k, (low, high) in enumerate((clustered_wilson(positives, images), wilson(int(positives.sum()), 100))):
            hits[k] += low <= 0.3 <= high
    return hits / runs


def test_coverage_of_bins_with_several_images_per_patient():
    clustered, plain = covered(4, np.random.default_rng(3), runs=2000)
    assert 0.92 <= clustered <= 0.97
    assert plain < 0.88
    clustered, plain = covered(1, np.random.default_rng(3), runs=2000)
    assert 0.93 <= clustered <= 0.97


def test_bins_keep_ties_together():
    scores = np.array([0.5, 0.1, 0.5, 0.5, 0.9, 0.1])
    assert equal_mass(scores, 3).tolist() == [1, 0, 1, 1, 2, 0]
    assert equal_mass(scores, 1).tolist() == [0] * 6
    assert equal_mass(scores, 100).tolist() == [1, 0, 1, 1, 2, 0]
    assert equal_mass(np.full(4, 0.3), 10).tolist() == [0] * 4
    assert np.bincount(equal_mass(np.random.default_rng(0).random(103), 10)).tolist() == [
        11,
        10,
        10,
        11,
        10,
        10,
        11,
        10,
        10,
        10,
    ]


def test_equal_width_is_closed_on_the_right():
    assert equal_width(np.array([0, 0.1, 0.100001, 0.5, 0.95, 1]), 10).tolist() == [0, 0, 1, 4, 9, 9]


def test_unusable_input():
    labels, scores = drawn(30)
    with pytest.raises(DataError, match="bins: got 0"):
        reliability(labels, scores, np.arange(30), bins=0, rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="patients"):
        reliability(labels, scores, np.arange(29), rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="scores: got values"):
        reliability(labels, scores + 1, np.arange(30), rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="level"):
        reliability(labels, scores, np.arange(30), resamples=5, rng=np.random.default_rng(0), level=95)
