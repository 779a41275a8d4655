"""Scores of candidates: against the scores by themselves, against planted truth, and in one process or several."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from xenograft.study import ranking_scores
from xenograft.study.ranking_scores import Scores, score_candidates
from xenograft.transferability.resampled import score_intervals, subsample_interval, subsamples
from xenograft.transferability.scores import SCORES, score_all

LABELS = np.arange(120) % 2
GROUPS = np.repeat(np.arange(60), 2)
RNG = np.random.default_rng(5)
SIGNAL = (RNG.normal(size=(120, 6)) + 1.2 * LABELS[:, None]).astype(np.float32)
NOISE = RNG.normal(size=(120, 9)).astype(np.float32)


def score(*tables: NDArray[np.float32], workers: int = 1, resamples: int = 6, labels: object = LABELS) -> Scores:
    return score_candidates(
        tables, np.asarray(labels), GROUPS, drawn=["logistic_auroc", "logme"], resamples=resamples, workers=workers
    )


def test_points_are_those_of_score_all() -> None:
    found = score(SIGNAL, NOISE)
    for k, table in enumerate((SIGNAL, NOISE)):
        alone = score_all(table, LABELS, GROUPS)
        for name in SCORES:
            value, why = found.points[k][name]
            assert why == alone[name]["why"]
            assert value == pytest.approx(alone[name]["value"])


def test_draws_give_the_intervals_of_score_intervals() -> None:
    found = score(SIGNAL, NOISE)
    for k, table in enumerate((SIGNAL, NOISE)):
        alone = score_intervals(table, LABELS, GROUPS, names=["logme"], resamples=6)["logme"]
        low, high = subsample_interval(alone["value"], found.drawn["logme"][:, k])
        assert (low, high) == pytest.approx((alone["low"], alone["high"]))


def test_candidates_are_scored_on_the_same_halves() -> None:
    found = score(SIGNAL, SIGNAL.copy())
    assert np.array_equal(found.drawn["logistic_auroc"][:, 0], found.drawn["logistic_auroc"][:, 1])
    first = next(subsamples(LABELS, GROUPS, resamples=6, seed=0))
    alone = score_all(SIGNAL[first], LABELS[first], GROUPS[first], names=["logme"])["logme"]["value"]
    assert found.drawn["logme"][0, 0] == pytest.approx(alone)


def test_several_processes_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    one = score(SIGNAL, NOISE, resamples=2)
    monkeypatch.setattr(ranking_scores, "_WORTH_PROCESSES", 0)
    two = score(SIGNAL, NOISE, resamples=2, workers=2)
    assert two.points == one.points
    assert all(np.array_equal(two.drawn[name], one.drawn[name]) for name in one.drawn)


def test_several_classes_have_scores() -> None:
    found = score(SIGNAL, labels=np.arange(120) % 3)
    assert found.points[0]["logistic_auroc"][0] is not None
    assert not np.isnan(found.drawn["logistic_auroc"]).any()


def test_what_a_class_of_one_patient_cannot_have_is_said() -> None:
    labels = np.zeros(120, dtype=np.int64)
    labels[:2] = 1
    value, why = score(SIGNAL, labels=labels).points[0]["logistic_auroc"]
    assert value is None
    assert why is not None
    assert "no two folds" in why


def test_progress_adds_up() -> None:
    shares: list[float] = []
    score_candidates([SIGNAL], LABELS, GROUPS, drawn=["logme"], resamples=3, done=shares.append)
    assert sum(shares) == pytest.approx(1)
