"""(answers of a run, resamples of patients) -> every metric on every resample; means and differences of runs.

Runs are drawn on the same resamples of one universe of patients, so that a mean over runs and a difference of two means
are taken within each resample: their intervals speak of the test patients, given these seeds and folds. A run may have
answered only some images of the universe, as one fold of a cross-validation does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.findings_card import Key
from xenograft.evaluation.metrics import METRICS, Floats, Labels, Scores
from xenograft.evaluation.scorecard import card_kernel
from xenograft.evaluation.uncertainty import LEVEL, summary, two_sided, weight_chunks

Cuts: TypeAlias = Mapping[str, float | Sequence[float]]


@dataclass(frozen=True, slots=True)
class Universe:
    """The test images of a study, in one order, and the resamples of their patients.

    Args:
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        patients: (N,) patient keys.
        resamples: B. seed: of the resamples, which every run shares.
    """

    labels: NDArray[np.int64]
    patients: NDArray[Any]
    resamples: int = 2000
    seed: int = 0

    def resample(self, probabilities: Scores, thresholds: Cuts, at: NDArray[np.intp] | None = None) -> Resampled:
        """Every metric of one run on all its images and on every resample.

        Args:
            probabilities: (n, C) or (n, L). thresholds: as for `scorecard`.
            at: (n,) positions of its images in the universe; None where it answered all, in this order.

        Raises:
            DataError: as `scorecard`.
        """
        labels: Labels = self.labels if at is None else self.labels[at]
        kernel = card_kernel(labels, probabilities, thresholds)
        drawn = weight_chunks(
            self.labels, self.patients, resamples=self.resamples, rng=np.random.default_rng(self.seed)
        )
        parts = [kernel((weights if at is None else weights[:, at]).astype(np.float64)) for weights in drawn]
        whole = kernel(np.ones((1, len(labels))))
        return Resampled(
            {key: float(values[0]) for key, values in whole.items()},
            {key: np.concatenate([part[key] for part in parts]) for key in whole},
        )


@dataclass(frozen=True, slots=True)
class Resampled:
    """Metrics by (policy, class or "", metric): on all images, and (B,) on the resamples; nan where undefined."""

    value: Mapping[Key, float]
    drawn: Mapping[Key, Floats]

    def only(self, keep: Callable[[Key], bool]) -> Resampled:
        """Those whose key is wanted."""
        keys = [key for key in self.value if keep(key)]
        return Resampled({key: self.value[key] for key in keys}, {key: self.drawn[key] for key in keys})

    def minus(self, other: Resampled) -> Resampled:
        """Differences of what both have."""
        keys = [key for key in self.value if key in other.value]
        return Resampled(
            {key: self.value[key] - other.value[key] for key in keys},
            {key: self.drawn[key] - other.drawn[key] for key in keys},
        )

    def difference(self, key: Key, *, level: float = LEVEL) -> dict[str, float | None]:
        """``difference``, ``low``, ``high`` and ``p`` (see `two_sided`) of one metric; None where undefined."""
        found = summary(self.value[key], self.drawn[key], level=level, key="difference")
        return {**found, "p": None if found["low"] is None else two_sided(self.drawn[key])}

    def card(self, *, level: float = LEVEL) -> dict[str, Any]:
        """``policies`` (name -> ``metrics``, and ``per_class`` of findings) and ``per_class``, as in a scorecard."""
        policies: dict[str, Any] = {}
        per_class: dict[str, Any] = {}
        for policy, place, metric in self.value:
            if policy:
                entry = policies.setdefault(policy, {"metrics": {}, "per_class": {}})
                table = entry["metrics"] if place == "" else entry["per_class"].setdefault(place, {})
            else:
                table = per_class.setdefault(place, {})
            key = (policy, place, metric)
            table[metric] = summary(self.value[key], self.drawn[key], level=level)
        return {"level": level, "policies": policies, "per_class": per_class}


def mean(runs: Sequence[Resampled]) -> Resampled:
    """Means of what all runs have, within each resample.

    A run that lacks a metric in a resample (one class of a fold was not drawn) leaves the mean undefined there.
    """
    first = runs[0]
    keys = [key for key in first.value if all(key in run.value for run in runs)]
    return Resampled(
        {key: float(np.mean([run.value[key] for run in runs])) for key in keys},
        {key: np.mean([run.drawn[key] for run in runs], axis=0) for key in keys},
    )


def overall(policy: str) -> Callable[[Key], bool]:
    """Keys of all images under one policy."""
    return lambda key: key[0] == policy and key[1] == "" and key[2] in METRICS
