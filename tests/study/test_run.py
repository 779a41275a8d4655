"""The conductor on phantoms with a small network: what a study leaves on disk, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xenograft.errors import DataError, ProcessError, UsageError, WeightsError
from xenograft.study import run as conductor
from xenograft.study import runs
from xenograft.study.config import StudyConfig, make_config
from xenograft.study.outlook import units_of_work
from xenograft.study.record import Study, write_study
from xenograft.study.run import run_study


def config(data: Path, weights: Path, **more: Any) -> StudyConfig:
    values = {
        "data": data, "backbones": "resnet18", "recipes": "probe,random", "seeds": 2, "epochs": 3, "size": 32,
        "resamples": 100, "weights_dir": weights, "offline": True, "precision": "f32",
    }  # fmt: skip
    return make_config(values | more)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def study(phantom_folder: Path, made_weights: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Study:
    folder = tmp_path_factory.mktemp("study")
    return run_study(config(phantom_folder, made_weights), folder, cache=cache, command="test")


def test_a_study_on_disk(study: Study) -> None:
    assert [run.id for run in study.runs] == [
        f"resnet18-{recipe}-lr1-seed{seed}" for recipe in ("probe", "random") for seed in (0, 1)
    ]
    assert study.record.data["synthetic"] is True
    assert study.record.data["catalog"] == "phantom"
    assert [len(names) for names in study.record.data["examples"].values()] == [4, 4]
    assert all((study.folder / name).is_file() for names in study.record.data["examples"].values() for name in names)
    assert (study.folder / "skipped.csv").read_text() == "path,code,reason\n"
    json.loads((study.folder / "study.json").read_text())


def test_a_record_says_what_ran(study: Study) -> None:
    probe, random = study.runs[0], study.runs[2]
    assert probe.transfer
    assert not random.transfer
    assert probe.weights is not None
    assert len(probe.weights["sha256"]) == 64
    assert probe.weights["file"] == "resnet18.imagenet1k.safetensors"
    assert random.weights is None
    assert len(probe.history) == 3
    assert {"embed", "fit", "evaluate"} <= set(probe.timings)
    assert probe.peak_memory_mb > 50


def test_scores_on_disk_are_those_of_the_scorecard(study: Study) -> None:
    for run in study.runs:
        found = study.predictions(run.id, "test")
        auroc = run.test["policies"]["fixed"]["metrics"]["auroc"]
        assert roc_auc_score(found.labels, found.probabilities[:, 1]) == pytest.approx(auroc["value"])
        assert auroc["low"] <= auroc["value"] <= auroc["high"]


def test_paired_differences_are_transfer_minus_the_rest(study: Study) -> None:
    rows = {row["metric"]: row for row in study.record.comparisons}
    assert {(row["a"]["recipe"], row["b"]["recipe"]) for row in rows.values()} == {("probe", "random")}
    means = [
        np.mean([r.test["policies"]["fixed"]["metrics"]["auroc"]["value"] for r in study.runs if r.recipe == name])
        for name in ("probe", "random")
    ]
    assert rows["auroc"]["difference"] == pytest.approx(means[0] - means[1])


def test_finished_runs_are_kept_and_new_ones_added(
    study: Study, phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    stamps = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/run.json")}
    wider = config(phantom_folder, made_weights, recipes="probe,random,logistic")
    again = run_study(wider, folder, cache=cache)
    assert len(again.runs) == 6
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    compared = {(row["a"]["recipe"], row["b"]["recipe"]) for row in again.record.comparisons}
    assert compared == {("probe", "logistic"), ("probe", "random"), ("logistic", "random")}


def test_the_same_study_twice_gives_the_same_scores(
    study: Study, phantom_folder: Path, made_weights: Path, tmp_path: Path
) -> None:
    again = run_study(config(phantom_folder, made_weights), tmp_path / "study", cache=tmp_path / "cache")
    for first, second in zip(study.runs, again.runs, strict=True):
        assert first.test == second.test
        assert [{**r, "seconds": 0} for r in first.history] == [{**r, "seconds": 0} for r in second.history]


def test_runs_made_otherwise_are_neither_taken_nor_overwritten(
    study: Study, phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    with pytest.raises(DataError, match="E-DATA-11"):
        run_study(config(phantom_folder, made_weights, epochs=4), folder, cache=cache)


def test_test_is_opened_after_every_choice(
    phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_train, real_choose = runs.train_arm, runs.thresholds_for

    def watched_train(arm: Any, train: Any, val: Any, *rest: Any, **more: Any) -> Any:
        assert set(train.column("split")) == {"train"}
        assert set(val.column("split")) == {"val"}
        trained = real_train(arm, train, val, *rest, **more)
        real_predict = trained.predict

        def predict(manifest: Any) -> Any:
            order.append("predict " + manifest.column("split")[0])
            return real_predict(manifest)

        trained.predict = predict
        return trained

    def watched_choose(*arguments: Any) -> Any:
        order.append("choose")
        return real_choose(*arguments)

    monkeypatch.setattr(runs, "train_arm", watched_train)
    monkeypatch.setattr(runs, "thresholds_for", watched_choose)
    one = config(phantom_folder, made_weights, recipes="probe", seeds=1)
    found = run_study(one, tmp_path / "s", cache=cache)
    assert order == ["predict val", "choose", "predict test"]
    assert found.runs[0].test_opened <= found.runs[0].created


def test_every_trained_recipe_runs_and_records(
    phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    every = config(phantom_folder, made_weights, recipes="scratch,partial,full,lp_ft", seeds=1, epochs=1, batch_size=16)
    found = run_study(every, tmp_path / "s", cache=cache)
    assert [run.recipe for run in found.runs] == ["full", "lp_ft", "partial", "scratch"]
    for run in found.runs:
        assert run.engine["name"] == "torch"
        assert run.timings["fit"] > 0
        assert not (tmp_path / "s" / "runs" / run.id / "checkpoint.safetensors").exists()


def test_four_classes(made_weights: Path, tmp_path: Path, cache: Path) -> None:
    from xenograft.data.phantom import write_phantoms

    data = write_phantoms(tmp_path / "four", count=160, size=64, classes=4, seed=1)
    found = run_study(config(data, made_weights, recipes="probe,scratch", seeds=1), tmp_path / "s", cache=cache)
    card = found.runs[0].test
    assert list(card["policies"]) == ["argmax"]
    assert len(card["per_class"]) == 4
    assert found.predictions(found.runs[0].id, "test").probabilities.shape[1] == 4


def test_colour_and_views(phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path) -> None:
    more = config(phantom_folder, made_weights, recipes="probe", seeds=1, views=2, colour=True, normalise="paper")
    run = run_study(more, tmp_path / "s", cache=cache).runs[0]
    assert run.preprocess["channels"] == 3
    assert run.preprocess["mean"] == [0.5, 0.5, 0.5]
    assert run.settings["views"] == 2


def test_missing_weights_are_said_before_any_work(phantom_folder: Path, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"E-MODEL-20 .*resnet50"):
        run_study(config(phantom_folder, tmp_path, backbones="resnet50"), tmp_path / "s", cache=cache)
    assert not (tmp_path / "s" / "runs").exists()


def test_a_foreign_folder_is_refused(phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="E-USAGE-13"):
        run_study(config(phantom_folder, made_weights), tmp_path, cache=cache)


def test_l13_no_threshold_is_tuned_on_few_images(study: Study, phantom_folder: Path) -> None:
    from xenograft.data.ingest import ingest

    val = ingest(phantom_folder).subset("val")
    scores = np.tile([0.4, 0.6], (len(val), 1))
    assert set(runs.thresholds_for(val.labels, scores)) <= {"fixed", "youden"}
    few = val.take(range(6))
    assert runs.thresholds_for(few.labels, scores[:6]) == {"fixed": 0.5}


def test_a_damaged_record_is_one_line(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(study.folder, folder)
    path = folder / "runs" / study.runs[0].id / "run.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(DataError, match="E-DATA-02"):
        Study.load(folder)
    path.write_text('{"id": "x"}')
    with pytest.raises(DataError, match="E-DATA-04"):
        Study.load(folder)
    with pytest.raises(DataError, match="E-DATA-03"):
        Study.load(tmp_path)


def test_p1_p2_a_killed_study_goes_on_and_gives_the_same_table(
    phantom_folder: Path, made_weights: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a training run; the same command finishes, without repeating what was finished."""
    command = [
        sys.executable, "-m", "xenograft", "compare", str(phantom_folder), "--backbones", "resnet18", "--recipes",
        "probe,scratch", "--seeds", "1", "--epochs", "4", "--size", "32", "--batch-size", "16", "--resamples", "100",
        "--weights-dir", str(made_weights), "--offline", "--precision", "f32", "--cache-dir", str(tmp_path / "cache"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [*command, "-o", str(killed)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoint = killed / "runs" / "resnet18-scratch-lr1-seed0" / "checkpoint.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    finished = {p: p.stat().st_mtime_ns for p in killed.glob("runs/*/run.json")}
    assert finished
    subprocess.run([*command, "-o", str(killed)], env=environment, check=True, capture_output=True)
    subprocess.run([*command, "-o", str(whole)], env=environment, check=True, capture_output=True)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in finished.items())
    for first, second in zip(Study.load(killed).runs, Study.load(whole).runs, strict=True):
        assert replace(first, history=[], timings={}, created="", test_opened="", peak_memory_mb=0.0) == replace(
            second, history=[], timings={}, created="", test_opened="", peak_memory_mb=0.0
        )
    table = "report/tables/table-results.csv"
    assert (killed / table).read_bytes() == (whole / table).read_bytes()


def test_another_data_set_does_not_enter_the_same_study(
    study: Study, made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    from xenograft.data.phantom import write_phantoms

    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    other = write_phantoms(tmp_path / "other", count=120, size=64, seed=4)
    with pytest.raises(DataError, match=r"E-DATA-11 .*other data"):
        run_study(config(other, made_weights, recipes="logistic"), folder, cache=cache)


def test_fewer_recipes_later_keep_the_earlier_runs(
    study: Study, phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    again = run_study(config(phantom_folder, made_weights, recipes="probe"), folder, cache=cache)
    assert len(again.runs) == 4
    assert {(row["a"]["recipe"], row["b"]["recipe"]) for row in again.record.comparisons} == {("probe", "random")}


def test_the_forecast_counts_shared_features_once(phantom_folder: Path, made_weights: Path) -> None:
    arms = list(conductor.plan(config(phantom_folder, made_weights, recipes="probe,logistic,random,scratch")))
    costs = units_of_work(arms, 100)
    by_arm = {arm.id: cost for arm, cost in zip(arms, costs, strict=True)}
    first = by_arm["resnet18-probe-lr1-seed0"]
    assert by_arm["resnet18-probe-lr1-seed1"] == by_arm["resnet18-logistic-lr1-seed0"] == pytest.approx(first * 0.02)
    assert by_arm["resnet18-random-lr1-seed0"] == by_arm["resnet18-random-lr1-seed1"] == first
    assert by_arm["resnet18-scratch-lr1-seed1"] == pytest.approx(9 * first)


@pytest.mark.parametrize("change", [{"size": 48}, {"epochs": 5}, {"normalise": "paper"}, {"resamples": 200}])
def test_a_study_has_one_setting_of_everything_else(
    study: Study, phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path, change: dict[str, Any]
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    (key,) = change
    with pytest.raises(DataError, match=f"E-DATA-11 .*{key}"):
        run_study(config(phantom_folder, made_weights, recipes="logistic", **change), folder, cache=cache)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"} == before


def test_one_process_at_a_time(phantom_folder: Path, made_weights: Path, tmp_path: Path, cache: Path) -> None:
    from filelock import FileLock

    (tmp_path / "s").mkdir()
    with FileLock(str(tmp_path / "s" / ".lock")), pytest.raises(ProcessError, match="E-PROC-06"):
        run_study(config(phantom_folder, made_weights), tmp_path / "s", cache=cache)


def test_a_refused_study_leaves_no_folder(made_weights: Path, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="E-DATA-06"):
        run_study(config(tmp_path / "nothing", made_weights), tmp_path / "s", cache=cache)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("name", "size"), [("inception_v3", 32), ("timm:vit_tiny_patch16_224", 64)])
def test_a_size_that_a_network_does_not_take(phantom_folder: Path, tmp_path: Path, name: str, size: int) -> None:
    values = {"data": phantom_folder, "backbones": name, "recipes": "random", "size": size, "offline": True}
    with pytest.raises(UsageError, match="E-USAGE-05"):
        run_study(make_config(values), tmp_path / "s", cache=tmp_path / "c")


def test_logistic_has_no_learning_rate_to_scale(phantom_folder: Path, made_weights: Path) -> None:
    arms = list(conductor.plan(config(phantom_folder, made_weights, recipes="logistic,probe", lr_scales="1,0.1,1")))
    assert len([arm for arm in arms if arm.recipe.name == "logistic"]) == 2
    assert len([arm for arm in arms if arm.recipe.name == "probe"]) == 4


def test_robustness_is_kept_as_long_as_it_is_of_the_run_that_is_chosen(
    study: Study, phantom_folder: Path, made_weights: Path, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    chosen = study.record.evidence["runs"][0]["id"]
    for run, kept in ((chosen, True), ("another", False)):
        measured = {"run": run}
        write_study(folder, replace(study.record, robustness=measured))
        again = run_study(config(phantom_folder, made_weights), folder, cache=cache, command="test")
        assert again.record.robustness == (measured if kept else None)
