"""(validation labels, validation scores) -> operating point. A score at or above the threshold is positive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from xenograft.errors import DataError, UsageError
from xenograft.evaluation.metrics import Labels, Scores, check_binary, check_labels
from xenograft.evaluation.multilabel import check_multilabel

MIN_PER_CLASS = 10
FIXED = 0.5


class Policy(Protocol):
    """A further rule for thresholds, under a name; `xenograft.evaluation.rules.NamedRule` is one."""

    @property
    def name(self) -> str:
        """Of the policy in tables."""
        ...

    def threshold(self, labels: Labels, scores: Scores) -> float | None:
        """Chosen on validation; None where it has too few images, or no threshold does what the rule asks."""
        ...


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


def thresholds_for(labels: Labels, probabilities: Scores, rule: Policy | None = None) -> dict[str, float | list[float]]:
    """``fixed`` 0.5, Youden's J, and a rule asked for, where there are enough images to choose by.

    Give it validation data.

    Args:
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        probabilities: (N, C), or (N, L), one for each finding.
        rule: a further policy, from `xenograft.evaluation.rules.parse_rule`.

    Returns:
        ``youden`` is one number for two classes and absent for more; the rule's stands under its name, and is absent
        where no threshold does what it asks. For findings each is a list, chosen on the images where a finding is
        known, with 0.5 for those with fewer than `MIN_PER_CLASS` positives or negatives, and for those that the rule
        cannot serve; absent if all are so.

    Raises:
        DataError: unusable arrays. UsageError: a rule, and more than two classes that exclude each other.
    """
    thresholds: dict[str, float | list[float]] = {"fixed": FIXED}
    policies: list[Policy] = [_YOUDEN, *([] if rule is None or rule.name == _YOUDEN.name else [rule])]
    several = np.ndim(labels) == 2
    if not several and probabilities.shape[1] != 2:
        if rule is not None:
            raise refuse_classes(rule.name, probabilities.shape[1])
        return thresholds
    for policy in policies:
        chosen = (
            _of_findings(policy, labels, probabilities)
            if several
            else (policy.threshold(labels, probabilities[:, 1]) if enough(labels) else None)
        )
        if chosen is not None:
            thresholds[policy.name] = chosen
    return thresholds


def policy_in_use(thresholds: Mapping[str, object]) -> str:
    """The policy that answers: the rule that was asked for, else Youden's, else the fixed threshold."""
    asked = [name for name in thresholds if name not in {"fixed", _YOUDEN.name}]
    return asked[0] if asked else _YOUDEN.name if _YOUDEN.name in thresholds else "fixed"


def refuse_classes(rule: str, classes: int) -> UsageError:
    """The error of a threshold rule for classes that have none."""
    return UsageError(
        f"{rule} chooses a threshold, and {classes} classes have none: the most probable one is the answer; leave the "
        "rule out, or make it a question of two classes",
        code="E-USAGE-30",
    )


class _Youden:
    name = "youden"

    def threshold(self, labels: Labels, scores: Scores) -> float:
        return youden(labels, scores)


_YOUDEN = _Youden()


def _of_findings(policy: Policy, labels: Labels, probabilities: Scores) -> list[float] | None:
    truth, table = check_multilabel(labels, probabilities)
    known = [(column[column >= 0], scores[column >= 0]) for column, scores in zip(truth.T, table.T, strict=True)]
    chosen = [policy.threshold(*pair) if pair[0].size and enough(pair[0]) else None for pair in known]
    return None if all(cut is None for cut in chosen) else [FIXED if cut is None else cut for cut in chosen]


def enough(labels: Labels) -> bool:
    """Whether both classes have `MIN_PER_CLASS` images or more, so that a chosen threshold means something.

    Raises:
        DataError: labels are not (N,) in {0, 1}.
    """
    counts = np.bincount(check_labels(labels, classes=2), minlength=2)
    return bool(counts.min() >= MIN_PER_CLASS)
