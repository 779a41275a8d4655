"""(labels, scores, weights of B resamples) -> B values of every metric, without a loop over resamples."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]] | NDArray[np.bool_]
Scores = NDArray[np.floating[Any]]

METRICS = (
    "loss",
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "g_mean",
    "auroc",
    "average_precision",
)
CLIP = 1e-7
ROW_SUM_TOLERANCE = 1e-3


@overload
def binary_metrics(labels: Labels, scores: Scores, *, threshold: float, weights: None = None) -> dict[str, float]: ...
@overload
def binary_metrics(labels: Labels, scores: Scores, *, threshold: float, weights: Scores) -> dict[str, Floats]: ...
def binary_metrics(
    labels: Labels, scores: Scores, *, threshold: float, weights: Scores | None = None
) -> dict[str, float] | dict[str, Floats]:
    """All of `METRICS` for two classes, class 1 being the positive one.

    Accuracy, precision, recall (sensitivity) and F1 are the paper's Eq. 16-19. ``g_mean`` is
    sqrt(sensitivity * specificity); the paper's G-mean column cannot be that (its ResNet18 transfer row gives 0.910 by
    this definition and prints 0.904). ``auroc`` counts ties as one half; ``average_precision`` is the step sum
    of scikit-learn.

    Args:
        labels: (N,) in {0, 1}.
        scores: (N,) in [0, 1], probability of class 1.
        threshold: a score at or above it is positive.
        weights: (N,) or (B, N), not negative; None counts every image once.

    Returns:
        Floats without weights, otherwise arrays (B,), 0-d for (N,) weights. Undefined values are nan, except
        precision and F1, which are 0 where they are 0/0.

    Raises:
        DataError: wrong shapes, values out of range, nan, or no image.
    """
    truth, probability = check_binary(labels, scores)
    check_threshold(threshold)
    matrix = check_weights(weights, truth.size)
    return shaped(binary_tables(truth, probability, {"": threshold}, matrix)[""], weights)


@overload
def multiclass_metrics(labels: Labels, probabilities: Scores, *, weights: None = None) -> dict[str, float]: ...
@overload
def multiclass_metrics(labels: Labels, probabilities: Scores, *, weights: Scores) -> dict[str, Floats]: ...
def multiclass_metrics(
    labels: Labels, probabilities: Scores, *, weights: Scores | None = None
) -> dict[str, float] | dict[str, Floats]:
    """All of `METRICS` for C classes; the most probable class is predicted (the first of equals).

    Accuracy is the share of correct images and loss the cross-entropy. The others are unweighted means over classes of
    the one-against-rest values, ``g_mean`` the geometric mean of the per-class recalls.

    Args:
        labels: (N,) in 0..C-1.
        probabilities: (N, C) in [0, 1], each row summing to one.
        weights: as in `binary_metrics`.

    Raises:
        DataError: wrong shapes, values out of range, nan, or no image.
    """
    classes, table = check_probabilities(labels, probabilities)
    matrix = check_weights(weights, classes.size)
    return shaped(multiclass_tables(classes, table, matrix)[0], weights)


@overload
def per_class_metrics(labels: Labels, probabilities: Scores, *, weights: None = None) -> list[dict[str, float]]: ...
@overload
def per_class_metrics(labels: Labels, probabilities: Scores, *, weights: Scores) -> list[dict[str, Floats]]: ...
def per_class_metrics(
    labels: Labels, probabilities: Scores, *, weights: Scores | None = None
) -> list[dict[str, float]] | list[dict[str, Floats]]:
    """`METRICS` of each class against the rest, in class order; an image is positive if its top class is that class.

    Args and errors: as in `multiclass_metrics`.
    """
    classes, table = check_probabilities(labels, probabilities)
    matrix = check_weights(weights, classes.size)
    return [shaped(row, weights) for row in multiclass_tables(classes, table, matrix)[1]]  # type: ignore[return-value]


def confusion(labels: Labels, predicted: Labels, *, classes: int) -> NDArray[np.int64]:
    """Counts (C, C): rows are the truth, columns the prediction.

    Raises:
        DataError: wrong shapes, or a class outside 0..classes-1.
    """
    truth = check_labels(labels, classes=classes)
    guess = check_labels(predicted, classes=classes, name="predicted")
    if truth.shape != guess.shape:
        raise wrong("predicted", f"shape {guess.shape}", f"the shape of labels {truth.shape}")
    return np.bincount(truth * classes + guess, minlength=classes * classes).reshape(classes, classes)


# Kernels: no checks, weights always (B, N) float64, values always (B,).


def binary_tables(
    labels: NDArray[np.int64], scores: Floats, thresholds: dict[str, float], weights: Floats
) -> dict[str, dict[str, Floats]]:
    """`METRICS` at several thresholds; what does not depend on the threshold is computed once."""
    truth = labels == 1
    shared = {"loss": _mean(binary_log_loss(truth, scores), weights), **ranking_metrics(truth, scores, weights)}
    return {
        name: ordered(shared | decision_metrics(truth, scores >= threshold, weights))
        for name, threshold in thresholds.items()
    }


def multiclass_tables(
    labels: NDArray[np.int64], probabilities: Floats, weights: Floats
) -> tuple[dict[str, Floats], list[dict[str, Floats]]]:
    """Overall (macro) `METRICS`, and those of each class against the rest."""
    predicted = probabilities.argmax(axis=1)
    per_class = [
        ordered(
            {"loss": _mean(binary_log_loss(labels == k, probabilities[:, k]), weights)}
            | ranking_metrics(labels == k, probabilities[:, k], weights)
            | decision_metrics(labels == k, predicted == k, weights)
        )
        for k in range(probabilities.shape[1])
    ]
    overall = {name: np.mean([row[name] for row in per_class], axis=0) for name in METRICS}
    of_truth = probabilities[np.arange(labels.size), labels]
    overall["loss"] = _mean(_surprise(of_truth), weights)
    overall["accuracy"] = _mean((predicted == labels).astype(np.float64), weights)
    overall["g_mean"] = np.prod([row["recall"] for row in per_class], axis=0) ** (1 / len(per_class))
    return overall, per_class


def decision_metrics(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: Floats) -> dict[str, Floats]:
    """Metrics of yes/no decisions: accuracy, precision, recall, specificity, f1, g_mean, each (B,)."""
    cells = np.stack([truth & predicted, ~truth & predicted, truth & ~predicted, ~truth & ~predicted], axis=1)
    tp, fp, fn, tn = (weights @ cells.astype(np.float64)).T  # (B, N) @ (N, 4)
    return cell_metrics(tp, fp, fn, tn)


def cell_metrics(tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> dict[str, Floats]:
    """`decision_metrics` of weights summed over the four cells, each (B,)."""
    recall = ratio(tp, tp + fn)  # Eq. 18
    specificity = ratio(tn, tn + fp)
    return {
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),  # Eq. 16
        "precision": ratio(tp, tp + fp, empty=0.0),  # Eq. 17
        "recall": recall,
        "specificity": specificity,
        "f1": ratio(2 * tp, 2 * tp + fp + fn, empty=0.0),  # Eq. 19, multiplied out
        "g_mean": np.sqrt(recall * specificity),
    }


def ranking_metrics(truth: NDArray[np.bool_], scores: Floats, weights: Floats) -> dict[str, Floats]:
    """Metrics of the order of the scores: auroc and average_precision, each (B,).

    One sort serves all resamples. Equal scores form one group: a threshold passes all of them or none.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    total = weights[:, order]  # (B, N), becomes (B, groups)
    positive = total * truth[order]
    if starts.size < ranked.size:
        total = np.add.reduceat(total, starts, axis=1)
        positive = np.add.reduceat(positive, starts, axis=1)
    return group_metrics(total, positive)


def group_metrics(total: Floats, positive: Floats) -> dict[str, Floats]:
    """`ranking_metrics` of weights summed over groups of equal scores, highest first; overwrites both (B, groups)."""
    hits = np.cumsum(positive, axis=1)  # positives at or above each score
    negative = total - positive
    positives, negatives = positive.sum(axis=1), negative.sum(axis=1)

    seen = np.cumsum(total, axis=1, out=total)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    precision *= positive
    average_precision = ratio(precision.sum(axis=1), positives)

    positive *= 0.5
    hits -= positive  # a tie is half a win
    hits *= negative
    return {
        "auroc": ratio(hits.sum(axis=1), positives * negatives),
        "average_precision": average_precision,
    }


def binary_log_loss(truth: NDArray[np.bool_], scores: Floats) -> Floats:
    """Log-loss of each image (N,), in nats, with the score clipped to [1e-7, 1 - 1e-7]."""
    return _surprise(np.where(truth, scores, 1 - scores))


# Checks: foreign arrays in, int64 and float64 arrays out.


def check_labels(labels: Labels, *, classes: int, name: str = "labels") -> NDArray[np.int64]:
    """Labels as int64 (N,), N > 0, in 0..classes-1, or DataError."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise wrong(name, f"shape {array.shape}", "(N,) with N > 0")
    if array.dtype.kind not in "iub":
        raise wrong(name, f"type {array.dtype}", "integers")
    if array.min() < 0 or array.max() >= classes:
        raise wrong(name, f"values {array.min()} to {array.max()}", f"0 to {classes - 1}")
    return array.astype(np.int64)


def check_binary(labels: Labels, scores: Scores, *, name: str = "scores") -> tuple[NDArray[np.int64], Floats]:
    """Labels in {0, 1} and scores in [0, 1] of the same length, or DataError."""
    truth = check_labels(labels, classes=2)
    probability = check_unit(scores, name)
    if probability.shape != truth.shape:
        raise wrong(name, f"shape {probability.shape}", f"the shape of labels {truth.shape}")
    return truth, probability


def check_probabilities(
    labels: Labels, probabilities: Scores, *, name: str = "probabilities"
) -> tuple[NDArray[np.int64], Floats]:
    """Labels in 0..C-1 and probabilities (N, C) with rows summing to one, or DataError."""
    table = check_unit(probabilities, name)
    if table.ndim != 2 or table.shape[1] < 2:
        raise wrong(name, f"shape {table.shape}", "(N, C) with C >= 2")
    truth = check_labels(labels, classes=table.shape[1])
    if table.shape[0] != truth.size:
        raise wrong(name, f"{table.shape[0]} rows", f"one for each of {truth.size} labels")
    worst = float(np.abs(table.sum(axis=1) - 1).max())
    if worst > ROW_SUM_TOLERANCE:
        raise wrong(name, f"a row that misses a sum of 1 by {worst:.3g}", f"at most {ROW_SUM_TOLERANCE:g}")
    return truth, table


def check_threshold(threshold: float) -> None:
    """DataError unless the threshold is a number in [0, 1]."""
    if not 0 <= threshold <= 1:
        raise wrong("threshold", f"{threshold}", "a number in [0, 1]")


def check_weights(weights: Scores | None, size: int) -> Floats:
    """Weights as float64 (B, N), ones where there are none, or DataError."""
    if weights is None:
        return np.ones((1, size))
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.ndim not in (1, 2) or matrix.shape[-1] != size or matrix.size == 0:
        raise wrong("weights", f"shape {matrix.shape}", f"({size},) or (B, {size})")
    if not (matrix.min() >= 0 and matrix.max() < np.inf):  # nan fails both
        raise wrong("weights", f"values {matrix.min():g} to {matrix.max():g}", "finite and not negative")
    return np.atleast_2d(matrix)


def check_unit(values: Scores, name: str) -> Floats:
    """Numbers in [0, 1] as float64 in their shape, at least one, or DataError."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise wrong(name, f"type {array.dtype}", "real numbers")
    if array.size == 0:
        raise wrong(name, f"shape {array.shape}", "at least one image")
    if np.isnan(array).any():
        raise wrong(name, f"{int(np.isnan(array).sum())} nan of {array.size}", "numbers in [0, 1]")
    if array.min() < 0 or array.max() > 1:
        raise wrong(name, f"values {array.min():g} to {array.max():g}", "numbers in [0, 1]")
    return array.astype(np.float64)


def wrong(name: str, got: str, allowed: str) -> DataError:
    """The error of an argument that cannot be used."""
    return DataError(f"{name}: got {got}; allowed: {allowed}", code="E-DATA-05")


def _surprise(of_truth: Floats) -> Floats:
    loss: Floats = -np.log(np.clip(of_truth, CLIP, 1 - CLIP))
    return loss


def ratio(above: Floats, below: Floats, *, empty: float = np.nan) -> Floats:
    """Quotient, and `empty` where it would be 0/0."""
    quotient: Floats = np.divide(above, below, out=np.full(np.shape(below), empty), where=below > 0)
    return quotient


def _mean(values: Floats, weights: Floats) -> Floats:
    # Not a matrix product: BLAS may sum in another order when B or the number of threads changes.
    return ratio((weights * values).sum(axis=1), weights.sum(axis=1))


def ordered(table: dict[str, Floats]) -> dict[str, Floats]:
    """The same values in the order of `METRICS`."""
    return {name: table[name] for name in METRICS}


def shaped(table: dict[str, Floats], weights: Scores | None) -> dict[str, float] | dict[str, Floats]:
    """A kernel's values (B,) as the caller's weights ask for them: floats, 0-d or (B,)."""
    if weights is None:
        return {name: float(values[0]) for name, values in table.items()}
    return {name: values.reshape(np.shape(weights)[:-1]) for name, values in table.items()}
