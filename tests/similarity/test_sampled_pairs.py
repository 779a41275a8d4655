"""Random pairs against all pairs: unbiased, and as far off as their standard errors say."""

from __future__ import annotations

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.similarity import sampled_pairs as module
from xenograft.similarity.pairwise import DISTANCES, pairwise
from xenograft.similarity.sampled_pairs import sampled_pairwise

NAMES = ("between", "within_a", "within_b", "excess", "ratio", "inhomogeneity")


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 4)) + 1, 3 * rng.standard_t(4, size=(50, 4))


@pytest.mark.parametrize("distance", DISTANCES)
def test_errors_cover_the_exact_value(sets, distance):
    """Few rows, so that a pair of a row with itself, or one pair drawn too often, would show as bias."""
    exact = pairwise(*sets, distance=distance)
    found = [sampled_pairwise(*sets, pairs=400, distance=distance, seed=seed) for seed in range(300)]
    for name in NAMES:
        values = np.array([each[name]["value"] for each in found])
        errors = np.array([each[name]["error"] for each in found])
        covered = np.mean(np.abs(values - exact[name]) <= 1.96 * errors)
        assert 0.90 <= covered <= 0.985, name
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.2), name
        if name not in {"ratio", "inhomogeneity"}:
            assert abs(values.mean() - exact[name]) < 4 * values.std() / np.sqrt(len(values)), name


def test_within_draws_every_pair_of_different_rows_alike():
    i, j = module._drawn(4, 4, 60_000, True, np.random.default_rng(0))
    counts = np.bincount(4 * i + j, minlength=16).reshape(4, 4)
    assert not counts.diagonal().any()
    assert counts[~np.eye(4, dtype=bool)] == pytest.approx(5000, rel=0.08)


def test_parts_of_the_draw_are_joined(sets, monkeypatch):
    """Mean and error are those of all drawn distances, far from zero too."""
    rng = np.random.default_rng(1)
    values = 1e6 + rng.normal(size=1001)
    mean, error = module._mean(iter(np.array_split(values, 7)), len(values))
    assert mean == pytest.approx(values.mean(), rel=1e-14)
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)), rel=1e-9)
    monkeypatch.setattr(module, "_NUMBERS", 40)
    found = sampled_pairwise(*sets, pairs=40_003)
    assert found["pairs"] == 40_003
    assert found["between"]["value"] == pytest.approx(pairwise(*sets)["between"], abs=5 * found["between"]["error"])


def test_seed_decides(sets):
    assert sampled_pairwise(*sets, pairs=50, seed=3) == sampled_pairwise(*sets, pairs=50, seed=3)
    assert sampled_pairwise(*sets, pairs=50, seed=3) != sampled_pairwise(*sets, pairs=50, seed=4)


def test_equal_rows():
    same = np.ones((5, 3))
    found = sampled_pairwise(same, same, pairs=10)
    assert found["between"] == {"value": 0.0, "error": 0.0}
    assert found["ratio"] == found["inhomogeneity"] == {"value": None, "error": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": 1}, "2 or more"),
        ({"distance": "manhattan"}, "euclidean, sqeuclidean"),
        ({"a": np.full((4, 2), np.nan)}, "nan among rows 0 to 3"),
        ({"a": np.zeros((4, 2)), "distance": "cosine"}, "rows of zeros"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    given = {"a": np.eye(2), "b": np.eye(2) + 1, "pairs": 10} | change
    with pytest.raises(DataError, match=message) as caught:
        sampled_pairwise(given.pop("a"), given.pop("b"), **given)
    assert caught.value.code == "E-DATA-05"
    assert "\n" not in str(caught.value)
