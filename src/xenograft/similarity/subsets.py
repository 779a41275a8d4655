"""(groups of rows) -> random parts of the rows that cut no group."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import wrong

Rows = NDArray[np.intp]


def part_of_groups(owner: NDArray[np.intp], rows: float, rng: np.random.Generator) -> Rows:
    """Rows of whole groups in random order, at most `rows` of them; sorted. A group that does not fit is passed over.

    Args:
        owner: (N,) group of each row. rows: about how many to take, at least 2.

    Raises:
        DataError: fewer than two rows result.
    """
    groups, sizes = np.unique(owner, return_counts=True)
    order, left, chosen = rng.permutation(len(groups)), rows + _ROUNDING, []
    for at in order.tolist():
        if sizes[at] <= left:
            chosen.append(at)
            left -= sizes[at]
    return _taken(owner, groups[chosen], rows)


def halves_of_groups(owner: NDArray[np.intp], rows: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Two parts without a group in common, each of at most `rows` rows; sorted.

    Groups in random order go to the part that has fewer rows; one that does not fit into it is passed over.

    Raises:
        DataError: fewer than two rows result for a part.
    """
    groups, sizes = np.unique(owner, return_counts=True)
    order = deque(rng.permutation(len(groups)).tolist())
    parts: tuple[list[int], list[int]] = ([], [])
    room = [rows + _ROUNDING] * 2
    while order and max(room) >= 1:
        emptier = int(room[1] > room[0])
        at = order.pop() if emptier else order.popleft()
        if sizes[at] <= room[emptier]:
            parts[emptier].append(at)
            room[emptier] -= sizes[at]
    one, other = (_taken(owner, groups[part], rows) for part in parts)
    return one, other


def half_of_the_groups(owner: NDArray[np.intp], rng: np.random.Generator) -> tuple[Rows, float]:
    """Rows of a random half of the groups, whatever their sizes; and by what a spread over such halves is scaled.

    Of n groups m are drawn without replacement. The spread of a mean over such draws is sqrt((n - m) / m) of its
    standard error (delete-d jackknife, Shao and Wu 1989, doi:10.1214/aos/1176347263).

    Raises:
        DataError: a single group, or fewer than two rows.
    """
    groups = np.unique(owner)
    many = (len(groups) + 1) // 2
    found = _taken(owner, rng.permutation(groups)[:many], many)
    if many == len(groups):
        raise wrong("groups", f"{len(groups)} groups of {len(owner)} rows", "enough to take half of whole ones")
    return found, (many / (len(groups) - many)) ** 0.5


_ROUNDING = 1e-9  # a share of N is a rounded product


def _taken(owner: NDArray[np.intp], chosen: NDArray[np.intp], rows: float) -> Rows:
    found = np.flatnonzero(np.isin(owner, chosen))
    if len(found) < 2:
        raise wrong(
            "groups",
            f"{len(np.unique(owner))} groups of {len(owner)} rows",
            f"enough to take {rows:g} rows of whole ones",
        )
    return found
