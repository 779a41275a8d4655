"""(features, labels) -> H-score: variance between classes in units of the features' covariance, shrunk or not."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from xenograft.evaluation.metrics import Floats
from xenograft.transferability.task import Array, check_task, class_means, spread


def h_score(features: Array, labels: Array) -> float:
    """tr(cov(f)^+ cov(E[f | y])) (Bao et al. 2019, ICIP, doi:10.1109/ICIP.2019.8803726).

    Args:
        features: (N, D). labels: (N,) class index.

    Returns:
        From 0 to min(C - 1, D), higher is better. With D near N or above it is large whatever the features tell: use
        `shrunk_h_score`. Any invertible linear map, moving the origin, order of rows and of classes do not change it.
        Cost: O(N D min(N, D)).

    Raises:
        DataError: `check_task`. Undefined: one class; equal features.
    """
    table, truth = check_task(features, labels)
    spread(table)
    n, d = table.shape
    centred = table - table.mean(axis=0)
    onehot = (truth[:, None] == np.arange(truth.max() + 1)).astype(np.float64)
    # Left singular vectors U span what features can say: the score is sum_c |U'y_c|^2 / n_c.
    values, vectors = np.linalg.eigh(centred.T @ centred if d < n else centred @ centred.T)
    kept = values > values[-1] * max(n, d) * np.finfo(np.float64).eps
    targets = onehot - onehot.mean(axis=0)
    along = vectors[:, kept].T @ (centred.T @ targets if d < n else targets)
    energy = along**2 / values[kept, None] if d < n else along**2
    return float((energy.sum(axis=0) / onehot.sum(axis=0)).sum())


def shrunk_h_score(features: Array, labels: Array) -> float:
    """H-score with shrinkage (Ibrahim, Ponomareva & Mazumder 2021, arXiv:2110.06893).

    tr(S^-1 (1 - a) cov(E[f | y])), S = (1 - a) cov(f) + a (tr cov(f) / D) I, with a by Ledoit & Wolf (2004,
    doi:10.1016/S0047-259X(03)00096-4). Both covariances divide by N.

    Args:
        features: (N, D). labels: (N,) class index.

    Returns:
        From 0 to min(C - 1, D), higher is better. Rotation, one scale for all features, moving the origin, order of
        rows and of classes do not change it; scaling features one by one does. Cost: O(N D^2 + D^3).

    Raises:
        DataError: `check_task`. Undefined: one class; equal features.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    table, truth = check_task(features, labels)
    total = spread(table)
    n, d = table.shape
    centred = (table - table.mean(axis=0)) / np.sqrt(total / d)  # mean variance 1: one scale, whatever comes in
    amount = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
    means, shares = class_means(centred, truth)
    if amount >= 1:
        return 0.0
    covariance: Floats = (1 - amount) * (centred.T @ centred) / n
    covariance[np.diag_indices(d)] += max(amount, d * np.finfo(np.float64).eps)  # a = 0 with a dead feature
    solved = cho_solve(cho_factor(covariance, lower=True, overwrite_a=True), means.T)
    return float((1 - amount) * shares @ (means * solved.T).sum(axis=1))
