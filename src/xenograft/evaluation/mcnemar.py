"""(which images arm a got right, which arm b did) -> exact McNemar test and difference of accuracies with interval."""

from __future__ import annotations

import math
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.delong import normal_quantile
from xenograft.evaluation.metrics import Labels, check_labels, wrong
from xenograft.evaluation.uncertainty import LEVEL

_HALVINGS = 60  # of an interval no wider than 2: past the last bit of a double


class McNemar(TypedDict):
    """Paired comparison of two accuracies; `mcnemar` explains the keys."""

    n: int
    b: int
    c: int
    p: float
    difference: float
    low: float
    high: float


def mcnemar(
    correct_a: Labels | NDArray[Any], correct_b: Labels | NDArray[Any], *, mid_p: bool = False, level: float = LEVEL
) -> McNemar:
    """Two-sided McNemar test of two arms on the same images, with Tango's interval for the difference.

    Assumes independent images: with several images a patient p is too small and the interval too narrow, so print the
    paired cluster bootstrap of the accuracy beside them.

    p is the exact conditional one: images that only one arm got right fall on either side with probability one half.
    It never exceeds its level but is conservative; the mid-p version is close to the level and broke it in none of the
    9595 settings of Fagerland, Lydersen and Laake (2013, doi:10.1186/1471-2288-13-91). The interval inverts the score
    test (Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B): it stays in [-1, 1] and has
    width without any disagreement too. Test and interval are not inversions of each other, so near the level one may
    reject where the other does not.

    Args:
        correct_a: (N,) in {0, 1} or bool, 1 where the arm's decision was right; `correct_b` alike.
        mid_p: count half of the probability of the observed split.
        level: of the interval.

    Returns:
        ``n`` images; ``b`` that only a got right, ``c`` that only b did; ``p`` in (0, 1]; ``difference`` (accuracy of a
        minus that of b, (b - c) / n) with ``low`` and ``high``, in [-1, 1].

    Raises:
        DataError: wrong shapes or values, no image, or level outside (0, 1).
    """
    a, b = (check_labels(v, classes=2, name=name) for v, name in ((correct_a, "correct_a"), (correct_b, "correct_b")))
    if a.shape != b.shape:
        raise wrong("correct_b", f"shape {b.shape}", f"the shape of correct_a {a.shape}")
    z = normal_quantile(level)
    only_a, only_b = int(np.sum(a > b)), int(np.sum(b > a))
    return {
        "n": a.size,
        "b": only_a,
        "c": only_b,
        "p": exact_p(only_a, only_b, mid_p=mid_p),
        "difference": (only_a - only_b) / a.size,
        "low": _tango_low(only_a, only_b, a.size, z),
        "high": -_tango_low(only_b, only_a, a.size, z),
    }


def exact_p(b: int, c: int, *, mid_p: bool = False) -> float:
    """Two-sided p of a split b : c under fair coin tosses, in whole numbers until the last division; 1 for 0 : 0.

    Mid-p is p minus the probability of the observed split, and one minus half of it where b equals c (Fagerland et al.
    2013).

    Raises:
        DataError: a negative count.
    """
    if b < 0 or c < 0:
        raise wrong("counts", f"{b} and {c}", "0 or more")
    tosses = b + c
    ways = tail = 1  # to toss as many heads as counted, and that many or fewer
    for heads in range(min(b, c)):
        ways = ways * (tosses - heads) // (heads + 1)
        tail += ways
    outcomes = 1 << tosses
    twice = min(2 * tail, outcomes)  # b equal to c counts the middle twice
    if not mid_p:
        return twice / outcomes
    if tosses == 0:
        return 1.0
    return (2 * twice - (ways if b == c else 2 * ways)) / (2 * outcomes)


def _tango_low(b: int, c: int, n: int, z: float) -> float:
    """The lowest difference that the score test does not reject; the highest follows by exchanging the arms."""
    outside, inside = -1.0, (b - c) / n
    for _ in range(_HALVINGS):
        at = (outside + inside) / 2
        if b - c - n * at > z * math.sqrt(_score_variance(b, c, n, at)):
            outside = at
        else:
            inside = at
    return inside


def _score_variance(b: int, c: int, n: int, difference: float) -> float:
    """Variance of b - c under a given difference, the share of c being its maximum-likelihood estimate (Tango 1998)."""
    linear = (2 * n - b + c) * difference - b - c
    constant = -c * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
    share = (root - linear) / (4 * n)
    return max(0.0, n * (2 * share + difference * (1 - difference)))
