"""(feature sets, a function of two rows) -> its weighted sums over all pairs, tile by tile, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from xenograft.evaluation.metrics import Floats
from xenograft.similarity.feature_sets import FeatureSet, parts

OfPairs = Callable[[Any, Any], NDArray[Any]]
"""p rows, q rows -> (p, q). Both are the same object where a tile holds the pairs of a block with itself."""

Ready = Callable[[Floats], Any]
"""(n, D) rows -> the form in which `OfPairs` takes them."""

_Panel = list[tuple[slice, Any]]  # places of rows, and the rows made ready

_PANEL = 1 << 22  # numbers that stay while all other rows pass by: making rows ready costs little beside their products


def sum_between(
    a: FeatureSet, b: FeatureSet, of_pairs: OfPairs, weights_a: Floats, weights_b: Floats, *, ready: Ready = np.asarray
) -> Floats:
    """(R,) sum of w_i v_j f(a_i, b_j) over all pairs, for each line w (R, N_a), v (R, N_b) of the weights.

    Tiles are taken on as many threads as BLAS may use, BLAS itself held to one meanwhile: products and what comes after
    them then use every core. They are added in one order, in float64. Memory does not grow with the sets. Costs
    N_a N_b (D + R).
    """

    def column(panel: _Panel, place: slice) -> Floats:
        y = ready(b.rows(place))
        total = np.zeros(len(weights_a))
        for rows, x in panel:
            total += _weighted(of_pairs(x, y), weights_a[:, rows], weights_b[:, place])
        return total

    return _by_panels(a, parts(len(b)), ready, column)


def sum_within(a: FeatureSet, of_pairs: OfPairs, weights: Floats, *, ready: Ready = np.asarray) -> Floats:
    """(R,) sum of w_i w_j f(a_i, a_j) over i != j of a symmetric f; half the tiles of `sum_between`.

    A row that a resample draws twice is no pair with itself: its weight is squared nowhere.
    """

    def column(panel: _Panel, place: slice) -> Floats:
        total = np.zeros(len(weights))
        if place.start < panel[0][0].start:  # an earlier panel met it
            return total
        held = [x for rows, x in panel if rows == place]
        y = held[0] if held else ready(a.rows(place))
        for rows, x in panel:
            if rows.start <= place.start:
                tile = of_pairs(x, y)
                if x is y:
                    np.fill_diagonal(tile, 0)
                total += (1 if x is y else 2) * _weighted(tile, weights[:, rows], weights[:, place])
        return total

    return _by_panels(a, parts(len(a)), ready, column)


def _by_panels(a: FeatureSet, others: list[slice], ready: Ready, column: Callable[[_Panel, slice], Floats]) -> Floats:
    """Sum of column(panel, place) over all panels of a and all places."""
    places = parts(len(a))
    step = max(1, _PANEL // (places[0].stop * a.array.shape[1]))
    sums = []
    with _threads(len(others)) as each:
        for start in range(0, len(places), step):
            panel = list(each(lambda rows: (rows, ready(a.rows(rows))), places[start : start + step]))
            sums.append(np.add.reduce(list(each(partial(column, panel), others))))
    total: Floats = np.add.reduce(sums)
    return total


@contextmanager
def _threads(tasks: int) -> Iterator[Callable[[Callable[[slice], Any], Iterable[slice]], Iterable[Any]]]:
    """A `map` over threads that keep the caller's numpy error state; results in order."""
    if tasks == 1:  # small sets: looking for the libraries would take longer
        yield map
        return
    libraries = ThreadpoolController().select(user_api="blas")
    count = max((library["num_threads"] for library in libraries.info()), default=1)
    context = copy_context()
    with libraries.limit(limits=1), ThreadPoolExecutor(min(count, tasks)) as pool:
        yield lambda task, items: pool.map(lambda item: context.copy().run(task, item), items)


def pairs_between(weights_a: Floats, weights_b: Floats) -> Floats:
    """(R,) number of pairs that `sum_between` counts."""
    count: Floats = weights_a.sum(axis=1) * weights_b.sum(axis=1)
    return count


def pairs_within(weights: Floats) -> Floats:
    """(R,) number of ordered pairs that `sum_within` counts."""
    count: Floats = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    return count


def _weighted(tile: NDArray[Any], left: Floats, right: Floats) -> Floats:
    """(R,) sums of a tile (p, q) weighted by left (R, p) and right (R, q)."""
    if len(left) == 1 and (left == 1).all() and (right == 1).all():
        return np.array([tile.sum(axis=1).sum(dtype=np.float64)])  # along a row numpy adds pairwise: enough in float32
    found: Floats = np.einsum("rq,rq->r", left @ tile.astype(np.float64, copy=False), right)
    return found
