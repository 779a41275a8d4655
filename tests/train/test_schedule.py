from __future__ import annotations

import pytest

from xenograft.train.schedule import epochs_until_open, patience_is_out, share_of_peak, stages_open


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


@pytest.mark.parametrize(
    ("stages", "epochs", "every", "expected"),
    [
        (5, 20, 1, [0, 1, 2, 3, 4, 5, 5, 5]),  # one stage an epoch, as in ULMFiT
        (3, 20, 2, [0, 0, 1, 1, 2, 2, 3, 3]),
        (8, 6, 1, [0, 3, 6, 8, 8, 8]),  # ceil(8 k / 3): half of the epochs train everything
        (5, 3, 1, [0, 5, 5]),
        (5, 1, 1, [0]),
    ],
)
def test_stages_open_from_the_output(stages: int, epochs: int, every: int, expected: list[int]) -> None:
    plan = {"stages": stages, "epochs": epochs, "every": every}
    assert [stages_open(epoch, **plan) for epoch in range(len(expected))] == expected
    until = epochs_until_open(**plan)
    assert stages_open(until, **plan) == stages > stages_open(until - 1, **plan)
