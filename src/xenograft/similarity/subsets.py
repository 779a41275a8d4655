"""(groups of rows) -> random parts of the rows that cut no group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import wrong

Rows = NDArray[np.intp]


def part_of_groups(owner: NDArray[np.intp], rows: float, rng: np.random.Generator) -> Rows:
    """Rows of whole groups in random order until the next would pass `rows` in number; sorted.

    Args:
        owner: (N,) group of each row. rows: about how many to take, at least 2.

    Raises:
        DataError: fewer than two rows result.
    """
    order = rng.permutation(np.unique(owner))
    return _taken(owner, order, rows)


def halves_of_groups(owner: NDArray[np.intp], rows: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Two parts without a group in common, each of at most `rows` rows; see `part_of_groups`."""
    order = rng.permutation(np.unique(owner))
    return _taken(owner, order, rows), _taken(owner, order[::-1], rows)


def _taken(owner: NDArray[np.intp], order: NDArray[Any], rows: float) -> Rows:
    sizes = np.bincount(owner)[order]
    chosen = order[np.cumsum(sizes) <= rows + 1e-9]  # a share of N is a rounded product
    found = np.flatnonzero(np.isin(owner, chosen))
    if len(found) < 2:
        raise wrong(
            "groups", f"{len(order)} groups of {len(owner)} rows", f"enough to take {rows:g} rows of whole ones"
        )
    return found
