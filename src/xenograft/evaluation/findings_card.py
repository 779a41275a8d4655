"""(labels of several findings, probabilities, patients) -> the scorecard of a multi-label run on one split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import METRICS, Floats, Labels, Scores, wrong
from xenograft.evaluation.multilabel import check_multilabel, check_thresholds, finding_tables, prepare
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

OVERALL = ""
OF_CARD = "fixed"  # the policy whose findings stand at the top of a card
Json = dict[str, Any]
Key: TypeAlias = tuple[str, str, str]  # policy, place (OVERALL, or the number of a finding), metric
T = TypeVar("T")


def findings_card(
    labels: Labels,
    probabilities: Scores,
    patients: NDArray[Any],
    *,
    thresholds: Mapping[str, float | Sequence[float]],
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """`scorecard` for L findings: their means and each finding's own metrics, on the images where it is known.

    Args:
        labels: (N, L): 1 present, 0 absent, -1 unknown.
        probabilities: (N, L) in [0, 1]; rows need not sum to one.
        patients: (N,) patient keys.
        thresholds: policy name -> one threshold for all findings, or one for each, chosen before.
        resamples, rng, level: as in `scorecard`.

    Returns:
        ``n``, ``patients``, ``resamples``, ``level``; ``known``: "0", "1", ... -> ``n`` images whose label is known and
        ``positive`` of them; ``policies``: name -> ``threshold`` as given, ``metrics`` (metric -> ``value``, ``low``,
        ``high``; the plain mean over findings, undefined where that of any finding is), ``confusion`` ((L, 2, 2), rows
        are the truth) and ``per_class`` ("0", "1", ... -> metrics of that finding); ``per_class``: that of the policy
        ``fixed``, empty without it. None stands for undefined.

    Raises:
        DataError: unusable arrays, or no threshold.
    """
    truth, table = check_multilabel(labels, probabilities)
    statistic = findings_kernel(labels, probabilities, thresholds)
    cuts = {name: check_thresholds(given, findings=truth.shape[1]) for name, given in thresholds.items()}
    drawn = bootstrap(statistic, truth, patients, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, len(truth))))

    def metrics(name: str, place: str) -> Json:
        return {m: summary(float(whole[name, place, m][0]), drawn[name, place, m], level=level) for m in METRICS}

    policies: Json = {
        name: {
            "threshold": given[0] if np.ndim(thresholds[name]) == 0 else given,
            "metrics": metrics(name, OVERALL),
            "confusion": [_confusion(truth[:, k], table[:, k], cut) for k, cut in enumerate(given)],
            "per_class": {place: metrics(name, place) for place, _ in _numbered(given)},
        }
        for name, given in cuts.items()
    }
    return {
        "n": len(truth),
        "patients": int(np.unique(patients).size),
        "resamples": int(resamples),
        "level": float(level),
        "known": {
            k: {"n": int((column >= 0).sum()), "positive": int((column == 1).sum())} for k, column in _numbered(truth.T)
        },
        "policies": policies,
        "per_class": policies[OF_CARD]["per_class"] if OF_CARD in policies else {},
    }


def findings_kernel(
    labels: Labels, probabilities: Scores, thresholds: Mapping[str, float | Sequence[float]]
) -> Callable[[Floats], dict[Key, Floats]]:
    """What `findings_card` computes on each resample; see `xenograft.evaluation.scorecard.card_kernel`."""
    truth, table = check_multilabel(labels, probabilities)
    if not thresholds:
        raise wrong("thresholds", "none", "one policy or more")
    cuts = {name: check_thresholds(given, findings=truth.shape[1]) for name, given in thresholds.items()}
    findings = prepare(truth, table, cuts)

    def statistic(weights: Floats) -> dict[Key, Floats]:
        return {
            (name, place, metric): values
            for name, (overall, per_label) in finding_tables(findings, weights).items()
            for place, row in [(OVERALL, overall), *_numbered(per_label)]
            for metric, values in row.items()
        }

    return statistic


def _confusion(labels: NDArray[np.int64], scores: Floats, threshold: float) -> list[list[int]]:
    """Counts (2, 2), all zero where no label is known."""
    known = labels >= 0
    counts: list[list[int]] = (
        np.bincount(2 * labels[known] + (scores[known] >= threshold), minlength=4).reshape(2, 2).tolist()
    )
    return counts


def _numbered(rows: Iterable[T]) -> list[tuple[str, T]]:
    return [(str(k), row) for k, row in enumerate(rows)]
