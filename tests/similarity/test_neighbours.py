"""Mixing, precision and recall against loops and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from xenograft.errors import DataError
from xenograft.similarity import neighbours as module
from xenograft.similarity.neighbours import neighbours


def _by_loops(a, b, k, group_a, group_b):
    rows = [(x, "a", g) for x, g in zip(a, group_a, strict=True)] + [
        (x, "b", g) for x, g in zip(b, group_b, strict=True)
    ]

    def others(row):
        far = [(float(np.linalg.norm(row[0] - each[0])), each) for each in rows if each[2] != row[2]]
        return sorted(far, key=lambda pair: pair[0])

    own = {"a": [], "b": []}
    radius = {}
    for at, row in enumerate(rows):
        own[row[1]].append(np.mean([each[1] == row[1] for _, each in others(row)[:k]]))
        radius[at] = [far for far, each in others(row) if each[1] == row[1]][k - 1]
    inside = {"a": [], "b": []}
    for row in rows:
        balls = [np.linalg.norm(row[0] - each[0]) <= radius[at] for at, each in enumerate(rows)
                 if each[1] != row[1] and each[2] != row[2]]  # fmt: skip
        inside[row[1]].append(any(balls))
    return (
        np.mean(own["a"]),
        np.mean(own["b"]),
        np.mean(own["a"] + own["b"]),
        np.mean(inside["b"]),
        np.mean(inside["a"]),
    )


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("k", [1, 4])
def test_numbers_are_those_of_loops(monkeypatch, grouped, k):
    monkeypatch.setattr(module, "_CELLS", 300)  # several passes
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 0.7
    groups = (np.arange(40) // 2, 15 + np.arange(30) // 3) if grouped else (np.arange(40), 100 + np.arange(30))
    found = neighbours(a, b, k=k, groups_a=groups[0] if grouped else None, groups_b=groups[1] if grouped else None)
    named = [found[name] for name in ("own_a", "own_b", "own", "b_in_a", "a_in_b")]
    assert named == pytest.approx(_by_loops(a, b, k, *groups))


def test_random_mixing_is_what_shuffled_sets_show():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 2), 100 + np.arange(40)
    found = [neighbours(rng.normal(size=(60, 2)), rng.normal(size=(40, 2)), k=3, groups_a=groups[0], groups_b=groups[1])
             for _ in range(80)]  # fmt: skip
    assert found[0]["own_a_mixed"] == pytest.approx(58 / 98)
    assert found[0]["own_b_mixed"] == pytest.approx(39 / 99)
    for name in ("own_a", "own_b", "own"):
        values = np.array([each[name] for each in found])
        assert abs(values.mean() - found[0][f"{name}_mixed"]) < 4 * values.std() / np.sqrt(80)


def test_far_sets_do_not_mix():
    rng = np.random.default_rng(2)
    found = neighbours(rng.normal(size=(20, 4)), rng.normal(size=(15, 4)) + 100)
    assert (found["own"], found["b_in_a"], found["a_in_b"]) == (1, 0, 0)


def test_precision_and_recall_part_where_one_set_is_narrow():
    rng = np.random.default_rng(3)
    found = neighbours(rng.normal(size=(300, 2)), 0.1 * rng.normal(size=(300, 2)))
    assert found["b_in_a"] > 0.95
    assert found["a_in_b"] < 0.3


def test_images_of_one_patient_are_no_neighbours():
    rng = np.random.default_rng(4)
    a, b = (np.repeat(rng.normal(size=(30, 5)), 4, axis=0) + 1e-3 * rng.normal(size=(120, 5)) for _ in range(2))
    patients = np.repeat(np.arange(30), 4)
    assert neighbours(a, b, k=3)["own"] == 1
    assert neighbours(a, b, k=3, groups_a=patients, groups_b=100 + patients)["own"] < 0.75


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_invariances(seed, scale, shift):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=(15, 3)) + 0.5
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    base = pytest.approx(neighbours(a, b))
    assert neighbours(scale * (a @ turn) + shift, scale * (b @ turn) + shift) == base
    assert neighbours(rng.permutation(a), rng.permutation(b)) == base
    swapped = neighbours(b, a)
    assert swapped["own_a"] == pytest.approx(neighbours(a, b)["own_b"])
    assert swapped["b_in_a"] == pytest.approx(neighbours(a, b)["a_in_b"])


def test_degenerate_sets():
    same = np.ones((8, 3), dtype=np.float16)
    found = neighbours(same, same)
    assert 0 <= found["own"] <= 1
    assert (found["b_in_a"], found["a_in_b"]) == (1, 1)
    wide = np.random.default_rng(5).normal(size=(2, 2, 50))
    assert np.isfinite(list(neighbours(*wide, k=1).values())).all()
    assert cdist(wide[0], wide[1]).min() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "1 or more"),
        ({"k": 6}, "at most 5, the rows of a"),
        ({"k": 3, "groups_b": np.repeat([0, 1], 3), "groups_a": np.arange(6) + 9}, None),
        ({"k": 4, "groups_b": np.repeat([0, 1], 3), "groups_a": np.arange(6) + 9}, "at most 3, the rows of b"),
        ({"groups_a": np.arange(5)}, "a key for each row"),
    ],
)
def test_too_few_rows_are_refused(options, message):
    a, b = np.random.default_rng(6).normal(size=(2, 6, 3))
    if message is None:
        assert neighbours(a, b, **options)["own"] <= 1
        return
    with pytest.raises(DataError, match=message):
        neighbours(a, b, **options)


def test_nan_is_refused():
    with pytest.raises(DataError, match="nan"):
        neighbours(np.ones((9, 2)), np.full((9, 2), np.nan))
