"""(rows, rows) -> their Euclidean distances by matrix products, exact where the products would cancel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats

_CLOSE_SINGLE = 1e-3  # of |x|^2 + |y|^2: nearer pairs have lost too many digits of float32
_CLOSE_DOUBLE = 1e-8  # nearer pairs have lost half the digits of float64
_FEW = 1 / 64  # share of a tile's pairs: subtracting so many costs about as much as the product in float64
_AT_ONCE = 1 << 20  # numbers held while close pairs are subtracted


@dataclass(frozen=True, slots=True)
class TileRows:
    """Rows (n, D) made ready to be multiplied with many others.

    Args:
        exact: (n, D) float64. factor: the same in the type of the product. lengths: (n,) |x|^2, float64.
    """

    exact: Floats
    factor: NDArray[Any]
    lengths: Floats


def tile_rows(rows: Floats, *, single: bool = False) -> TileRows:
    """Make rows (n, D) ready. Centre them and bring them near size 1 first.

    Args:
        single: multiply in float32, twice as fast; distances are then good to about 1e-4 each, their mean to 1e-6.
    """
    return TileRows(rows, rows.astype(np.float32) if single else rows, np.einsum("nd,nd->n", rows, rows))


def squared_distances(x: Floats, y: Floats) -> Floats:
    """|x_i - y_j|^2 (p, q) of rows (p, D) and (q, D), not negative, in float64; see `tile_rows` on centring."""
    left = tile_rows(x)
    found: Floats = _squared(left, left if x is y else tile_rows(y))
    return found


def distances(x: TileRows, y: TileRows) -> NDArray[Any]:
    """|x_i - y_j| (p, q) in the type of the factors; zero on the diagonal where x is y."""
    found = _squared(x, y)
    return np.asarray(np.sqrt(found, out=found))


def _squared(x: TileRows, y: TileRows) -> NDArray[Any]:
    """|x|^2 + |y|^2 - 2 x.y loses digits where x and y are close beside their length: such pairs are subtracted."""
    found: NDArray[Any] = (-2 * x.factor) @ y.factor.T
    found += x.lengths.astype(found.dtype)[:, None]
    found += y.lengths.astype(found.dtype)
    if x is y:
        np.fill_diagonal(found, np.inf)
    single = found.dtype == np.float32
    close = _CLOSE_SINGLE if single else _CLOSE_DOUBLE
    # Looking at the smallest number of each row is one cheap pass; what fell below zero is always close.
    if (found.min(axis=1) <= close * (x.lengths + y.lengths.max())).any():
        pairs = np.nonzero(found <= close * (x.lengths[:, None] + y.lengths))
        if single and len(pairs[0]) > _FEW * found.size:
            precise = _double(x)
            return _squared(precise, precise if x is y else _double(y))
        _subtract(found, x.exact, y.exact, pairs)
    if x is y:
        np.fill_diagonal(found, 0)
    return found


def _double(rows: TileRows) -> TileRows:
    return TileRows(rows.exact, rows.exact, rows.lengths)


def _subtract(squared: NDArray[Any], x: Floats, y: Floats, pairs: tuple[NDArray[np.intp], ...]) -> None:
    """Those pairs of the tile again, by subtraction, in place."""
    rows, columns = pairs
    step = max(1, _AT_ONCE // x.shape[1])
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        gap = x[i] - y[j]
        squared[i, j] = np.einsum("pd,pd->p", gap, gap)
