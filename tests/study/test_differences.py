"""Paired differences of a study, from predictions on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import binary_metrics, multiclass_metrics
from xenograft.evaluation.multilabel import multilabel_metrics
from xenograft.study.differences import compare_arms
from xenograft.study.record import Predictions, RunRecord, Study, StudyRecord, write_predictions

N = 120
SKILL = {"probe": 2.0, "scratch": 0.5}
COMPARED = ["auroc", "accuracy", "f1", "average_precision"]
FINDINGS = np.where(
    np.random.default_rng(1).random((N, 3)) < 0.2, -1, np.random.default_rng(2).integers(0, 2, size=(N, 3))
)
CLASSES = np.arange(N) % 3
TWO = np.arange(N) % 2


def scores(labels: NDArray[np.int64], skill: float, seed: int) -> NDArray[np.float64]:
    noise = np.random.default_rng([seed, round(10 * skill)]).normal(size=(N, 3))
    if labels.ndim == 2:
        return 1 / (1 + np.exp(-(skill * (2 * labels - 1) + 2 * noise)))
    count = labels.max() + 1
    raw = np.exp(skill * np.eye(count)[labels] + noise[:, :count])
    return raw / raw.sum(axis=1, keepdims=True)


def make(folder: Path, labels: NDArray[np.int64], ids: dict[int, list[str]] | None = None) -> Study:
    """Two recipes of two seeds; `ids` replaces those of some seeds."""
    names = [f"i{k}" for k in range(N)]
    patients = np.array([f"p{k // 2}" for k in range(N)])
    runs = []
    for recipe, skill in SKILL.items():
        for seed in (0, 1):
            found = np.array((ids or {}).get(seed, names))
            table = Predictions(found, labels, patients, scores(labels, skill, seed))
            run = f"net-{recipe}-{seed}"
            (folder / "runs" / run).mkdir(parents=True)
            write_predictions(folder / "runs" / run / "predictions.parquet", {"test": table})
            runs.append(record(run, recipe, seed))
    several = labels.ndim == 2
    study = StudyRecord("", "", "", {"recipes": list(SKILL)}, ["a", "b", "c"], {"multi_label": several}, {})
    return Study(folder, study, tuple(runs))


def record(run: str, recipe: str, seed: int) -> RunRecord:
    return RunRecord(
        id=run, backbone="net", recipe=recipe, seed=seed, lr_scale=1.0, transfer=recipe == "probe", settings={},
        weights=None, preprocess={}, engine={}, history=[], best_epoch=0, thresholds={"fixed": 0.5}, validation={},
        test={}, test_opened="", timings={}, peak_memory_mb=0.0, created="",
    )  # fmt: skip


def mean(labels: NDArray[np.int64], recipe: str, metric: str) -> float:
    tables = [scores(labels, SKILL[recipe], seed) for seed in (0, 1)]
    if labels.ndim == 2:
        values = [multilabel_metrics(labels, table)[metric] for table in tables]
    elif labels.max() == 1:
        values = [binary_metrics(labels, table[:, 1], threshold=0.5)[metric] for table in tables]
    else:
        values = [multiclass_metrics(labels, table)[metric] for table in tables]
    return float(np.mean(values))


@pytest.mark.parametrize("labels", [TWO, CLASSES, FINDINGS], ids=["two", "three", "findings"])
def test_differences_are_those_of_means_over_seeds(labels: NDArray[np.int64], tmp_path: Path) -> None:
    study = make(tmp_path, labels)
    rows = compare_arms(study, resamples=100)
    assert [row["metric"] for row in rows] == COMPARED
    for row in rows:
        assert (row["a"], row["b"], row["backbone"], row["resamples"]) == ("probe", "scratch", "net", 100)
        wanted = mean(labels, "probe", row["metric"]) - mean(labels, "scratch", row["metric"])
        assert row["difference"] == pytest.approx(wanted)
        assert row["low"] <= row["difference"] <= row["high"]
    assert rows[0]["low"] > 0
    assert compare_arms(study, resamples=100) == rows


def test_l18_runs_on_other_images_are_not_compared(tmp_path: Path) -> None:
    study = make(tmp_path, FINDINGS, ids={1: [f"j{k}" for k in range(N)]})
    with pytest.raises(DataError, match="E-LABEL-18"):
        compare_arms(study, resamples=20)


def test_every_p_is_adjusted_for_all_comparisons(tmp_path: Path) -> None:
    rows = compare_arms(make(tmp_path, TWO), resamples=100)
    smallest = min(rows, key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, smallest["p"] * len(rows)))
    assert all(row["p"] <= row["p_holm"] <= 1 for row in rows)
