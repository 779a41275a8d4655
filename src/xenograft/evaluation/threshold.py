"""(validation labels, validation scores) -> operating point. A score at or above the threshold is positive."""

from __future__ import annotations

import numpy as np

from xenograft.errors import DataError
from xenograft.evaluation.metrics import Labels, Scores, check_binary, check_labels
from xenograft.evaluation.multilabel import check_multilabel

MIN_PER_CLASS = 10
FIXED = 0.5


def youden(labels: Labels, scores: Scores) -> float:
    """Threshold with the largest sensitivity + specificity - 1 (Youden 1950). Give it validation data, never test.

    Candidates are the midpoints between neighbouring distinct scores. Of equally good ones the nearest to 0.5 wins, and
    of two equally near the lower. If none is better than calling all images alike, the answer is 0.5.

    Args:
        labels: (N,) in {0, 1}.
        scores: (N,) in [0, 1].

    Raises:
        DataError: unusable arrays, or one of the classes is missing.
    """
    truth, probability = check_binary(labels, scores)
    positives = int(truth.sum())
    negatives = truth.size - positives
    if not positives or not negatives:
        raise DataError(
            f"labels: got {negatives} of class 0 and {positives} of class 1; allowed: at least one of each;"
            " use the fixed threshold 0.5",
            code="E-DATA-05",
        )
    values, place = np.unique(probability, return_inverse=True)
    if values.size == 1:
        return FIXED
    tp = positives - np.cumsum(np.bincount(place, weights=truth))[:-1]  # positives above each gap
    fp = negatives - np.cumsum(np.bincount(place, weights=1 - truth))[:-1]
    gain = tp * negatives - fp * positives  # J times a constant, in whole numbers: ties are exact
    if gain.max() <= 0:
        return FIXED
    middle = values[:-1] + (values[1:] - values[:-1]) / 2
    cut = np.where(middle > values[:-1], middle, values[1:])  # neighbouring floats have no midpoint
    best = cut[gain == gain.max()]
    return float(best[np.argmin(np.abs(best - FIXED))])


def thresholds_for(labels: Labels, probabilities: Scores) -> dict[str, float | list[float]]:
    """``fixed`` 0.5, and Youden's J where there are enough images to choose by. Give it validation data.

    Args:
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        probabilities: (N, C), or (N, L), one for each finding.

    Returns:
        ``youden`` is one number for two classes and absent for more. For findings it is a list, chosen on the images
        where each is known, with 0.5 for those with fewer than `MIN_PER_CLASS` positives or negatives; absent if all
        are so.

    Raises:
        DataError: unusable arrays.
    """
    thresholds: dict[str, float | list[float]] = {"fixed": FIXED}
    if np.ndim(labels) == 2:
        chosen = _of_findings(labels, probabilities)
        if chosen is not None:
            thresholds["youden"] = chosen
    elif probabilities.shape[1] == 2 and enough(labels):
        thresholds["youden"] = youden(labels, probabilities[:, 1])
    return thresholds


def _of_findings(labels: Labels, probabilities: Scores) -> list[float] | None:
    truth, table = check_multilabel(labels, probabilities)
    known = [(column[column >= 0], scores[column >= 0]) for column, scores in zip(truth.T, table.T, strict=True)]
    usable = [column.size > 0 and enough(column) for column, _ in known]
    if not any(usable):
        return None
    return [youden(*pair) if use else FIXED for pair, use in zip(known, usable, strict=True)]


def enough(labels: Labels) -> bool:
    """Whether both classes have `MIN_PER_CLASS` images or more, so that a chosen threshold means something.

    Raises:
        DataError: labels are not (N,) in {0, 1}.
    """
    counts = np.bincount(check_labels(labels, classes=2), minlength=2)
    return bool(counts.min() >= MIN_PER_CLASS)
