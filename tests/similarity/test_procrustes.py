"""The Procrustes distance against scipy's best rotation, and a worked case."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from xenograft.errors import DataError
from xenograft.similarity.procrustes import procrustes_distance

SEEDS = st.integers(0, 2**32 - 1)


def normed(x):
    moved = x - x.mean(axis=0)
    return moved / np.linalg.norm(moved)


def by_rotation(a, b):
    """|A - B R|^2 with the R that scipy finds; the narrower padded with zeros, so that R is square."""
    width = max(a.shape[1], b.shape[1])
    a, b = (np.pad(normed(x), ((0, 0), (0, width - x.shape[1]))) for x in (a, b))
    rotation, _ = orthogonal_procrustes(b, a)
    return np.linalg.norm(a - b @ rotation) ** 2


@pytest.mark.parametrize("widths", [(4, 4), (3, 8), (30, 5), (40, 25), (1, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_what_the_best_rotation_leaves(widths, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(20, width)) + 3 for width in widths)
    assert procrustes_distance(a, b) == pytest.approx(by_rotation(a, b), rel=1e-9)


def test_worked_case():
    a, b = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), np.array([[1.0], [-1], [0], [0]])
    # A = a / 2, B = b / sqrt 2: A'B = (1 / sqrt 2, 0), whose nuclear norm is 1 / sqrt 2
    assert procrustes_distance(a, b) == pytest.approx(2 - math.sqrt(2))


@given(seed=SEEDS, scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(max_examples=30, deadline=None)
def test_invariances(seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b, c = (rng.normal(size=(12, width)) for width in (4, 20, 6))
    value, order = procrustes_distance(a, b), rng.permutation(12)
    turned = scale * (b @ ortho_group.rvs(20, random_state=rng)) + scale * shift
    for one, other in ((b, a), (a, turned), (a[order], b[order]), (a[:, ::-1], b)):
        assert procrustes_distance(one, other) == pytest.approx(value, abs=1e-7)
    assert procrustes_distance(b, turned) == pytest.approx(0, abs=1e-7)
    assert 0 <= value <= 2
    roots = [math.sqrt(procrustes_distance(x, y)) for x, y in ((a, b), (b, c), (a, c))]
    assert roots[2] <= roots[0] + roots[1] + 1e-9


def test_what_changes_it():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(30, 5))
    assert procrustes_distance(a, a * [10, 1, 1, 1, 1]) > 0.1
    assert procrustes_distance(a, a[::-1]) > 0.1


def test_degenerate_input():
    x = np.random.default_rng(3).normal(size=(6, 3))
    assert math.isnan(procrustes_distance(x, np.full((6, 2), 0.1)))
    assert procrustes_distance([[0.0, 1], [3, 2]], [[5.0], [1]]) == pytest.approx(0, abs=1e-12)
    half = x.astype(np.float16)
    assert procrustes_distance(half, x) == procrustes_distance(half.astype(float), x)
    with pytest.raises(DataError, match="second: got 5 rows"):
        procrustes_distance(x, x[:5])
    with pytest.raises(DataError, match="first: got inf"):
        procrustes_distance([[np.inf], [1]], [[1.0], [2]])
