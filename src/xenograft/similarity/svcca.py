"""(features of N images by two networks or layers) -> SVCCA and PWCCA: how well linear maps align their directions.

Both find the canonical correlations between the leading principal directions of the two representations. SVCCA averages
them (Raghu et al. 2017, arXiv:1706.05806); PWCCA weighs each by how much of the first representation it accounts for
(Morcos, Raghu and Bengio 2018, arXiv:1806.05759).

Invariances: rotation, translation, one scale factor, the order of the images (the same in both); for PWCCA not a
rotation of the first set. Not: a factor of its own for each feature, since the leading directions change. Two
representations that keep all directions are compared up to any invertible linear map, and come out as 1 if one of them
keeps N - 1: read `kept` beside `images`. Unrelated representations do not come out as 0: correlations of k and m kept
directions by chance are of the order of sqrt(max(k, m) / N). Cost: one singular value decomposition of each,
O(N D min(N, D)).
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import Features
from xenograft.similarity.representation import centred, check_same_images

VARIANCE = 0.99


class CanonicalSimilarity(TypedDict):
    """A similarity in [0, 1], None where a representation does not vary, and what it was made of."""

    value: float | None
    kept: tuple[int, int]  # directions of the first and of the second representation
    images: int
    correlations: list[float]  # min(kept), largest first


def svcca(first: Features, second: Features, *, variance: float = VARIANCE) -> CanonicalSimilarity:
    """The mean canonical correlation of the directions that explain `variance` of each representation. Symmetric.

    Args:
        first: (N, D1) features. second: (N, D2) of the same images; N >= 2.
        variance: share in (0, 1]; the fewest principal directions that reach it are kept.

    Raises:
        DataError: E-DATA-05, wrong shapes, nan, infinity or beyond 1e100, or a share outside (0, 1].
    """
    bases, _ = _bases(first, second, variance)
    correlations = _correlations(*bases)[1]
    return _answer(bases, correlations, np.ones(len(correlations)))


def pwcca(first: Features, second: Features, *, variance: float = VARIANCE) -> CanonicalSimilarity:
    """Canonical correlations weighted by sum_j |<h_i, x_j>|, h_i the first set's canonical variates, x_j its features.

    Not symmetric: the weights are those of `first`, over all its features, also those outside the kept directions. The
    weights, unlike the correlations, change under a rotation of the first set's features. Morcos et al. keep all
    directions (`variance` 1), which needs far more images than features.

    Args and errors: as `svcca`.
    """
    bases, one = _bases(first, second, variance)
    turn, correlations = _correlations(*bases)
    variates = bases[0] @ turn  # (N, min(kept)), orthonormal
    return _answer(bases, correlations, np.abs(variates.T @ one).sum(axis=1))


def _bases(first: Features, second: Features, variance: float) -> tuple[tuple[Floats, Floats], Floats]:
    """Orthonormal columns (N, k) of the leading directions of both, and the first set centred."""
    if not 0 < variance <= 1:
        raise wrong("variance", f"{variance}", "a share above 0, up to 1")
    one, other = (centred(features) for features in check_same_images(first, second))
    return (_leading(one, variance), _leading(other, variance)), one


def _leading(features: Floats, variance: float) -> Floats:
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    # As numpy.linalg.matrix_rank: what is left below this is rounding, and no direction.
    rank = int((singular > singular[0] * max(features.shape) * np.finfo(np.float64).eps).sum())
    explained = np.cumsum(np.square(singular[:rank]))
    reached = explained < variance * explained[-1] if rank else explained.astype(bool)
    basis: Floats = left[:, : min(rank, int(reached.sum()) + 1)]
    return basis


def _correlations(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Rotation (k, min) of the first basis onto its canonical variates, and their correlations in [0, 1]."""
    turn, correlations, _ = np.linalg.svd(one.T @ other, full_matrices=False)
    return turn, np.clip(correlations, 0.0, 1.0)


def _answer(bases: tuple[Floats, Floats], correlations: Floats, weights: Floats) -> CanonicalSimilarity:
    total = float(weights.sum())
    value = float(weights @ correlations) / total if total > 0 else math.nan
    return {
        "value": None if math.isnan(value) else min(1.0, value),
        "kept": (bases[0].shape[1], bases[1].shape[1]),
        "images": len(bases[0]),
        "correlations": correlations.tolist(),
    }
