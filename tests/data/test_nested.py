"""Nested, stratified subsets: prefixes hold each other, keep groups whole and have every class in its share."""

from __future__ import annotations

import numpy as np
import pytest

from xenograft.data.nested import NestedOrder, nested_order


def made(seed: int = 0, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray, NestedOrder]:
    """Images of patients with 1 to 4 images, classes 70/25/5 %, some pairs of patients tied into one group."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(count), rng.integers(1, 5, count))
    of_patient = rng.choice(3, size=count, p=[0.7, 0.25, 0.05])
    group_of = np.arange(count)
    group_of[1:20:2] = group_of[0:20:2]
    strata, groups = of_patient[patients], group_of[patients]
    return strata, groups, patients, nested_order(strata, groups, patients, rng=np.random.default_rng(seed))


def test_prefixes_are_nested_and_never_cut_a_group() -> None:
    _, groups, patients, order = made()
    before: set[int] = set()
    for size in (1, 7, 50, 123, 400):
        inside = order.prefix(size)
        assert before <= set(inside.tolist())
        before = set(inside.tolist())
        outside = np.setdiff1d(np.arange(len(groups)), inside)
        assert not set(groups[inside]) & set(groups[outside])
        assert size <= len(np.unique(patients[inside])) <= size + 1  # the last group may hold two patients
    assert before == set(range(len(groups)))


def test_patients_are_counted_as_a_plain_loop_does() -> None:
    _, _, patients, order = made()
    start, seen = 0, set()
    for end, count in zip(order.ends, order.patients, strict=True):
        seen |= set(patients[order.images[start:end]])
        assert len(seen) == count
        start = end


def test_every_prefix_has_each_class_in_its_share_to_within_one_group() -> None:
    strata = np.repeat([0, 1, 2], [700, 250, 50])
    order = nested_order(strata, np.arange(1000), np.arange(1000), rng=np.random.default_rng(3))
    for size in range(1, 1001, 13):
        counts = np.bincount(strata[order.prefix(size)], minlength=3)
        assert (np.abs(counts - size * np.array([0.7, 0.25, 0.05])) <= 1.5).all(), size


def test_every_patient_comes_first_equally_often() -> None:
    strata = np.repeat([0, 1], [6, 4])
    hits = np.zeros(10)
    for seed in range(2000):
        hits[nested_order(strata, np.arange(10), np.arange(10), rng=np.random.default_rng(seed)).prefix(5)] += 1
    assert np.abs(hits / 2000 - 0.5).max() < 0.05  # 4.5 standard errors


def test_orders_differ_by_generator_and_repeat_with_it() -> None:
    assert (made(1)[3].images == made(1)[3].images).all()
    strata, groups, patients, order = made(1)
    other = nested_order(strata, groups, patients, rng=np.random.default_rng(99))
    assert (order.images != other.images).any()


def test_a_group_of_two_classes_is_dealt_with_the_rarer() -> None:
    strata, groups = np.array([0] * 20 + [1, 0, 1]), np.array([*range(20), 20, 20, 21])
    order = nested_order(strata, groups, groups, rng=np.random.default_rng(0))
    assert {20, 21} <= set(order.prefix(22).tolist())
    half = order.prefix(11)
    assert len({20, 21} & set(groups[half])) == 1


@pytest.mark.parametrize("size", [0, -1, 401])
def test_sizes_that_are_not_there_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 400 patients"):
        made()[3].prefix(size)
