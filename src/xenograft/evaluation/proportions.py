"""(a scorecard, its labels, probabilities, patients) -> the same, with Wilson's interval where the bootstrap has none.

Where all images of a kind are answered alike, every resample has the same share, and the bootstrap's interval has no
width: 40 of 40 found would be "100 % (100-100)". A metric that is a share of images then gets `clustered_wilson`,
which counts each patient once where no variation can be seen. AUROC, F1 and means over classes are no such shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Labels, Scores
from xenograft.evaluation.reliability import clustered_wilson
from xenograft.evaluation.uncertainty import LEVEL

METHOD = "clustered_wilson"
PROPORTIONS = ("accuracy", "recall", "specificity", "precision")

Json = dict[str, Any]
Bools = NDArray[np.bool_]


def with_proportions(card: Json, labels: Labels, probabilities: Scores, patients: NDArray[Any]) -> Json:
    """A scorecard whose `PROPORTIONS` have an interval wherever they have a value.

    Args:
        card: of `xenograft.evaluation.scorecard.scorecard`, with findings or without; it is not changed.
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown. probabilities: (N, C) or (N, L).
        patients: (N,) patient keys; all three as the card was made from.

    Returns:
        The card; entries that were given another interval say so: ``method`` is `METHOD`. Intervals with a width, and
        the means over classes or findings, stay as they are.
    """
    truth, table = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    level = card["level"]
    owner = np.unique(patients, return_inverse=True)[1]
    if truth.ndim == 2:
        policies = {
            name: {**entry, "per_class": _of_findings(entry, truth, table, owner, level)}
            for name, entry in card["policies"].items()
        }
        shown = policies["fixed"]["per_class"] if "fixed" in policies else {}
        return {**card, "policies": policies, "per_class": shown}
    if table.shape[1] == 2:
        policies = {
            name: {
                **entry,
                "metrics": filled(entry["metrics"], truth == 1, table[:, 1] >= entry["threshold"], owner, level=level),
            }
            for name, entry in card["policies"].items()
        }
        return {**card, "policies": policies}
    return _of_classes(card, truth, table.argmax(axis=1), owner)


def filled(
    metrics: Mapping[str, Json], truth: Bools, answers: Bools, patients: NDArray[Any], *, level: float = LEVEL
) -> dict[str, Json]:
    """Metrics of a yes/no question, those of `PROPORTIONS` with an interval.

    Args:
        metrics: metric -> ``value``, ``low``, ``high``.
        truth: (N,) whether it is. answers: (N,) whether it is said to be. patients: (N,) keys.
        level: of the intervals.
    """
    of = {
        "accuracy": (np.ones_like(truth), truth == answers),
        "recall": (truth, answers),
        "specificity": (~truth, ~answers),
        "precision": (answers, truth),
    }
    return {name: _entry(entry, *of[name], patients, level) if name in of else entry for name, entry in metrics.items()}


def _entry(entry: Json, among: Bools, right: Bools, patients: NDArray[Any], level: float) -> Json:
    """One share: of the images `among` those that are `right`."""
    if entry["value"] is None or not among.any() or (entry["low"] is not None and entry["low"] < entry["high"]):
        return entry
    owner = np.unique(patients[among], return_inverse=True)[1]
    images = np.bincount(owner).astype(np.float64)
    low, high = clustered_wilson(np.bincount(owner, weights=right[among]).astype(np.float64), images, level)
    return {**entry, "low": low, "high": high, "method": METHOD}


def _of_findings(
    entry: Json, truth: NDArray[np.int64], table: NDArray[np.float64], owner: NDArray[np.intp], level: float
) -> dict[str, Json]:
    cuts = np.broadcast_to(entry["threshold"], truth.shape[1])
    found = {}
    for k, (column, scores, cut) in enumerate(zip(truth.T, table.T, cuts, strict=True)):
        known = column >= 0
        found[str(k)] = filled(
            entry["per_class"][str(k)], column[known] == 1, scores[known] >= cut, owner[known], level=level
        )
    return found


def _of_classes(card: Json, truth: NDArray[np.int64], answers: NDArray[np.intp], owner: NDArray[np.intp]) -> Json:
    """Of all classes together, accuracy alone is a share of images."""
    level = card["level"]
    everything = np.ones_like(truth, dtype=np.bool_)
    policies = {
        name: {
            **entry,
            "metrics": entry["metrics"]
            | {"accuracy": _entry(entry["metrics"]["accuracy"], everything, answers == truth, owner, level)},
        }
        for name, entry in card["policies"].items()
    }
    per_class = {
        k: filled(row, truth == int(k), answers == int(k), owner, level=level) for k, row in card["per_class"].items()
    }
    return {**card, "policies": policies, "per_class": per_class}
