"""(labels, probabilities, patients) -> all numbers of one run on one split, with intervals, as a mapping for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluate.metrics import (
    METRICS,
    Floats,
    Labels,
    Scores,
    binary_tables,
    check_probabilities,
    check_threshold,
    confusion,
    multiclass_tables,
)
from xenograft.evaluate.uncertainty import LEVEL, bootstrap, summary

ARGMAX = "argmax"
Json = dict[str, Any]


def scorecard(
    labels: Labels,
    probabilities: Scores,
    patients: NDArray[Any],
    *,
    thresholds: Mapping[str, float],
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """Metrics with patient-cluster bootstrap intervals, every policy on the same resamples.

    Args:
        labels: (N,) class index.
        probabilities: (N, C), rows summing to one; for two classes the second is the positive one.
        patients: (N,) patient keys.
        thresholds: policy name -> threshold on the probability of class 1, chosen before; more than two classes have
            the one policy ``argmax`` instead, and thresholds are not looked at.
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
    truth, table = check_probabilities(labels, probabilities)
    classes = table.shape[1]
    decisions = _decisions(table, dict(thresholds))

    def statistic(weights: Floats) -> dict[tuple[str, str], Floats]:
        return _flat(_binary(truth, table, thresholds, weights) if classes == 2 else _multi(truth, table, weights))

    drawn = bootstrap(statistic, truth, patients, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, truth.size)))

    def metrics(name: str) -> Json:
        return {m: summary(float(whole[name, m][0]), drawn[name, m], level=level) for m in METRICS}

    return {
        "n": int(truth.size),
        "patients": int(np.unique(patients).size),
        "resamples": int(resamples),
        "level": float(level),
        "policies": {
            name: {
                "threshold": None if classes > 2 else float(thresholds[name]),
                "metrics": metrics(name),
                "confusion": confusion(truth, predicted, classes=classes).tolist(),
            }
            for name, predicted in decisions.items()
        },
        "per_class": {str(k): metrics(str(k)) for k in range(classes)} if classes > 2 else {},
    }


def _decisions(table: Floats, thresholds: dict[str, float]) -> dict[str, NDArray[np.int64]]:
    """Predicted class (N,) under each policy."""
    if table.shape[1] > 2:
        return {ARGMAX: table.argmax(axis=1).astype(np.int64)}
    if not thresholds:
        raise DataError("thresholds: got none; allowed: one or more for two classes", code="E-DATA-05")
    for threshold in thresholds.values():
        check_threshold(threshold)
    return {name: (table[:, 1] >= threshold).astype(np.int64) for name, threshold in thresholds.items()}


def _binary(
    truth: NDArray[np.int64], table: Floats, thresholds: Mapping[str, float], weights: Floats
) -> dict[str, dict[str, Floats]]:
    return binary_tables(truth, table[:, 1], dict(thresholds), weights)


def _multi(truth: NDArray[np.int64], table: Floats, weights: Floats) -> dict[str, dict[str, Floats]]:
    overall, per_class = multiclass_tables(truth, table, weights)
    return {ARGMAX: overall} | {str(k): row for k, row in enumerate(per_class)}


def _flat(tables: dict[str, dict[str, Floats]]) -> dict[tuple[str, str], Floats]:
    return {(name, metric): values for name, table in tables.items() for metric, values in table.items()}
