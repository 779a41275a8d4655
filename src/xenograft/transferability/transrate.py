"""(features, labels) -> TransRate: how much shorter a code of the features gets once the class is known."""

from __future__ import annotations

from typing import Literal

import numpy as np

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.transferability.task import Array, check_task, class_means, spread

DISTORTION = 1e-4

Centre = Literal["all", "class"]


def transrate(features: Array, labels: Array, *, distortion: float = DISTORTION, centre: Centre = "all") -> float:
    """Coding rate of all features minus that of the classes (Huang, Huang, Rong, Yang & Wei 2022, arXiv:2106.09362).

    R(Z) - sum_c (n_c / N) R(Z_c) with R(Z) = 1/2 log det(I + Z'Z / (n distortion)), in nats, scaled to a total variance
    of 1, for otherwise a network with larger numbers wins. Classes weigh by their size, as mutual information asks; the
    program printed in the paper weighs them alike, which is the same for balanced classes only.

    The paper centres all images at their common mean. Two classes of equal size then have the same second moments as
    the whole however far apart they lie, and the score is blind to their distance; with "class" each class is centred
    at its own mean, as the covariance in a Gaussian's entropy is (not in the paper).

    Args:
        features: (N, D). labels: (N,) class index.
        centre: "all" (the paper) or "class".
        distortion: above 0; the paper's 1e-4. Scores of different distortions do not compare.

    Returns:
        Nats, 0 or more, higher is better. Wide features and few images raise it. Rotation, scaling, moving the origin,
        order of rows and of classes do not change it. Cost: O(N D min(N, D)).

    Raises:
        DataError: `check_task`; distortion not above 0, another centre. Undefined: one class; equal features.
    """
    table, truth = check_task(features, labels)
    if not 0 < distortion < np.inf:
        raise wrong("distortion", f"{distortion}", "above 0 and finite")
    if centre not in ("all", "class"):
        raise wrong("centre", repr(centre), "all or class")
    scaled = (table - table.mean(axis=0)) / np.sqrt(spread(table))
    origin = class_means(scaled, truth)[0][truth] if centre == "class" else 0
    parts = [(scaled - origin)[truth == c] for c in range(int(truth.max()) + 1)]
    conditional = sum(len(part) / len(scaled) * _rate(part, distortion) for part in parts)
    return max(0.0, _rate(scaled, distortion) - conditional)


def _rate(features: Floats, distortion: float) -> float:
    n, d = features.shape
    gram = (features.T @ features if d < n else features @ features.T) / (n * distortion)
    gram[np.diag_indices(len(gram))] += 1
    return float(np.log(np.diag(np.linalg.cholesky(gram))).sum())
