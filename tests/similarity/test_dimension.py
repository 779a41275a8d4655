"""Dimensions of sets whose dimension is known, and against brute force from the definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import entropy, ortho_group

from xenograft.errors import DataError
from xenograft.similarity.dimension import effective_rank, mle_dimension, participation_ratio, two_nn

SEEDS = st.integers(0, 2**32 - 1)
LOCAL = [two_nn, mle_dimension]
SPECTRAL = [participation_ratio, effective_rank]


def number(measure, x):
    found = measure(x)
    return found["value"] if isinstance(found, dict) else found


def sorted_distances(x):
    return np.sort(cdist(x, x), axis=1)[:, 1:]


def sheet(rng, rows, dimension, width=20, noise=0.0):
    """A flat, uniform piece of a space of that dimension, turned in a wider one."""
    flat = rng.uniform(size=(rows, dimension)) @ ortho_group.rvs(width, random_state=rng)[:dimension]
    return flat + noise * rng.normal(size=(rows, width))


def test_two_nn_is_the_line_of_facco():
    x = np.random.default_rng(0).normal(size=(50, 4))
    near = sorted_distances(x)
    ratio = np.sort(near[:, 1] / near[:, 0])
    share = np.arange(1, 51) / 50
    for discarded, kept in ((0.1, 45), (0.0, 49)):
        u, v = np.log(ratio[:kept]), -np.log(1 - share[:kept])
        slope = np.linalg.lstsq(u[:, None], v, rcond=None)[0][0]
        assert two_nn(x, discarded=discarded)["value"] == pytest.approx(slope)


def test_mle_is_the_formula():
    x = np.random.default_rng(1).normal(size=(40, 5))
    near = sorted_distances(x)
    inverses = [sum(math.log(row[6] / row[j]) for j in range(6)) / 6 for row in near]
    assert mle_dimension(x, neighbours=7)["value"] == pytest.approx(1 / np.mean(inverses))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_known_dimensions(dimension):
    rng = np.random.default_rng(2)
    x = sheet(rng, 2000, dimension)
    for measure in LOCAL:
        assert measure(x)["value"] == pytest.approx(dimension, rel=0.15)
    assert participation_ratio(x) == pytest.approx(dimension, rel=0.02)
    assert effective_rank(x) == pytest.approx(dimension, rel=0.02)


def test_a_bent_sheet_is_two_to_neighbours_and_more_to_the_spectrum():
    rng = np.random.default_rng(3)
    angle, height = rng.uniform(0, 3 * np.pi, 2000), rng.uniform(0, 10, 2000)
    roll = np.c_[angle * np.cos(angle), height, angle * np.sin(angle)]
    for measure in LOCAL:
        assert measure(roll)["value"] == pytest.approx(2, rel=0.1)
    for measure in SPECTRAL:
        assert measure(roll) > 2.4


def test_high_dimensions_are_underestimated_as_the_docstring_says():
    x = np.random.default_rng(4).normal(size=(1000, 20))
    assert 13 < two_nn(x)["value"] < 17


def test_rows_with_near_neighbours_do_not_dominate():
    x = np.r_[np.random.default_rng(5).normal(size=(60, 3)), [[0.0, 0, 0], [1e-9, 0, 0]]]
    near = sorted_distances(x)[:, :3]
    each = 1 / np.log(near[:, -1:] / near[:, :-1]).mean(axis=1)
    found = mle_dimension(x, neighbours=3)["value"]
    assert found == pytest.approx(len(x) / (1 / each).sum())
    assert found < each.mean()


@pytest.mark.parametrize("measure", SPECTRAL)
@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_spectral_measures_from_the_covariance(measure, shape):
    x = np.random.default_rng(6).normal(size=shape) * np.arange(1, shape[1] + 1)
    values = np.clip(np.linalg.eigvalsh(np.cov(x.T)), 0, None)
    values = values[values > 1e-9]
    expected = {
        participation_ratio: values.sum() ** 2 / np.square(values).sum(),
        effective_rank: math.exp(entropy(np.sqrt(values))),
    }
    assert measure(x) == pytest.approx(expected[measure])


def test_spectral_extremes():
    cross = np.r_[np.eye(4), -np.eye(4)]
    line = np.outer(np.arange(5.0), [1, 2, 3])
    for measure in SPECTRAL:
        assert measure(cross) == pytest.approx(4)
        assert measure(line) == pytest.approx(1)


@pytest.mark.parametrize("measure", LOCAL + SPECTRAL)
@given(seed=SEEDS, scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_invariances(measure, seed, scale, shift):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 6))
    value = number(measure, x)
    assert number(measure, scale * (x @ ortho_group.rvs(6, random_state=rng)) + scale * shift) == pytest.approx(value)
    assert number(measure, rng.permutation(x)) == pytest.approx(value)
    assert number(measure, x[:, ::-1]) == pytest.approx(value)
    assert value > 0


@pytest.mark.parametrize("measure", LOCAL + SPECTRAL)
def test_stretching_one_feature_changes_it(measure):
    x = np.random.default_rng(7).normal(size=(200, 5))
    assert number(measure, x * [1000, 1, 1, 1, 1]) < 0.8 * number(measure, x)


@pytest.mark.parametrize("measure", LOCAL)
def test_duplicates_are_left_out_and_counted(measure):
    x = np.random.default_rng(8).normal(size=(60, 4))
    found = measure(np.r_[x, x[:10], x[:10]])
    assert found == measure(x) | {"rows": 80, "duplicates": 20}
    assert measure(x)["duplicates"] == 0


@pytest.mark.parametrize("measure", LOCAL)
def test_near_duplicates_pull_it_down(measure):
    rng = np.random.default_rng(9)
    x = rng.normal(size=(300, 6))
    assert measure(np.r_[x, x + 1e-6 * rng.normal(size=x.shape)])["value"] < 0.7 * measure(x)["value"]


@pytest.mark.parametrize("measure", LOCAL)
def test_near_neighbours_keep_their_digits(measure):
    rng = np.random.default_rng(10)
    x = 1e-7 * rng.normal(size=(80, 3))
    far = np.r_[x, [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]]  # in a matrix product the near distances vanish
    near = sorted_distances(x)
    if measure is two_nn:
        assert 2 < measure(far)["value"] < 4
    else:
        logs = np.log(near[:, 19:20] / near[:, :19])
        assert measure(far)["value"] == pytest.approx(1 / logs.mean(), rel=0.1)


@pytest.mark.parametrize("measure", SPECTRAL)
def test_spectral_measures_count_duplicates_as_rows(measure):
    x = np.random.default_rng(11).normal(size=(20, 4))
    assert measure(np.r_[x, x]) == pytest.approx(measure(x))
    assert measure(np.r_[x, np.repeat(x[:1], 50, axis=0)]) != pytest.approx(measure(x), rel=0.01)


@pytest.mark.parametrize("measure", LOCAL)
def test_undefined(measure):
    assert measure(np.full((9, 3), 0.1)) | {"neighbours": 0} == {
        "value": None,
        "rows": 9,
        "duplicates": 8,
        "neighbours": 0,
    }
    assert measure(np.repeat(np.eye(2), 5, axis=0))["value"] is None  # two different rows
    assert measure(np.eye(7))["value"] is None  # equally far from one another


def test_few_rows_lower_the_neighbours():
    assert mle_dimension(np.random.default_rng(12).normal(size=(6, 2)))["neighbours"] == 5
    assert two_nn([[0.0], [1], [3]], discarded=0.9)["value"] == pytest.approx(math.log(1.5) / math.log(1.5))


@pytest.mark.parametrize("measure", SPECTRAL)
def test_spectral_undefined_and_smallest(measure):
    assert math.isnan(measure(np.full((5, 2), 0.1)))
    assert measure([[0.0, 3], [1, 1]]) == pytest.approx(1)


@pytest.mark.parametrize("measure", LOCAL + SPECTRAL)
def test_types_and_refusals(measure):
    half = np.random.default_rng(13).normal(size=(30, 4)).astype(np.float16)
    assert number(measure, half) == number(measure, half.astype(np.float64))
    for bad, message in ((np.ones(4), "shape"), ([[np.nan], [1], [2]], "nan"), ([[1.0], [np.inf], [2]], "inf")):
        with pytest.raises(DataError, match=message) as caught:
            measure(np.asarray(bad))
        assert caught.value.code == "E-DATA-05"


def test_refuses_settings():
    x = np.eye(3)
    with pytest.raises(DataError, match="discarded: got 1"):
        two_nn(x, discarded=1)
    with pytest.raises(DataError, match="neighbours: got 1"):
        mle_dimension(x, neighbours=1)
    with pytest.raises(DataError, match="N >= 3"):
        two_nn(x[:2])
