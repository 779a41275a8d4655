"""(two feature sets) -> how far their rows are each other's nearest neighbours: mixing, precision and recall.

Exact: every row is compared with every other, some rows at a time. Neighbours are by Euclidean distance, so nothing
here changes with rotation, translation, a common scale or the order of rows. Rows of one patient are never neighbours:
else a set would look like itself because its patients have several images. Which of equally near rows counts is
arbitrary.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.euclidean_tile import squared_distances
from xenograft.similarity.feature_sets import Features, check_joint_groups, check_pair

_CELLS = 1 << 23  # distances held at once: 64 MB


class Neighbours(TypedDict):
    """Shares in [0, 1].

    Args:
        own_a: mean share of the k nearest neighbours of a row of a that are in a, among all other rows of both sets.
            own_b: alike. own: over all rows (Schilling 1986).
        own_a_mixed, own_b_mixed, own_mixed: what these would be on average if the sets were mixed at random.
        b_in_a: share of rows of b inside a's support, within the k-th neighbour's distance of some row of a (precision
            of b, Kynkäänniemi et al. 2019). a_in_b: the other way round (recall).
    """

    own_a: float
    own_b: float
    own: float
    own_a_mixed: float
    own_b_mixed: float
    own_mixed: float
    b_in_a: float
    a_in_b: float


def neighbours(
    a: Features,
    b: Features,
    *,
    k: int = 5,
    groups_a: NDArray[Any] | None = None,
    groups_b: NDArray[Any] | None = None,
) -> Neighbours:
    """Mixing (Schilling 1986, doi:10.1080/01621459.1986.10478337) and precision and recall (Kynkäänniemi et al. 2019,
    arXiv:1904.06991) of two sets.

    Of two apart sets own is 1 and the overlap 0; of one distribution own is near own_mixed. For one distribution the
    overlaps are well below 1 in few rows or many features, so compare them with those of split halves. Larger sets
    reach further: compare sets of equal size. A wide set has wide balls, which may hold a narrow set that none of its
    rows is like (Naeem et al. 2020, arXiv:2002.09797): read an overlap beside own.

    Costs (N + M)^2 D; holds both sets in float64 and 8 million distances at a time, a few times over.

    Args:
        a: (N, D) of any real type. b: (M, D).
        groups_a: (N,) patients. groups_b: (M,); the same key is the same patient in both. None: every row its own.

    Raises:
        DataError: wrong shapes, nan or infinite, k < 1, or a row with fewer than k rows of other patients in its set.
    """
    first, second = check_pair(a, b)
    n = len(first)
    if k < 1:
        raise wrong("k", f"{k}", "1 or more")
    group = check_joint_groups(groups_a, groups_b, (n, len(second)))
    joined = np.concatenate([first.rows(), second.rows()])
    joined -= joined.mean(axis=0)
    if size := float(np.abs(joined).max()):
        joined /= size
    in_a = np.arange(len(joined)) < n
    for name, mine in (("a", in_a), ("b", ~in_a)):
        fewest = int(mine.sum() - np.bincount(group[mine]).max())
        if fewest < k:
            raise wrong("k", f"{k}", f"at most {fewest}, the rows of {name} that are of other patients than some row")
    own, radius = _of_rows(joined, group, in_a, k)
    inside = _inside(joined, group, in_a, radius)
    mixed = _mixed(group, in_a)
    return {
        "own_a": float(own[in_a].mean()), "own_b": float(own[~in_a].mean()), "own": float(own.mean()),
        "own_a_mixed": float(mixed[in_a].mean()), "own_b_mixed": float(mixed[~in_a].mean()),
        "own_mixed": float(mixed.mean()),
        "b_in_a": float(inside[~in_a].mean()), "a_in_b": float(inside[in_a].mean()),
    }  # fmt: skip


def _slices(count: int) -> list[slice]:
    step = max(1, _CELLS // count)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _apart(joined: Floats, group: NDArray[np.intp], rows: slice) -> Floats:
    """(p, N) squared distances, infinite within a patient."""
    found: Floats = squared_distances(joined[rows].copy(), joined)
    found[group[rows][:, None] == group] = np.inf
    return found


def _of_rows(joined: Floats, group: NDArray[np.intp], in_a: NDArray[np.bool_], k: int) -> tuple[Floats, Floats]:
    """(N,) share of own among the k nearest of both sets; (N,) squared distance of the k-th nearest of the own set."""
    own, radius = np.empty(len(joined)), np.empty(len(joined))
    for rows in _slices(len(joined)):
        apart = _apart(joined, group, rows)
        nearest = np.argpartition(apart, k - 1, axis=1)[:, :k]
        own[rows] = (in_a[nearest] == in_a[rows][:, None]).mean(axis=1)
        apart[in_a[rows][:, None] != in_a] = np.inf
        radius[rows] = np.partition(apart, k - 1, axis=1)[:, k - 1]
    return own, radius


def _inside(joined: Floats, group: NDArray[np.intp], in_a: NDArray[np.bool_], radius: Floats) -> NDArray[np.bool_]:
    """(N,) whether a row lies in the ball of some row of the other set."""
    inside = np.empty(len(joined), dtype=np.bool_)
    for rows in _slices(len(joined)):
        apart = _apart(joined, group, rows)
        apart[in_a[rows][:, None] == in_a] = np.inf
        inside[rows] = (apart <= radius).any(axis=1)
    return inside


def _mixed(group: NDArray[np.intp], in_a: NDArray[np.bool_]) -> Floats:
    """(N,) share of a row's own set among the rows that may be its neighbours."""
    of_a, of_all = np.bincount(group, in_a)[group], np.bincount(group)[group]
    of_own = np.where(in_a, of_a, of_all - of_a)
    members = np.where(in_a, in_a.sum(), (~in_a).sum())
    share: Floats = (members - of_own) / (len(group) - of_all)
    return share
