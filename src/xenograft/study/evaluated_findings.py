"""Predictions of several findings of test, and of validation -> each finding as a question of two classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from xenograft.evaluation.rules import NamedRule
from xenograft.study.evaluated_model import Draws, Thresholds, calibrated, chosen, fitted, ranked
from xenograft.study.scored import Scored

Json = dict[str, Any]

MOST_RESAMPLES = 500
"""Of calibration and of chosen thresholds, which take seconds for each finding: enough for an interval of 95 %, whose
ends then vary by about a tenth of its width from one seed to another."""


def of_findings(
    table: Scored, val: Scored | None, thresholds: Thresholds, draws: Draws, rule: NamedRule | None, recalibration: str
) -> Json:
    """ "0", "1", ... -> ``n`` images where the finding is known, ``positive`` and ``patients`` of them, and as for two
    classes ``auroc``, ``reliability``, ``calibration``, ``recalibration``, ``chosen``.

    The last four have `MOST_RESAMPLES` resamples at most. All but ``n``, ``positive`` and ``patients`` are absent
    where no image is known to have the finding, or none to lack it.
    """
    few = replace(draws, resamples=min(draws.resamples, MOST_RESAMPLES))
    return {str(k): _finding(table, val, thresholds, few, rule, recalibration, k) for k in range(len(table.classes))}


def _finding(
    table: Scored,
    val: Scored | None,
    thresholds: Thresholds,
    draws: Draws,
    rule: NamedRule | None,
    recalibration: str,
    k: int,
) -> Json:
    own = table.finding(k)
    before = None if val is None else val.finding(k)
    counts = {
        "n": len(own.ids),
        "positive": int((own.labels == 1).sum()),
        "patients": int(np.unique(own.patients).size),
    }
    if not 0 < counts["positive"] < counts["n"]:
        return counts
    usable = before if before is not None and len(before.ids) else None
    return {
        **counts,
        **ranked(own, draws),
        **calibrated(own, fitted(usable, recalibration), draws),
        "chosen": chosen(usable, thresholds, draws, rule=rule),
    }
