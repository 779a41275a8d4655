"""Fréchet distance against scipy's matrix root and the closed form of known Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from xenograft.errors import DataError
from xenograft.similarity import feature_sets
from xenograft.similarity.frechet import frechet, frechet_limit


def _by_sqrtm(a, b):
    gap, x, y = a.mean(axis=0) - b.mean(axis=0), np.cov(a.T), np.cov(b.T)
    return gap @ gap + np.trace(x + y - 2 * sqrtm(x @ y).real)


def test_value_is_that_of_the_matrix_root(monkeypatch):
    monkeypatch.setattr(feature_sets, "BLOCK", 64)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12)), rng.normal(size=(150, 12)) + 0.5
    assert frechet(a, b) == pytest.approx(_by_sqrtm(a, b), rel=1e-9)


def test_one_feature_is_the_textbook_form():
    rng = np.random.default_rng(1)
    a, b = rng.normal(2, 3, size=(50, 1)), rng.normal(-1, 1, size=(40, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet(a, b) == pytest.approx(expected)


def test_fewer_rows_than_features_by_either_factor():
    """Rows that lie in a plane have the distance that they have in it."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(10, 4)), rng.normal(size=(9, 4)) + 1
    wide = np.linalg.qr(rng.normal(size=(30, 4)))[0].T
    assert frechet(a @ wide, b @ wide) == pytest.approx(_by_sqrtm(a, b), rel=1e-9)
    many = rng.normal(size=(40, 4)) * 2
    assert frechet(many @ wide, b @ wide) == pytest.approx(_by_sqrtm(many, b), rel=1e-7)
    assert frechet(a[:2], b[:2]) > 0


def test_a_set_has_no_distance_to_itself_and_constants_have_one():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(40, 20))
    assert frechet(a, a[::-1]) == pytest.approx(0, abs=1e-12)
    assert frechet(a[:8], a[:8]) == pytest.approx(0, abs=1e-12)
    assert frechet(np.ones((5, 4)), np.ones((3, 4))) == 0
    assert frechet(np.ones((5, 4)), 3 * np.ones((3, 4))) == pytest.approx(16)
    assert frechet(a.astype(np.float16), a.astype(np.float16).astype(np.float64) + 1) == pytest.approx(20)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_invariances(seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(20, 5)) * [1, 2, 3, 4, 5], rng.normal(size=(15, 5)) + 1
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    base = frechet(a, b)
    assert frechet(b, a) == pytest.approx(base)
    assert frechet(a @ turn + shift, b @ turn + shift) == pytest.approx(base, rel=1e-8)
    assert frechet(rng.permutation(a), b) == pytest.approx(base)
    assert frechet(scale * a, scale * b) == pytest.approx(scale**2 * base)
    assert frechet(a * [9, 1, 1, 1, 1], b * [9, 1, 1, 1, 1]) != pytest.approx(base)


def test_the_limit_takes_the_bias_away():
    """Equal Gaussians: the truth is 0, the plain value is not."""
    rng = np.random.default_rng(4)
    found = [frechet_limit(*rng.normal(size=(2, 400, 10)), repeats=2, rng=rng) for _ in range(12)]
    values, limits = (np.array([each[name] for each in found]) for name in ("value", "limit"))
    assert values.min() > 0.1
    assert abs(limits.mean()) < 0.2 * values.mean()
    assert all(each["values"][0] > each["values"][-1] == each["value"] for each in found)
    assert np.mean([each["fit"] for each in found]) > 0.9


def test_the_line_goes_through_its_points():
    rng = np.random.default_rng(5)
    found = frechet_limit(rng.normal(size=(90, 2)), rng.normal(size=(80, 2)), shares=(0.5, 0.75, 1), repeats=1, rng=rng)
    slope, limit = np.polyfit([2, 4 / 3, 1], found["values"], 1)
    assert (found["limit"], found["slope"]) == (pytest.approx(limit), pytest.approx(slope))
    assert found["spread"] == [0, 0, 0]


def test_the_limit_draws_whole_patients():
    a = np.repeat(np.random.default_rng(6).normal(size=(4, 3)), 5, axis=0)
    drawn = frechet_limit(a, a, groups_a=np.repeat(range(4), 5), groups_b=np.repeat(range(4), 5), shares=(0.25, 0.5, 1),
                          repeats=4, rng=np.random.default_rng(0))  # fmt: skip
    assert drawn["value"] == pytest.approx(0, abs=1e-12)
    assert drawn["values"][0] > 0
    with pytest.raises(DataError, match="whole ones"):
        frechet_limit(a, a, groups_a=np.repeat(range(4), 5), shares=(0.1, 0.5, 1), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shares": (0.5, 1)}, "three or more"), ({"shares": (0.5, 0.4, 1)}, "increasing"),
        ({"shares": (0, 0.5, 1)}, "above 0"),
        ({"shares": (0.2, 0.5, 0.9)}, "last 1"), ({"repeats": 0}, "1 or more"),
        ({"groups_a": [1, 2]}, "a key for each row"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(change, message):
    rows = np.random.default_rng(7).normal(size=(30, 2))
    with pytest.raises(DataError, match=message):
        frechet_limit(rows, rows, rng=np.random.default_rng(0), **change)


def test_bad_features_are_refused():
    with pytest.raises(DataError, match="nan"):
        frechet(np.ones((3, 2)), np.array([[1, np.nan], [1, 2]]))
