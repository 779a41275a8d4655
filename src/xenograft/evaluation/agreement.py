"""(labels, predicted classes, weights of B resamples) -> kappa, Matthews correlation and balanced accuracy.

All of them are functions of the C x C table of weights, summed once for all resamples. Two readers of the same images
are compared alike: one of them takes the place of the labels.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xenograft.evaluation.metrics import Floats, Labels, Scores, check_labels, check_weights, ratio, shaped, wrong

AGREEMENT = ("kappa", "kappa_linear", "kappa_quadratic", "matthews", "balanced_accuracy")


@overload
def agreement_metrics(labels: Labels, predicted: Labels, *, classes: int, weights: None = None) -> dict[str, float]: ...
@overload
def agreement_metrics(labels: Labels, predicted: Labels, *, classes: int, weights: Scores) -> dict[str, Floats]: ...
def agreement_metrics(
    labels: Labels, predicted: Labels, *, classes: int, weights: Scores | None = None
) -> dict[str, float] | dict[str, Floats]:
    """All of `AGREEMENT`, each at most 1; 0 is what chance gives, but 1/C for ``balanced_accuracy``.

    ``kappa`` is Cohen's (1960, Educ Psychol Meas 20:37-46); ``kappa_linear`` and ``kappa_quadratic`` weigh a
    disagreement by the distance of the two classes and by its square (Cohen 1968, Psychol Bull 70:213-220), which
    means something only if the classes have an order. ``matthews`` is the phi coefficient of two classes and for more
    of them R_K (Gorodkin 2004, Comput Biol Chem 28:367-374, Eq. 8). ``balanced_accuracy`` is the plain mean of the
    classes' recalls.

    Args:
        labels: (N,) in 0..classes-1.
        predicted: (N,) in 0..classes-1, by a model or another reader.
        classes: C, 2 or more.
        weights: (N,) or (B, N), not negative; None counts every image once.

    Returns:
        Floats without weights, otherwise arrays (B,), 0-d for (N,) weights. Nan where undefined: a kappa if both sides
        name one and the same class only, ``matthews`` if either side names one class only, ``balanced_accuracy`` if a
        class has no image.

    Raises:
        DataError: wrong shapes, a class out of range, or no image.
    """
    if classes < 2:
        raise wrong("classes", f"{classes}", "2 or more")
    truth = check_labels(labels, classes=classes)
    guess = check_labels(predicted, classes=classes, name="predicted")
    if truth.shape != guess.shape:
        raise wrong("predicted", f"shape {guess.shape}", f"the shape of labels {truth.shape}")
    matrix = check_weights(weights, truth.size)
    return shaped(agreement_tables(truth, guess, classes, matrix), weights)


# Kernels: no checks, weights always (B, N) float64, values always (B,).


def agreement_tables(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, weights: Floats
) -> dict[str, Floats]:
    """`AGREEMENT` from one sparse product: each image is in one cell of the table."""
    cell, image = labels * classes + predicted, np.arange(labels.size)
    cells = csr_array((np.ones(labels.size), (cell, image)), shape=(classes * classes, labels.size))
    table: Floats = (cells @ weights.T).reshape(classes, classes, -1)  # truth, prediction, B
    distance = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(np.float64)
    return {
        "kappa": _kappa(table, (distance > 0).astype(np.float64)),
        "kappa_linear": _kappa(table, distance),
        "kappa_quadratic": _kappa(table, distance**2),
        "matthews": _matthews(table),
        "balanced_accuracy": np.mean(ratio(np.einsum("kkb->kb", table), table.sum(axis=1)), axis=0),
    }


def _kappa(table: Floats, cost: Floats) -> Floats:
    """One minus observed over expected disagreement (Cohen 1968, Eq. 3), for tables (C, C, B)."""
    observed = np.einsum("ij,ijb->b", cost, table) * table.sum(axis=(0, 1))
    expected = np.einsum("ij,ib,jb->b", cost, table.sum(axis=1), table.sum(axis=0))
    kappa: Floats = 1 - ratio(observed, expected)
    return kappa


def _matthews(table: Floats) -> Floats:
    """Covariance of truth and prediction over the root of their variances (Gorodkin 2004, Eq. 8)."""
    total, truth, guess = table.sum(axis=(0, 1)), table.sum(axis=1), table.sum(axis=0)
    covariance = np.einsum("kkb->b", table) * total - (truth * guess).sum(axis=0)
    variances = (total**2 - (truth**2).sum(axis=0)) * (total**2 - (guess**2).sum(axis=0))
    # Counted, not computed: a variance of zero need not come out as zero where weights are fractions.
    varies = ((truth > 0).sum(axis=0) > 1) & ((guess > 0).sum(axis=0) > 1)
    return ratio(covariance, np.sqrt(np.where(varies, variances, 0)))
