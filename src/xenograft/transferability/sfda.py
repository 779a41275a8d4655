"""(features, labels) -> SFDA: how sure a Fisher discriminant stays once its easy images are made harder."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import softmax

from xenograft.evaluation.metrics import Floats
from xenograft.transferability.task import Array, Index, check_task, class_means, spread

_STEEPNESS = 5.0
_LEAST = 1e-10


def sfda(features: Array, labels: Array) -> float:
    """Self-challenging Fisher discriminant analysis (Shao et al. 2022, arXiv:2207.03036).

    1. Discriminant of the classes with within-class covariance (1 - s) W + s (tr W / D) I, where
       s = max(exp(-5 largest eigenvalue of W), 1e-10).
    2. Each image x of class c is mixed with the mean of the other class means, p x + (1 - p) m, where p is the
       probability of c, softened by a second softmax.
    3. The discriminant again, with the same s, on the mixed images.

    The score is the mean probability of the true class, as in the authors' program; the paper's text has its log. Their
    coefficients, from all eigenvectors of the pencil, are means times inverse covariance, which is what is computed.

    Args:
        features: (N, D). labels: (N,) class index.

    Returns:
        A probability, higher is better; near 1 whenever D is near N or above. Rotation, moving the origin, order of
        rows and of classes do not change it; scaling does, through s. Cost: O(N D^2 + D^3).

    Raises:
        DataError: `check_task`. Undefined: one class; equal features.
    """
    table, truth = check_task(features, labels)
    spread(table)
    centred = table - table.mean(axis=0)
    posterior, amount = _posterior(centred, truth, None)
    rows = np.arange(len(truth))
    kept = softmax(posterior, axis=1)[rows, truth][:, None]
    means, _ = class_means(centred, truth)
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    again, _ = _posterior(kept * centred + (1 - kept) * others[truth], truth, amount)
    return float(again[rows, truth].mean())


def _posterior(features: Floats, labels: Index, amount: float | None) -> tuple[Floats, float]:
    """Probabilities (N, C) of the discriminant fitted on the same images, and how much it was shrunk."""
    means, shares = class_means(features, labels)
    within = features - means[labels]
    values, vectors = np.linalg.eigh(within.T @ within / len(features))
    values = np.maximum(values, 0)
    if amount is None:
        amount = max(math.exp(-_STEEPNESS * float(values[-1])), _LEAST)
    shrunk = (1 - amount) * values + amount * values.mean()
    # Classes that do not vary at all: any positive variance tells them apart with certainty.
    whitened = vectors / np.sqrt(np.maximum(shrunk, np.finfo(np.float64).tiny ** 0.5))
    points, centres = features @ whitened, means @ whitened
    scores = points @ centres.T - 0.5 * (centres**2).sum(axis=1) + np.log(shares)
    return softmax(scores, axis=1), amount
