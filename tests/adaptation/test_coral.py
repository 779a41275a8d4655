"""CORAL: against an independent implementation, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from xenograft.adaptation.coral import fit_coral
from xenograft.errors import DataError

RNG = np.random.default_rng(0)
SOURCE = RNG.normal(size=(60, 6)) @ RNG.normal(size=(6, 6)) + 3
TARGET = RNG.normal(size=(45, 6)) @ RNG.normal(size=(6, 6)) - 1


def by_hand(source: np.ndarray, target: np.ndarray, ridge: float, *, means: bool) -> np.ndarray:
    """Algorithm 1 of Sun et al. with scipy's matrix square root in place of an eigendecomposition."""
    covariances = []
    for rows in (source, target):
        plain = np.cov(rows.T)
        covariances.append(plain + ridge * np.trace(plain) / len(plain) * np.eye(len(plain)))
    first, second = (np.real(sqrtm(each)) for each in covariances)
    centred = (source - source.mean(axis=0)) @ np.linalg.inv(first) @ second
    return centred + (target if means else source).mean(axis=0)


@pytest.mark.parametrize("ridge", [1.0, 1e-3])
@pytest.mark.parametrize("means", [True, False])
def test_it_is_the_papers_algorithm(ridge: float, *, means: bool) -> None:
    found = fit_coral(SOURCE, TARGET, ridge=ridge, align_means=means).apply(SOURCE)
    assert found.dtype == np.float32
    assert found == pytest.approx(by_hand(SOURCE, TARGET, ridge, means=means), rel=1e-4, abs=1e-4)


def test_without_a_ridge_covariances_and_means_become_equal() -> None:
    found = fit_coral(SOURCE, TARGET, ridge=1e-9).apply(SOURCE).astype(np.float64)
    assert np.cov(found.T) == pytest.approx(np.cov(TARGET.T), rel=1e-4, abs=1e-4)
    assert found.mean(axis=0) == pytest.approx(TARGET.mean(axis=0), abs=1e-5)


def test_equal_domains_stay_as_they_are() -> None:
    assert fit_coral(SOURCE, SOURCE[::-1]).apply(SOURCE) == pytest.approx(SOURCE, abs=1e-5)


@pytest.mark.parametrize("ridge", [1.0, 1e-6])
def test_a_scaled_and_moved_domain_is_met_exactly(ridge: float) -> None:
    target = 2.5 * SOURCE + 7
    assert fit_coral(SOURCE, target, ridge=ridge).apply(SOURCE) == pytest.approx(target, rel=1e-5)


def test_rotation_scale_and_translation_go_through() -> None:
    turn = ortho_group.rvs(6, random_state=1)
    plain = fit_coral(SOURCE, TARGET).apply(SOURCE)
    moved = fit_coral(3 * SOURCE @ turn + 2, 3 * TARGET @ turn + 2).apply(3 * SOURCE @ turn + 2)
    assert moved == pytest.approx(3 * plain @ turn + 2, rel=1e-4, abs=1e-3)


def test_the_order_of_rows_does_not_matter() -> None:
    found = fit_coral(SOURCE[::-1], TARGET[::-1]).apply(SOURCE)
    assert found == pytest.approx(fit_coral(SOURCE, TARGET).apply(SOURCE), abs=1e-5)


def test_more_features_than_images() -> None:
    wide = RNG.normal(size=(8, 40))
    assert np.isfinite(fit_coral(wide, 2 * wide[:5]).apply(wide)).all()


@pytest.mark.parametrize(
    ("source", "target", "ridge"),
    [
        (SOURCE, TARGET[:, :5], 1.0),
        (SOURCE[:1], TARGET, 1.0),
        (SOURCE, np.ones((4, 6)), 1.0),
        (np.full((4, 6), np.nan), TARGET, 1.0),
        (SOURCE, TARGET, 0.0),
        (SOURCE, TARGET, float("inf")),
    ],
)
def test_bad_input(source: np.ndarray, target: np.ndarray, ridge: float) -> None:
    with pytest.raises(DataError):
        fit_coral(source, target, ridge=ridge)


def test_other_features_cannot_be_mapped() -> None:
    with pytest.raises(DataError, match=r"\(N, 6\)"):
        fit_coral(SOURCE, TARGET).apply(SOURCE[:, :5])
