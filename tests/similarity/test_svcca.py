"""SVCCA and PWCCA against scikit-learn's CCA, whitened covariances, and angles that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from xenograft.errors import DataError
from xenograft.similarity.svcca import pwcca, svcca

SEEDS = st.integers(0, 2**32 - 1)


def related(rng, rows=60, widths=(6, 8), noise=0.5):
    shared = rng.normal(size=(rows, 3))
    return tuple(
        shared @ rng.normal(size=(3, width)) + noise * rng.normal(size=(rows, width)) + rng.normal() for width in widths
    )


def whitened(x):
    """C^-1/2 by eigenvectors of the covariance."""
    moved = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(moved.T @ moved)
    return moved @ vectors / np.sqrt(values)


@pytest.mark.parametrize("seed", range(3))
def test_of_all_directions_it_is_cca(seed):
    a, b = related(np.random.default_rng(seed))
    found = svcca(a, b, variance=1.0)
    expected = np.linalg.svd(whitened(a).T @ whitened(b), compute_uv=False)
    assert found["kept"] == (6, 8)
    assert found["correlations"] == pytest.approx(expected.tolist(), rel=1e-9)
    assert found["value"] == pytest.approx(expected.mean())


def test_of_leading_directions_it_is_cca_after_pca():
    a, b = related(np.random.default_rng(3), noise=0.2)
    found = svcca(a, b, variance=0.9)
    reduced = [PCA(0.9, svd_solver="full").fit_transform(x) for x in (a, b)]
    assert found["kept"] == tuple(x.shape[1] for x in reduced)
    assert max(found["kept"]) < 5
    count = min(found["kept"])
    left, right = CCA(count, scale=False, max_iter=5000, tol=1e-12).fit_transform(*reduced)
    expected = [np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(count)]
    assert found["correlations"] == pytest.approx(expected, abs=1e-5)


def test_correlations_are_cosines_of_angles_between_subspaces():
    rng = np.random.default_rng(4)
    a, b = (x - x.mean(axis=0) for x in (rng.normal(size=(30, 4)), rng.normal(size=(30, 7))))
    assert svcca(a, b, variance=1)["correlations"] == pytest.approx(np.sort(np.cos(subspace_angles(a, b)))[::-1])


def test_pwcca_weighs_by_what_a_direction_accounts_for():
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(np.c_[np.ones(50), rng.normal(size=(50, 4))])[0][:, 1:]  # centred, orthonormal
    a = basis[:, :2] * [10.0, 1.0]
    b = np.c_[basis[:, 0], 0.6 * basis[:, 1] + 0.8 * basis[:, 2]]
    assert svcca(a, b, variance=1)["value"] == pytest.approx((1 + 0.6) / 2)
    assert pwcca(a, b, variance=1)["value"] == pytest.approx((10 * 1 + 1 * 0.6) / 11)
    assert pwcca(b, a, variance=1)["value"] == pytest.approx((1 * 1 + 1 * 0.6) / 2)


def test_pwcca_against_the_definition():
    a, b = related(np.random.default_rng(6))
    left, right = whitened(a), whitened(b)
    turn, correlations, _ = np.linalg.svd(left.T @ right, full_matrices=False)
    weights = np.array([sum(abs((left @ turn)[:, i] @ (a - a.mean(0))[:, j]) for j in range(6)) for i in range(6)])
    assert pwcca(a, b, variance=1)["value"] == pytest.approx(weights @ correlations / weights.sum())


@given(seed=SEEDS, scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_invariances(seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b = related(rng, rows=30)
    order, turned = rng.permutation(30), scale * (b @ ortho_group.rvs(8, random_state=rng)) + scale * shift
    for measure in (svcca, pwcca):
        value = measure(a, b)["value"]
        assert measure(a, turned)["value"] == pytest.approx(value, abs=1e-7)
        assert measure(a[order], b[order])["value"] == pytest.approx(value, abs=1e-7)
        assert measure(a[:, ::-1], b)["value"] == pytest.approx(value, abs=1e-7)
        assert measure(a, a)["value"] == pytest.approx(1)
        assert 0 <= value <= 1
    assert svcca(b, a)["value"] == pytest.approx(svcca(a, b)["value"])


def test_what_changes_it():
    rng = np.random.default_rng(7)
    a, b = related(rng)
    blown = b * np.r_[1000.0, np.ones(7)]
    assert svcca(a, blown)["kept"][1] == 1
    assert abs(svcca(a, blown)["value"] - svcca(a, b)["value"]) > 0.05
    assert svcca(a, blown, variance=1)["value"] == pytest.approx(svcca(a, b, variance=1)["value"])  # any linear map
    assert pwcca(a @ ortho_group.rvs(6, random_state=rng), b)["value"] != pytest.approx(pwcca(a, b)["value"], abs=1e-4)


def test_more_directions_than_images_is_always_one():
    rng = np.random.default_rng(8)
    found = svcca(rng.normal(size=(10, 40)), rng.normal(size=(10, 3)))
    assert (found["kept"][0], found["images"]) == (9, 10)
    assert found["value"] == pytest.approx(1)


def test_rank_that_is_only_rounding_is_not_kept():
    rng = np.random.default_rng(9)
    low = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 9))
    assert svcca(low + 5, rng.normal(size=(30, 3)), variance=1)["kept"] == (2, 3)


@pytest.mark.parametrize("measure", [svcca, pwcca])
def test_degenerate_input(measure):
    assert measure(np.full((5, 2), 0.1), np.eye(5)) == {
        "value": None,
        "kept": (0, 4),
        "images": 5,
        "correlations": [],
    }
    assert measure([[1.0, 0], [3, 1]], [[5.0], [6]])["value"] == pytest.approx(1)  # two images are one direction
    half = np.random.default_rng(10).normal(size=(20, 4)).astype(np.float16)
    assert measure(half, half[:, :2])["value"] == measure(half.astype(float), half[:, :2].astype(float))["value"]


@pytest.mark.parametrize("measure", [svcca, pwcca])
@pytest.mark.parametrize("variance", [0, -0.5, 1.01, float("nan")])
def test_refuses_a_share_that_is_none(measure, variance):
    with pytest.raises(DataError, match="variance: got"):
        measure(np.eye(3), np.eye(3), variance=variance)


@pytest.mark.parametrize("measure", [svcca, pwcca])
def test_refuses_other_rows_and_nan(measure):
    with pytest.raises(DataError, match="second: got 4 rows"):
        measure(np.eye(3), np.eye(4))
    with pytest.raises(DataError, match="first: got nan"):
        measure([[np.nan], [1]], np.eye(2))
