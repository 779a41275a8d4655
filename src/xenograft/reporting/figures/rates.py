"""(truth, scores) -> an ROC or a precision-recall curve on a grid that curves of several runs share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
GRID = np.linspace(0.0, 1.0, 201)


def roc(truth: NDArray[np.bool_], scores: Curve) -> Curve:
    """Sensitivity at each false-positive rate of the grid."""
    hits, alarms = _counts(truth, scores)
    rates = np.append(0.0, alarms / max(1.0, alarms[-1]))
    heights = np.append(0.0, hits / max(1.0, hits[-1]))
    result: Curve = np.interp(GRID, rates, heights)
    result[0] = 0.0  # every curve begins in the corner
    return result


def precision_recall(truth: NDArray[np.bool_], scores: Curve) -> Curve:
    """Precision at each recall of the grid: a step curve, the precision where that recall is first reached."""
    hits, alarms = _counts(truth, scores)
    recall = hits / max(1.0, hits[-1])
    precision = hits / (hits + alarms)
    return precision[np.minimum(np.searchsorted(recall, GRID - 1e-12), len(recall) - 1)]


def _counts(truth: NDArray[np.bool_], scores: Curve) -> tuple[Curve, Curve]:
    """True and false positives (T,) at each distinct threshold, falling."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(truth[order])[last].astype(np.float64)
    return hits, last + 1 - hits
