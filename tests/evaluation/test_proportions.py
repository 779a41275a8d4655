"""Shares without spread get Wilson's interval with patients as clusters; everything else stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from xenograft.evaluation.proportions import METHOD, filled, with_proportions
from xenograft.evaluation.scorecard import scorecard

RNG = np.random.default_rng


def wilson(right: int, of: int) -> tuple[float, float]:
    found = binomtest(right, of).proportion_ci(method="wilson")
    return found.low, found.high


def card(labels: Any, table: Any, patients: Any, **thresholds: Any) -> Any:
    cuts = thresholds or {"fixed": 0.5}
    found = scorecard(labels, table, patients, thresholds=cuts, resamples=100, rng=RNG(0))
    return found, with_proportions(found, labels, table, patients)


def test_a_perfect_share_gets_the_wilson_interval_of_scipy_where_each_patient_has_one_image() -> None:
    labels = np.array([1] * 40 + [0] * 60)
    scores = np.where(labels == 1, 0.9, np.linspace(0.1, 0.7, 100))
    table = np.stack([1 - scores, scores], axis=1)
    before, after = card(labels, table, np.arange(100))
    old, new = (found["policies"]["fixed"]["metrics"] for found in (before, after))
    assert (old["recall"]["low"], old["recall"]["high"]) == (1.0, 1.0)
    low, high = wilson(40, 40)
    assert new["recall"] == {"value": 1.0, "low": pytest.approx(low), "high": pytest.approx(high), "method": METHOD}
    assert old["recall"].get("method") is None  # the card that was given is not changed
    for metric in ("specificity", "precision", "accuracy", "auroc", "f1"):
        assert new[metric] == old[metric]


def test_two_images_of_a_patient_count_once() -> None:
    labels = np.array([1] * 40 + [0] * 60)
    scores = np.where(labels == 1, 0.9, np.linspace(0.1, 0.7, 100))
    _, after = card(labels, np.stack([1 - scores, scores], axis=1), np.arange(100) // 2)
    low, _ = wilson(20, 20)
    assert after["policies"]["fixed"]["metrics"]["recall"]["low"] == pytest.approx(low)


def test_each_share_is_of_its_own_images() -> None:
    """Entries without width, so that all are replaced: counts by hand."""
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    answers = np.array([1, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    entries = {name: {"value": 0.5, "low": 0.5, "high": 0.5} for name in ("accuracy", "recall", "specificity")}
    entries["precision"] = {"value": 0.5, "low": None, "high": None}
    found = filled(entries, truth, answers, np.arange(8))
    for name, (right, of) in {"accuracy": (6, 8), "recall": (2, 3), "specificity": (4, 5), "precision": (2, 3)}.items():
        z2, share, size = 1.959964**2, right / of, of - 1  # the variance between patients has one degree less
        for end in (found[name]["low"], found[name]["high"]):  # the ends solve Wilson's equation
            assert (end - share) ** 2 == pytest.approx(z2 * end * (1 - end) / size, rel=1e-5)


def test_findings_one_by_one_where_they_are_known() -> None:
    rng = RNG(3)
    labels = rng.integers(0, 2, (80, 2))
    labels[::4, 0] = -1
    table = np.where(labels == 1, 0.9, 0.2).astype(float)
    table[:, 1] = rng.random(80)
    _, after = card(labels, table, np.arange(80), fixed=0.5, youden=[0.4, 0.6])
    known = int((labels[:, 0] == 1).sum())
    low, _ = wilson(known, known)
    for policy in ("fixed", "youden"):
        rows = after["policies"][policy]["per_class"]
        assert rows["0"]["recall"]["low"] == pytest.approx(low)
        assert "method" not in rows["1"]["recall"]
        assert "method" not in after["policies"][policy]["metrics"]["recall"]  # a mean is no share
    assert after["per_class"] is after["policies"]["fixed"]["per_class"]


def test_several_classes() -> None:
    labels = np.arange(60) % 3
    table = np.full((60, 3), 0.1)
    table[np.arange(60), labels] = 0.8
    table[0] = [0.1, 0.8, 0.1]
    _, after = card(labels, table, np.arange(60))
    low, _ = wilson(20, 20)
    assert after["per_class"]["2"]["recall"]["low"] == pytest.approx(low)
    assert "method" not in after["per_class"]["0"]["recall"]
    assert "method" not in after["policies"]["argmax"]["metrics"]["accuracy"]
    perfect = card(labels[1:], table[1:], np.arange(59))[1]["policies"]["argmax"]["metrics"]
    assert perfect["accuracy"]["method"] == METHOD
    assert perfect["recall"]["low"] == 1.0  # a mean over classes is no share


def test_what_is_undefined_stays_undefined() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    table = np.stack([np.full(20, 0.9), np.full(20, 0.1)], axis=1)
    _, after = card(labels, table, np.arange(20))
    metrics = after["policies"]["fixed"]["metrics"]
    assert metrics["recall"]["value"] == 0.0
    assert metrics["recall"]["high"] > 0
    assert "method" not in metrics["precision"]
