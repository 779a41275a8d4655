"""One model's predictions of test, and of validation -> what is said of two classes, or of several that exclude others.

Everything here is a part of an entry in ``models`` of `xenograft.study.evaluated`. What chooses takes validation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.abstention import abstention_card, choose_cut, decide
from xenograft.evaluation.calibration import calibration_card
from xenograft.evaluation.conformal import ConformalSets, conformal_card, patients_needed
from xenograft.evaluation.delong import clustered_delong_interval, delong_interval
from xenograft.evaluation.net_benefit import decision_curve
from xenograft.evaluation.operating_points import Rule, Youden, chosen_with_uncertainty
from xenograft.evaluation.overall_card import overall_card
from xenograft.evaluation.predictive_values import clustered_predictive_intervals
from xenograft.evaluation.proportions import with_proportions
from xenograft.evaluation.recalibrating import AUTO, fit_recalibration
from xenograft.evaluation.recalibration import Platt, Recalibration
from xenograft.evaluation.reliability import reliability
from xenograft.evaluation.rules import NamedRule
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.subgroups import subgroup_card
from xenograft.evaluation.threshold import FIXED, enough, policy_in_use, thresholds_for
from xenograft.study.scored import Scored

Json = dict[str, Any]
Thresholds = Mapping[str, Any]
"""Policy -> threshold; of findings, one for all or a list with one for each."""

COVERAGE = 0.9
"""Of the conformal sets."""


class _Options(TypedDict):
    resamples: int
    level: float


@dataclass(frozen=True, slots=True)
class Draws:
    """How every interval is made: so many resamples, at one level, from one seed."""

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    @property
    def options(self) -> _Options:
        """As the kernels take them."""
        return {"resamples": self.resamples, "level": self.level}

    def rng(self, *part: int) -> np.random.Generator:
        """Of one part of the evaluation, so that leaving out another changes nothing in it."""
        return np.random.default_rng([self.seed, *part])


def thresholds_of(table: Scored, val: Scored | None, rule: NamedRule | None) -> dict[str, Any]:
    """0.5, what validation chooses, and what the table names."""
    found: dict[str, Any] = {"fixed": FIXED}
    if val is not None:
        found |= thresholds_for(val.labels, val.probabilities, rule)
    if table.threshold is not None and (table.binary or table.multi_label):
        found["given"] = list(table.threshold) if isinstance(table.threshold, tuple) else table.threshold
    return found


def cards(table: Scored, thresholds: Thresholds, draws: Draws) -> Json:
    """``scorecard``, ``overall`` and ``subgroups``, of any kind of label."""
    given = (table.labels, table.probabilities, table.patients)
    card = scorecard(*given, thresholds=thresholds, rng=draws.rng(len(table.ids)), **draws.options)
    overall = overall_card(*given, thresholds=thresholds, rng=draws.rng(10), **draws.options)
    groups = dict(table.groups)
    return {
        "scorecard": with_proportions(card, *given),
        "overall": overall["policies"],
        "subgroups": subgroup_card(*given, groups, thresholds, rng=draws.rng(9), **draws.options) if groups else None,
    }


def of_classes(
    table: Scored, val: Scored | None, thresholds: Thresholds, draws: Draws, *, recalibration: str = AUTO
) -> Json:
    """Calibration, abstention and prediction sets of classes that exclude each other."""
    return {
        **calibrated(table, fitted(val, recalibration), draws),
        "abstention": _abstention(table, val, thresholds, draws),
        "conformal": _conformal(table, val, draws),
    }


def of_two(
    table: Scored,
    val: Scored | None,
    thresholds: Thresholds,
    draws: Draws,
    *,
    prevalence: float | None = None,
    rule: NamedRule | None = None,
    recalibration: str = AUTO,
) -> Json:
    """What is said of two classes alone."""
    labels, scores, patients = table.labels, table.probabilities[:, 1], table.patients
    scale = fitted(val, recalibration)
    restated = isinstance(scale, Platt) and prevalence is not None
    usual = scores if scale is None else scale.apply(scores)
    if isinstance(scale, Platt) and val is not None:
        usual = _at(prevalence, scale, val).apply(scores)
    values = {
        name: clustered_predictive_intervals(
            labels, scores, patients, threshold=cut, prevalence=prevalence, rng=draws.rng(3), **draws.options
        )
        for name, cut in (thresholds.items() if prevalence is not None else ())
        if prevalence is not None
    }
    return {
        **ranked(table, draws),
        "predictive_values": values or None,
        "decision_curve": {
            "recalibrated": scale is not None,
            "restated": restated,
            **decision_curve(labels, usual, patients, prevalence=prevalence, rng=draws.rng(4), **draws.options),
        },
        "chosen": chosen(val, thresholds, draws, rule=rule),
    }


def ranked(table: Scored, draws: Draws) -> Json:
    """``auroc`` with analytic intervals and ``reliability`` of two classes."""
    labels, scores, patients = table.labels, table.probabilities[:, 1], table.patients
    return {
        "auroc": {
            "images_independent": delong_interval(labels, scores, level=draws.level),
            "patients_as_clusters": clustered_delong_interval(labels, scores, patients, level=draws.level),
        },
        "reliability": reliability(labels, scores, patients, rng=draws.rng(2), **draws.options).as_json(),
    }


def chosen(val: Scored | None, thresholds: Thresholds, draws: Draws, *, rule: NamedRule | None) -> Json | None:
    """Policy -> how firmly validation chose its threshold; None where it chose none."""
    if val is None or not enough(val.labels):
        return None
    rules: dict[str, Rule] = {"youden": Youden()} | ({} if rule is None else {rule.name: rule.rule})
    found = {
        name: chosen_with_uncertainty(
            wanted, val.labels, val.probabilities[:, 1], val.patients, rng=draws.rng(5), **draws.options
        )
        for name, wanted in rules.items()
        if name in thresholds
    }
    return found or None


def calibrated(table: Scored, scale: Recalibration | None, draws: Draws) -> Json:
    """``calibration`` as given, and ``recalibration``: what was fitted on validation, measured on test."""
    found: Json = {"calibration": _calibration(table, table.probabilities, draws), "recalibration": None}
    if scale is not None:
        after = scale.apply(_scores(table, table.probabilities))
        both = np.stack([1 - after, after], axis=1) if after.ndim == 1 else after
        found["recalibration"] = {"fitted": scale.as_json(), "calibration": _calibration(table, both, draws)}
    return found


def fitted(val: Scored | None, method: str = AUTO) -> Recalibration | None:
    """What `fit_recalibration` makes of validation; None without it."""
    return None if val is None else fit_recalibration(val.labels, _scores(val, val.probabilities), method)


def _scores(table: Scored, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """As the calibration of two classes wants them."""
    return probabilities[:, 1] if table.binary else probabilities


def _calibration(table: Scored, probabilities: NDArray[np.float64], draws: Draws) -> Json:
    return calibration_card(
        table.labels, _scores(table, probabilities), table.patients, rng=draws.rng(1), **draws.options
    )


def _at(prevalence: float | None, scale: Platt, val: Scored) -> Platt:
    """Scores of validation's share of positives, restated for another one: the odds change by the ratio of the odds."""
    if prevalence is None:
        return scale
    share = float((val.labels == 1).mean())
    moved = math.log(prevalence / (1 - prevalence)) - math.log(share / (1 - share))
    return replace(scale, intercept=scale.intercept + moved)


def _abstention(table: Scored, val: Scored | None, thresholds: Thresholds, draws: Draws) -> Json:
    threshold = FIXED
    if table.binary:
        threshold = thresholds[policy_in_use({name: cut for name, cut in thresholds.items() if name != "given"})]
    cut = None
    if val is not None:
        given = val.probabilities[:, 1] if val.binary else val.probabilities
        answers, sure = decide(given, threshold=threshold) if val.binary else decide(given)
        cut = choose_cut(answers != val.labels, sure, val.patients)
    return abstention_card(
        table.labels,
        table.probabilities,
        table.patients,
        threshold=threshold,
        cut=cut,
        rng=draws.rng(6),
        **draws.options,
    )


def _conformal(table: Scored, val: Scored | None, draws: Draws) -> Json | None:
    if val is None:
        return None
    fewest = min(np.unique(val.patients[val.labels == k]).size for k in range(len(val.classes)))
    if fewest < patients_needed(COVERAGE):
        return None
    sets = ConformalSets.fit(val.labels, val.probabilities, val.patients, coverage=COVERAGE)
    card = conformal_card(sets, table.labels, table.probabilities, table.patients, rng=draws.rng(7), **draws.options)
    return {"fitted": sets.as_json(), "card": card}
