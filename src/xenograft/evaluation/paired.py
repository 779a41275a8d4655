"""(labels, scores of arm a, scores of arm b) -> difference a - b of every metric, with a paired interval.

Both arms are measured on the same resamples of patients, so what makes the test set hard for both cancels out. An arm
may be several seeds: its metrics are averaged over them within each resample. The interval then speaks of the data,
given these seeds; the variation over seeds is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import (
    METRICS,
    Floats,
    Labels,
    Scores,
    binary_tables,
    check_binary,
    check_probabilities,
    check_threshold,
    multiclass_tables,
)
from xenograft.evaluation.multilabel import check_multilabel, check_thresholds, finding_tables, prepare
from xenograft.evaluation.threshold import FIXED
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary, two_sided

Arm: TypeAlias = Callable[[Floats], list[dict[str, Floats]]]


def paired_difference(
    labels: Labels,
    scores_a: Scores | Sequence[Scores],
    scores_b: Scores | Sequence[Scores],
    patients: NDArray[Any],
    *,
    threshold_a: float | Sequence[float],
    threshold_b: float | Sequence[float],
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> dict[str, dict[str, float | None]]:
    """Paired patient-cluster bootstrap for two classes.

    Args:
        labels: (N,) in {0, 1}.
        scores_a: (N,) in [0, 1], or a list of such arrays, one per seed; `scores_b` alike, with any number of seeds.
        patients: (N,) patient keys.
        threshold_a: one for the arm, or one per seed; `threshold_b` alike.
        resamples: number of bootstrap resamples.
        rng: see `cluster_weights`.
        level: of the interval.

    Returns:
        metric -> ``difference`` (a minus b on all images), ``low``, ``high`` and ``p`` (see `two_sided`); None where
        undefined.

    Raises:
        DataError: unusable arrays, or thresholds that do not match the seeds.
    """
    arms = [
        _binary_arm(labels, scores_a, threshold_a, name="scores_a"),
        _binary_arm(labels, scores_b, threshold_b, name="scores_b"),
    ]
    return _difference(arms[0], arms[1], labels, patients, resamples=resamples, rng=rng, level=level)


def paired_difference_multiclass(
    labels: Labels,
    probabilities_a: Scores | Sequence[Scores],
    probabilities_b: Scores | Sequence[Scores],
    patients: NDArray[Any],
    *,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> dict[str, dict[str, float | None]]:
    """`paired_difference` of the overall metrics for C classes, (N, C) probabilities per seed."""
    arms = [
        _multiclass_arm(labels, probabilities_a, name="probabilities_a"),
        _multiclass_arm(labels, probabilities_b, name="probabilities_b"),
    ]
    return _difference(arms[0], arms[1], labels, patients, resamples=resamples, rng=rng, level=level)


def paired_difference_multilabel(
    labels: Labels,
    probabilities_a: Scores | Sequence[Scores],
    probabilities_b: Scores | Sequence[Scores],
    patients: NDArray[Any],
    *,
    thresholds: float | Sequence[float] = FIXED,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> dict[str, dict[str, float | None]]:
    """`paired_difference` of the means over findings; labels (N, L), probabilities (N, L) per seed.

    Args:
        labels: 1 present, 0 absent, -1 unknown.
        thresholds: of both arms: one, or one for each finding.
    """
    arms = [
        _multilabel_arm(labels, probabilities_a, thresholds, name="probabilities_a"),
        _multilabel_arm(labels, probabilities_b, thresholds, name="probabilities_b"),
    ]
    return _difference(arms[0], arms[1], labels, patients, resamples=resamples, rng=rng, level=level)


def _difference(
    arm_a: Arm,
    arm_b: Arm,
    labels: Labels,
    patients: NDArray[Any],
    *,
    resamples: int,
    rng: np.random.Generator,
    level: float,
) -> dict[str, dict[str, float | None]]:
    def statistic(weights: Floats) -> dict[str, Floats]:
        a, b = arm_a(weights), arm_b(weights)
        return {m: np.mean([s[m] for s in a], axis=0) - np.mean([s[m] for s in b], axis=0) for m in METRICS}

    drawn = bootstrap(statistic, labels, patients, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, len(labels))))
    found = {m: summary(float(whole[m][0]), drawn[m], level=level, key="difference") for m in METRICS}
    for metric, entry in found.items():
        entry["p"] = None if entry["low"] is None else two_sided(drawn[metric])
    return found


def _binary_arm(
    labels: Labels, scores: Scores | Sequence[Scores], threshold: float | Sequence[float], *, name: str
) -> Arm:
    seeds = [check_binary(labels, s, name=name) for s in _seeds(scores, ndim=1, name=name)]
    if np.ndim(threshold) and np.shape(threshold) != (len(seeds),):
        raise DataError(
            f"thresholds of {name}: got shape {np.shape(threshold)}; allowed: one, or one for each of {len(seeds)}",
            code="E-DATA-05",
        )
    cuts = [float(cut) for cut in np.broadcast_to(threshold, len(seeds))]
    for cut in cuts:
        check_threshold(cut)
    return lambda weights: [
        binary_tables(truth, score, {"": cut}, weights)[""] for (truth, score), cut in zip(seeds, cuts, strict=True)
    ]


def _multiclass_arm(labels: Labels, probabilities: Scores | Sequence[Scores], *, name: str) -> Arm:
    seeds = [check_probabilities(labels, p, name=name) for p in _seeds(probabilities, ndim=2, name=name)]
    return lambda weights: [multiclass_tables(truth, table, weights)[0] for truth, table in seeds]


def _multilabel_arm(
    labels: Labels, probabilities: Scores | Sequence[Scores], thresholds: float | Sequence[float], *, name: str
) -> Arm:
    seeds = [check_multilabel(labels, p, name=name) for p in _seeds(probabilities, ndim=2, name=name)]
    cuts = check_thresholds(thresholds, findings=seeds[0][0].shape[1])
    prepared = [prepare(truth, table, {"": cuts}) for truth, table in seeds]
    return lambda weights: [finding_tables(findings, weights)[""][0] for findings in prepared]


def _seeds(scores: Scores | Sequence[Scores], *, ndim: int, name: str) -> list[Scores]:
    """A single array is one seed; a list, or an array with one dimension more, is several."""
    seeds = [scores] if isinstance(scores, np.ndarray) and scores.ndim <= ndim else list(scores)
    if not seeds:
        raise DataError(f"{name}: got no seed; allowed: one or more", code="E-DATA-05")
    return seeds
