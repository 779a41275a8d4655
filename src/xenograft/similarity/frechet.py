"""(two feature sets) -> Fréchet distance of the Gaussians fitted to them, and its limit without small-sample bias.

Dowson and Landau (1982, doi:10.1016/0047-259X(82)90077-X); on Inception features the FID of Heusel et al. (2017,
arXiv:1706.08500). Sees means and covariances only: two sets that differ otherwise may have distance 0. Does not change
with rotation, translation or the order of rows; grows with the square of a scale. Features of another backbone have
another scale: values compare within one backbone only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import Features, FeatureSet, check_groups, check_pair
from xenograft.similarity.subsets import part_of_groups

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class FrechetLimit(TypedDict):
    """Fréchet distance of all rows, its limit for endless sets, and the line that leads there.

    Args:
        value: of all rows. limit: the line at 1/share = 0. slope: how much `value` is above it, if the line holds.
        shares: part of each set taken. values: mean distance at each. spread: standard deviation over the repeats, of
            one draw; 0 at share 1, which has one draw. fit: R^2 of the line, None where the values are all equal.
    """

    value: float
    limit: float
    slope: float
    shares: list[float]
    values: list[float]
    spread: list[float]
    fit: float | None


def frechet(a: Features, b: Features) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (AB)^(1/2)), squared as FID is; never negative.

    tr (AB)^(1/2) is the sum of the singular values of F G' for any F'F = A and G'G = B: the symmetric roots, or the
    centred rows themselves where they are fewer than the features. Nothing complex, and no offset on the diagonal.
    Covariances divide by N - 1. Costs N D^2 + D^3.

    The estimate is biased upwards, by about a constant over N: `frechet_limit` shows by how much.

    Args:
        a: (N, D) of any real type, N >= 2. b: (M, D).

    Raises:
        DataError: wrong shapes, nan or infinite.
    """
    return _of_sets(*check_pair(a, b))


def frechet_limit(
    a: Features,
    b: Features,
    *,
    groups_a: NDArray[Any] | None = None,
    groups_b: NDArray[Any] | None = None,
    shares: Sequence[float] = SHARES,
    repeats: int = 3,
    rng: np.random.Generator,
) -> FrechetLimit:
    """The distance at smaller and smaller parts of both sets, and its extrapolation (Chong and Forsyth 2020, FID_inf,
    arXiv:1911.07023).

    The bias is nearly linear in 1/N (their Eq. 4). Here both sets are finite, so the same share of both is drawn,
    without replacement, and a line over 1/share is followed to 0. The line needs sets that are large beside what they
    are asked: with fewer rows than features in the smallest part it bends and the limit is no more than a hint; look at
    `fit`. The parts overlap, so no interval comes from the residuals; `resampling.half_sample` gives one.

    Args:
        groups_a: (N,) patients, drawn whole; None draws rows. groups_b: (M,).
        shares: in (0, 1], increasing, the last 1, three or more.
        repeats: draws at each share below 1.

    Raises:
        DataError: as `frechet`, other shares or repeats, or a share that leaves fewer than two rows.
    """
    first, second = check_pair(a, b)
    owners = check_groups(groups_a, len(first), "groups_a"), check_groups(groups_b, len(second), "groups_b")
    steps = [float(share) for share in shares]
    if len(steps) < 3 or steps[0] <= 0 or steps[-1] != 1 or any(x >= y for x, y in itertools.pairwise(steps)):
        raise wrong("shares", f"{steps}", "three or more above 0, increasing, the last 1")
    if repeats < 1:
        raise wrong("repeats", f"{repeats}", "1 or more")

    def once(share: float) -> float:
        rows = [part_of_groups(owner, share * len(owner), rng) for owner in owners]
        return _of_sets(FeatureSet(first.array[rows[0]]), FeatureSet(second.array[rows[1]]))

    whole = _of_sets(first, second)
    draws = [[once(share) for _ in range(repeats)] for share in steps[:-1]] + [[whole]]
    means = np.array([np.mean(values) for values in draws])
    slope, limit = np.polyfit(1 / np.array(steps), means, 1)
    left, all_of_it = means - (limit + slope / np.array(steps)), means - means.mean()
    spread = [float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for values in draws]
    varies = float(all_of_it @ all_of_it)
    return {
        "value": whole, "limit": float(limit), "slope": float(slope), "shares": steps, "values": means.tolist(),
        "spread": spread, "fit": 1 - float(left @ left) / varies if varies > 0 else None,
    }  # fmt: skip


def _of_sets(a: FeatureSet, b: FeatureSet) -> float:
    mean_a, mean_b = a.mean(), b.mean()
    size = max(1e-300, *(float(np.abs(block - mean_a).max()) for each in (a, b) for _, block in each.blocks()))
    gap = (mean_a - mean_b) / size
    root_a, root_b = _factor(a, mean_a, size), _factor(b, mean_b, size)
    shared = float(np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum())
    apart = float(np.vdot(root_a, root_a) + np.vdot(root_b, root_b)) - 2 * shared
    return max(0.0, float(gap @ gap) + apart) * size**2


def _factor(a: FeatureSet, mean: Floats, size: float) -> Floats:
    """F (min(N, D), D) with F'F the covariance of rows / size."""
    if len(a) <= len(mean):
        few: Floats = (a.rows() - mean) / (size * math.sqrt(len(a) - 1))
        return few
    covariance = np.zeros((len(mean), len(mean)))
    for _, block in a.blocks():
        centred = (block - mean) / size
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance / (len(a) - 1))
    root: Floats = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root
