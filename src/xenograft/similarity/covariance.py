"""(feature sets) -> their pooled within-set covariance, shrunk so that it can be inverted, and the whitening of it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from xenograft.errors import DataError
from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import FeatureSet

Shrinkage = float | Literal["ledoit-wolf"]

_SINGULAR = 1e-12  # of the largest eigenvalue


def pooled_covariance(*sets: FeatureSet, shrinkage: Shrinkage = "ledoit-wolf") -> Floats:
    """(D, D) covariance of rows about the mean of their own set, all sets joined: divided by the number of rows.

    Shrunk towards a multiple of the identity: (1 - s) S + s tr(S)/D I. Ledoit and Wolf (2004,
    doi:10.1016/S0047-259X(03)00096-4) give the s that loses least; it is read off block by block, so that memory does
    not grow with N. Costs N D^2.

    Args:
        shrinkage: ``"ledoit-wolf"``, or s in [0, 1].

    Raises:
        DataError: a shrinkage out of range.
    """
    if shrinkage != "ledoit-wolf" and not 0 <= shrinkage <= 1:
        raise wrong("shrinkage", f"{shrinkage}", "'ledoit-wolf' or a number in [0, 1]")
    rows = sum(len(each) for each in sets)
    width = sets[0].rows(slice(0, 1)).shape[1]
    total, fourth = np.zeros((width, width)), 0.0
    for each in sets:
        mean = each.mean()
        for _, block in each.blocks():
            centred = block - mean
            total += centred.T @ centred
            fourth += float((np.einsum("nd,nd->n", centred, centred) ** 2).sum())
    plain: Floats = total / rows
    level = float(np.trace(plain)) / width
    share = _ledoit_wolf(plain, fourth, rows) if shrinkage == "ledoit-wolf" else float(shrinkage)
    shrunk: Floats = (1 - share) * plain
    shrunk.flat[:: width + 1] += share * level
    return shrunk


def whitening(covariance: Floats) -> Floats:
    """(D, D) W with W'CW = I, so that the Euclidean distance of rows xW is the Mahalanobis distance of rows x.

    Raises:
        DataError: not a symmetric matrix of finite numbers, or one that cannot be inverted.
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise wrong("covariance", f"shape {matrix.shape}", "(D, D) of finite numbers")
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-10 * np.abs(matrix).max()):
        raise wrong("covariance", "a matrix that is not symmetric", "a symmetric one")
    values, vectors = np.linalg.eigh(matrix)
    if values[0] <= _SINGULAR * max(values[-1], 0.0):
        raise DataError(
            f"covariance: got one that cannot be inverted (smallest eigenvalue {values[0]:.3g}, largest "
            f"{values[-1]:.3g}); allowed: a positive definite one; use shrinkage, or leave out constant features",
            code="E-DATA-05",
        )
    root: Floats = vectors / np.sqrt(values)
    return root


def _ledoit_wolf(plain: Floats, fourth: float, rows: int) -> float:
    """The share of Ledoit and Wolf (2004), from the sum of |x|^4 over rows instead of all products."""
    size = float((plain**2).sum())
    apart = size - float(np.trace(plain)) ** 2 / len(plain)  # |S - tr(S)/D I|^2
    noise = (fourth / rows - size) / rows
    return min(1.0, max(0.0, noise / apart)) if apart > 0 else 0.0
