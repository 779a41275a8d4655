"""MMD by tiles against a matrix of all kernels, and its law in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from xenograft.errors import DataError
from xenograft.similarity import feature_sets
from xenograft.similarity.kernel import mmd, mmd_draws


def _by_matrix(a, b, kernel):
    inner_a, inner_b, between = kernel(a, a), kernel(b, b), kernel(a, b)
    n, m = len(a), len(b)
    within = (inner_a.sum() - np.trace(inner_a)) / (n * (n - 1)) + (inner_b.sum() - np.trace(inner_b)) / (m * (m - 1))
    return within - 2 * between.mean()


@pytest.fixture
def sets(monkeypatch):
    monkeypatch.setattr(feature_sets, "BLOCK", 16)
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 6)) + 1, 1.5 * rng.normal(size=(37, 6)) + 2


def test_polynomial_is_the_kid_of_scikit_learns_kernel(sets):
    found = mmd(*sets)
    expected = _by_matrix(*sets, lambda x, y: polynomial_kernel(x, y, degree=3, gamma=1 / 6, coef0=1))
    assert found == {"mmd2": pytest.approx(expected), "bandwidth": None}


def test_rbf_takes_the_median_distance(sets):
    found = mmd(*sets, kernel="rbf")
    sigma = np.median(pdist(np.vstack(sets)))
    assert found["bandwidth"] == pytest.approx(sigma)
    assert found["mmd2"] == pytest.approx(_by_matrix(*sets, lambda x, y: rbf_kernel(x, y, gamma=0.5 / sigma**2)))
    given_ = mmd(*sets, kernel="rbf", bandwidth=2.0)
    assert given_["mmd2"] == pytest.approx(_by_matrix(*sets, lambda x, y: rbf_kernel(x, y, gamma=1 / 8)))


@pytest.mark.parametrize("kernel", ["polynomial", "rbf"])
def test_zero_on_average_for_one_distribution(kernel):
    rng = np.random.default_rng(1)
    found = np.array(
        [mmd(rng.normal(size=(20, 3)), rng.normal(size=(15, 3)), kernel=kernel)["mmd2"] for _ in range(300)]
    )
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(300)
    assert found.min() < 0 < found.max()


def test_rbf_feels_a_shape_that_means_and_covariances_do_not():
    rng = np.random.default_rng(2)
    signs, normal = rng.choice([-1.0, 1.0], size=(400, 1)), rng.normal(size=(400, 1))
    other = rng.normal(size=(400, 1))
    assert mmd(signs, normal, kernel="rbf")["mmd2"] > 10 * abs(mmd(other, normal, kernel="rbf")["mmd2"])


def test_weights_are_rows_taken_several_times(sets):
    a, b = sets
    rng = np.random.default_rng(3)
    left, right = rng.integers(0, 3, size=(2, 50)).astype(float), rng.integers(0, 3, size=(2, 37)).astype(float)
    found = mmd_draws(a, b, left, right, kernel="rbf", bandwidth=3.0)["mmd2"]

    def mean(x, y, weights):
        return np.average(rbf_kernel(x, y, gamma=1 / 18), weights=weights)

    for r in range(2):
        own = [np.outer(w[r], w[r]) * (1 - np.eye(w.shape[1])) for w in (left, right)]
        expected = mean(a, a, own[0]) + mean(b, b, own[1]) - 2 * mean(a, b, np.outer(left[r], right[r]))
        assert found[r] == pytest.approx(expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.1, 10), shift=st.floats(1, 20))
def test_invariances(seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(14, 3)), rng.normal(size=(11, 3)) + 0.5
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for kernel in ("polynomial", "rbf"):
        base = mmd(a, b, kernel=kernel)["mmd2"]
        same = pytest.approx(base, rel=1e-7, abs=1e-10)
        assert mmd(a @ turn, b @ turn, kernel=kernel)["mmd2"] == same
        assert mmd(rng.permutation(a), b, kernel=kernel)["mmd2"] == same
        assert mmd(b, a, kernel=kernel)["mmd2"] == same
        assert (mmd(a + shift, b + shift, kernel=kernel)["mmd2"] == same) is (kernel == "rbf")
    assert mmd(a * scale, b * scale, kernel="rbf")["mmd2"] == same


def test_degenerate_sets(sets):
    same = np.ones((4, 2), dtype=np.float16)
    assert mmd(same, same)["mmd2"] == 0
    with pytest.raises(DataError, match="give a bandwidth"):
        mmd(same, same, kernel="rbf")
    assert mmd(same, same, kernel="rbf", bandwidth=1.0)["mmd2"] == 0
    assert mmd(np.eye(2), 3 * np.eye(2), kernel="rbf")["mmd2"] != 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "linear"}, "polynomial, rbf"),
        ({"kernel": "rbf", "bandwidth": 0.0}, "above 0"),
        ({"bandwidth": 1.0}, "none for the polynomial"),
    ],
)
def test_bad_options_are_refused(sets, options, message):
    with pytest.raises(DataError, match=message):
        mmd(*sets, **options)


def test_bad_arrays_are_refused(sets):
    with pytest.raises(DataError, match="leaves the range"):
        mmd(1e99 * np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(DataError, match="inf"):
        mmd(sets[0], np.full((3, 6), np.inf))
    with pytest.raises(DataError, match="as many as weights_a has"):
        mmd_draws(*sets, np.ones((2, 50)), np.ones((1, 37)))
