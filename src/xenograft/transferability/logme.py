"""(features, labels) -> LogME: log evidence per image of a linear model of the labels, averaged over classes."""

from __future__ import annotations

import math

import numpy as np

from xenograft.evaluation.metrics import Floats
from xenograft.transferability.task import Array, check_task, undefined

_STEPS = 1000
_STILL = 1e-10
_FAR = 1e12  # alpha/beta leaves the eigenvalues behind: all prior or all data


def logme(features: Array, labels: Array) -> float:
    """Log of maximum evidence (You, Liu, Wang & Long 2021, arXiv:2102.11005).

    Each class against the rest is a target y in {0, 1}, modelled as y = Fw + noise, w ~ N(0, 1/alpha), noise
    ~ N(0, 1/beta). alpha and beta maximise the evidence by the fixed-point iteration of the sequel (You et al. 2022,
    arXiv:2110.10545), run until it stands still, from alpha/beta = mean eigenvalue of F'F rather than 1,
    so that the scale of the features does not matter. Columns beyond the rank of F cancel out of the evidence (the
    authors' fast program leaves them in one of two terms, so its numbers differ where N < D).

    Args:
        features: (N, D). labels: (N,) class index.

    Returns:
        Evidence per image and class in nats, any real number, higher is better. Rotation, scaling, order of rows and
        of classes do not change it; moving the origin does, for the model has no intercept.
        Cost: O(N D min(N, D)).

    Raises:
        DataError: `check_task`.
        Undefined: one class; or some class is an exact linear function of the features with fewer columns than images,
            so that the evidence has no maximum.
    """
    table, truth = check_task(features, labels)
    onehot = (truth[:, None] == np.arange(truth.max() + 1)).astype(np.float64)
    eigenvalues, energy = _spectrum(table, onehot)
    total = onehot.sum(axis=0)  # y'y of a 0/1 target
    return float(
        np.mean([_evidence(eigenvalues, energy[:, c], float(total[c]), len(table)) for c in range(len(total))])
    )


def _spectrum(features: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Non-zero eigenvalues (k,) of F'F, and the squared coordinates (k, C) of the targets on the left vectors."""
    n, d = features.shape
    gram = features.T @ features if d < n else features @ features.T
    values, vectors = np.linalg.eigh(gram)
    kept = values > values[-1] * max(n, d) * np.finfo(np.float64).eps
    values = values[kept]
    along = vectors[:, kept].T @ (features.T @ targets if d < n else targets)
    return values, along**2 / values[:, None] if d < n else along**2


def _evidence(sigma: Floats, energy: Floats, total: float, n: int) -> float:
    """Largest log evidence per image of one target; `total` is y'y, `energy` its part along each left vector."""
    outside = max(0.0, total - float(energy.sum()))
    if sigma.size == 0:  # features of zeros: noise alone
        return -0.5 * (math.log(2 * math.pi) + math.log(total / n) + 1)
    if outside <= 1e-10 * total:
        outside = 0.0
        if sigma.size < n:
            raise undefined("a class is an exact linear function of the features: the evidence has no maximum")
    scale = float(sigma.mean())
    t = scale  # alpha / beta
    for _ in range(_STEPS):
        gamma = float((sigma / (sigma + t)).sum())
        weight = float((sigma * energy / (t + sigma) ** 2).sum())  # m'm
        residual = float((energy * (t / (t + sigma)) ** 2).sum()) + outside
        above, below = gamma * residual, (n - gamma) * weight
        new = above / below if below > above / (_FAR * scale) else _FAR * scale
        new = max(new, scale / _FAR)
        still = abs(new - t) <= _STILL * t
        t = new
        if still:
            break
    # With beta at its best for this ratio: beta (residual + t m'm) = n.
    noise = (float((energy * t / (t + sigma)).sum()) + outside) / n
    return -0.5 * (math.log(2 * math.pi) + math.log(noise) + 1 + float(np.log1p(sigma / t).sum()) / n)
