"""(rows, rows) -> their Euclidean distances by matrix products, exact where the products would cancel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats

_CLOSE_SINGLE = 1e-3  # of |x|^2 + |y|^2: nearer pairs have lost too many digits of float32
_CLOSE_DOUBLE = 1e-8  # nearer pairs have lost half the digits of float64
_AT_ONCE = 1 << 22  # numbers held while close pairs are subtracted


def squared_distances(x: Floats, y: Floats, *, single: bool = False) -> NDArray[Any]:
    """|x_i - y_j|^2 (p, q) of rows (p, D) and (q, D), not negative.

    |x|^2 + |y|^2 - 2 x.y loses digits where x and y are close beside their length, so such tiles are taken again in
    float64, and the closest pairs in them by subtraction. Centre the rows and bring them near size 1 first.

    Args:
        single: multiply in float32, twice as fast; values are then good to about 1e-4 each, and their mean to 1e-6.
    """
    lengths = np.einsum("pd,pd->p", x, x), np.einsum("qd,qd->q", y, y)
    found = _expanded(x, y, lengths, np.float32 if single else np.float64)
    near = _nearest(found, x is y)
    if single and _any_close(near, lengths, _CLOSE_SINGLE):
        found = _expanded(x, y, lengths, np.float64)
        near = _nearest(found, x is y)
    if found.dtype == np.float64 and _any_close(near, lengths, _CLOSE_DOUBLE):
        _subtract_close(found, x, y, lengths)
    if near.min() < 0:
        np.maximum(found, 0, out=found)
    if x is y:
        np.fill_diagonal(found, 0)
    return found


def distances(x: Floats, y: Floats, *, single: bool = False) -> NDArray[Any]:
    """|x_i - y_j| (p, q); see `squared_distances`."""
    found = squared_distances(x, y, single=single)
    return np.asarray(np.sqrt(found, out=found))


def _expanded(x: Floats, y: Floats, lengths: tuple[Floats, Floats], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    # The lengths ride along as two more columns: one product and no further pass over the tile.
    left = np.concatenate([-2 * x, lengths[0][:, None], np.ones((len(x), 1))], axis=1).astype(dtype, copy=False)
    right = np.concatenate([y, np.ones((len(y), 1)), lengths[1][:, None]], axis=1).astype(dtype, copy=False)
    tile: NDArray[Any] = left @ right.T
    return tile


def _nearest(squared: NDArray[Any], own: bool) -> NDArray[Any]:
    """(p,) smallest value of each row, a row's distance to itself left out."""
    if own:
        np.fill_diagonal(squared, np.inf)
    return np.asarray(squared.min(axis=1))


def _any_close(near: NDArray[Any], lengths: tuple[Floats, Floats], close: float) -> bool:
    return bool((near <= close * (lengths[0] + lengths[1].max())).any())


def _subtract_close(squared: Floats, x: Floats, y: Floats, lengths: tuple[Floats, Floats]) -> None:
    """Close pairs of the tile again, by subtraction, in place."""
    rows, columns = np.nonzero(squared <= _CLOSE_DOUBLE * (lengths[0][:, None] + lengths[1]))
    step = max(1, _AT_ONCE // x.shape[1])
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        gap = x[i] - y[j]
        squared[i, j] = np.einsum("pd,pd->p", gap, gap)
