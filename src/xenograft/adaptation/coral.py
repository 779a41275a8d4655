"""(source features, target features) -> the linear map that gives the source's the covariance of the target's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import Features, FeatureSet, check_pair

RIDGE = 1.0

_EPS = np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True)
class Coral:
    """x -> (x - centre) A + offset, with A = C_source^(-1/2) C_target^(1/2).

    Args:
        centre: (D,) mean of the source. offset: (D,) mean of the target, or of the source where means are kept.
        matrix: (D, D) A.
    """

    centre: Floats
    offset: Floats
    matrix: Floats

    def apply(self, features: Features) -> NDArray[np.float32]:
        """(N, D) source features -> (N, D) float32, aligned; the arithmetic is float64.

        Raises:
            DataError: another number of features.
        """
        rows = np.asarray(features)
        if rows.ndim != 2 or rows.shape[1] != len(self.centre):
            raise wrong("features", f"shape {rows.shape}", f"(N, {len(self.centre)})")
        aligned = (rows.astype(np.float64) - self.centre) @ self.matrix + self.offset
        return aligned.astype(np.float32)


def fit_coral(source: Features, target: Features, *, ridge: float = RIDGE, align_means: bool = True) -> Coral:
    """CORAL (Sun, Feng and Saenko 2016, arXiv:1511.05547, Algorithm 1): whiten with the source's covariance, colour
    with the target's. A head is then fitted on aligned source features and meets target features as they are.

    Each covariance C is regularised to C + ridge * tr(C)/D * I. On features of unit variance, which the paper takes,
    ridge 1 is the paper's C + I; for others the ridge follows their scale. Of the directions that a few images leave
    nearly empty, little is made; with ridge near 0 they would be blown up. Rotating, translating or scaling both sets
    by the same amount does the same to what `Coral.apply` returns; a target that is the source times c and moved by b
    is met exactly, whatever the ridge. Costs (N + M) D^2 + D^3.

    The paper centres both domains, which aligns means. That is an explicit choice here, because the mean of a domain
    also moves with its share of each class: where prevalence differs between the domains, aligning means moves one
    class towards the other.

    Args:
        source: (N, D) of any real type. target: (M, D). ridge: above 0.
        align_means: give source features the target's mean too; else they keep their own.

    Raises:
        DataError: wrong shapes, nan or infinite, one row, a set without any variance, or a ridge that is not above 0.
    """
    first, second = check_pair(source, target)
    if not (ridge > 0 and math.isfinite(ridge)):
        raise wrong("ridge", f"{ridge}", "a number above 0")
    whitened = _power(_regularised(first, ridge, "source"), -0.5)
    coloured = _power(_regularised(second, ridge, "target"), 0.5)
    centre = first.mean()
    return Coral(centre, second.mean() if align_means else centre, whitened @ coloured)


def _regularised(rows: FeatureSet, ridge: float, name: str) -> Floats:
    """(D, D) covariance, over N - 1, with the ridge on its diagonal."""
    mean = rows.mean()
    total: Floats = np.zeros((len(mean), len(mean)))
    for _, block in rows.blocks():
        centred = block - mean
        total += centred.T @ centred
    total /= len(rows) - 1
    level = float(np.trace(total)) / len(mean)
    if not level > 0:
        raise wrong(name, "rows that are all the same", "features with some variance")
    total.flat[:: len(mean) + 1] += ridge * level
    return total


def _power(matrix: Floats, exponent: float) -> Floats:
    """Symmetric power of a positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    powered: Floats = (vectors * np.maximum(values, _EPS * values[-1]) ** exponent) @ vectors.T
    return powered
