"""(labels, probabilities, weights of B resamples) -> macro, weighted and micro averages over classes or findings.

Several classes and several findings are one table of yes/no columns: an image is a class or shows a finding, or not.
What differs is how a yes is predicted, the most probable class or a threshold, and that findings may be unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xenograft.evaluation.metrics import (
    Floats,
    Labels,
    Scores,
    cell_metrics,
    check_probabilities,
    check_weights,
    group_metrics,
    ratio,
    shaped,
)
from xenograft.evaluation.multilabel import check_multilabel, check_thresholds, groups_of

AVERAGED = ("precision", "recall", "f1", "auroc", "average_precision")
AVERAGES = ("macro", "weighted", "micro")
OVO = "auroc_ovo"

Bools = NDArray[np.bool_]


@overload
def multiclass_averages(labels: Labels, probabilities: Scores, *, weights: None = None) -> dict[str, float]: ...
@overload
def multiclass_averages(labels: Labels, probabilities: Scores, *, weights: Scores) -> dict[str, Floats]: ...
def multiclass_averages(
    labels: Labels, probabilities: Scores, *, weights: Scores | None = None
) -> dict[str, float] | dict[str, Floats]:
    """Averages of one-against-rest metrics over C classes; the most probable class is predicted (the first of equals).

    ``macro`` is the plain mean over classes, as in `multiclass_metrics`; ``weighted`` weighs each by its images;
    ``micro`` pools the N C yes/no questions into one, so that its precision, recall and F1 all are the accuracy.
    ``auroc_ovo`` is M of Hand & Till 2001 (Mach Learn 45:171-186, Eq. 7): the plain mean over pairs of classes, which
    unlike the others does not depend on how frequent each class is.

    Args:
        labels: (N,) in 0..C-1.
        probabilities: (N, C) in [0, 1], each row summing to one.
        weights: (N,) or (B, N), not negative; None counts every image once.

    Returns:
        "precision_macro", "precision_weighted", ... for each of `AVERAGED` and `AVERAGES`, then ``auroc_ovo``: floats
        without weights, otherwise arrays (B,), 0-d for (N,) weights. A class without an image leaves ``macro`` (but of
        precision and F1, which are 0 where they are 0/0) and ``auroc_ovo`` nan and has no part in ``weighted``.

    Raises:
        DataError: wrong shapes, values out of range, nan, or no image.
    """
    classes, table = check_probabilities(labels, probabilities)
    matrix = check_weights(weights, classes.size)
    tables = average_tables(prepare_classes(classes, table), matrix)
    return shaped(tables | {OVO: one_versus_one(classes, table, matrix)}, weights)


@overload
def multilabel_averages(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: None = None
) -> dict[str, float]: ...
@overload
def multilabel_averages(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: Scores
) -> dict[str, Floats]: ...
def multilabel_averages(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: Scores | None = None
) -> dict[str, float] | dict[str, Floats]:
    """Averages over L findings, each on the images where it is known.

    ``macro`` is the plain mean over findings, as in `multilabel_metrics`; ``weighted`` weighs each by its positive
    images; ``micro`` pools all known entries into one two-class task, so that frequent findings dominate and scores are
    compared between findings.

    Args:
        labels: (N, L): 1 present, 0 absent, -1 unknown.
        probabilities: (N, L) in [0, 1]; those of unknown labels do not matter.
        thresholds: a probability at or above it is positive; one for all findings, or one for each.
        weights: as in `multiclass_averages`.

    Returns:
        As `multiclass_averages`, without ``auroc_ovo``. A finding without a positive has no part in ``weighted``.

    Raises:
        DataError: wrong shapes, values out of range, nan, or no image.
    """
    truth, table = check_multilabel(labels, probabilities)
    cuts = check_thresholds(thresholds, findings=truth.shape[1])
    matrix = check_weights(weights, truth.shape[0])
    return shaped(average_tables(prepare_findings(truth, table, cuts), matrix), weights)


# Kernels: no checks, weights always (B, N) float64, values always (B,).


@dataclass(frozen=True, slots=True)
class Ranking:
    """Which images stand in each group of equal scores.

    Args:
        sums: (2 G, N) times an image is in each of G groups (`groups_of`), highest first, then those as positives.
        groups: G.
    """

    sums: csr_array
    groups: int


@dataclass(frozen=True, slots=True)
class Columns:
    """What all resamples share: the rankings of L columns, that of all together, and the cells of the decisions.

    Args:
        rankings: one for each column. pooled: of all entries.
        cells: (4 L, N) 1 where an image is: tp of each column, then fp, fn and tn. Unknown entries are in none.
    """

    rankings: tuple[Ranking, ...]
    pooled: Ranking
    cells: csr_array


def prepare_classes(labels: NDArray[np.int64], probabilities: Floats) -> Columns:
    """C classes as columns, for `average_tables`."""
    each = np.arange(probabilities.shape[1])
    truth = labels[:, None] == each
    return _columns(np.ones_like(truth), truth, probabilities, probabilities.argmax(axis=1)[:, None] == each)


def prepare_findings(labels: NDArray[np.int64], probabilities: Floats, thresholds: Sequence[float]) -> Columns:
    """L findings as columns, for `average_tables`."""
    return _columns(labels >= 0, labels == 1, probabilities, probabilities >= np.asarray(thresholds))


def average_tables(columns: Columns, weights: Floats) -> dict[str, Floats]:
    """Each of `AVERAGED` in each of `AVERAGES`, as "precision_macro" and so on."""
    cells: Floats = (columns.cells @ weights.T).reshape(4, len(columns.rankings), -1)
    each = [_ranked(ranking, weights) | cell_metrics(*cells[:, k]) for k, ranking in enumerate(columns.rankings)]
    pooled = _ranked(columns.pooled, weights) | cell_metrics(*cells.sum(axis=1))
    unknown = cells.sum(axis=0) == 0  # (L, B): no image drawn whose label is known
    support = cells[0] + cells[2]
    tables = {}
    for metric in AVERAGED:
        values = np.where(unknown, np.nan, np.stack([row[metric] for row in each]))
        shares = np.where(support > 0, values, 0) * support
        tables[f"{metric}_macro"] = values.mean(axis=0)
        tables[f"{metric}_weighted"] = ratio(shares.sum(axis=0), support.sum(axis=0))
        tables[f"{metric}_micro"] = np.where(unknown.all(axis=0), np.nan, pooled[metric])
    return tables


def one_versus_one(labels: NDArray[np.int64], probabilities: Floats, weights: Floats) -> Floats:
    """M of Hand & Till: the mean over ordered pairs i, j of A(i|j), with which p_i ranks class i above class j.

    All j of one i share a ranking: each image's weight is won by the positives of class i above it, and summed over the
    images of each class j.
    """
    count, size = probabilities.shape[1], labels.size
    members = csr_array((np.ones(size), (labels, np.arange(size))), shape=(count, size))
    drawn: Floats = members @ weights.T  # (C, B)
    total = np.zeros(weights.shape[0])
    for i in range(count):
        truth = labels == i
        place = groups_of(truth, probabilities[:, i])
        positives = csr_array((truth.astype(np.float64), (place, np.arange(size))), shape=(place.max() + 1, size))
        hits: Floats = positives @ weights.T  # (G, B)
        above = np.cumsum(hits, axis=0) - hits / 2  # a tie is half a win
        won: Floats = members @ (above[place] * weights.T)
        wins = ratio(won, drawn * drawn[i])
        total += wins.sum(axis=0) - wins[i]
    mean: Floats = total / (count * (count - 1))
    return mean


def _columns(known: Bools, truth: Bools, scores: Floats, decided: Bools) -> Columns:
    image, column = np.nonzero(known)
    size, count = known.shape
    yes, said = truth[known], decided[known]
    cell = np.where(yes, np.where(said, 0, 2), np.where(said, 1, 3))
    return Columns(
        tuple(_ranking(truth[rows, k], scores[rows, k], rows, size) for k, rows in _known(known)),
        _ranking(yes, scores[known], image, size),
        csr_array((np.ones(image.size), (cell * count + column, image)), shape=(4 * count, size)),
    )


def _known(known: Bools) -> list[tuple[int, NDArray[np.intp]]]:
    return [(k, np.flatnonzero(column)) for k, column in enumerate(known.T)]


def _ranking(truth: Bools, scores: Floats, image: NDArray[np.intp], size: int) -> Ranking:
    group = groups_of(truth, scores)
    count = int(group.max(initial=-1)) + 1
    row = np.concatenate([group, count + group[truth]])
    # An image may be in a group more than once, if several of its entries are: equal places are added up.
    sums = csr_array((np.ones(row.size), (row, np.concatenate([image, image[truth]]))), shape=(2 * count, size))
    return Ranking(sums, count)


def _ranked(ranking: Ranking, weights: Floats) -> dict[str, Floats]:
    total, positive = np.split(ranking.sums @ weights.T, [ranking.groups])
    return group_metrics(total.T, positive.T)
