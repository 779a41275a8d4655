"""(features of N images by two networks or layers) -> orthogonal Procrustes distance: what a rotation cannot align."""

from __future__ import annotations

import math

import numpy as np

from xenograft.evaluation.metrics import Floats
from xenograft.similarity.feature_sets import Features
from xenograft.similarity.representation import centred, check_same_images


def procrustes_distance(first: Features, second: Features) -> float:
    """min over rotations R of |A - B R|^2, A and B centred with norm 1: 2 - 2 |A'B|_* (Ding et al. 2021).

    Frances Ding, Jean-Stanislas Denain and Jacob Steinhardt, "Grounding representation similarity with statistical
    testing", arXiv:2108.01661; a squared distance, as there. Its square root is a metric. 0 means equal up to the
    invariances: rotation and reflection of either feature space, translation, one scale factor for all features, the
    order of the images (the same in both). Not: a factor of its own for each feature. The nuclear norm counts
    directions by their spread, not its square, so small directions weigh more than in linear CKA. With more features
    than images it falls for unrelated representations too: compare only at the same N.

    Cost: O(N D1 D2) and a singular value decomposition of at most min(N, D1) x min(N, D2).

    Args:
        first: (N, D1) features. second: (N, D2) of the same images; N >= 2.

    Returns:
        In [0, 2]; nan where a representation does not vary.

    Raises:
        DataError: E-DATA-05, wrong shapes, nan, infinity or beyond 1e100.
    """
    one, other = (centred(features) for features in check_same_images(first, second))
    norms = [float(np.linalg.norm(features)) for features in (one, other)]
    if not all(norms):
        return math.nan
    product = _compact(one / norms[0]).T @ _compact(other / norms[1])
    aligned = float(np.linalg.svd(product, compute_uv=False).sum())
    return min(2.0, max(0.0, 2.0 - 2.0 * aligned))


def _compact(features: Floats) -> Floats:
    """(N, D) -> (N, min(N, D)): the same up to a rotation of the features, which the distance does not see."""
    if features.shape[1] <= len(features):
        return features
    triangle: Floats = np.linalg.qr(features.T)[1]
    return triangle.T
