import math
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.errors import DataError
from xenograft.evaluation.rank_agreement import agreement_over_sets, rank_agreement

short = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=6)


def tau_b(x, y):
    """Concordant minus discordant pairs over the geometric mean of the untied ones (Kendall 1945)."""
    pairs = list(combinations(range(len(x)), 2))
    agree = sum(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs)
    untied = [sum(v[i] != v[j] for i, j in pairs) for v in (x, y)]
    return agree / math.sqrt(untied[0] * untied[1]) if min(untied) else None


def weighted(x, y):
    """Vigna 2015: sum over pairs of (1 / (r_i + 1) + 1 / (r_j + 1)) sign sign, normalised; mean of both rankings."""

    def one(first, second):
        order = sorted(range(len(x)), key=lambda i: (first[i], second[i]), reverse=True)
        rank = {i: r for r, i in enumerate(order)}
        pairs = list(combinations(range(len(x)), 2))

        def product(a, b):
            return sum(
                (1 / (rank[i] + 1) + 1 / (rank[j] + 1)) * np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in pairs
            )

        return product(x, y) / math.sqrt(product(x, x) * product(y, y))

    return (one(x, y) + one(y, x)) / 2


@settings(max_examples=80, deadline=None)
@given(short)
def test_both_taus_by_pairs_and_p_by_all_orders(pairs):
    x, y = ([float(v) for v in side] for side in zip(*pairs, strict=True))
    found = rank_agreement(x, y)
    wanted = tau_b(x, y)
    if wanted is None:
        assert found["tau"] is found["weighted_tau"] is found["p"] is found["p_method"] is None
        return
    assert found["tau"] == pytest.approx(wanted)
    assert found["weighted_tau"] == pytest.approx(weighted(x, y))
    reached = [abs(tau_b(x, order)) >= abs(wanted) - 1e-9 for order in permutations(y)]
    assert found["p"] == pytest.approx(np.mean(reached))
    assert found["p_method"] == "exact"


@settings(max_examples=40, deadline=None)
@given(short, st.randoms())
def test_order_of_candidates_and_monotone_changes_do_not_matter(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    found = rank_agreement(*zip(*pairs, strict=True))
    changed = rank_agreement([math.exp(x) for x, _ in shuffled], [y * 3.0 - 7 for _, y in shuffled])
    for key in ("tau", "weighted_tau", "p"):
        assert changed[key] == (None if found[key] is None else pytest.approx(found[key]))


def test_three_candidates():
    """Perfect order of three has p = 2/6: three backbones can never show that a score works."""
    found = rank_agreement([1, 2, 3], [0.7, 0.8, 0.9])
    assert found == {"candidates": 3, "tau": 1.0, "weighted_tau": 1.0, "p": pytest.approx(1 / 3), "p_method": "exact"}
    assert rank_agreement([3, 2, 1], [0.7, 0.8, 0.9])["tau"] == -1.0


def test_the_best_weigh_more():
    right = rank_agreement([1, 2, 3, 4, 5], [2, 1, 3, 4, 5])  # the two worst exchanged
    wrong = rank_agreement([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])  # the two best exchanged
    assert right["tau"] == wrong["tau"]
    assert right["weighted_tau"] > wrong["weighted_tau"]


def test_missing_candidates_are_left_out():
    full = rank_agreement([1, 3, 2], [1, 2, 3])
    assert rank_agreement([1, None, 3, 2, 9.0], [1, 5, 2, 3, math.nan]) == full
    assert full["candidates"] == 3


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1, 2]), ([], []), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [4, 4, 4]), ([1, None, 2], [1, 2, 3])]
)
def test_undefined(x, y):
    found = rank_agreement(x, y)
    assert [found[key] for key in ("tau", "weighted_tau", "p", "p_method")] == [None] * 4


def test_many_candidates_with_ties_use_the_normal_law():
    rng = np.random.default_rng(0)
    x = np.repeat(np.arange(10), 2)
    found = rank_agreement(x, x + rng.normal(size=20))
    assert found["p_method"] == "normal"
    assert found["tau"] == pytest.approx(tau_b(x, x + np.random.default_rng(0).normal(size=20)))
    assert rank_agreement(np.arange(20), rng.permutation(20))["p_method"] == "exact"


def made(count, flips, seed=0):
    """Data sets of eight candidates; the first `flips` of them ranked the wrong way."""
    rng = np.random.default_rng(seed)
    return {
        str(s): ((x := rng.normal(size=8)), (-x if s < flips else x) + 0.3 * rng.normal(size=8)) for s in range(count)
    }


def test_mean_over_data_sets_and_its_bootstrap():
    sets = made(12, 2)
    found = agreement_over_sets(sets, resamples=4000, seed=1)
    each = np.array([rank_agreement(*pair)["tau"] for pair in sets.values()])
    assert found["tau"]["value"] == pytest.approx(each.mean())
    assert found["tau"]["sets"] == 12
    # The bootstrap's standard deviation of a mean is known: sd / sqrt(n).
    width = 2 * 1.96 * each.std() / math.sqrt(12)
    assert found["tau"]["high"] - found["tau"]["low"] == pytest.approx(width, rel=0.1)
    assert found == agreement_over_sets(sets, resamples=4000, seed=1)
    assert found["weighted_tau"]["low"] <= found["weighted_tau"]["value"] <= found["weighted_tau"]["high"]


def test_undefined_sets_are_counted_not_averaged():
    sets = {**made(3, 0), "constant": ([1, 1, 1], [1, 2, 3])}
    found = agreement_over_sets(sets, resamples=50)
    assert found["tau"]["sets"] == 3
    assert found["sets"]["constant"]["tau"] is None
    two = agreement_over_sets(made(2, 0), resamples=50)["tau"]
    assert two["value"] is not None
    assert two["low"] is two["high"] is None
    assert agreement_over_sets({}, resamples=50)["tau"] == {"value": None, "low": None, "high": None, "sets": 0}


def test_wrong_arguments():
    with pytest.raises(DataError, match="one value for each"):
        rank_agreement([1, 2, 3], [1, 2])
    with pytest.raises(DataError, match="finite"):
        rank_agreement([1, 2, math.inf], [1, 2, 3])
    with pytest.raises(DataError, match="1 or more"):
        agreement_over_sets(made(3, 0), resamples=0)
