from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from xenograft.study.arm import measure


def test_findings_are_measured_one_by_one_where_they_are_known_and_averaged() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((80, 4)) < 0.3, -1, rng.integers(0, 2, (80, 4)))
    labels[labels[:, 2] == 1, 2] = 0  # nothing to tell apart: left out
    labels[:, 3] = -1
    probabilities = rng.random((80, 4))
    expected: dict[str, list[float]] = {"loss": [], "accuracy": [], "f1": [], "auroc": []}
    for k in range(2):
        truth, scores = labels[labels[:, k] >= 0, k], probabilities[labels[:, k] >= 0, k]
        expected["loss"].append(log_loss(truth, scores))
        expected["accuracy"].append(accuracy_score(truth, scores >= 0.5))
        expected["f1"].append(f1_score(truth, scores >= 0.5))
        expected["auroc"].append(roc_auc_score(truth, scores))
    assert measure(labels, probabilities) == pytest.approx({name: np.mean(values) for name, values in expected.items()})


def test_two_findings_are_not_taken_for_two_classes() -> None:
    labels, probabilities = np.array([[1, 1], [0, 0], [1, 0], [0, 1]]), np.full((4, 2), 0.9)
    assert measure(labels, probabilities)["accuracy"] == 0.5
    assert measure(labels[:, 0], np.array([[0.1, 0.9]] * 4))["accuracy"] == 0.5
