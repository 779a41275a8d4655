"""What validation promised, and a number on test -> whether test breaks it by more than chance would."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot, sqrt
from statistics import NormalDist
from typing import Any

Json = Mapping[str, Any]

_FALSE_ALARMS = 0.025
"""Chance of one or more false alarms of a kind on a page, at most (Bonferroni)."""


def below(entry: Json, target: float, *, patients: int, checks: int, level: float) -> bool:
    """Whether a coverage on test is lower than chance in test and in validation explains.

    Given the validation set, split-conformal coverage is a draw from a beta distribution (Vovk 2012,
    arXiv:1209.2673): with K patients its variance is close to target (1 - target) / (K + 2).

    Args:
        entry: ``value``, ``low`` and ``high`` on test. target: nominal coverage. patients: K.
        checks: how many such questions the page asks. level: of the interval.
    """
    error = _error(entry, level)
    if error is None:
        return False
    spread = hypot(error, sqrt(target * (1 - target) / (patients + 2)))
    return bool(entry["value"] + _reach(checks) * spread < target)


def above(entry: Json, target: float, *, checks: int, level: float) -> bool:
    """Whether a risk on test is higher than chance in test explains; validation's part is in how the cut was chosen.

    Args: as `below`.
    """
    error = _error(entry, level)
    return error is not None and bool(entry["value"] - _reach(checks) * error > target)


def _error(entry: Json, level: float) -> float | None:
    """Standard error from the width of an interval; None where there is none."""
    if entry["value"] is None or entry["low"] is None or entry["high"] is None:
        return None
    return float(entry["high"] - entry["low"]) / (2 * NormalDist().inv_cdf((1 + level) / 2))


def _reach(checks: int) -> float:
    return NormalDist().inv_cdf(1 - _FALSE_ALARMS / checks)
