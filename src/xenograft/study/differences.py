"""A finished study -> paired differences on test between its recipes, means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from xenograft.errors import DataError
from xenograft.evaluation.multiplicity import holm
from xenograft.evaluation.paired import (
    paired_difference,
    paired_difference_multiclass,
    paired_difference_multilabel,
)
from xenograft.evaluation.threshold import FIXED
from xenograft.study.record import Predictions, Study

_COMPARED = ("auroc", "accuracy", "f1", "average_precision")


def compare_arms(study: Study, *, resamples: int) -> list[dict[str, Any]]:
    """Paired patient-cluster bootstrap of every pair of recipes of one backbone, means over seeds.

    Each row has ``p`` and ``p_holm``, adjusted for all comparisons of the study.
    """
    rows: list[dict[str, Any]] = []
    places = dict.fromkeys((run.backbone, run.lr_scale) for run in study.runs)
    for backbone, scale in places:
        group = [run for run in study.runs if (run.backbone, run.lr_scale) == (backbone, scale)]
        recipes = list(dict.fromkeys([*study.record.config["recipes"], *sorted(run.recipe for run in group)]))
        recipes = [name for name in recipes if any(run.recipe == name for run in group)]
        recipes.sort(key=lambda name: not next(run.transfer for run in group if run.recipe == name))
        for a, b in combinations(recipes, 2):
            arms = [[study.predictions(r.id, "test") for r in group if r.recipe == name] for name in (a, b)]
            rows += [
                {"backbone": backbone, "lr_scale": scale, "a": a, "b": b, "metric": m, **d, "resamples": resamples}
                for m, d in _difference(arms[0], arms[1], resamples).items()
            ]
    adjusted = holm({str(number): row["p"] for number, row in enumerate(rows)})["adjusted"]
    return [{**row, "p_holm": p} for row, p in zip(rows, adjusted.values(), strict=True)]


def _difference(a: Sequence[Predictions], b: Sequence[Predictions], resamples: int) -> dict[str, dict[str, Any]]:
    labels, patients = a[0].labels, a[0].patients
    if not all(np.array_equal(p.ids, a[0].ids) for p in (*a, *b)):
        raise DataError("runs of one study predicted different test images; run the study again", code="E-LABEL-18")
    rng = np.random.default_rng(0)
    if labels.ndim == 2:
        found = paired_difference_multilabel(
            labels, [p.probabilities for p in a], [p.probabilities for p in b], patients, resamples=resamples, rng=rng
        )
    elif a[0].probabilities.shape[1] == 2:
        found = paired_difference(
            labels,
            [p.probabilities[:, 1] for p in a],
            [p.probabilities[:, 1] for p in b],
            patients,
            threshold_a=FIXED,
            threshold_b=FIXED,
            resamples=resamples,
            rng=rng,
        )
    else:
        found = paired_difference_multiclass(
            labels, [p.probabilities for p in a], [p.probabilities for p in b], patients, resamples=resamples, rng=rng
        )
    return {metric: dict(found[metric]) for metric in _COMPARED}
