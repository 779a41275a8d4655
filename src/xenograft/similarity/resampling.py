"""(statistic of two sets, patients) -> its interval; (statistic, several sets) -> its yardsticks, by patient.

Which interval: `bootstrap` for statistics of row weights (`pairwise_draws`, `mmd_draws`), which keep a row and its own
copy apart. `half_sample` for the others: a bootstrap draws rows twice, and a copy is its own nearest neighbour and
narrows a covariance; half of the patients drawn without replacement holds no copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations_with_replacement
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.delong import normal_quantile
from xenograft.evaluation.metrics import Floats, wrong
from xenograft.evaluation.uncertainty import LEVEL, percentile_interval, weight_chunks
from xenograft.similarity.feature_sets import Features, check_features, check_groups
from xenograft.similarity.subsets import Rows, half_of_the_groups, halves_of_groups

OfWeights = Callable[[Floats, Floats], Mapping[str, Floats]]
"""(R, N), (R, M) weights of the rows -> name -> (R,)."""
OfRows = Callable[[Rows, Rows], float]
"""Numbers of the rows taken of a and of b -> the statistic of these."""
OfSets = Callable[[Features, Features], float]

_MOST_WEIGHTS = 1 << 24  # of a set in one pass: 128 MB


class Interval(TypedDict):
    """A value, its interval, and the standard error behind it; low and high None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None
    error: float | None


def bootstrap(
    statistic: OfWeights,
    groups_a: NDArray[Any],
    groups_b: NDArray[Any],
    *,
    resamples: int = 1000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Percentile interval of every number of a statistic of row weights; patients are drawn within each set.

    The sets are drawn apart from each other: a patient in both is drawn twice over, independently.

    Args:
        statistic: such as ``lambda v, w: pairwise_draws(a, b, v, w)``; its pass over all pairs is done once for as many
            resamples as fit 16 million weights.
        groups_a: (N,) patient of each row. groups_b: (M,).

    Raises:
        DataError: wrong shapes, no resample, a level out of range, or a set of one patient.
    """
    keys = [np.asarray(groups) for groups in (groups_a, groups_b)]
    for groups, name in zip(keys, ("groups_a", "groups_b"), strict=True):
        if len(np.unique(check_groups(groups, groups.size, name))) < 2:
            raise wrong(name, "one patient", "two or more")
    step = max(20, _MOST_WEIGHTS // max(groups.size for groups in keys))
    whole = statistic(*(np.ones((1, groups.size)) for groups in keys))
    draws = [
        weight_chunks(
            np.zeros(groups.size, dtype=np.intp), groups, resamples=resamples, rng=child, chunk=step // 20 * 20
        )
        for groups, child in zip(keys, rng.spawn(2), strict=True)
    ]
    parts = [statistic(left.astype(np.float64), right.astype(np.float64)) for left, right in zip(*draws, strict=True)]
    found: dict[str, Interval] = {}
    for name, value in whole.items():
        values = np.concatenate([part[name] for part in parts])
        low, high = percentile_interval(values, level)
        known = values[~np.isnan(values)]
        error = float(known.std(ddof=1)) if known.size > 1 else math.nan
        found[name] = _interval(float(value[0]), low, high, error)
    return found


def half_sample(
    statistic: OfRows,
    groups_a: NDArray[Any],
    groups_b: NDArray[Any],
    *,
    repeats: int = 100,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Interval:
    """Value of all rows and a normal interval from random halves of the patients (delete-half jackknife, Shao and Wu
    1989, doi:10.1214/aos/1176347263).

    A half drawn without replacement strays from the whole as the whole strays from the truth, so the standard deviation
    over halves is the standard error, but for a factor where a set has an odd number of patients (that of the set where
    it is larger). What a half is off on average, because the statistic depends on
    the size of the set, does not enter; the interval is about the value, bias included. Limits may pass the statistic's
    own range.

    Args:
        statistic: such as ``lambda i, j: frechet(a[i], b[j])``.
        groups_a: (N,) patient of each row. groups_b: (M,).
        repeats: 2 or more.

    Raises:
        DataError: wrong shapes, too few patients or repeats, or a level out of range.
    """
    z = normal_quantile(level)
    if repeats < 2:
        raise wrong("repeats", f"{repeats}", "2 or more")
    owners = [
        check_groups(groups, np.size(groups), name) for groups, name in ((groups_a, "groups_a"), (groups_b, "groups_b"))
    ]
    value = float(statistic(np.arange(len(owners[0])), np.arange(len(owners[1]))))
    values, scale = [], 1.0
    for _ in range(repeats):
        (rows_a, scale_a), (rows_b, scale_b) = (half_of_the_groups(owner, rng) for owner in owners)
        values.append(statistic(rows_a, rows_b))
        scale = max(scale_a, scale_b)
    error = scale * float(np.std(values, ddof=1))
    return _interval(value, value - z * error, value + z * error, error)


def yardsticks(
    statistic: OfSets,
    sets: Mapping[str, Features],
    groups: Mapping[str, NDArray[Any]],
    *,
    repeats: int = 20,
    rng: np.random.Generator,
) -> dict[tuple[str, str], list[float]]:
    """A statistic of every set against itself and against every other, at one and the same size.

    A set against itself: two halves of its patients. Two sets: a half of each. All halves have as many rows as half of
    the smallest set, as near as whole patients allow, because most statistics depend on the size; so compare a distance
    between sets with these, not with the value of all rows. ``sets`` may hold noise features beside natural and medical
    ones. The spread over repeats is that of the halving, and no interval.

    Args:
        statistic: (n, D), (m, D) -> float.
        sets: name -> (N, D), one or more. groups: name -> (N,) patients; a name left out: every row its own.

    Returns:
        (name, name) in the order of `sets` -> (repeats,) values.

    Raises:
        DataError: wrong shapes, nan or infinite, groups of an unknown set, or too few patients.
    """
    if not sets or repeats < 1:
        raise wrong("sets, repeats", f"{len(sets)} sets, {repeats} repeats", "one or more of each")
    if unknown := sorted(set(groups) - set(sets)):
        raise wrong("groups", f"{', '.join(unknown)}", f"names of the sets: {', '.join(sets)}")
    checked = {name: check_features(rows, name, least=4).array for name, rows in sets.items()}
    owners = {name: check_groups(groups.get(name), len(rows), f"groups of {name}") for name, rows in checked.items()}
    size = min(len(rows) for rows in checked.values()) // 2
    pairs = list(combinations_with_replacement(checked, 2))
    found: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    for _ in range(repeats):
        halves = {name: halves_of_groups(owner, size, rng) for name, owner in owners.items()}
        for one, other in pairs:
            left, right = checked[one][halves[one][0]], checked[other][halves[other][1]]
            found[one, other].append(float(statistic(left, right)))
    return found


def _interval(value: float, *rest: float) -> Interval:
    known = [None if math.isnan(number) else number for number in (value, *rest)]
    return {"value": known[0], "low": known[1], "high": known[2], "error": known[3]}
