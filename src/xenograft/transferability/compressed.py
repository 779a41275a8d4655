"""(N, D) features -> their leading principal components (N, k)."""

from __future__ import annotations

import numpy as np

from xenograft.evaluation.metrics import Floats
from xenograft.transferability.task import spread


def principal(features: Floats, *, share: float | None = None, most: int | None = None) -> Floats:
    """Coordinates on the leading principal components, largest variance first.

    Args:
        features: (N, D) float64.
        share: of the variance that must be kept, in (0, 1]. most: components at most. Either may be None.

    Returns:
        (N, k), k at most the numerical rank; each column's sign is arbitrary. Cost: O(N D min(N, D)).

    Raises:
        Undefined: the features are the same for all images.
    """
    spread(features)
    n, d = features.shape
    centred = features - features.mean(axis=0)
    gram = centred.T @ centred if d < n else centred @ centred.T
    values, vectors = (array[..., ::-1] for array in np.linalg.eigh(gram))
    rank = int((values > values[0] * max(n, d) * np.finfo(np.float64).eps).sum())
    kept = rank if share is None else int(np.searchsorted(values.cumsum(), share * values.sum())) + 1
    kept = min(kept, rank, most or rank)
    coordinates: Floats = centred @ vectors[:, :kept] if d < n else vectors[:, :kept] * np.sqrt(values[:kept])
    return coordinates
