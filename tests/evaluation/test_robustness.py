"""Robustness against metrics recomputed resample by resample, and its summary against hand-made losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.metrics import binary_metrics, multiclass_metrics
from xenograft.evaluation.multilabel import multilabel_metrics
from xenograft.evaluation.robustness import MEASURED, first_loss, robustness_card
from xenograft.evaluation.uncertainty import cluster_weights

COUNT = 120
PATIENTS = np.array([f"p{k // 2}" for k in range(COUNT)])
LEVELS = (1, 2, 3)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def made(task: str) -> tuple[np.ndarray, np.ndarray, dict[tuple[str, int], np.ndarray], Any]:
    """(labels, clean, changed, threshold): "noise" blurs the order more and more, "shift" only moves all scores."""
    rng = np.random.default_rng(5)
    if task == "multilabel":
        labels = rng.integers(0, 2, (COUNT, 3))
        labels[::17, 1] = -1
        logits = 2.0 * (labels == 1) - 1 + rng.normal(size=labels.shape)

        def squashed(x: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-x))

        changed = {("noise", k): squashed(logits + 2 * k * rng.normal(size=logits.shape)) for k in LEVELS}
        changed |= {("shift", k): squashed(logits + k) for k in LEVELS}
        return labels, squashed(logits), changed, [0.5, 0.4, 0.6]
    classes = 2 if task == "binary" else 4
    labels = rng.integers(0, classes, COUNT)
    logits = rng.normal(size=(COUNT, classes))
    logits[np.arange(COUNT), labels] += 2.5
    up = np.zeros(classes)
    up[-1] = 1.0
    changed = {("noise", k): softmax(logits + 2 * k * rng.normal(size=logits.shape)) for k in LEVELS}
    changed |= {("shift", k): softmax(logits + k * up) for k in LEVELS}
    return labels, softmax(logits), changed, 0.4 if task == "binary" else None


def slow(task: str, labels: np.ndarray, table: np.ndarray, threshold: Any, weights: np.ndarray) -> dict[str, Any]:
    if task == "binary":
        return binary_metrics(labels, table[:, 1], threshold=threshold, weights=weights)
    if task == "multiclass":
        return multiclass_metrics(labels, table, weights=weights)
    return multilabel_metrics(labels, table, thresholds=threshold, weights=weights)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_values_and_paired_intervals_equal_the_metrics_of_each_resample(task: str) -> None:
    labels, clean, changed, threshold = made(task)
    card = robustness_card(
        labels, clean, changed, PATIENTS, threshold=threshold, resamples=40, rng=np.random.default_rng(1)
    )
    weights = cluster_weights(labels, PATIENTS, resamples=40, rng=np.random.default_rng(1)).astype(np.float64)
    whole = np.ones((1, COUNT))
    base = slow(task, labels, clean, threshold, weights)
    for metric in MEASURED:
        value = slow(task, labels, clean, threshold, whole)[metric][0]
        assert card["clean"][metric]["value"] == pytest.approx(value, abs=1e-12)
        for change in card["changes"]:
            for row in change["levels"]:
                table = changed[change["name"], row["level"]]
                drawn = slow(task, labels, table, threshold, weights)[metric]
                low, high = np.quantile(drawn, [0.025, 0.975])
                assert row["metrics"][metric]["low"] == pytest.approx(low, abs=1e-12)
                assert row["metrics"][metric]["high"] == pytest.approx(high, abs=1e-12)
                lost = row["differences"][metric]
                now = slow(task, labels, table, threshold, whole)[metric][0]
                assert lost["difference"] == pytest.approx(now - value, abs=1e-12)
                ends = np.quantile(drawn - base[metric], [0.025, 0.975])
                assert (lost["low"], lost["high"]) == pytest.approx(tuple(ends), abs=1e-12)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_flips_and_movement_by_hand(task: str) -> None:
    labels, clean, changed, threshold = made(task)
    card = robustness_card(
        labels, clean, changed, PATIENTS, threshold=threshold, resamples=20, rng=np.random.default_rng(1)
    )
    for change in card["changes"]:
        for row in change["levels"]:
            table = changed[change["name"], row["level"]]
            if task == "binary":
                flips = np.mean((clean[:, 1] >= 0.4) != (table[:, 1] >= 0.4))
                moved = np.abs(table[:, 1] - clean[:, 1]).mean()
            elif task == "multiclass":
                flips = np.mean(clean.argmax(axis=1) != table.argmax(axis=1))
                moved = np.maximum(table - clean, 0).sum(axis=1).mean()  # what some classes gain, the others lose
            else:
                cuts = np.array(threshold)
                flips = np.mean((clean >= cuts) != (table >= cuts))
                moved = np.abs(table - clean).mean()
            assert row["flips"]["value"] == pytest.approx(flips)
            assert row["moved"]["value"] == pytest.approx(moved)


def test_a_shift_spares_auroc_and_costs_accuracy() -> None:
    labels, clean, changed, threshold = made("binary")
    card = robustness_card(
        labels, clean, changed, PATIENTS, threshold=threshold, resamples=200, rng=np.random.default_rng(1)
    )
    first = {change["name"]: change["first"] for change in card["changes"]}
    assert first["shift"]["auroc"] is None
    assert first["shift"]["accuracy"] is not None
    assert first["noise"]["auroc"] == 1
    shift = card["changes"][1]["levels"]
    assert all(row["differences"]["auroc"]["difference"] == pytest.approx(0, abs=1e-12) for row in shift)


def test_nothing_changed_is_nothing_lost() -> None:
    labels, clean, _, threshold = made("binary")
    card = robustness_card(
        labels, clean, {("none", 1): clean}, PATIENTS, threshold=threshold, resamples=20, rng=np.random.default_rng(1)
    )
    (row,) = card["changes"][0]["levels"]
    assert set(row["flips"].values()) == set(row["moved"].values()) == {0.0}
    assert all(set(lost.values()) == {0.0} for lost in row["differences"].values())
    assert card["changes"][0]["first"] == {"auroc": None, "accuracy": None}


def test_the_first_loss_needs_amount_and_interval() -> None:
    def level(k: int, difference: float, high: float | None) -> dict[str, Any]:
        return {"level": k, "differences": {"auroc": {"difference": difference, "low": -0.5, "high": high}}}

    rows = [level(1, -0.1, 0.01), level(2, -0.02, -0.01), level(3, -0.3, None), level(4, -0.021, -0.001)]
    assert first_loss(rows, "auroc", 0.02) == 4
    assert first_loss(rows, "auroc", 0.05) is None
    assert first_loss(rows, "auroc", 0.01) == 2


def test_one_class_leaves_auroc_undefined_but_counts_flips() -> None:
    labels, clean, changed, threshold = made("binary")
    card = robustness_card(
        np.zeros_like(labels), clean, changed, PATIENTS, threshold=threshold, resamples=20, rng=np.random.default_rng(1)
    )
    assert card["clean"]["auroc"] == {"value": None, "low": None, "high": None}
    row = card["changes"][0]["levels"][0]
    assert row["differences"]["auroc"]["difference"] is None
    assert row["flips"]["value"] > 0


def test_a_single_finding_moves_by_its_own_probability() -> None:
    labels = np.array([[1], [0], [1], [0]])
    clean, after = np.array([[0.9], [0.1], [0.8], [0.2]]), np.array([[0.7], [0.1], [0.8], [0.6]])
    card = robustness_card(
        labels, clean, {("blur", 1): after}, np.array(list("abcd")), threshold=[0.5], resamples=20,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    row = card["changes"][0]["levels"][0]
    assert row["moved"]["value"] == pytest.approx(0.6 / 4)
    assert row["flips"]["value"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"changed": {}}, "no change"),
        ({"changed": {("blur", 0): None}}, "level 0"),
        ({"changed": {("blur", 1): np.full((COUNT, 3), 1 / 3)}}, "same classes"),
        ({"changed": {("blur", 1): np.full((COUNT - 1, 2), 0.5)}}, "blur 1"),
        ({"threshold": None}, "one number"),
        ({"threshold": [0.5]}, "one number"),
        ({"threshold": 1.5}, "threshold"),
        ({"amount": 0.0}, "amount"),
        ({"amount": float("nan")}, "amount"),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict[str, Any], words: str) -> None:
    labels, clean, changed, threshold = made("binary")
    given = {"changed": changed, "threshold": threshold} | change
    changed = {k: clean if v is None else v for k, v in given.pop("changed").items()}
    with pytest.raises(DataError, match=words) as error:
        robustness_card(labels, clean, changed, PATIENTS, resamples=20, rng=np.random.default_rng(1), **given)
    assert error.value.code == "E-DATA-05"


def test_several_classes_take_no_threshold() -> None:
    labels, clean, changed, _ = made("multiclass")
    with pytest.raises(DataError, match="highest probability"):
        robustness_card(labels, clean, changed, PATIENTS, threshold=0.5, resamples=20, rng=np.random.default_rng(1))
