"""(feature sets, a function of two rows) -> its weighted sums over all pairs, tile by tile, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xenograft.evaluation.metrics import Floats
from xenograft.similarity.feature_sets import FeatureSet, parts

OfPairs = Callable[[Floats, Floats], Floats]
"""(p, D), (q, D) -> (p, q). Both are the same object where a tile holds the pairs of a block with itself."""


def sum_between(a: FeatureSet, b: FeatureSet, of_pairs: OfPairs, weights_a: Floats, weights_b: Floats) -> Floats:
    """(R,) sum of w_i v_j f(a_i, b_j) over all pairs, for each line w (R, N_a), v (R, N_b) of the weights.

    Tiles are 2048 x 2048, so memory does not grow with the sets; sums are kept in float64. Costs N_a N_b (D + R).
    """
    total = np.zeros(len(weights_a))
    for rows, x in a.blocks():
        for columns, y in b.blocks():
            total += _weighted(of_pairs(x, y), weights_a[:, rows], weights_b[:, columns])
    return total


def sum_within(a: FeatureSet, of_pairs: OfPairs, weights: Floats) -> Floats:
    """(R,) sum of w_i w_j f(a_i, a_j) over i != j of a symmetric f; half the tiles of `sum_between`.

    A row that a resample draws twice is no pair with itself: its weight is squared nowhere.
    """
    total = np.zeros(len(weights))
    places = parts(len(a))
    for at, rows in enumerate(places):
        x = a.rows(rows)
        own = of_pairs(x, x)
        np.fill_diagonal(own, 0)
        total += _weighted(own, weights[:, rows], weights[:, rows])
        for columns in places[at + 1 :]:
            total += 2 * _weighted(of_pairs(x, a.rows(columns)), weights[:, rows], weights[:, columns])
    return total


def pairs_between(weights_a: Floats, weights_b: Floats) -> Floats:
    """(R,) number of pairs that `sum_between` counts."""
    count: Floats = weights_a.sum(axis=1) * weights_b.sum(axis=1)
    return count


def pairs_within(weights: Floats) -> Floats:
    """(R,) number of ordered pairs that `sum_within` counts."""
    count: Floats = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    return count


def _weighted(tile: Floats, left: Floats, right: Floats) -> Floats:
    """(R,) sums of a tile (p, q) weighted by left (R, p) and right (R, q)."""
    if len(left) == 1 and (left == 1).all() and (right == 1).all():
        return np.array([tile.sum(dtype=np.float64)])
    found: Floats = np.einsum("rq,rq->r", left @ tile.astype(np.float64, copy=False), right)
    return found
