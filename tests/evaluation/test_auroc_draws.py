"""AUROC of many models on the same resamples: against scikit-learn, resample by resample."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xenograft.errors import DataError
from xenograft.evaluation.auroc_draws import auroc_draws, measurable
from xenograft.evaluation.uncertainty import cluster_weights

N, B = 90, 25


def made(classes: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, N)
    tables = [rng.dirichlet(np.ones(classes), N).round(2) for _ in range(3)]
    return labels, [table / table.sum(axis=1, keepdims=True) for table in tables], np.arange(N) // 2


def drawn(labels: np.ndarray, tables: list[np.ndarray], patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return auroc_draws(labels, tables, patients, resamples=B, rng=np.random.default_rng(5))


def test_two_classes() -> None:
    labels, tables, patients = made(2)
    whole, resampled = drawn(labels, tables, patients)
    weights = cluster_weights(labels, patients, resamples=B, rng=np.random.default_rng(5))
    for m, table in enumerate(tables):
        assert whole[m] == pytest.approx(roc_auc_score(labels, table[:, 1]))
        for b in range(B):
            assert resampled[m, b] == pytest.approx(roc_auc_score(labels, table[:, 1], sample_weight=weights[b]))


def test_several_classes_are_averaged_each_against_the_rest() -> None:
    labels, tables, patients = made(4)
    whole, resampled = drawn(labels, tables, patients)
    assert resampled.shape == (3, B)
    assert whole == pytest.approx([roc_auc_score(labels, t, multi_class="ovr", average="macro") for t in tables])


def test_findings_are_measured_where_they_are_known() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 2, (N, 3))
    labels[:, 2] = 0  # never present: left out
    table = rng.random((N, 3))
    whole, resampled = drawn(labels, [table], np.arange(N))
    areas = [roc_auc_score(labels[labels[:, k] >= 0, k], table[labels[:, k] >= 0, k]) for k in range(2)]
    assert whole[0] == pytest.approx(np.mean(areas))
    assert measurable(labels, 3) == [0, 1]
    assert np.isfinite(resampled).all()


def test_a_resample_without_a_finding_is_nan() -> None:
    labels = np.zeros((40, 1), dtype=np.int64)
    labels[0] = 1
    _, resampled = auroc_draws(labels, [np.random.default_rng(0).random((40, 1))], np.arange(40), resamples=60,
                               rng=np.random.default_rng(1))  # fmt: skip
    assert 0.2 < np.isnan(resampled).mean() < 0.6  # (1 - 1/40)^40 = 0.36


def test_a_class_that_test_lacks_is_left_out() -> None:
    labels, tables, patients = made(3)
    labels = np.where(labels == 2, 1, labels)
    assert measurable(labels, 3) == [0, 1]
    whole, _ = drawn(labels, tables, patients)
    expected = [np.mean([roc_auc_score(labels == k, t[:, k]) for k in (0, 1)]) for t in tables]
    assert whole == pytest.approx(expected)


def test_what_cannot_be_measured_is_refused() -> None:
    labels, tables, patients = made(2)
    with pytest.raises(DataError, match="no class"):
        drawn(np.zeros(N, dtype=np.int64), tables, patients)
    with pytest.raises(DataError, match="shapes"):
        drawn(labels, [tables[0], tables[1][:, :1]], patients)
