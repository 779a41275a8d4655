"""Measures of calibration -> what they let one say, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def verdict(metrics: Json) -> str:
    """What slope and in-the-large show of two classes, where their intervals leave no doubt."""
    found = [words for words in (_level(metrics["in_the_large"]), _spread(metrics["slope"])) if words]
    undefined = [name for name in ("slope", "in_the_large") if metrics[name]["low"] is None]
    if not found and undefined:
        return "no interval"
    return ", ".join(found) or "no miscalibration shown"


def shifted(metrics: Json) -> bool:
    """Whether the scores are surely too high, or too low, as a whole."""
    return bool(_level(metrics["in_the_large"]))


def _level(entry: Json) -> str:
    if entry["low"] is None or entry["high"] is None:
        return ""
    return "too low as a whole" if entry["low"] > 0 else "too high as a whole" if entry["high"] < 0 else ""


def _spread(entry: Json) -> str:
    if entry["low"] is None or entry["high"] is None:
        return ""
    return "too extreme" if entry["high"] < 1 else "not extreme enough" if entry["low"] > 1 else ""
