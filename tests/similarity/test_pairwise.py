"""D of Eq. 9 against scipy, and what each distance does and does not feel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

from xenograft.errors import DataError
from xenograft.similarity import feature_sets, pair_sums
from xenograft.similarity import pairwise as module
from xenograft.similarity.covariance import pooled_covariance
from xenograft.similarity.feature_sets import check_features
from xenograft.similarity.pairwise import DISTANCES, pairwise, pairwise_draws

SCIPY = {
    "euclidean": ("euclidean", 1), "sqeuclidean": ("sqeuclidean", 1), "cosine": ("cosine", 1),
    "mahalanobis": ("mahalanobis", 1), "sqmahalanobis": ("mahalanobis", 2),
}  # fmt: skip


@pytest.fixture
def small_tiles(monkeypatch):
    """Several tiles, the last ones narrow, in several panels, the last one of fewer blocks."""
    monkeypatch.setattr(feature_sets, "BLOCK", 17)
    monkeypatch.setattr(pair_sums, "_PANEL", 3 * 17 * 8)


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 8)) + 3, 2 * rng.normal(size=(45, 8)) + 3.5


def _pooled(a, b):
    return ((len(a) * np.cov(a.T, bias=True)) + len(b) * np.cov(b.T, bias=True)) / (len(a) + len(b))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("distance", DISTANCES)
def test_means_are_those_of_scipy(sets, small_tiles, monkeypatch, distance, single):
    monkeypatch.setattr(module, "_FEW_PAIRS", 0 if single else 1 << 40)
    a, b = sets
    metric, power = SCIPY[distance]
    options = {"VI": np.linalg.inv(_pooled(a, b))} if metric == "mahalanobis" else {}
    found = pairwise(a, b, distance=distance, shrinkage=0.0)
    within = [np.mean(pdist(each, metric, **options) ** power) for each in (a, b)]
    between = np.mean(cdist(a, b, metric, **options) ** power)
    precise = pytest.approx if not single else (lambda value: pytest.approx(value, rel=2e-6))
    assert found["between"] == precise(between)
    assert found["within_a"] == precise(within[0])
    assert found["within_b"] == precise(within[1])
    assert found["excess"] == pytest.approx(between - np.mean(within), rel=1e-4 if single else 1e-9)
    assert found["ratio"] == precise(between / np.mean(within))
    assert found["inhomogeneity"] == pytest.approx(1 - np.mean(within) / between, rel=1e-4 if single else 1e-9)


def test_worked_values():
    a, b = np.array([[0.0, 0.0], [0.0, 2.0]]), np.array([[3.0, 0.0], [3.0, 4.0]])
    found = pairwise(a, b)
    between = (3 + 5 + np.sqrt(13) + np.sqrt(13)) / 4
    assert (found["within_a"], found["within_b"]) == (pytest.approx(2), pytest.approx(4))
    assert found["between"] == pytest.approx(between)
    assert found["excess"] == pytest.approx(between - 3)
    assert pairwise(a, b, distance="sqeuclidean")["excess"] == pytest.approx((9 + 25 + 13 + 13) / 4 - (4 + 16) / 2)


def test_float32_tiles_stay_exact_where_products_cancel(monkeypatch):
    """Tight clusters far from each other: the expanded square alone would lose every digit."""
    monkeypatch.setattr(module, "_FEW_PAIRS", 0)
    rng = np.random.default_rng(1)
    far = 1e3 * rng.normal(size=(4, 16))
    a = far[rng.integers(4, size=80)] + 1e-3 * rng.normal(size=(80, 16))
    found = pairwise(a, a[::-1])
    assert found["within_a"] == pytest.approx(pdist(a).mean(), rel=1e-6)
    one = a[np.linalg.norm(a - far[0], axis=1) < 1]
    assert pairwise(one, one + 1e4)["within_a"] == pytest.approx(pdist(one).mean(), rel=1e-6)
    twice = np.vstack([one, one])
    assert pairwise(twice, one)["within_a"] == pytest.approx(pdist(twice).mean(), rel=1e-6)


def _clusters(rng, spread):
    far = rng.normal(size=(3, 64))
    return [far[rng.integers(3, size=count)] + spread * rng.normal(size=(count, 64)) for count in (400, 500)]


def _hard(name):
    """Sets on which products in float32 lose digits."""
    rng = np.random.default_rng(5)
    a, b, wide = rng.normal(size=(400, 64)), 2 * rng.normal(size=(500, 64)) + 0.1, rng.normal(size=(300, 512))
    outlier = a.copy()
    outlier[0] *= 1e4
    return {
        "wide": lambda: (wide, np.maximum(wide[::-1] - 1, 0)),
        "float16": lambda: ((a + 3).astype(np.float16), (b + 3).astype(np.float16)),
        "tiny": lambda: (1e-30 * a, 1e-30 * b),
        "huge": lambda: (1e30 * a, 1e30 * b),
        "one tiny": lambda: (1e-12 * a, b),
        "far from the origin": lambda: (a + 1e6, b + 1e6),
        "far apart": lambda: (a + 1e6, b - 1e6),
        "one outlier": lambda: (outlier, b),
        "heavy tails": lambda: (rng.standard_t(1.5, size=a.shape), rng.standard_t(1.5, size=b.shape)),
        "each row five times": lambda: (np.repeat(a[:80], 5, axis=0), np.repeat(a[:100], 5, axis=0)),
        "each row nearly twice": lambda: (np.vstack([a, a + 1e-6 * a[::-1]]), a + 1e-5 * a[::-1]),
        "some pairs of rows": lambda: (np.vstack([wide, wide[:9] + 1e-4]), wide + 5),
        "two columns": lambda: (a[:, :2], b[:, :2]),
        "two rows": lambda: (np.vstack([a[0] + 0.04 * a[1], a[0] + 0.04 * a[2]]), a[0] + 0.03 * b),
        **{f"clusters {spread}": lambda spread=spread: _clusters(rng, spread) for spread in (0.003, 0.02, 0.04, 0.2)},
    }[name]()


@pytest.mark.parametrize(
    "name",
    [
        "wide", "float16", "tiny", "huge", "one tiny", "far from the origin", "far apart", "one outlier", "heavy tails",
        "each row five times", "each row nearly twice", "some pairs of rows", "two columns", "two rows",
        "clusters 0.003", "clusters 0.02", "clusters 0.04", "clusters 0.2",
    ],
)  # fmt: skip
def test_float32_means_are_those_of_brute_force(monkeypatch, name):
    monkeypatch.setattr(module, "_FEW_PAIRS", 0)
    a, b = _hard(name)
    found = pairwise(a, b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    expected = {"between": cdist(a, b).mean(), "within_a": pdist(a).mean(), "within_b": pdist(b).mean()}
    assert {each: found[each] for each in expected} == pytest.approx(expected, rel=3e-7)


def test_extent_is_that_of_the_transformed_rows(small_tiles):
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(60, 8)) - 2
    extent = check_features(rows).then(lambda block: block**3).extent()
    assert extent.mean == pytest.approx((rows**3).mean(axis=0))
    for centre in (extent.mean, np.full(8, -50.0), np.full(8, 50.0)):
        assert extent.reach(centre) == pytest.approx(np.abs(rows**3 - centre).max())


def test_weights_are_rows_taken_several_times(sets, small_tiles):
    a, b = sets
    rng = np.random.default_rng(2)
    left, right = rng.integers(0, 4, size=(3, len(a))), rng.integers(0, 4, size=(3, len(b)))
    for distance in DISTANCES:
        found = pairwise_draws(a, b, left, right, distance=distance, covariance=np.diag(np.arange(1.0, 9)))
        if distance in {"mahalanobis", "sqmahalanobis"}:
            x, y = (each / np.sqrt(np.arange(1.0, 9)) for each in sets)
        else:
            x, y = sets
        metric = {"mahalanobis": "euclidean", "sqmahalanobis": "sqeuclidean"}.get(distance, distance)
        for r in range(3):
            between = np.average(cdist(x, y, metric), weights=np.outer(left[r], right[r]))
            pairs = np.outer(left[r], left[r]) * (1 - np.eye(len(a)))
            assert found["between"][r] == pytest.approx(between)
            assert found["within_a"][r] == pytest.approx(np.average(cdist(x, x, metric), weights=pairs))


def test_equal_distributions_have_no_excess_on_average():
    rng = np.random.default_rng(3)
    found = [pairwise(rng.normal(size=(20, 3)), rng.normal(size=(12, 3)))["excess"] for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20


@pytest.mark.parametrize("distance", DISTANCES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_invariances(distance, seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(15, 4)) + 1, rng.normal(size=(12, 4)) * [1, 2, 3, 4]
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    base = pairwise(a, b, distance=distance)

    def same(x, y, factor=1.0):
        found = pairwise(x, y, distance=distance)
        return found["between"] == pytest.approx(factor * base["between"], rel=1e-7) and (
            found["ratio"] == pytest.approx(base["ratio"], rel=1e-7)
        )

    factor = {"euclidean": scale, "sqeuclidean": scale**2}.get(distance, 1.0)
    assert same(a @ turn, b @ turn)
    assert same(scale * a, scale * b, factor)
    assert same(rng.permutation(a), rng.permutation(b))
    columns = rng.permutation(4)
    assert same(a[:, columns], b[:, columns])
    if abs(shift) > 0.1:
        assert same(a + shift, b + shift) is (distance != "cosine")
    if distance == "cosine":
        assert same(a * rng.uniform(0.1, 9, size=(15, 1)), b)
    if distance in {"mahalanobis", "sqmahalanobis"}:
        mixed = rng.normal(size=(4, 4)) + 4 * np.eye(4)
        plain, linear = (
            pairwise(x, y, distance=distance, shrinkage=0.0)["between"] for x, y in ((a, b), (a @ mixed, b @ mixed))
        )
        assert linear == pytest.approx(plain, rel=1e-6)


def test_shrinkage_is_that_of_scikit_learn(sets, small_tiles):
    from sklearn.covariance import ledoit_wolf

    for rows in (60, 6):
        a, b = sets[0][:rows], sets[1][:rows]
        centred = np.vstack([a - a.mean(axis=0), b - b.mean(axis=0)])
        expected = ledoit_wolf(centred, assume_centered=True)[0]
        assert pooled_covariance(check_features(a), check_features(b)) == pytest.approx(expected)


def test_type_and_size_do_not_matter(sets):
    a, b = (each.astype(np.float16) for each in sets)
    assert pairwise(a, b) == pairwise(a.astype(np.float64), b.astype(np.float64))
    huge = pairwise(a.astype(np.float64) * 1e90, b.astype(np.float64) * 1e90)
    assert huge["between"] == pytest.approx(1e90 * pairwise(a, b)["between"])
    assert pairwise(np.array([[1, 0], [0, 1]]), np.array([[1, 1], [0, 3]]))["within_a"] == pytest.approx(np.sqrt(2))


def test_constant_features(sets):
    same = np.ones((5, 3))
    for distance in ("euclidean", "sqeuclidean", "cosine"):
        found = pairwise(same, same, distance=distance)
        assert (found["between"], found["within_a"], found["ratio"], found["inhomogeneity"]) == (0, 0, None, None)
    assert pairwise(same, same + 1)["between"] == pytest.approx(np.sqrt(3))
    with pytest.raises(DataError, match="constant features"):
        pairwise(same, same, distance="mahalanobis")
    one_constant = [np.hstack([each, np.ones((len(each), 1))]) for each in sets]
    assert pairwise(*one_constant, distance="mahalanobis")["between"] > 0
    with pytest.raises(DataError, match="cannot be inverted"):
        pairwise(*one_constant, distance="mahalanobis", shrinkage=0.0)


def test_fewer_rows_than_features():
    rng = np.random.default_rng(4)
    found = pairwise(rng.normal(size=(2, 50)), rng.normal(size=(2, 50)), distance="mahalanobis")
    assert np.isfinite(found["between"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": np.full((4, 2), np.nan)}, "nan among rows 0 to 3"),
        ({"a": np.full((4, 2), -np.inf)}, "-inf"),
        ({"a": np.ones((4, 3))}, "2 columns; allowed: as many as a has, 3"),
        ({"a": np.ones((1, 2))}, "N >= 2"),
        ({"a": np.ones(4)}, r"shape \(4,\)"),
        ({"a": np.array([["x", "y"], ["z", "w"]])}, "real numbers"),
        ({"distance": "manhattan"}, "euclidean, sqeuclidean"),
        ({"distance": "cosine", "a": np.array([[0.0, 0.0], [1.0, 1.0]])}, "1 rows of zeros"),
        ({"distance": "mahalanobis", "shrinkage": 1.5}, "ledoit-wolf"),
        ({"distance": "mahalanobis", "covariance": np.eye(3)}, "features' own"),
        ({"distance": "mahalanobis", "covariance": np.array([[1.0, 2.0], [0.0, 1.0]])}, "symmetric"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    given_ = {"a": np.array([[1.0, 2.0], [3.0, 5.0]]), "b": np.array([[1.0, 0.0], [0.0, 1.0]])} | change
    with pytest.raises(DataError, match=message) as caught:
        pairwise(given_.pop("a"), given_.pop("b"), **given_)
    assert caught.value.code == "E-DATA-05"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (np.ones((1, 3)), r"\(2,\) or \(R, 2\)"), (-np.ones((1, 2)), "not negative"),
        (np.zeros((1, 2)), "line of zeros"),
        (np.ones((2, 2)), "as many as weights_a has"),
    ],
)  # fmt: skip
def test_bad_weights_are_refused(left, message):
    rows = np.array([[1.0, 2.0], [3.0, 5.0]])
    with pytest.raises(DataError, match=message):
        pairwise_draws(rows, rows, left, np.ones((1, 2)))


def test_a_weighting_that_leaves_one_row_has_no_within():
    rows = np.array([[1.0, 2.0], [3.0, 5.0]])
    for distance in ("euclidean", "sqeuclidean"):
        found = pairwise_draws(rows, rows, np.array([[2, 0]]), np.ones((1, 2)), distance=distance)
        assert np.isnan(found["within_a"][0])
        assert np.isfinite(found["between"][0])
