"""(labels, probabilities, patients) -> averages over classes or findings and agreement with the truth, with intervals.

These stand beside a scorecard, whose own means over classes are the macro averages of `xenograft.evaluation.averages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.agreement import agreement_tables
from xenograft.evaluation.averages import OVO, average_tables, one_versus_one, prepare_classes, prepare_findings
from xenograft.evaluation.metrics import Floats, Labels, Scores, check_probabilities, check_threshold, wrong
from xenograft.evaluation.multilabel import check_multilabel, check_thresholds
from xenograft.evaluation.scorecard import ARGMAX
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

Json = dict[str, Any]
Tables = dict[str, dict[str, dict[str, Floats]]]
"""Policy -> ``averages`` or ``agreement`` -> metric -> values (B,)."""


def overall_card(
    labels: Labels,
    probabilities: Scores,
    patients: NDArray[Any],
    *,
    thresholds: Mapping[str, float | Sequence[float]],
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """Averages and agreement with patient-cluster bootstrap intervals, every policy on the same resamples.

    Args:
        labels, probabilities, patients, thresholds: as in `xenograft.evaluation.scorecard.scorecard`.
        resamples, rng, level: likewise.

    Returns:
        ``resamples``, ``level``; ``policies``: name -> ``averages`` (those of `multiclass_averages` or
        `multilabel_averages`; empty for two classes) and ``agreement`` (those of `agreement_metrics`, empty for
        findings): metric -> ``value``, ``low``, ``high``. None stands for undefined.

    Raises:
        DataError: unusable arrays, or no threshold for two classes or findings.
    """
    kernel = _kernel(labels, probabilities, thresholds)

    def statistic(weights: Floats) -> dict[tuple[str, str, str], Floats]:
        return {
            (policy, kind, metric): values
            for policy, kinds in kernel(weights).items()
            for kind, table in kinds.items()
            for metric, values in table.items()
        }

    drawn = bootstrap(statistic, labels, patients, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, len(labels))))
    policies: Json = {}
    for key, values in whole.items():
        policy, kind, metric = key
        entry = policies.setdefault(policy, {"averages": {}, "agreement": {}})
        entry[kind][metric] = summary(float(values[0]), drawn[key], level=level)
    return {"resamples": int(resamples), "level": float(level), "policies": policies}


def _kernel(
    labels: Labels, probabilities: Scores, thresholds: Mapping[str, float | Sequence[float]]
) -> Callable[[Floats], Tables]:
    if np.ndim(labels) == 2:
        known, scores = check_multilabel(labels, probabilities)
        columns = {
            name: prepare_findings(known, scores, check_thresholds(cut, findings=known.shape[1]))
            for name, cut in _some(thresholds).items()
        }
        return lambda weights: {name: {"averages": average_tables(c, weights)} for name, c in columns.items()}
    truth, table = check_probabilities(labels, probabilities)
    size = table.shape[1]
    if size > 2:
        prepared = prepare_classes(truth, table)
        best = table.argmax(axis=1).astype(np.int64)
        return lambda weights: {
            ARGMAX: {
                "averages": average_tables(prepared, weights) | {OVO: one_versus_one(truth, table, weights)},
                "agreement": agreement_tables(truth, best, size, weights),
            }
        }
    answers = {name: _answers(table[:, 1], cut) for name, cut in _some(thresholds).items()}
    return lambda weights: {
        name: {"agreement": agreement_tables(truth, answer, size, weights)} for name, answer in answers.items()
    }


def _some(thresholds: Mapping[str, float | Sequence[float]]) -> Mapping[str, float | Sequence[float]]:
    if not thresholds:
        raise wrong("thresholds", "none", "one policy or more")
    return thresholds


def _answers(scores: Floats, cut: float | Sequence[float]) -> NDArray[np.int64]:
    if isinstance(cut, Sequence):
        raise wrong("threshold", f"{len(cut)} of one policy", "one number in [0, 1] for two classes")
    check_threshold(cut)
    return (scores >= cut).astype(np.int64)
