"""Broken promises are found, and chance in test and in validation is not taken for one."""

from __future__ import annotations

import numpy as np

from xenograft.evaluation.uncertainty import wilson
from xenograft.reporting import promises


def entry(right: int, of: int) -> dict[str, float]:
    low, high = wilson(right, of)
    return {"value": right / of, "low": low, "high": high}


def test_a_coverage_far_below_is_found_and_one_near_is_not() -> None:
    options = {"patients": 100, "level": 0.95}
    assert promises.below(entry(70, 100), 0.9, checks=4, **options)
    assert not promises.below(entry(85, 100), 0.9, checks=4, **options)
    assert not promises.below({"value": None, "low": None, "high": None}, 0.9, checks=4, **options)


def test_a_risk_far_above_is_found_and_one_near_is_not() -> None:
    assert promises.above(entry(20, 100), 0.05, checks=1, level=0.95)
    assert not promises.above(entry(8, 100), 0.05, checks=1, level=0.95)
    assert not promises.above({"value": 0.2, "low": None, "high": None}, 0.05, checks=1, level=0.95)


def test_false_alarms_are_rare_though_validation_varies_too() -> None:
    rng = np.random.default_rng(0)
    pages, checks, fitted, size = 500, 4, 99, 100
    alarms = plain = 0
    for _ in range(pages):
        truth = rng.beta(90, 10, checks)  # coverage of sets fitted on 99 patients at 0.9
        found = [entry(int(n), size) for n in rng.binomial(size, truth)]
        alarms += any(promises.below(e, 0.9, patients=fitted, checks=checks, level=0.95) for e in found)
        plain += any(e["high"] < 0.9 for e in found)
    assert alarms / pages < 0.06
    assert plain / pages > 0.12  # what the interval alone would have said
