"""Pairs of which only the margins are known: against every pairing tried one by one, SciPy, and published examples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, chi2_contingency

from xenograft.errors import DataError
from xenograft.evaluation.marginal_pairs import marginal_pair, newcombe, two_proportions
from xenograft.evaluation.mcnemar import mcnemar


def cells(tp: int, tn: int, p: int, n: int) -> list[int]:
    return [tp, n - tn, p - tp, tn]


def by_hand(a: list[int], b: list[int]) -> tuple[float, float]:
    """Smallest and largest p over all numbers of images, of each class, that both got right."""
    p, n = a[0] + a[2], a[1] + a[3]
    found = []
    for both_p, both_n in product(range(p + 1), range(n + 1)):
        only_a = (a[0] - both_p, a[3] - both_n)
        only_b = (b[0] - both_p, b[3] - both_n)
        neither = (p - both_p - only_a[0] - only_b[0], n - both_n - only_a[1] - only_b[1])
        if min(*only_a, *only_b, *neither) < 0:
            continue
        one, other = sum(only_a), sum(only_b)
        found.append(binomtest(one, one + other).pvalue if one + other else 1.0)
    return min(found), max(found)


@pytest.mark.parametrize("seed", range(8))
def test_the_range_is_that_of_all_pairings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, n = 11, 9
    a, b = (cells(int(rng.integers(4, p + 1)), int(rng.integers(3, n + 1)), p, n) for _ in range(2))
    found = marginal_pair(np.array([a]), np.array([b]))
    assert (found.best, found.worst) == pytest.approx(by_hand(a, b), rel=1e-9)


def test_several_possible_counts_widen_the_range() -> None:
    p, n = 10, 8
    a = [cells(9, 5, p, n), cells(8, 6, p, n), cells(10, 5, p, n)]
    b = [cells(5, 5, p, n), cells(6, 3, p, n)]
    found = marginal_pair(np.array(a), np.array(b))
    ranges = [by_hand(x, y) for x, y in product(a, b)]
    assert found.best == pytest.approx(min(low for low, _ in ranges))
    assert found.worst == pytest.approx(max(high for _, high in ranges))
    assert (found.least, found.most) == (4 / 18, 6 / 18)


def test_a_real_pairing_lies_inside() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(200) < 120
    right_a, right_b = rng.random(200) < 0.93, rng.random(200) < 0.85
    tables = [
        np.array([cells(int(right[labels].sum()), int(right[~labels].sum()), 120, 80)]) for right in (right_a, right_b)
    ]
    found = marginal_pair(tables[0], tables[1])
    test = mcnemar(right_a, right_b)
    assert found.best <= test["p"] <= found.worst
    assert found.least == found.most == pytest.approx(test["difference"])


def test_many_possible_counts_are_compared_by_their_sums() -> None:
    p, n = 60, 50
    every = [cells(tp, tn, p, n) for tp, tn in product(range(p + 1), range(n + 1))]
    a = np.array([c for c in every if 97 <= c[0] + c[3] <= 103])
    b = np.array([c for c in every if 80 <= c[0] + c[3] <= 86])
    assert len(a) * len(b) > 10_000
    found = marginal_pair(a, b)
    ranges = [by_hand([x, 0, p + n - x, 0], [y, 0, p + n - y, 0]) for x in range(97, 104) for y in range(80, 87)]
    assert found.best == pytest.approx(min(low for low, _ in ranges))
    assert found.worst == pytest.approx(max(high for _, high in ranges))
    assert found.unpaired == pytest.approx(two_proportions(np.array(97), np.array(86), 110))
    overlapping = np.array([c for c in every if 84 <= c[0] + c[3] <= 98])
    even = marginal_pair(overlapping, b)
    assert even.unpaired == even.worst == 1.0
    assert even.best < 0.05


def test_the_unpaired_test_is_the_chi_squared_test() -> None:
    for a, b, total in [(581, 559, 624), (488, 569, 624), (3, 9, 10)]:
        expected = chi2_contingency([[a, total - a], [b, total - b]], correction=False).pvalue
        assert float(two_proportions(np.array(a), np.array(b), total)) == pytest.approx(expected, rel=1e-9)
    assert float(two_proportions(np.array(10), np.array(10), 10)) == 1.0


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [(9, 3, 0.1705, 0.8090), (0, 0, -0.2775, 0.2775), (10, 0, 0.6075, 1.0000)],
)
def test_newcombes_own_examples(a: int, b: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:873, table II, method 10, those with ten against ten."""
    assert newcombe(a, b, 10) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.empty((0, 4), dtype=np.int64), np.array([[1, 1, 1, 1]])),
        (np.array([[1, 1, 1]]), np.array([[1, 1, 1, 1]])),
        (np.array([[1, -1, 1, 1]]), np.array([[1, 1, 1, 1]])),
        (np.array([[2, 1, 1, 1]]), np.array([[1, 1, 1, 1]])),
    ],
)
def test_unusable_counts_are_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(DataError, match="E-DATA-05"):
        marginal_pair(a, b)
