"""The power law: recovered exactly, and as scipy's general optimiser finds it on noisy curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

from xenograft.errors import DataError
from xenograft.evaluation.power_law import PowerLaw, fit_power_law

SIZES = np.array([20, 40, 80, 160, 320, 640, 1280])


@pytest.mark.parametrize(
    ("floor", "scale", "exponent"), [(0.03, 1.2, 0.6), (0.0, 0.5, 0.3), (0.1, 3.0, 1.0), (0.2, 40.0, 2.0)]
)
def test_an_exact_law_is_recovered(floor: float, scale: float, exponent: float) -> None:
    law = fit_power_law(SIZES, floor + scale * SIZES**-exponent)
    assert (law.floor, law.scale, law.exponent) == pytest.approx((floor, scale, exponent), rel=2e-3, abs=1e-4)
    assert law.residual < 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_no_general_optimiser_finds_a_better_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = 0.05 + rng.uniform(0.5, 2) * SIZES ** -rng.uniform(0.2, 1.2) + rng.normal(size=7) * 0.01
    roots = np.sqrt(np.arange(1, 8) / 7)
    law = fit_power_law(SIZES, errors)

    def residuals(p: np.ndarray) -> np.ndarray:
        return (p[0] + p[1] * (SIZES / 1280) ** -p[2] - errors) * roots

    bounds = ([0, 0, 0.02], [np.inf, np.inf, 3.0])
    found = [
        least_squares(residuals, [0.02, 0.1, start], bounds=bounds, xtol=1e-12, ftol=1e-12) for start in (0.1, 0.5, 1.5)
    ]
    best = min(2 * float(each.cost) for each in found)
    mine = float((((law.error(SIZES) - errors) * roots) ** 2).sum())
    assert mine <= best * (1 + 1e-4) + 1e-12
    assert law.residual == pytest.approx(math.sqrt(mine / float((roots**2).sum())), rel=1e-6)


def test_larger_sizes_weigh_more() -> None:
    errors = 0.02 + 0.8 * SIZES**-0.5
    first, last = errors.copy(), errors.copy()
    first[0] += 0.02
    last[-1] += 0.02
    truth = 0.02 + 0.8 * 5000**-0.5
    moved = [abs(float(fit_power_law(SIZES, e).error(5000)) - truth) for e in (first, last)]
    assert moved[0] < moved[1]


def test_a_curve_that_does_not_fall_is_a_constant() -> None:
    law = fit_power_law(SIZES, np.linspace(0.1, 0.2, 7))
    assert law.scale == pytest.approx(0, abs=1e-9)
    assert law.error(10) == pytest.approx(float(law.error(10_000)))
    assert law.size(0.05) == math.inf


def test_size_is_the_inverse_of_error() -> None:
    law = PowerLaw(floor=0.03, scale=1.2, exponent=0.6, residual=0.0)
    for size in (10.0, 500.0, 30_000.0):
        assert law.size(float(law.error(size))) == pytest.approx(size)
    assert law.size(0.03) == math.inf
    assert law.size(0.02) == math.inf
    assert law.error(np.array([1.0, 1e9])) == pytest.approx([1.23, 0.03], abs=1e-4)


@pytest.mark.parametrize(
    ("sizes", "errors"),
    [
        ([10, 20, 40], [0.3, 0.2, 0.1]),
        ([10, 20, 40, 40], [0.3, 0.2, 0.1, 0.1]),
        ([0, 20, 40, 80], [0.3, 0.2, 0.1, 0.1]),
        ([10, 20, 40, 80], [0.3, 0.2, math.nan, 0.1]),
        ([10, 20, 40, 80], [0.3, 0.2, 0.1]),
    ],
)
def test_what_no_law_can_be_fitted_to_is_refused(sizes: list[int], errors: list[float]) -> None:
    with pytest.raises(DataError, match="power law"):
        fit_power_law(np.array(sizes), np.array(errors))
