"""(labels, probabilities, patients) -> all numbers of one run on one split, with intervals, as a mapping for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.findings_card import OVERALL, Key, findings_card, findings_kernel
from xenograft.evaluation.metrics import (
    METRICS,
    Floats,
    Labels,
    Scores,
    binary_tables,
    check_probabilities,
    check_threshold,
    confusion,
    multiclass_tables,
    wrong,
)
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

ARGMAX = "argmax"
Json = dict[str, Any]


def scorecard(
    labels: Labels,
    probabilities: Scores,
    patients: NDArray[Any],
    *,
    thresholds: Mapping[str, float | Sequence[float]],
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """Metrics with patient-cluster bootstrap intervals, every policy on the same resamples.

    Args:
        labels: (N,) class index, or (N, L) findings, whose card is that of `findings_card`.
        probabilities: (N, C), rows summing to one; for two classes the second is the positive one.
        patients: (N,) patient keys.
        thresholds: policy name -> threshold on the probability of class 1, chosen before; more than two classes have
            the one policy ``argmax`` instead, and thresholds are not looked at. Findings may have one each.
        resamples: number of bootstrap resamples.
        rng: see `cluster_weights`.
        level: of the intervals.

    Returns:
        ``n``, ``patients``, ``resamples``, ``level``; ``policies``: name -> ``threshold`` (None for argmax),
        ``metrics`` (metric -> ``value``, ``low``, ``high``) and ``confusion`` (rows are the truth); ``per_class``: for
        more than two classes, "0", "1", ... -> metrics of that class against the rest. None stands for undefined.

    Raises:
        DataError: unusable arrays, or no threshold for two classes.
    """
    if np.ndim(labels) == 2:
        return findings_card(
            labels, probabilities, patients, thresholds=thresholds, resamples=resamples, rng=rng, level=level
        )
    truth, table = check_probabilities(labels, probabilities)
    classes = table.shape[1]
    cuts = _cuts(thresholds) if classes == 2 else {}
    decisions = _decisions(table, cuts)
    statistic = card_kernel(labels, probabilities, thresholds)
    drawn = bootstrap(statistic, truth, patients, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, truth.size)))

    def metrics(policy: str, place: str = OVERALL) -> Json:
        keys = {m: (policy, place, m) for m in METRICS}
        return {m: summary(float(whole[key][0]), drawn[key], level=level) for m, key in keys.items()}

    return {
        "n": int(truth.size),
        "patients": int(np.unique(patients).size),
        "resamples": int(resamples),
        "level": float(level),
        "policies": {
            name: {
                "threshold": cuts.get(name),
                "metrics": metrics(name),
                "confusion": confusion(truth, predicted, classes=classes).tolist(),
            }
            for name, predicted in decisions.items()
        },
        "per_class": {str(k): metrics("", str(k)) for k in range(classes)} if classes > 2 else {},
    }


def card_kernel(
    labels: Labels, probabilities: Scores, thresholds: Mapping[str, float | Sequence[float]]
) -> Callable[[Floats], dict[Key, Floats]]:
    """What `scorecard` computes on each resample.

    Returns:
        weights (b, N) -> (policy, place, metric) -> values (b,). The place is "" for all images, or the number of a
        class or finding; classes against the rest belong to no policy, "".

    Raises:
        DataError: as `scorecard`.
    """
    if np.ndim(labels) == 2:
        return findings_kernel(labels, probabilities, thresholds)
    truth, table = check_probabilities(labels, probabilities)
    if table.shape[1] == 2:
        cuts = _cuts(thresholds)
        return lambda weights: _flat(
            {(name, OVERALL): row for name, row in binary_tables(truth, table[:, 1], cuts, weights).items()}
        )
    return lambda weights: _flat(_multi(truth, table, weights))


def _cuts(thresholds: Mapping[str, float | Sequence[float]]) -> dict[str, float]:
    """One number in [0, 1] a policy, or DataError."""
    if not thresholds:
        raise DataError("thresholds: got none; allowed: one or more for two classes", code="E-DATA-05")
    cuts = {}
    for name, threshold in thresholds.items():
        if isinstance(threshold, Sequence):
            raise wrong("threshold", f"{len(threshold)} for policy {name}", "one number in [0, 1] for two classes")
        check_threshold(threshold)
        cuts[name] = float(threshold)
    return cuts


def _decisions(table: Floats, cuts: dict[str, float]) -> dict[str, NDArray[np.int64]]:
    """Predicted class (N,) under each policy."""
    if table.shape[1] > 2:
        return {ARGMAX: table.argmax(axis=1).astype(np.int64)}
    return {name: (table[:, 1] >= cut).astype(np.int64) for name, cut in cuts.items()}


def _multi(truth: NDArray[np.int64], table: Floats, weights: Floats) -> dict[tuple[str, str], dict[str, Floats]]:
    overall, per_class = multiclass_tables(truth, table, weights)
    return {(ARGMAX, OVERALL): overall} | {("", str(k)): row for k, row in enumerate(per_class)}


def _flat(tables: Mapping[tuple[str, str], Mapping[str, Floats]]) -> dict[Key, Floats]:
    return {(*where, metric): values for where, table in tables.items() for metric, values in table.items()}
