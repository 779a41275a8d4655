"""(test images of a domain, answers) -> discrimination, decisions and calibration, all on the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import logit

from xenograft.data.manifest import Manifest
from xenograft.errors import printable
from xenograft.evaluation.calibration import logistic_recalibration
from xenograft.evaluation.findings_card import Key
from xenograft.evaluation.metrics import CLIP, Floats, ratio
from xenograft.evaluation.multiplicity import holm
from xenograft.evaluation.resampled import Cuts, Resampled, Universe, mean
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

Json = dict[str, Any]

DECISIONS = ("accuracy", "recall", "specificity", "precision", "f1")
RANKING = ("auroc", "average_precision")
CALIBRATION = ("brier", "slope", "in_the_large")
TESTED = ("auroc", "accuracy", "brier")
"""Metrics whose differences get a p; all of them are adjusted together."""


def universe(test: Manifest, *, resamples: int, seed: int) -> Universe:
    """The test images of one domain. Other domains have other patients: give another seed."""
    return Universe(test.labels, test.patients, resamples=resamples, seed=seed)


def measured(images: Universe, probabilities: Floats, thresholds: Cuts) -> Resampled:
    """The metrics of a scorecard, and ``brier``, ``slope`` and ``in_the_large`` under the policy ``""``.

    Args:
        probabilities: (N, C). thresholds: as for `scorecard`.

    ``brier`` of two classes is the mean squared error of the positive class's probability; of more, the sum of squared
    errors over classes, 0 to 2. ``slope`` and ``in_the_large`` are those of two classes (see
    `xenograft.evaluation.calibration`); more have none.
    """
    found = images.resample(probabilities, thresholds)
    truth, classes = images.labels, probabilities.shape[1]
    errors = np.square(probabilities - np.eye(classes)[truth]).sum(axis=1)
    squared = errors / 2 if classes == 2 else errors
    log_odds = logit(np.clip(probabilities[:, 1], CLIP, 1 - CLIP)) if classes == 2 else None

    def statistic(weights: Floats) -> dict[Key, Floats]:
        shares = ratio(weights, np.broadcast_to(weights.sum(axis=1, keepdims=True), weights.shape))
        rows: dict[Key, Floats] = {("", "", "brier"): (shares * squared).sum(axis=1)}
        if log_odds is not None:
            again = logistic_recalibration(truth == 1, log_odds, shares)
            rows |= {("", "", name): again[name] for name in ("slope", "in_the_large")}
        return rows

    # the same seed draws the same patients as `Universe.resample`
    drawn = bootstrap(
        statistic, truth, images.patients, resamples=images.resamples, rng=np.random.default_rng(images.seed)
    )
    whole = statistic(np.ones((1, len(truth))))
    return Resampled(
        {**found.value, **{key: float(values[0]) for key, values in whole.items()}}, {**found.drawn, **drawn}
    )


def over_seeds(images: Universe, answers: Sequence[tuple[Floats, Cuts]]) -> Resampled:
    """Means over seeds, within each resample."""
    return mean([measured(images, probabilities, thresholds) for probabilities, thresholds in answers])


def card(found: Resampled, *, level: float = LEVEL) -> Json:
    """``ranking``, ``calibration``: metric -> value, low, high; ``decisions``: policy -> the same."""
    policies = list(dict.fromkeys(policy for policy, place, _ in found.value if policy and place == ""))

    def entry(key: Key) -> Json:
        return dict(summary(found.value[key], found.drawn[key], level=level))

    return {
        "ranking": {metric: entry((policies[0], "", metric)) for metric in RANKING},
        "calibration": {
            metric: entry(("", "", metric)) for metric in CALIBRATION if ("", "", metric) in found.value
        },
        "decisions": {policy: {metric: entry((policy, "", metric)) for metric in DECISIONS} for policy in policies},
    }  # fmt: skip


def key_of(metric: str, policy: str) -> Key:
    """Where a `Resampled` of `measured` holds a metric; decisions are those of the policy."""
    return ("", "", metric) if metric in CALIBRATION else (policy, "", metric)


def changes(after: Resampled, before: Resampled, policy: str, *, level: float = LEVEL) -> list[Json]:
    """After minus before, paired where both are of one universe, for each metric: value, interval, two-sided p."""
    apart = after.minus(before)
    rows = []
    for metric in ("auroc", "accuracy", "recall", "specificity", "brier", "in_the_large"):
        key = key_of(metric, policy)
        if key in apart.value:
            rows.append({"metric": metric, **apart.difference(key, level=level)})
    return rows


def adjusted(rows: Mapping[str, Json]) -> int:
    """Give every row of a tested metric its ``p_holm``, all together; the others lose their p. Returns how many."""
    tested = {name: row["p"] for name, row in rows.items() if row["metric"] in TESTED}
    found = holm(tested)
    for name, row in rows.items():
        row["p_holm"] = found["adjusted"].get(name)
        if name not in tested:
            row["p"] = None
    return found["comparisons"]


def sheet(images: Manifest, probabilities: Floats, split: str) -> tuple[list[str], list[list[object]]]:
    """Header and rows of a table of predictions that `xenograft evaluate` reads."""
    header = ["id", "split", "patient", "label", *(f"p_{printable(name)}" for name in images.classes)]
    columns = [images.column(name) for name in ("id", "patient", "label")]
    rows: list[list[object]] = [
        [image, split, patient, printable(label), *(f"{value:.9g}" for value in line)]
        for image, patient, label, line in zip(*columns, probabilities, strict=True)
    ]
    return header, rows
