"""(a metric of several trainings, the fold of each) -> how much it varies with the data and how much with the seed.

One-way random-effects analysis of variance (Searle, Casella & McCulloch 1992, Variance Components, chapter 3): runs of
one fold differ by their seed alone; folds differ by the patients they were trained on and, where folds test on
different patients, by those as well. Neither is the uncertainty of the test patients, which the bootstrap gives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import Floats


def variation(values: Floats, folds: NDArray[np.int64]) -> dict[str, Any]:
    """Standard deviations by source.

    Args:
        values: (R,) metric of each training; nan where undefined. folds: (R,) fold of each, equal for all without
            cross-validation.

    Returns:
        ``runs``, ``folds`` (how many have a value), ``sd`` (over all runs), ``sd_seed`` (within folds; None unless some
        fold has two runs), ``sd_data`` (between folds beyond what seeds explain, 0 where they explain all; None unless
        there are two folds, or while seeds were not repeated: then ``sd`` holds both).

    Raises:
        DataError: arrays of different shapes.
    """
    if values.shape != folds.shape or values.ndim != 1:
        raise DataError(f"folds: got shape {folds.shape}; allowed: that of values, {values.shape}", code="E-DATA-05")
    known = ~np.isnan(values)
    values, folds = values[known], folds[known]
    groups = [values[folds == fold] for fold in np.unique(folds)]
    inner = sum(len(group) - 1 for group in groups)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / inner if inner else None
    return {
        "runs": int(values.size),
        "folds": len(groups),
        "sd": float(values.std(ddof=1)) if values.size > 1 else None,
        "sd_seed": None if within is None else math.sqrt(within),
        "sd_data": _between(groups, within),
    }


def _between(groups: list[Floats], within: float | None) -> float | None:
    """Component between groups: (mean square between - within) over the mean size, that of unequal groups adjusted."""
    if within is None or len(groups) < 2:
        return None
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    total = np.concatenate(groups).mean()
    square = float(sum(len(g) * (g.mean() - total) ** 2 for g in groups)) / (len(groups) - 1)
    size = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(groups) - 1)
    return math.sqrt(max(0.0, (square - within) / size))
