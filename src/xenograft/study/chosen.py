"""Finished runs -> arms, and what validation chooses among them. No test result is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from xenograft.evaluation.rules import NamedRule, parse_rule
from xenograft.study.record import RunRecord, StudyRecord


class ArmKey(NamedTuple):
    """One backbone, one recipe, one learning-rate scale; its runs differ in seed and fold."""

    backbone: str
    recipe: str
    lr_scale: float

    @classmethod
    def of(cls, place: Mapping[str, Any]) -> ArmKey:
        """From a mapping of a record."""
        return cls(str(place["backbone"]), str(place["recipe"]), float(place["lr_scale"]))


def arms_of(runs: Sequence[RunRecord]) -> dict[ArmKey, tuple[RunRecord, ...]]:
    """Arms in the order of their first run; the runs of each by fold and seed.

    An arm that lacks folds which another one has was stopped half-way. It was validated on fewer patients, and may be
    tested on fewer, so it neither stands beside the others nor is chosen until it is finished.
    """
    found: dict[ArmKey, list[RunRecord]] = {}
    for run in runs:
        found.setdefault(ArmKey(run.backbone, run.recipe, run.lr_scale), []).append(run)
    folds = {key: {run.fold for run in members} for key, members in found.items()}
    most = max(map(len, folds.values()), default=0)
    return {key: tuple(sorted(members, key=_place)) for key, members in found.items() if len(folds[key]) == most}


def choose(arms: Mapping[ArmKey, Sequence[RunRecord]]) -> ArmKey:
    """The arm with transfer, or any where none has it, whose runs validation rates highest on average.

    By AUROC, then accuracy; where the mean AUROC over findings is undefined, by that of the findings which have one.
    """
    transfer = [key for key, runs in arms.items() if runs[0].transfer]
    return max(transfer or arms, key=lambda key: _mean_rating(arms[key]))


def reference_of(chosen: ArmKey, arms: Mapping[ArmKey, Sequence[RunRecord]]) -> ArmKey | None:
    """The same backbone without pretrained weights: from scratch, else any control; None without one."""
    if not arms[chosen][0].transfer:
        return None
    others = [
        key
        for key, runs in arms.items()
        if (key.backbone, key.lr_scale) == (chosen.backbone, chosen.lr_scale) and not runs[0].transfer
    ]
    return min(others, key=lambda key: (key.recipe != "scratch", key.recipe), default=None)


def rule_of(record: StudyRecord) -> NamedRule | None:
    """The rule for a threshold that the study was asked for; None without one."""
    asked = record.config.get("operating_point")
    return None if asked is None else parse_rule(asked)


def representative(runs: Sequence[RunRecord]) -> RunRecord:
    """The run whose validation is nearest the median of its arm's: neither its luckiest seed nor the unluckiest."""
    ratings = [rating(run)[0] for run in runs]
    middle = median(ratings)
    return min(runs, key=lambda run: (abs(rating(run)[0] - middle), _place(run)))


def rating(run: RunRecord) -> tuple[float, float]:
    """(AUROC, accuracy) on validation, -1 where undefined."""
    policies = run.validation["policies"]
    metrics = (policies.get("fixed") or policies["argmax"])["metrics"]
    auroc, accuracy = (metrics[name]["value"] for name in ("auroc", "accuracy"))
    if auroc is None:
        singles = [table["auroc"]["value"] for table in (run.validation.get("per_class") or {}).values()]
        known = [value for value in singles if value is not None]
        auroc = fmean(known) if known else None
    return -1.0 if auroc is None else float(auroc), -1.0 if accuracy is None else float(accuracy)


def _mean_rating(runs: Sequence[RunRecord]) -> tuple[float, float]:
    pairs = [rating(run) for run in runs]
    return fmean(a for a, _ in pairs), fmean(b for _, b in pairs)


def _place(run: RunRecord) -> tuple[int, int]:
    return (-1 if run.fold is None else run.fold), run.seed
