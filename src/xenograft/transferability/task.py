"""(features, labels, source probabilities, patients) of foreign types -> checked arrays; what a score cannot answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import ROW_SUM_TOLERANCE, Floats, check_unit, wrong

Index = NDArray[np.int64]
Array = NDArray[Any]


class Undefined(DataError):  # noqa: N818 - reads as what it is
    """These data have no such score; the message says why. Wrong arguments are a plain `DataError`."""


def undefined(why: str) -> Undefined:
    """The error of a score that does not exist here."""
    return Undefined(why, code="E-DATA-05")


def check_task(features: Array, labels: Array) -> tuple[Floats, Index]:
    """Features and labels of one task, ready for arithmetic.

    Args:
        features: (N, D) finite real numbers of any width, N >= 2.
        labels: (N,) class index; classes without an image do not count.

    Returns:
        (N, D) float64, and (N,) int64 in 0..C-1 over the C classes that occur, in their order.

    Raises:
        DataError: shapes that do not fit, several findings an image, nan, infinity.
        Undefined: all images are of one class.
    """
    values = np.asarray(features)
    if values.dtype.kind not in "fiu":
        raise wrong("features", f"type {values.dtype}", "real numbers")
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise wrong("features", f"shape {values.shape}", "(N, D) with N >= 2 and D >= 1")
    truth = check_classes(labels, size=len(values))
    table = values.astype(np.float64)
    if not np.isfinite(table).all():
        raise wrong("features", f"{int((~np.isfinite(table)).sum())} nan or infinite of {table.size}", "finite numbers")
    return table, truth


def check_classes(labels: Array, *, size: int) -> Index:
    """Labels (N,) as int64 in 0..C-1 over the classes that occur; errors as `check_task`."""
    truth = np.asarray(labels)
    if truth.ndim == 2:
        raise wrong("labels", f"shape {truth.shape}", "(N,) class index; score several findings an image one by one")
    if truth.shape != (size,) or truth.dtype.kind not in "iub":
        raise wrong("labels", f"shape {truth.shape} of {truth.dtype}", f"({size},) integers")
    if truth.min() < 0:
        raise wrong("labels", f"values from {truth.min()}", "0 or more; leave images without a label out")
    names, index = np.unique(truth, return_inverse=True)
    if len(names) < 2:
        raise undefined("all images are of one class")
    return index.astype(np.int64)


def check_source(source: Array, labels: Array) -> tuple[Floats, Index]:
    """Probabilities (N, Z) of the classes that the network was trained on, as float64, and the labels.

    Raises:
        DataError: not probabilities, rows that do not sum to one, another number of rows; `check_classes`.
        Undefined: as `check_classes`.
    """
    table = check_unit(source, "source")
    if table.ndim != 2:
        raise wrong("source", f"shape {table.shape}", "(N, Z) probabilities")
    worst = float(np.abs(table.sum(axis=1) - 1).max())
    if worst > ROW_SUM_TOLERANCE:
        raise wrong("source", f"a row that misses a sum of 1 by {worst:.3g}", f"at most {ROW_SUM_TOLERANCE:g}")
    return table, check_classes(labels, size=len(table))


def check_groups(groups: Array, *, size: int) -> Index:
    """Patient keys (N,) of any sortable type as int64 in 0..P-1, or DataError."""
    keys = np.asarray(groups)
    if keys.shape != (size,):
        raise wrong("groups", f"shape {keys.shape}", f"({size},) patient keys")
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def class_means(features: Floats, labels: Index) -> tuple[Floats, Floats]:
    """Mean of each class (C, D) and its share of the images (C,)."""
    onehot = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.float64)
    counts = onehot.sum(axis=0)
    means: Floats = (onehot.T @ features) / counts[:, None]
    return means, counts / len(labels)


def spread(features: Floats) -> float:
    """Total variance (trace of the covariance, divisor N) of features (N, D).

    Raises:
        Undefined: all rows are equal, so that nothing can be told from them.
    """
    total = float(features.var(axis=0).sum())
    if total == 0 or (features == features[0]).all():  # rounding of the mean leaves equal rows a variance
        raise undefined("the features are the same for all images")
    return total
