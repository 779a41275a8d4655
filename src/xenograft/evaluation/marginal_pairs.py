"""(counts of two classifiers on the same images) -> what their difference in accuracy can be worth, pairing unknown.

A table says how often each classifier was right, not on which images both were. McNemar's test needs the images on
which only one of them was right. Their number has a smallest and a largest possible value, and so has the test's p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.evaluation.uncertainty import LEVEL, wilson

Ints = NDArray[np.int64]

_MOST_COMBINATIONS = 10_000


@dataclass(frozen=True, slots=True)
class MarginalPair:
    """Accuracy of a minus accuracy of b. Where several counts are possible, the most cautious of each number.

    Args:
        least, most: the difference, over all possible counts. low, high: its interval with independent errors.
        unpaired: p of the two-sided test of two proportions, the largest.
        best: the smallest p that McNemar's exact test can have: errors overlap as far as they can.
        worst: its largest p: they overlap as little as they can.
    """

    least: float
    most: float
    low: float
    high: float
    unpaired: float
    best: float
    worst: float


def marginal_pair(a: Ints, b: Ints, *, level: float = LEVEL) -> MarginalPair:
    """Compare two classifiers of which only possible confusion counts are known.

    The interval is Newcombe's (1998, method 10), the unpaired test the score test with the pooled proportion (the
    chi-squared test without correction). McNemar's exact test is two-sided. At a fixed difference its p grows with the
    number of images on which the two disagree, so its range follows from the smallest and the largest such number,
    counted within each class. Beyond 10,000 combinations of counts, classes are no longer kept apart, and the range is
    wider.

    Args:
        a: (K, 4) possible TP, FP, FN, TN of one classifier, K > 0. b: (M, 4) of the other, on the same images.

    Raises:
        DataError: no counts, or counts of different class sizes.
    """
    sizes = _sizes(a, b)
    total = int(sizes.sum())
    right_a, right_b = _right(a), _right(b)  # (K, 2), (M, 2) right among positives, among negatives
    sums_a, sums_b = np.unique(right_a.sum(axis=1)), np.unique(right_b.sum(axis=1))
    least, most = (int(sums_a[0]), int(sums_b[-1])), (int(sums_a[-1]), int(sums_b[0]))
    even = False
    if len(right_a) * len(right_b) > _MOST_COMBINATIONS:
        # Without classes each p falls while the two sums move apart, so their ends hold its range.
        even = bool(least[0] <= least[1] and most[1] <= most[0])
        sums_a, sums_b = sums_a[[0, -1]], sums_b[[0, -1]]
        sizes, right_a, right_b = sizes.sum(keepdims=True), sums_a[:, None], sums_b[:, None]
    best, worst = _mcnemar_range(right_a[:, None], right_b[None], sizes)
    unpaired = float(two_proportions(sums_a[:, None], sums_b[None], total).max())
    return MarginalPair(
        least=(least[0] - least[1]) / total,
        most=(most[0] - most[1]) / total,
        low=newcombe(*least, total, level)[0],
        high=newcombe(*most, total, level)[1],
        unpaired=1.0 if even else unpaired,
        best=best,
        worst=1.0 if even else worst,
    )


def two_proportions(a: Ints, b: Ints, total: int) -> Floats:
    """Two-sided p of the score test that a of total and b of total come from one proportion; 1 where both are equal."""
    from scipy.special import erfc

    pooled = (a + b) / (2 * total)
    spread = np.sqrt(pooled * (1 - pooled) * 2 / total)
    difference = np.abs(a - b) / total
    z = np.divide(difference, spread, out=np.zeros(np.shape(difference)), where=difference > 0)
    p: Floats = erfc(z / math.sqrt(2))
    return p


def newcombe(a: int, b: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a/total - b/total, independent, from Wilson's of each (Newcombe 1998, method 10)."""
    first, second = a / total, b / total
    (low_a, high_a), (low_b, high_b) = wilson(a, total, level), wilson(b, total, level)
    difference = first - second
    return (
        difference - math.hypot(first - low_a, high_b - second),
        difference + math.hypot(high_a - first, second - low_b),
    )


def _mcnemar_range(a: Ints, b: Ints, sizes: Ints) -> tuple[float, float]:
    """Smallest and largest p; a (K, 1, S) and b (1, M, S) right answers in S strata of `sizes` (S,) images."""
    fewest = [np.maximum(0, x - y).sum(axis=-1) for x, y in ((a, b), (b, a))]
    most = [np.minimum(x, sizes - y).sum(axis=-1) for x, y in ((a, b), (b, a))]
    return float(_exact_p(*fewest).min()), float(_exact_p(*most).max())


def _exact_p(only_a: Ints, only_b: Ints) -> Floats:
    """`mcnemar.exact_p` of arrays, in floating point: images on which only a, and only b, was right."""
    from scipy.stats import binom

    p: Floats = np.minimum(1.0, 2 * binom.cdf(np.minimum(only_a, only_b), only_a + only_b, 0.5))
    return p


def _right(counts: Ints) -> Ints:
    return np.unique(counts[:, [0, 3]], axis=0)


def _sizes(a: Ints, b: Ints) -> Ints:
    """Images of each class (2,), or DataError."""
    found = []
    for name, counts in (("a", a), ("b", b)):
        if counts.ndim != 2 or counts.shape[0] == 0 or counts.shape[1] != 4 or counts.min() < 0:
            raise wrong(name, f"shape {counts.shape}", "(K, 4) counts, none negative, K > 0")
        found.append(np.unique(np.stack([counts[:, 0] + counts[:, 2], counts[:, 1] + counts[:, 3]], axis=1), axis=0))
    both = np.unique(np.concatenate(found), axis=0)
    if len(both) != 1 or both.sum() == 0:
        raise wrong("class sizes", f"{both.tolist()}", "the same images for both classifiers")
    sizes: Ints = both[0]
    return sizes
