"""Finished runs -> averaged answers of several of them, measured like a run: of seeds and folds, and of backbones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xenograft.evaluation.resampled import Resampled, mean, overall
from xenograft.evaluation.threshold import thresholds_for
from xenograft.study.chosen import ArmKey, rule_of
from xenograft.study.comparing import Arms, adjusted
from xenograft.study.pool import Pool
from xenograft.study.record import Predictions, RunRecord

Json = dict[str, Any]


def ensembles(arms: Arms, pool: Pool, kept: Mapping[ArmKey, Resampled], chosen: ArmKey) -> list[Json]:
    """Mean probabilities of all runs of an arm, and of all backbones by one recipe; thresholds from validation.

    Where folds test on different images an ensemble is formed within each fold, and its results are means over folds.

    Returns:
        One mapping each: ``kind`` (``"runs"`` or ``"backbones"``), ``backbone`` (None for several), ``recipe``,
        ``lr_scale``, ``members`` (run ids), ``thresholds`` (one mapping for each set of test images), ``test`` (as of
        an arm), and ``against``: ``b`` (the arm that validation chose), and the paired difference in AUROC to it,
        ``difference``, ``low``, ``high``, ``p``, ``p_holm``, ``of`` (all ensembles of the study).
    """
    rows = []
    for kind, key, members in _kinds(arms):
        parts = [_ensemble(part, pool) for part in _by_images(members, pool)]
        found = mean([resampled for resampled, _ in parts])
        policy = next(iter(kept[chosen].value))[0]
        difference = found.only(overall(policy)).minus(kept[chosen]).difference((policy, "", "auroc"))
        rows.append(
            {
                "kind": kind,
                **key._asdict(),
                "backbone": key.backbone or None,
                "members": [run.id for run in members],
                "thresholds": [thresholds for _, thresholds in parts],
                "test": found.card(),
                "against": {"metric": "auroc", "b": chosen._asdict(), **difference},
            }
        )
    tested = adjusted([row["against"] for row in rows])
    return [{**row, "against": against} for row, against in zip(rows, tested, strict=True)]


def _kinds(arms: Arms) -> Iterator[tuple[str, ArmKey, tuple[RunRecord, ...]]]:
    for key, runs in arms.items():
        if len(runs) > 1:
            yield "runs", key, runs
    for recipe, scale in dict.fromkeys((key.recipe, key.lr_scale) for key in arms):
        same = [runs for key, runs in arms.items() if (key.recipe, key.lr_scale) == (recipe, scale)]
        if len(same) > 1:
            yield "backbones", ArmKey("", recipe, scale), tuple(run for runs in same for run in runs)


def _by_images(members: Sequence[RunRecord], pool: Pool) -> list[list[RunRecord]]:
    """Members that answered the same test images."""
    folds = dict.fromkeys(run.fold for run in members) if pool.rotating else (None,)
    return [[run for run in members if not pool.rotating or run.fold == fold] for fold in folds]


def _ensemble(members: Sequence[RunRecord], pool: Pool) -> tuple[Resampled, dict[str, float | list[float]]]:
    """Metrics of the mean answers; a validation image counts with the answers of those that did not train on it."""
    validation = average([pool.study.predictions(run.id, "val") for run in members])
    thresholds = thresholds_for(validation.labels, validation.probabilities, rule_of(pool.study.record))
    return pool.resample(average([pool.predictions(run) for run in members]), thresholds), thresholds


def average(answers: Sequence[Predictions]) -> Predictions:
    """Mean probabilities by image, over those that answered it, in the order of ids."""
    ids = np.concatenate([p.ids for p in answers])
    kept, first, at = np.unique(ids, return_index=True, return_inverse=True)
    stacked = np.concatenate([p.probabilities for p in answers])
    sums = np.zeros((len(kept), stacked.shape[1]))
    np.add.at(sums, at, stacked)
    return Predictions(
        kept,
        np.concatenate([p.labels for p in answers])[first],
        np.concatenate([p.patients for p in answers])[first],
        sums / np.bincount(at)[:, None],
        answers[0].split,
    )
