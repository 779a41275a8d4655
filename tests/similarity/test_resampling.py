"""Intervals by patient against simulation, and yardsticks of known sets."""

from __future__ import annotations

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.similarity.frechet import frechet
from xenograft.similarity.kernel import mmd_draws
from xenograft.similarity.pairwise import pairwise, pairwise_draws
from xenograft.similarity.resampling import bootstrap, half_sample, yardsticks


def _clustered(rng, patients, images, shift):
    rows = np.repeat(rng.normal(size=(patients, 2)), images, axis=0) + 0.3 * rng.normal(size=(patients * images, 2))
    return rows + shift, np.repeat(np.arange(patients), images)


def test_the_bootstrap_is_that_of_rows_taken_again():
    """Resamples by weights equal resamples by copies, a copy not being a pair with itself."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(12, 3)), rng.normal(size=(9, 3))
    seen = []

    def statistic(left, right):
        seen.append((left, right))
        return pairwise_draws(a, b, left, right, distance="sqeuclidean")

    found = bootstrap(statistic, np.arange(12) // 2, np.arange(9), resamples=30, rng=rng)
    assert found["between"]["value"] == pairwise(a, b, distance="sqeuclidean")["between"]
    left, right = seen[1]
    assert left.shape == (30, 12)
    assert (left[:, ::2] == left[:, 1::2]).all()
    assert (left.sum(axis=1) == 12).all()
    assert (right.sum(axis=1) == 9).all()
    assert left.std() > 0
    assert right.std() > 0
    copies = [pairwise(a[np.repeat(range(12), i.astype(int))], b[np.repeat(range(9), j.astype(int))])["between"]
              for i, j in zip(left, right, strict=True)]  # fmt: skip
    assert copies == pytest.approx(pairwise_draws(a, b, left, right)["between"])


def test_bootstrap_intervals_cover_and_rows_alone_would_not():
    rng = np.random.default_rng(1)
    truth = 8.0  # |mean gap|^2 of squared Euclidean distance
    held, naive = [], []
    for _ in range(120):
        (a, pa), (b, pb) = _clustered(rng, 30, 4, 0.0), _clustered(rng, 30, 4, 2.0)
        for found, (left, right) in ((held, (pa, pb)), (naive, (np.arange(120), np.arange(120)))):
            drawn = bootstrap(lambda v, w: pairwise_draws(a, b, v, w, distance="sqeuclidean"), left, right,  # noqa: B023
                              resamples=200, rng=rng)["excess"]  # fmt: skip
            found.append(drawn["low"] <= truth <= drawn["high"])
    assert 0.87 <= np.mean(held) <= 0.995
    assert np.mean(naive) < 0.8


def test_half_samples_have_the_standard_error_of_new_samples():
    rng = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(60):
        (a, pa), (b, pb) = _clustered(rng, 40, 2, 0.0), _clustered(rng, 50, 2, 2.0)
        found = half_sample(lambda i, j: frechet(a[i], b[j]), pa, pb, repeats=30, rng=rng)  # noqa: B023
        values.append(found["value"])
        errors.append(found["error"])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.959964 * found["error"], rel=1e-5)


def test_the_bootstrap_serves_mmd():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(60, 3)), rng.normal(size=(50, 3)) + 1
    found = bootstrap(lambda v, w: mmd_draws(a, b, v, w, kernel="rbf"), np.arange(60), np.arange(50), resamples=200,
                      rng=rng)["mmd2"]  # fmt: skip
    assert 0 < found["low"] < found["value"] < found["high"]


def test_the_same_generator_gives_the_same_interval():
    a = np.random.default_rng(4).normal(size=(20, 2))
    runs = [bootstrap(lambda v, w: pairwise_draws(a, a, v, w), np.arange(20), np.arange(20), resamples=40,
                      rng=np.random.default_rng(7)) for _ in range(2)]  # fmt: skip
    assert runs[0] == runs[1]


def test_undefined_values_are_none():
    a = np.ones((6, 2))
    found = bootstrap(lambda v, w: pairwise_draws(a, a, v, w), np.arange(6), np.arange(6), resamples=20,
                      rng=np.random.default_rng(0))  # fmt: skip
    assert found["ratio"] == {"value": None, "low": None, "high": None, "error": None}
    assert found["between"] == {"value": 0, "low": 0, "high": 0, "error": 0}


def test_yardsticks_take_disjoint_halves_of_one_size_by_patient():
    sets = {"natural": np.arange(40.0)[:, None], "medical": 100 + np.arange(60.0)[:, None]}
    patients = np.arange(60) // 3
    seen = []

    def statistic(left, right):
        seen.append((left[:, 0], right[:, 0]))
        return float(len(left))

    found = yardsticks(statistic, sets, {"medical": patients}, repeats=3, rng=np.random.default_rng(5))
    assert list(found) == [("natural", "natural"), ("natural", "medical"), ("medical", "medical")]
    assert found["natural", "natural"] == [20, 20, 20]
    assert found["medical", "medical"] == [18, 18, 18]  # whole patients of three, 20 rows at most
    for left, right in seen:
        assert not set(left) & set(right)
        if left[0] >= 100:
            assert not set(left // 1 % 100 // 3) & set((right - 100) // 3)
    assert not np.array_equal(seen[0][0], seen[3][0])


def test_yardsticks_show_the_bias_that_the_distance_has():
    """Two sets of one distribution are as far apart as each from itself, at equal size."""
    rng = np.random.default_rng(6)
    sets = {name: rng.normal(size=(200, 10)) for name in ("one", "other")}
    sets["noise"] = 5 * rng.normal(size=(160, 10))
    found = {pair: np.mean(values) for pair, values in yardsticks(frechet, sets, {}, repeats=6, rng=rng).items()}
    assert found["one", "one"] > 0.3
    assert found["one", "other"] == pytest.approx(found["one", "one"], rel=0.3)
    assert found["one", "noise"] > 20 * found["one", "one"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, rng: bootstrap(f, np.zeros(5), np.arange(5), rng=rng), "groups_a: got one patient"),
        (lambda f, rng: bootstrap(f, np.arange(5), np.arange(5), resamples=0, rng=rng), "resamples"),
        (lambda f, rng: bootstrap(f, np.ones((2, 2)), np.arange(5), rng=rng), "a key for each row"),
        (lambda f, rng: half_sample(lambda i, j: 0.0, np.arange(8), np.arange(8), repeats=1, rng=rng), "2 or more"),
        (lambda f, rng: half_sample(lambda i, j: 0.0, np.zeros(8), np.arange(8), rng=rng), "whole ones"),
        (lambda f, rng: yardsticks(lambda x, y: 0.0, {}, {}, rng=rng), "one or more"),
        (lambda f, rng: yardsticks(lambda x, y: 0.0, {"a": np.ones((3, 2))}, {}, rng=rng), "N >= 4"),
        (lambda f, rng: yardsticks(lambda x, y: 0.0, {"a": np.eye(4)}, {"b": [1]}, rng=rng), "names of the sets: a"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call(lambda v, w: {"x": v.sum(axis=1) + w.sum(axis=1)}, np.random.default_rng(0))
