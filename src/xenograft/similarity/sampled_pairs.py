"""(two feature sets) -> D of Eq. 9 from random pairs, with the standard error of having taken no more of them.

For sets whose pairs would take hours. Pairs are drawn independently and uniformly, with replacement, from all pairs
between the sets and, in two further draws, from all pairs of different rows within each: every mean is unbiased for
the exact one of `pairwise`, and its standard error is the standard deviation of the drawn distances over the root of
their number. A million pairs give D of usual features to a few parts in 10,000.

The error is that against the exact D of these very rows. It does not say how D would differ with other patients:
that is for `resampling.bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.covariance import Shrinkage
from xenograft.similarity.feature_sets import Features, FeatureSet, check_pair
from xenograft.similarity.pairwise import Distance, as_euclidean

_NUMBERS = 1 << 20  # of the rows gathered at once: 8 MB for each side


class Estimate(TypedDict):
    """A value and its standard error, both in the value's unit; None where the value is 0/0."""

    value: float | None
    error: float | None


class SampledDistance(TypedDict):
    """The numbers of `PairwiseDistance`, estimated. pairs: drawn for each of the three means."""

    between: Estimate
    within_a: Estimate
    within_b: Estimate
    excess: Estimate
    ratio: Estimate
    inhomogeneity: Estimate
    pairs: int


def sampled_pairwise(
    a: Features,
    b: Features,
    *,
    pairs: int = 1_000_000,
    distance: Distance = "euclidean",
    shrinkage: Shrinkage = "ledoit-wolf",
    covariance: Floats | None = None,
    seed: int = 0,
) -> SampledDistance:
    """D(F_C, F_M) of Eq. 9 and both within-set means from random pairs; costs 3 D for each, whatever N is.

    The standard errors of ratio and inhomogeneity are by the delta method. An excess that is small beside its error
    says nothing yet: take more pairs, or a squared distance, whose exact form is as quick.

    Args:
        a: (N, D) of any real type, N >= 2. b: (M, D).
        pairs: of each kind, 2 or more. distance, shrinkage, covariance: as for `pairwise`.

    Raises:
        DataError: as `pairwise`, where rows of zeros are seen only if they are drawn; or too few pairs.
    """
    if pairs < 2:
        raise wrong("pairs", f"{pairs}", "2 or more")
    first, second = as_euclidean(*check_pair(a, b), distance, shrinkage, covariance)
    rng = np.random.default_rng(seed)
    between, within_a, within_b = (
        _mean(_distances(x, y, distance, pairs, rng), pairs)
        for x, y in ((first, second), (first, first), (second, second))
    )
    within = (within_a[0] + within_b[0]) / 2, math.hypot(within_a[1], within_b[1]) / 2
    return SampledDistance(
        between=_estimate(*between), within_a=_estimate(*within_a), within_b=_estimate(*within_b),
        excess=_estimate(between[0] - within[0], math.hypot(between[1], within[1])),
        ratio=_quotient(between, within), inhomogeneity=_less_than_one(_quotient(within, between)), pairs=pairs,
    )  # fmt: skip


def _distances(
    a: FeatureSet, b: FeatureSet, distance: Distance, pairs: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Of random pairs, some at a time; of different rows where a is b."""
    step = max(1, _NUMBERS // a.array.shape[1])
    for start in range(0, pairs, step):
        i, j = _drawn(len(a), len(b), min(step, pairs - start), a is b, rng)
        gap = a.rows(i) - b.rows(j)
        squared = np.einsum("nd,nd->n", gap, gap)
        if distance in {"euclidean", "mahalanobis"}:
            yield np.sqrt(squared)
        else:
            yield squared / 2 if distance == "cosine" else squared


def _drawn(
    rows: int, others: int, count: int, own: bool, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    i = rng.integers(rows, size=count)
    j = rng.integers(others - own, size=count)
    return i, j + (j >= i) if own else j  # stepping over i itself keeps the others equally likely


def _mean(parts: Iterator[Floats], count: int) -> tuple[float, float]:
    """Mean and its standard error; about the first part's mean, so that squares do not cancel."""
    total = squares = 0.0
    about: float | None = None
    for values in parts:
        about = float(values.mean()) if about is None else about
        total += float((values - about).sum())
        squares += float(np.square(values - about).sum())
    variance = max(squares - total**2 / count, 0.0) / (count - 1)
    return (about or 0.0) + total / count, math.sqrt(variance / count)


def _estimate(value: float, error: float) -> Estimate:
    return {"value": value, "error": error}


def _quotient(above: tuple[float, float], below: tuple[float, float]) -> Estimate:
    if below[0] == 0:
        return {"value": None, "error": None}
    value = above[0] / below[0]
    return {"value": value, "error": math.hypot(above[1], value * below[1]) / abs(below[0])}


def _less_than_one(share: Estimate) -> Estimate:
    value = share["value"]
    return {"value": None if value is None else 1 - value, "error": share["error"]}
