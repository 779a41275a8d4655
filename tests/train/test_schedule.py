from __future__ import annotations

import pytest

from xenograft.train.schedule import patience_is_out, share_of_peak


def test_the_rate_rises_to_its_peak_and_falls_in_a_cosine() -> None:
    shares = [share_of_peak(step, 100, 0.1) for step in range(100)]
    assert shares[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert shares[10] == 1.0
    assert shares[55] == pytest.approx(0.5)
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert 0 < shares[-1] < 0.01


def test_a_single_step_has_a_rate() -> None:
    assert share_of_peak(0, 1, 0.0) == 1.0


@pytest.mark.parametrize(
    ("finished", "best", "patience", "out"), [(5, 3, 2, True), (4, 3, 2, False), (90, 1, 0, False)]
)
def test_patience(finished: int, best: int, patience: int, out: bool) -> None:
    assert patience_is_out(finished, best, patience) is out
