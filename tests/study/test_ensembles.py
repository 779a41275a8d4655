"""Averaged answers of several runs: brute force from predictions on disk."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from xenograft.evaluation.resampled import Universe
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.threshold import thresholds_for
from xenograft.study.chosen import ArmKey, arms_of
from xenograft.study.comparing import COMPARED, arm_rows
from xenograft.study.ensembles import average, ensembles
from xenograft.study.pool import Pool
from xenograft.study.record import Predictions, RunRecord, Study, StudyRecord, write_predictions

N = 160
TWO = np.arange(N) % 2
THREE = np.arange(N) % 3
FINDINGS = np.random.default_rng(3).integers(-1, 2, (N, 2))
IDS = np.array([f"i{k:03}" for k in range(N)])
PATIENTS = np.array([f"p{k // 2:03}" for k in range(N)])
FIRST = ArmKey("a", "probe", 1.0)
TEST, FREE = np.arange(80), np.arange(80, N)


def table(labels: NDArray[np.int64], key: list[int]) -> NDArray[np.float64]:
    noise = np.random.default_rng(key).normal(size=(N, 3))
    if labels.ndim == 2:
        return 1 / (1 + np.exp(-(labels + noise[:, :2])))
    raw = np.exp(np.eye(labels.max() + 1)[labels] + noise[:, : labels.max() + 1])
    return raw / raw.sum(axis=1, keepdims=True)


def splits(fold: int | None, rotating: bool) -> dict[str, NDArray[np.intp]]:
    """Images of a fold in the order of the ids, as a manifest has them."""
    if fold is None:
        return {"test": TEST, "val": FREE[:40]}
    if rotating:
        parts = np.array_split(np.arange(N), 4)
        return {"test": parts[fold], "val": parts[fold + 1]}
    return {"test": TEST, "val": np.array_split(FREE, 2)[fold]}


def make(
    folder: Path,
    labels: NDArray[np.int64] = TWO,
    *,
    nets: tuple[str, ...] = ("a",),
    folds: tuple[int | None, ...] = (None,),
    rotating: bool = False,
    rule: str | None = None,
) -> Study:
    runs = []
    for net, fold, seed in product(nets, folds, (0, 1)):
        answers = table(labels, [ord(net), fold or 0, seed])
        name = f"{net}-{fold}-{seed}"
        (folder / "runs" / name).mkdir(parents=True)
        found = {
            split: Predictions(IDS[at], labels[at], PATIENTS[at], answers[at], split)
            for split, at in splits(fold, rotating).items()
        }
        write_predictions(folder / "runs" / name / "predictions.parquet", found)
        policy = "argmax" if labels.ndim == 1 and labels.max() > 1 else "fixed"
        empty = {name: {"value": None} for name in COMPARED}
        card: Any = {"level": 0.95, "policies": {policy: {"metrics": empty}}, "per_class": {}}
        runs.append(
            RunRecord(
                id=name,
                backbone=net,
                recipe="probe",
                seed=seed,
                lr_scale=1.0,
                transfer=True,
                settings={},
                weights=None,
                preprocess={},
                engine={},
                history=[],
                best_epoch=0,
                thresholds={"fixed": 0.5},
                validation=card,
                test=card,
                test_opened="",
                timings={},
                peak_memory_mb=0.0,
                created="",
                fold=fold,
            )
        )
    config = {"recipes": ["probe"], "backbones": list(nets), "operating_point": rule}
    return Study(folder, StudyRecord("", "", "", config, [], {}, {}), tuple(runs))


def rows_of(study: Study, chosen: ArmKey = FIRST) -> tuple[list[Any], list[Any]]:
    """Ensembles, and the rows of arms."""
    arms = arms_of(study.runs)
    pool = Pool.of(study, resamples=100)
    rows, kept = arm_rows(arms, pool)
    return ensembles(arms, pool, kept, chosen), rows


def test_answers_are_averaged_by_id() -> None:
    def answers(ids: list[str], values: list[float]) -> Predictions:
        given = np.array(values)
        labels = np.array([int(image[1:]) % 2 for image in ids])
        patients = np.array([f"p{image}" for image in ids])
        return Predictions(np.array(ids), labels, patients, np.stack([1 - given, given], axis=1), "val")

    found = average([answers(["i3", "i1"], [0.2, 0.4]), answers(["i1", "i2"], [0.8, 0.9])])
    assert found.ids.tolist() == ["i1", "i2", "i3"]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.patients.tolist() == ["pi1", "pi2", "pi3"]
    assert found.probabilities == pytest.approx(np.array([[0.4, 0.6], [0.1, 0.9], [0.8, 0.2]]))
    assert found.split == "val"


@pytest.mark.parametrize("labels", [TWO, THREE, FINDINGS], ids=["two", "three", "findings"])
def test_an_ensemble_of_seeds_is_measured_like_one_run(labels: NDArray[np.int64], tmp_path: Path) -> None:
    study = make(tmp_path, labels)
    (row,), (arm,) = rows_of(study)
    mean = (table(labels, [97, 0, 0]) + table(labels, [97, 0, 1])) / 2
    at = splits(None, rotating=False)
    wanted = thresholds_for(labels[at["val"]], mean[at["val"]])
    assert (row["kind"], row["backbone"], row["recipe"]) == ("runs", "a", "probe")
    assert row["members"] == ["a-None-0", "a-None-1"]
    assert row["thresholds"] == [wanted]
    measured = Universe(labels[TEST], PATIENTS[TEST], resamples=100).resample(mean[TEST], wanted)
    assert row["test"] == measured.card()
    policy = next(iter(row["test"]["policies"]))
    auroc = row["test"]["policies"][policy]["metrics"]["auroc"]["value"]
    if labels is TWO:
        assert auroc == pytest.approx(roc_auc_score(labels[TEST], mean[TEST, 1]))
    against = row["against"]
    assert against["b"] == {"backbone": "a", "recipe": "probe", "lr_scale": 1.0}
    assert against["difference"] == pytest.approx(auroc - arm["test"]["policies"][policy]["metrics"]["auroc"]["value"])
    assert against["low"] <= against["difference"] <= against["high"]
    assert (against["metric"], against["of"]) == ("auroc", 1)
    assert against["p_holm"] == against["p"]


def test_thresholds_come_from_validation_alone(tmp_path: Path) -> None:
    """Test labels turned round change what is measured and no threshold."""
    study = make(tmp_path / "a", rule="sensitivity=0.9")
    turned = TWO.copy()
    turned[TEST] = 1 - turned[TEST]
    other = make(tmp_path / "b", rule="sensitivity=0.9")
    for run in other.runs:
        found = {split: other.predictions(run.id, split) for split in ("val", "test")}
        test = found["test"]
        found["test"] = Predictions(test.ids, 1 - test.labels, test.patients, test.probabilities, "test")
        write_predictions(other.folder / "runs" / run.id / "predictions.parquet", found)
    (first,), (second,) = rows_of(study)[0], rows_of(other)[0]
    assert first["thresholds"] == second["thresholds"]
    assert set(first["thresholds"][0]) == {"fixed", "youden", "sensitivity=0.9"}
    assert first["test"] != second["test"]


def test_the_rule_that_was_asked_for_has_a_threshold_of_its_own(tmp_path: Path) -> None:
    (row,), _ = rows_of(make(tmp_path, rule="sensitivity=0.9"))
    mean = (table(TWO, [97, 0, 0]) + table(TWO, [97, 0, 1])) / 2
    val = splits(None, rotating=False)["val"]
    assert row["thresholds"][0] == thresholds_for(TWO[val], mean[val], parse_rule("sensitivity=0.9"))
    assert "sensitivity=0.9" in row["test"]["policies"]


def test_folds_on_the_same_test_make_one_ensemble_and_validate_where_they_did_not_train(tmp_path: Path) -> None:
    study = make(tmp_path, folds=(0, 1))
    (row,), _ = rows_of(study)
    each = {fold: (table(TWO, [97, fold, 0]) + table(TWO, [97, fold, 1])) / 2 for fold in (0, 1)}
    parts = np.array_split(FREE, 2)
    validation = np.concatenate([each[fold][at] for fold, at in enumerate(parts)])
    wanted = thresholds_for(TWO[FREE], validation)
    assert row["thresholds"] == [wanted]
    mean = (each[0] + each[1])[TEST] / 2
    measured = Universe(TWO[TEST], PATIENTS[TEST], resamples=100).resample(mean, wanted)
    assert row["test"]["policies"]["fixed"]["metrics"]["auroc"]["value"] == pytest.approx(
        measured.value["fixed", "", "auroc"]
    )
    assert row["test"]["policies"]["youden"]["metrics"]["f1"]["high"] == pytest.approx(
        measured.card()["policies"]["youden"]["metrics"]["f1"]["high"]
    )


def test_rotating_folds_have_an_ensemble_each_and_results_are_means(tmp_path: Path) -> None:
    study = make(tmp_path, folds=(0, 1, 2), rotating=True)
    (row,), _ = rows_of(study)
    aurocs, cuts = [], []
    for fold in range(3):
        at = splits(fold, rotating=True)
        mean = (table(TWO, [97, fold, 0]) + table(TWO, [97, fold, 1])) / 2
        cuts.append(thresholds_for(TWO[at["val"]], mean[at["val"]]))
        aurocs.append(roc_auc_score(TWO[at["test"]], mean[at["test"], 1]))
    assert row["thresholds"] == cuts
    assert len({cut["youden"] for cut in row["thresholds"]}) == 3
    assert row["test"]["policies"]["fixed"]["metrics"]["auroc"]["value"] == pytest.approx(np.mean(aurocs))
    assert len(row["members"]) == 6


@pytest.mark.parametrize("folds", [(None,), (0, 1, 2)])
def test_backbones_are_averaged_too(tmp_path: Path, folds: tuple[int | None, ...]) -> None:
    study = make(tmp_path, nets=("a", "b"), folds=folds, rotating=len(folds) > 1)
    rows, _ = rows_of(study, ArmKey("b", "probe", 1.0))
    assert [(row["kind"], row["backbone"]) for row in rows] == [("runs", "a"), ("runs", "b"), ("backbones", None)]
    both = rows[2]
    assert both["members"] == [run.id for run in study.runs]
    aurocs = []
    for fold in folds:
        at = splits(fold, rotating=fold is not None)["test"]
        mean = np.mean([table(TWO, [ord(net), fold or 0, seed]) for net in "ab" for seed in (0, 1)], axis=0)
        aurocs.append(roc_auc_score(TWO[at], mean[at, 1]))
    assert both["test"]["policies"]["fixed"]["metrics"]["auroc"]["value"] == pytest.approx(np.mean(aurocs))
    assert [row["against"]["of"] for row in rows] == [3] * 3
    assert {row["against"]["b"]["backbone"] for row in rows} == {"b"}
    smallest = min(row["against"]["p"] for row in rows)
    assert min(row["against"]["p_holm"] for row in rows) == pytest.approx(min(1.0, 3 * smallest))


def test_one_run_alone_makes_no_ensemble(tmp_path: Path) -> None:
    study = make(tmp_path)
    arms = {key: runs[:1] for key, runs in arms_of(study.runs).items()}
    pool = Pool.of(study, resamples=20)
    _, kept = arm_rows(arms, pool)
    assert ensembles(arms, pool, kept, next(iter(arms))) == []
