"""(validation labels, scores, method) -> a fitted recalibration, or none where validation does not allow one."""

from __future__ import annotations

import numpy as np

from xenograft.errors import DataError, UsageError
from xenograft.evaluation.metrics import Labels, Scores
from xenograft.evaluation.recalibration import METHODS, Recalibration
from xenograft.evaluation.threshold import MIN_PER_CLASS

AUTO = "auto"
CHOICES = (AUTO, *METHODS)


def check_method(method: str, *, several: bool) -> None:
    """Refuse before anything is trained what could not be fitted.

    Args:
        several: whether there are more than two classes that exclude each other.

    Raises:
        UsageError: an unknown method, or one of two classes for more of them.
    """
    if method not in CHOICES:
        raise UsageError(f"recalibration is {method!r}; it is one of {', '.join(CHOICES)}", code="E-USAGE-11")
    if several and method not in {AUTO, "temperature"}:
        raise UsageError(
            f"recalibration is {method}, which is for two classes; more than two take a temperature", code="E-USAGE-11"
        )


def fit_recalibration(labels: Labels, scores: Scores, method: str = AUTO) -> Recalibration | None:
    """Fit on validation; never give it train or test.

    ``auto`` is Platt scaling for two classes, a temperature for more: two parameters, and one, are what a few hundred
    images can tell.

    Args:
        labels: (N,) class index. scores: (N,) of class 1, or (N, C).

    Returns:
        None with fewer than ten images of a class, or where scores do not rise with the share of positives, which no
        rescaling mends.

    Raises:
        UsageError: as `check_method`.
    """
    several = scores.ndim == 2 and scores.shape[1] > 2
    check_method(method, several=several)
    if np.bincount(labels, minlength=scores.shape[1] if several else 2).min() < MIN_PER_CLASS:
        return None
    kind = METHODS[("temperature" if several else "platt") if method == AUTO else method]
    try:
        return kind.fit(labels, scores)
    except DataError:
        return None
