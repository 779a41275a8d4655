"""What a record says where a difference to the best has no interval."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from xenograft.data.manifest import Manifest
from xenograft.study.ranking_notices import without_interval
from xenograft.study.ranking_record import _against_best, _choice

NAN = float("nan")


def standing(best: float, other: float, drawn: list[float]) -> list[dict[str, Any]]:
    """Two candidates, the other one the quicker, with these differences on the halves."""
    rows: list[dict[str, Any]] = [
        {"backbone": "slow", "title": "Slow", "value": best, "images_per_second": 10.0},
        {"backbone": "quick", "title": "Quick", "value": other, "images_per_second": 90.0},
    ]
    values = np.column_stack([drawn, np.zeros(len(drawn))])
    for k in range(2):
        rows[k] |= _against_best(k, 0, rows, values, 0.5)
    return rows


@pytest.mark.parametrize(
    ("best", "other", "drawn", "tied", "chosen"),
    [
        (0.95, 0.55, [0.4, NAN, 0.41, NAN], None, "slow"),
        (0.95, 0.95, [0.0, NAN, 0.0, NAN], True, "quick"),
        (0.95, 0.94, [0.01, -0.02, 0.03, 0.0], True, "quick"),
        (0.95, 0.55, [0.4, 0.39, 0.41, 0.4], False, "slow"),
    ],
)
def test_without_an_interval_only_equals_are_tied(
    best: float, other: float, drawn: list[float], tied: bool | None, chosen: str
) -> None:
    rows = standing(best, other, drawn)
    assert rows[1]["tied"] is tied
    choice = _choice(rows)
    assert choice is not None
    assert choice["backbone"] == chosen
    assert choice["tied"] == (["slow", "quick"] if tied else ["slow"])


def test_a_missing_interval_is_warned_of_with_its_likely_cause() -> None:
    made = SimpleNamespace(
        classes=("NORMAL", "RARE"), labels=np.repeat([0, 1], [8, 6]), patients=np.array([*range(8), 8, 8, 9, 9, 10, 10])
    )
    images = cast("Manifest", made)
    (notice,) = without_interval(standing(0.95, 0.55, [0.4, NAN, 0.41, NAN]), images)
    assert notice.code == "W-DATA-51"
    assert "difference of Quick to the best, Slow" in notice.message
    assert "(fewest patients: RARE, 3)" in notice.message
    assert not list(without_interval(standing(0.95, 0.55, [0.4, 0.39, 0.41, 0.4]), images))
