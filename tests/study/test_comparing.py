"""Results of arms and paired differences between them, from predictions on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.delong import clustered_delong_test
from xenograft.evaluation.mean_auroc import Part, mean_auroc_test
from xenograft.evaluation.metrics import binary_metrics, multiclass_metrics
from xenograft.evaluation.multilabel import multilabel_metrics
from xenograft.evaluation.paired import paired_difference
from xenograft.evaluation.proportions import METHOD, with_proportions
from xenograft.evaluation.scorecard import scorecard
from xenograft.study.chosen import ArmKey, arms_of
from xenograft.study.comparing import ANALYTIC, BOOTSTRAP, COMPARED, adjusted, arm_rows, compare_arms, pairs
from xenograft.study.pool import Pool
from xenograft.study.record import Predictions, RunRecord, Study, StudyRecord, write_predictions

N = 120
SKILL = {"probe": 2.0, "scratch": 0.5}
FINDINGS = np.where(
    np.random.default_rng(1).random((N, 3)) < 0.2, -1, np.random.default_rng(2).integers(0, 2, size=(N, 3))
)
CLASSES = np.arange(N) % 3
TWO = np.arange(N) % 2
KINDS = pytest.mark.parametrize("labels", [TWO, CLASSES, FINDINGS], ids=["two", "three", "findings"])
IDS = np.array([f"i{k:03}" for k in range(N)])
PATIENTS = np.array([f"p{k // 2:03}" for k in range(N)])


def scores(labels: NDArray[np.int64], skill: float, seed: int, net: str = "net") -> NDArray[np.float64]:
    noise = np.random.default_rng([seed, round(10 * skill), len(net)]).normal(size=(N, 3))
    if labels.ndim == 2:
        return 1 / (1 + np.exp(-(skill * (2 * labels - 1) + 2 * noise)))
    count = labels.max() + 1
    raw = np.exp(skill * np.eye(count)[labels] + noise[:, :count])
    return raw / raw.sum(axis=1, keepdims=True)


def metrics(labels: NDArray[np.int64], table: NDArray[np.float64]) -> dict[str, float]:
    if labels.ndim == 2:
        return multilabel_metrics(labels, table)
    if labels.max() == 1:
        return binary_metrics(labels, table[:, 1], threshold=0.5)
    return multiclass_metrics(labels, table)


def make(
    folder: Path,
    labels: NDArray[np.int64],
    *,
    nets: Sequence[str] = ("net",),
    folds: Sequence[NDArray[np.intp]] | None = None,
    ids: dict[int, NDArray[np.str_]] | None = None,
) -> Study:
    """Recipes of two seeds; `folds` holds the test images of each; `ids` replaces those of some seeds."""
    runs = []
    for net, recipe, seed, fold in product(nets, SKILL, (0, 1), range(len(folds)) if folds else (None,)):
        at = np.arange(N) if folds is None else folds[fold or 0]
        found = (ids or {}).get(seed, IDS)
        table = scores(labels, SKILL[recipe], seed + 10 * (fold or 0), net)
        run = f"{net}-{recipe}-{fold}-{seed}"
        (folder / "runs" / run).mkdir(parents=True)
        answers = Predictions(found[at], labels[at], PATIENTS[at], table[at], "test")
        write_predictions(folder / "runs" / run / "predictions.parquet", {"test": answers})
        runs.append(record(run, net, recipe, seed, fold, metrics(labels[at], table[at]), labels))
    config = {"recipes": list(SKILL), "backbones": list(nets)}
    study = StudyRecord("", "", "", config, ["a", "b", "c"], {"multi_label": labels.ndim == 2}, {})
    return Study(folder, study, tuple(runs))


def record(
    run: str, net: str, recipe: str, seed: int, fold: int | None, found: dict[str, float], labels: NDArray[np.int64]
) -> RunRecord:
    policy = "argmax" if labels.ndim == 1 and labels.max() == 2 else "fixed"
    card = {"policies": {policy: {"metrics": {name: {"value": value} for name, value in found.items()}}}}
    return RunRecord(
        id=run, backbone=net, recipe=recipe, seed=seed, lr_scale=1.0, transfer=recipe == "probe", settings={},
        weights=None, preprocess={}, engine={}, history=[], best_epoch=0, thresholds={"fixed": 0.5}, validation=card,
        test=card, test_opened="", timings={}, peak_memory_mb=0.0, created="", fold=fold,
    )  # fmt: skip


def compared(study: Study, *, resamples: int = 100) -> tuple[list[Any], list[Any]]:
    """Rows of arms and of comparisons."""
    arms = arms_of(study.runs)
    pool = Pool.of(study, resamples=resamples)
    rows, kept = arm_rows(arms, pool)
    return rows, compare_arms(study, arms, pool, kept)


def mean(study: Study, recipe: str, metric: str) -> float:
    policy = next(iter(study.runs[0].test["policies"]))
    values = [r.test["policies"][policy]["metrics"][metric]["value"] for r in study.runs if r.recipe == recipe]
    return float(np.mean(values))


@KINDS
@pytest.mark.parametrize("folded", [False, True])
def test_differences_are_those_of_means_over_seeds_and_folds(
    labels: NDArray[np.int64], folded: bool, tmp_path: Path
) -> None:
    study = make(tmp_path, labels, folds=[np.arange(0, 60), np.arange(60, N)] if folded else None)
    arms, rows = compared(study)
    assert [row["metric"] for row in rows] == list(COMPARED)
    for row in rows:
        assert row["family"] == "recipes"
        assert row["a"] == {"backbone": "net", "recipe": "probe", "lr_scale": 1.0}
        assert row["b"] == {"backbone": "net", "recipe": "scratch", "lr_scale": 1.0}
        wanted = mean(study, "probe", row["metric"]) - mean(study, "scratch", row["metric"])
        assert row["difference"] == pytest.approx(wanted)
        assert row["low"] <= row["difference"] <= row["high"]
    assert rows[0]["low"] > 0
    for arm in arms:
        policy = next(iter(arm["test"]["policies"].values()))
        for metric in COMPARED:
            assert policy["metrics"][metric]["value"] == pytest.approx(mean(study, arm["recipe"], metric))
    assert compared(study) == (arms, rows)


def test_the_auroc_of_two_classes_has_the_analytic_test_and_the_bootstrap_beside_it(tmp_path: Path) -> None:
    _, rows = compared(make(tmp_path, TWO))
    arms = {recipe: [scores(TWO, skill, seed)[:, 1] for seed in (0, 1)] for recipe, skill in SKILL.items()}
    found = {row["metric"]: row for row in rows}
    analytic = mean_auroc_test([Part(TWO, PATIENTS, arms["probe"], arms["scratch"])])
    drawn = paired_difference(
        TWO, arms["probe"], arms["scratch"], PATIENTS, threshold_a=0.5, threshold_b=0.5, resamples=100,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    for name in ("low", "high", "p"):
        assert found["auroc"][name] == pytest.approx(analytic[name])
        assert found["auroc"]["bootstrap"][name] == pytest.approx(drawn["auroc"][name])
        assert found["f1"][name] == pytest.approx(drawn["f1"][name])
    assert found["auroc"]["test"] == ANALYTIC
    assert (found["f1"]["test"], found["f1"]["bootstrap"], found["f1"]["resamples"]) == (BOOTSTRAP, None, 100)


def test_folds_that_test_on_different_images_are_parts_of_the_analytic_test(tmp_path: Path) -> None:
    folds = [np.arange(0, 60), np.arange(60, N)]
    _, rows = compared(make(tmp_path, TWO, folds=folds))
    parts = [
        Part(
            TWO[at],
            PATIENTS[at],
            *([scores(TWO, skill, seed + 10 * k)[at, 1] for seed in (0, 1)] for skill in SKILL.values()),
        )
        for k, at in enumerate(folds)
    ]
    wanted = mean_auroc_test(parts)
    assert {name: rows[0][name] for name in wanted} == pytest.approx(wanted)
    single = [clustered_delong_test(p.labels, p.a[0], p.b[0], p.patients)["difference"] for p in parts]
    assert np.mean(single) != pytest.approx(wanted["difference"])  # one seed is not the arm


def test_folds_on_the_same_test_images_are_runs_of_one_part(tmp_path: Path) -> None:
    study = make(tmp_path, TWO, folds=[np.arange(N), np.arange(N)])
    pool = Pool.of(study, resamples=20)
    assert not pool.rotating
    assert len(pool.ids) == N
    _, rows = compared(study)
    arms = [[scores(TWO, skill, s + 10 * k)[:, 1] for s in (0, 1) for k in (0, 1)] for skill in SKILL.values()]
    assert {name: rows[0][name] for name in ("low", "high", "p")} == pytest.approx(
        {name: mean_auroc_test([Part(TWO, PATIENTS, *arms)])[name] for name in ("low", "high", "p")}
    )


@pytest.mark.parametrize("labels", [CLASSES, FINDINGS], ids=["three", "findings"])
def test_more_than_two_classes_have_the_bootstrap_alone(labels: NDArray[np.int64], tmp_path: Path) -> None:
    arms, rows = compared(make(tmp_path, labels))
    assert {row["test"] for row in rows} == {BOOTSTRAP}
    assert {row["bootstrap"] for row in rows} == {None}
    card = arms[0]["test"]
    singles = card["per_class"] or card["policies"]["fixed"]["per_class"]
    assert list(singles) == ["0", "1", "2"]


def test_arms_say_how_much_varies_with_data_and_with_seeds(tmp_path: Path) -> None:
    folds = [np.arange(0, 60), np.arange(60, N)]
    arms, _ = compared(make(tmp_path / "folds", TWO, folds=folds))
    found = arms[0]["variation"]["auroc"]
    assert (found["runs"], found["folds"]) == (4, 2)
    assert found["sd_seed"] > 0
    assert found["sd_data"] is not None
    assert arms[0]["runs"] == ["net-probe-0-0", "net-probe-0-1", "net-probe-1-0", "net-probe-1-1"]
    arms, _ = compared(make(tmp_path / "seeds", TWO))
    assert arms[0]["variation"]["auroc"]["sd_data"] is None
    assert arms[0]["variation"]["auroc"]["sd"] == arms[0]["variation"]["auroc"]["sd_seed"]


def test_recipes_within_a_backbone_and_backbones_within_a_recipe(tmp_path: Path) -> None:
    study = make(tmp_path, TWO, nets=("wide", "thin"))
    found = pairs(study, arms_of(study.runs))
    assert [(family, a[:2], b[:2]) for family, a, b in found] == [
        ("recipes", ("wide", "probe"), ("wide", "scratch")),
        ("recipes", ("thin", "probe"), ("thin", "scratch")),
        ("backbones", ("wide", "probe"), ("thin", "probe")),
        ("backbones", ("wide", "scratch"), ("thin", "scratch")),
    ]


def test_pairs_put_transfer_first_and_never_mix_learning_rates(tmp_path: Path) -> None:
    study = make(tmp_path, TWO)
    probe, scratch = study.runs[0], study.runs[-1]
    arms = {
        ArmKey("net", name, scale): (run,)
        for name, run in (("scratch", scratch), ("full", probe))
        for scale in (0.1, 1.0)
    }
    assert [(a[1:], b[1:]) for _, a, b in pairs(study, arms)] == [
        (("full", 1.0), ("scratch", 1.0)), (("full", 0.1), ("scratch", 0.1)),
    ]  # fmt: skip


def test_arms_tested_on_other_folds_are_not_compared(tmp_path: Path) -> None:
    study = make(tmp_path, TWO, nets=("wide", "thin"), folds=[np.arange(0, 60), np.arange(60, N)])
    left = tuple(run for run in study.runs if (run.backbone, run.recipe, run.fold) != ("thin", "probe", 1))
    _, rows = compared(Study(study.folder, study.record, left))
    assert {(ArmKey.of(row["a"])[:2], ArmKey.of(row["b"])[:2]) for row in rows} == {
        (("wide", "probe"), ("wide", "scratch")), (("wide", "scratch"), ("thin", "scratch")),
    }  # fmt: skip


def test_a_share_that_no_resample_changes_has_the_interval_of_its_runs(tmp_path: Path) -> None:
    study = make(tmp_path, TWO)
    perfect = np.stack([1 - TWO, TWO], axis=1).astype(float)
    runs = []
    for run in study.runs:
        answers = Predictions(IDS, TWO, PATIENTS, perfect, "test")
        write_predictions(tmp_path / "runs" / run.id / "predictions.parquet", {"test": answers})
        rng = np.random.default_rng(run.seed)
        card = scorecard(TWO, perfect, PATIENTS, thresholds=run.thresholds, resamples=20, rng=rng)
        runs.append(replace(run, test=with_proportions(card, TWO, perfect, PATIENTS)))
    rows, _ = compared(Study(tmp_path, study.record, tuple(runs)), resamples=20)
    for metric in ("accuracy", "recall", "specificity", "precision"):
        own = runs[0].test["policies"]["fixed"]["metrics"][metric]
        found = rows[0]["test"]["policies"]["fixed"]["metrics"][metric]
        assert (found["value"], found["high"], found["method"]) == (1.0, 1.0, METHOD)
        assert found["low"] == own["low"] < 1.0
    assert rows[0]["test"]["policies"]["fixed"]["metrics"]["auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_every_p_is_adjusted_for_all_comparisons_by_its_metric(tmp_path: Path) -> None:
    _, rows = compared(make(tmp_path, TWO, nets=("wide", "thin")))
    for metric in COMPARED:
        mine = [row for row in rows if row["metric"] == metric]
        assert [row["of"] for row in mine] == [4] * 4
        smallest = min(mine, key=lambda row: row["p"])
        assert smallest["p_holm"] == pytest.approx(min(1.0, smallest["p"] * 4))
        assert all(row["p"] <= row["p_holm"] <= 1 for row in mine)
    by_pair = [[row["metric"] for row in rows[k : k + 4]] for k in range(0, 16, 4)]
    assert by_pair == [list(COMPARED)] * 4


def test_an_undefined_p_is_left_out_of_the_adjustment() -> None:
    rows = adjusted([{"metric": "auroc", "p": p} for p in (0.04, None, 0.01)])
    assert [(row["p_holm"], row["of"]) for row in rows] == [(0.04, 2), (None, 2), (0.02, 2)]


def test_a_study_with_one_arm_compares_nothing(tmp_path: Path) -> None:
    study = make(tmp_path, TWO)
    arms = {key: runs for key, runs in arms_of(study.runs).items() if key.recipe == "probe"}
    pool = Pool.of(study, resamples=20)
    rows, kept = arm_rows(arms, pool)
    assert len(rows) == 1
    assert compare_arms(study, arms, pool, kept) == []


@pytest.mark.parametrize("labels", [TWO, FINDINGS], ids=["two", "findings"])
def test_l18_runs_on_other_images_are_not_compared(labels: NDArray[np.int64], tmp_path: Path) -> None:
    study = make(tmp_path, labels, ids={1: np.array([f"j{k}" for k in range(N)])})
    with pytest.raises(DataError, match="E-LABEL-18"):
        Pool.of(study, resamples=20)


def test_l18_answers_to_images_that_are_not_of_the_study(tmp_path: Path) -> None:
    pool = Pool.of(make(tmp_path, TWO), resamples=20)
    for image in ("i0505", "zzz"):
        strange = Predictions(np.array([image]), TWO[:1], PATIENTS[:1], np.array([[0.5, 0.5]]), "test")
        with pytest.raises(DataError, match="E-LABEL-18"):
            pool.resample(strange, {"fixed": 0.5})


def test_equal_arms_do_not_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SKILL, "scratch", SKILL["probe"])
    for row in compared(make(tmp_path, TWO))[1]:
        assert (row["difference"], row["low"], row["high"], row["p"], row["p_holm"]) == (0.0, 0.0, 0.0, 1.0, 1.0)
