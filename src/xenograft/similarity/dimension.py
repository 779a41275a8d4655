"""(features of one set) -> how many directions it uses: TwoNN and MLE locally, participation ratio, effective rank.

The two intrinsic dimensions look at distances to nearest neighbours, and see a curved sheet as 2. The participation
ratio and the effective rank look at the spectrum of the whole set, and see the directions that the sheet bends through.

Invariances of all four: rotation and reflection, translation, one scale factor for all features, the order of the rows.
Not: a factor of its own for each feature.

Duplicates. Rows that are exactly equal have a neighbour at distance 0, which says nothing of dimension: TwoNN and MLE
keep one of each and count the rest. The spectral measures keep every row, so that a duplicate counts twice; if every
row comes equally often, nothing changes. Near duplicates (an image saved twice as JPEG) stay in, and pull the intrinsic
dimensions down. For an interval of TwoNN or MLE draw patients without replacement: a bootstrap makes duplicates.
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np
from sklearn.neighbors import NearestNeighbors

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import Features
from xenograft.similarity.representation import centred, check_representation

NEIGHBOURS = 20
DISCARDED = 0.1


class IntrinsicDimension(TypedDict):
    """A dimension, None where it is undefined, and the rows that it was made from."""

    value: float | None
    rows: int  # all of them
    duplicates: int  # left out, since equal to an earlier row
    neighbours: int  # whose distances were used


def two_nn(features: Features, *, discarded: float = DISCARDED) -> IntrinsicDimension:
    """TwoNN: the slope of -log(1 - F(m)) on log m, m = second over first neighbour distance (Facco et al. 2017).

    Facco, d'Errico, Rodriguez and Laio, doi:10.1038/s41598-017-11873-y: with locally constant density m follows
    F(m) = 1 - m^-d. The line goes through the origin; the largest `discarded` share of m is left out, where the line
    fails most.
    It falls short of high dimensions with few rows: some 15 of 20 for a Gaussian of 1,000 rows.

    Cost: O(N^2 D) time in blocks, O(N D) memory.

    Args:
        features: (N, D), N >= 3. discarded: share in [0, 1).

    Returns:
        None where fewer than 3 different rows are left, or neighbours are equally far (points on a grid).

    Raises:
        DataError: E-DATA-05, wrong shape, nan, infinity or beyond 1e100, or a share outside [0, 1).
    """
    if not 0 <= discarded < 1:
        raise wrong("discarded", f"{discarded}", "a share from 0, below 1")
    table = check_representation(features, least=3)
    different = _different(table)
    if len(different) < 3:
        return _answer(math.nan, table, different, 2)
    distances = _neighbour_distances(different, 2)
    logs = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    count = len(logs)
    kept = min(count - 1, max(1, int(count * (1 - discarded))))  # the last one has F = 1, and no logarithm
    risen = -np.log1p(-np.arange(1, kept + 1) / count)
    square = float(np.square(logs[:kept]).sum())
    value = float(logs[:kept] @ risen) / square if square > 0 else math.nan
    return _answer(value, table, different, 2)


def mle_dimension(features: Features, *, neighbours: int = NEIGHBOURS) -> IntrinsicDimension:
    """Maximum likelihood from the distances T_1..T_k to k neighbours (Levina and Bickel 2004, NeurIPS 17).

    Over rows, the inverses are averaged, as MacKay and Ghahramani (2005, comments on that paper) show to be the
    likelihood of all rows together; the mean of the values would be dominated by rows with few near neighbours:
    1 / d = mean over rows and j < k of log(T_k / T_j).

    Cost: O(N^2 D) time in blocks, O(N (D + k)) memory.

    Args:
        features: (N, D), N >= 3. neighbours: k >= 2; fewer where there are not as many other rows.

    Returns:
        None where fewer than 3 different rows are left, or neighbours are equally far.

    Raises:
        DataError: E-DATA-05, wrong shape, nan, infinity or beyond 1e100, or fewer than two neighbours.
    """
    if neighbours < 2:
        raise wrong("neighbours", f"{neighbours}", "2 or more")
    table = check_representation(features, least=3)
    different = _different(table)
    count = min(neighbours, len(different) - 1)
    if count < 2:
        return _answer(math.nan, table, different, count)
    distances = _neighbour_distances(different, count)
    inverse = float(np.log(distances[:, -1:] / distances[:, :-1]).mean())
    return _answer(1 / inverse if inverse > 0 else math.nan, table, different, count)


def participation_ratio(features: Features) -> float:
    """(sum l)^2 / sum l^2 over the eigenvalues l of the covariance matrix, from traces; O(N D min(N, D)).

    Args:
        features: (N, D), N >= 2.

    Returns:
        From 1 (all variance in one direction) to min(N - 1, D) (the same in all); nan where nothing varies.

    Raises:
        DataError: E-DATA-05, wrong shape, nan, infinity or beyond 1e100.
    """
    moved = centred(check_representation(features))
    gram = moved.T @ moved if moved.shape[1] < len(moved) else moved @ moved.T
    trace = float(np.trace(gram))
    return trace**2 / float(np.square(gram).sum()) if trace > 0 else math.nan


def effective_rank(features: Features) -> float:
    """exp of the entropy of the singular values, divided by their sum, of the centred features; O(N D min(N, D)).

    Roy and Vetterli 2007 (EUSIPCO, "The effective rank: a measure of effective dimensionality", Def. 1), who do not
    centre. Singular values, not their squares, are counted, so it lies above the participation ratio.

    Args, returns and raises: as `participation_ratio`.
    """
    singular = np.linalg.svd(centred(check_representation(features)), compute_uv=False)
    shares = singular / (singular.sum() or 1.0)
    shares = shares[shares > 0]
    return math.exp(-float(shares @ np.log(shares))) if shares.size else math.nan


def _different(table: Floats) -> Floats:
    """One of each row, centred and scaled; in an order of its own."""
    return centred(np.unique(table, axis=0))


def _neighbour_distances(different: Floats, count: int) -> Floats:
    """(N, count) distances to the nearest other rows, increasing.

    The search takes distances from a matrix product, in which small ones lose digits; they are measured again by
    differences. Which rows are nearest is uncertain only among those within 1e-8 of the largest distance. Rows that
    rounding has made equal are as far apart as the smallest number.
    """
    found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(different)
    others = found.kneighbors(return_distance=False)
    columns = [np.linalg.norm(different - different[others[:, k]], axis=1) for k in range(count)]
    distances: Floats = np.maximum(np.sort(np.stack(columns, axis=1), axis=1), np.finfo(np.float64).tiny)
    return distances


def _answer(value: float, table: Floats, different: Floats, neighbours: int) -> IntrinsicDimension:
    return {
        "value": None if math.isnan(value) else value,
        "rows": len(table),
        "duplicates": len(table) - len(different),
        "neighbours": neighbours,
    }
