"""(features, labels) -> Gaussian Bhattacharyya coefficient: minus the overlap of the classes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.transferability.compressed import principal
from xenograft.transferability.task import Array, Index, check_task, undefined

COMPONENTS = 64


def gbc(features: Array, labels: Array, *, shape: Literal["spherical", "diagonal"] = "spherical") -> float:
    """Minus the summed Bhattacharyya coefficients of all pairs of classes (Pandy et al. 2022, arXiv:2111.12780).

    Features are reduced to 64 principal components as in the paper. Each class is a Gaussian with one variance
    ("spherical") or one for each component ("diagonal"). D = |m1 - m2|^2 / 8 in units of the mean covariance
    + 1/2 log(det S / sqrt(det S1 det S2)), S = (S1 + S2) / 2, determinants over all components (the authors'
    published program takes a spherical one to the first power instead of its dimension).

    Args:
        features: (N, D). labels: (N,) class index.

    Returns:
        From -C (C - 1), classes alike, to 0, classes apart; higher is better. Each pair counts twice, as in the paper.
        Rotation, scaling, moving the origin, order of rows and of classes do not change it. Cost: O(N D min(N, D)).

    Raises:
        DataError: `check_task`; another shape.
        Undefined: one class; equal features; a class whose images, or only one, do not vary.
    """
    if shape not in ("spherical", "diagonal"):
        raise wrong("shape", repr(shape), "spherical or diagonal")
    table, truth = check_task(features, labels)
    means, variances = _gaussians(principal(table, most=COMPONENTS), truth, shape)
    mean_variance = (variances[:, None] + variances[None, :]) / 2  # (C, C, k)
    apart = ((means[:, None] - means[None, :]) ** 2 / mean_variance).sum(axis=2) / 8
    logs = np.log(variances)
    unlike = (np.log(mean_variance) - (logs[:, None] + logs[None, :]) / 2).sum(axis=2) / 2
    overlap = np.exp(-(apart + unlike))
    return -float(overlap.sum() - np.trace(overlap))


def _gaussians(features: Floats, labels: Index, shape: str) -> tuple[Floats, Floats]:
    """Means and variances (divisor n), both (C, k)."""
    parts = [features[labels == c] for c in range(int(labels.max()) + 1)]
    means = np.stack([part.mean(axis=0) for part in parts])
    variances = np.stack([part.var(axis=0) for part in parts])
    if shape == "spherical":
        variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
    if (variances <= 1e-12 * features.var(axis=0).max()).any():
        raise undefined("a class has a single image, or images whose features do not vary")
    return means, variances
