"""Studies with folds on phantoms: with a test split that was given, and with one that rotates."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xenograft.data.phantom import write_phantoms
from xenograft.errors import DataError, LabelError, UsageError
from xenograft.study import run as conductor
from xenograft.study.comparing import ANALYTIC
from xenograft.study.config import StudyConfig, make_config
from xenograft.study.record import Study
from xenograft.study.run import run_study

LAYOUTS = pytest.mark.parametrize("layout", ["split", "class"])


def config(data: Path, weights: Path, **more: Any) -> StudyConfig:
    values = {
        "data": data, "backbones": "resnet18", "recipes": "logistic,random", "seeds": 2, "folds": 3, "epochs": 2,
        "size": 32, "resamples": 100, "weights_dir": weights, "offline": True, "precision": "f32",
    }  # fmt: skip
    return make_config(values | more)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, phantom_folder: Path) -> dict[str, Path]:
    whole = write_phantoms(tmp_path_factory.mktemp("phantoms") / "p", count=120, size=64, seed=3, layout="class")
    return {"split": phantom_folder, "class": whole}


@pytest.fixture(scope="module")
def studies(
    folders: dict[str, Path], made_weights: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> dict[str, Study]:
    return {
        layout: run_study(config(data, made_weights), tmp_path_factory.mktemp(layout), cache=cache, command="test")
        for layout, data in folders.items()
    }


@LAYOUTS
def test_every_fold_has_its_seeds(studies: dict[str, Study], layout: str) -> None:
    study = studies[layout]
    assert [run.id for run in study.runs] == [
        f"resnet18-{recipe}-lr1-fold{fold}-seed{seed}"
        for recipe in ("logistic", "random")
        for fold in range(3)
        for seed in range(2)
    ]
    assert all(f"-fold{run.fold}-" in run.id for run in study.runs)
    assert len({run.fingerprint for run in study.runs}) == 12


@LAYOUTS
def test_folds_validate_every_image_once(studies: dict[str, Study], layout: str) -> None:
    study = studies[layout]
    first = [run for run in study.runs if run.recipe == "random" and run.seed == 0]
    tested = [study.predictions(run.id, "test").ids.tolist() for run in first]
    times = Counter(image for run in first for image in study.predictions(run.id, "val").ids.tolist())
    assert set(times.values()) == {1}
    if layout == "split":
        assert tested[0] == tested[1] == tested[2]
        assert len(times) + len(tested[0]) == 120
        assert not set(times) & set(tested[0])
    else:
        assert len(times) == len({image for part in tested for image in part}) == sum(map(len, tested)) == 120
    for run in study.runs:
        val, test = (set(study.predictions(run.id, split).patients.tolist()) for split in ("val", "test"))
        assert not val & test


@LAYOUTS
def test_the_record_says_how_folds_were_made(studies: dict[str, Study], layout: str) -> None:
    record = studies[layout].record
    assert record.config["folds"] == 3
    assert record.data["folds"]["test"] == {"split": "fixed", "class": "rotating"}[layout]
    for fold, sizes in enumerate(record.data["folds"]["sizes"]):
        run = next(run for run in studies[layout].runs if run.fold == fold)
        for split in ("val", "test"):
            found = studies[layout].predictions(run.id, split)
            assert sizes[split] == {"images": len(found.ids), "patients": len(set(found.patients.tolist()))}


@LAYOUTS
def test_results_are_means_over_folds_and_seeds(studies: dict[str, Study], layout: str) -> None:
    study = studies[layout]
    means = {}
    for row in study.record.arms:
        aurocs = []
        for run in row["runs"]:
            test = study.predictions(run, "test")
            aurocs.append(roc_auc_score(test.labels, test.probabilities[:, 1]))
        assert len(aurocs) == 6
        found = row["test"]["policies"]["fixed"]["metrics"]["auroc"]
        means[row["recipe"]] = np.mean(aurocs)
        assert found["value"] == pytest.approx(means[row["recipe"]])
        assert found["low"] < found["value"] < found["high"]
        assert (row["variation"]["auroc"]["runs"], row["variation"]["auroc"]["folds"]) == (6, 3)
        assert row["variation"]["auroc"]["sd_seed"] is not None
        assert row["variation"]["auroc"]["sd_data"] is not None
    (auroc,) = [row for row in study.record.comparisons if row["metric"] == "auroc"]
    assert auroc["difference"] == pytest.approx(means["logistic"] - means["random"])
    assert auroc["test"] == ANALYTIC


@LAYOUTS
def test_ensembles_evidence_and_failures_are_of_runs_of_the_study(studies: dict[str, Study], layout: str) -> None:
    study = studies[layout]
    for row in study.record.ensembles:
        assert row["kind"] == "runs"
        assert len(row["members"]) == 6
        assert len(row["thresholds"]) == {"split": 1, "class": 3}[layout]
    assert study.record.evidence is not None
    assert study.record.failures is not None
    model, reference = study.record.evidence["runs"]
    assert (model["recipe"], reference["recipe"]) == ("logistic", "random")
    runs = {run.id: run for run in study.runs}
    assert runs[model["id"]].fold == runs[reference["id"]].fold
    test = study.predictions(model["id"], "test")
    assert study.record.failures["run"] == model["id"]
    assert study.record.failures["mistakes"] == int(((test.probabilities[:, 1] >= 0.5) != test.labels).sum())
    assert study.record.evidence["images"] == len(test.ids)


def test_a_study_with_folds_goes_on(
    studies: dict[str, Study], folders: dict[str, Path], made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(studies["class"].folder, folder)
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/run.json")}
    shutil.rmtree(folder / "runs" / "resnet18-random-lr1-fold2-seed1")
    again = run_study(config(folders["class"], made_weights), folder, cache=cache)
    assert [run.id for run in again.runs] == [run.id for run in studies["class"].runs]
    kept = [path for path in stamps if "random-lr1-fold2-seed1" not in str(path)]
    assert all(path.stat().st_mtime_ns == stamps[path] for path in kept)
    for name in ("arms", "comparisons", "ensembles", "evidence", "failures"):
        assert getattr(again.record, name) == getattr(studies["class"].record, name)


def test_a_study_has_one_number_of_folds(
    studies: dict[str, Study], folders: dict[str, Path], made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(studies["split"].folder, folder)
    for folds in (0, 2):
        with pytest.raises(DataError, match=r"E-DATA-11 .*folds = 3"):
            run_study(config(folders["split"], made_weights, folds=folds), folder, cache=cache)


def test_another_seed_of_splits_deals_other_folds(folders: dict[str, Path], made_weights: Path, tmp_path: Path) -> None:
    sizes = []
    for seed in (0, 1):
        given = config(folders["class"], made_weights, recipes="logistic", seeds=1, split_seed=seed)
        study = run_study(given, tmp_path / str(seed), cache=tmp_path / "cache")
        sizes.append(study.predictions("resnet18-logistic-lr1-fold0-seed0", "test").ids.tolist())
    assert sizes[0] != sizes[1]


@pytest.mark.parametrize(
    ("layout", "folds", "wanted"),
    [("class", 2, "E-USAGE-11"), ("class", 100, "E-LABEL-12"), ("split", 100, "E-LABEL-12")],
)
def test_folds_that_cannot_be_made_leave_no_study(
    folders: dict[str, Path], made_weights: Path, tmp_path: Path, cache: Path, layout: str, folds: int, wanted: str
) -> None:
    with pytest.raises((UsageError, LabelError), match=wanted):
        run_study(config(folders[layout], made_weights, folds=folds), tmp_path / "s", cache=cache)
    assert not (tmp_path / "s" / "study.json").exists()


def test_a_rule_for_a_threshold_needs_two_classes_or_findings_and_is_said_at_once(
    made_weights: Path, tmp_path: Path, cache: Path
) -> None:
    data = write_phantoms(tmp_path / "four", count=160, size=64, classes=4, seed=1)
    given = config(data, made_weights, folds=0, operating_point="sensitivity=0.9")
    with pytest.raises(UsageError, match=r"E-USAGE-30 .*4 classes"):
        run_study(given, tmp_path / "s", cache=cache)
    assert not (tmp_path / "s" / "runs").exists()


def test_one_fold_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E-USAGE-11 .*folds is 1"):
        config(tmp_path, tmp_path, folds=1)


def test_arms_of_folds_stand_in_the_order_of_the_plan(folders: dict[str, Path], made_weights: Path) -> None:
    arms = list(conductor.plan(config(folders["split"], made_weights)))
    assert [(arm.recipe.name, arm.fold, arm.seed) for arm in arms] == [
        (recipe, fold, seed) for recipe in ("logistic", "random") for fold in range(3) for seed in range(2)
    ]
    assert {arm.fold for arm in conductor.plan(config(folders["split"], made_weights, folds=0))} == {None}


@LAYOUTS
def test_a_page_says_how_it_was_cross_validated(studies: dict[str, Study], layout: str, tmp_path: Path) -> None:
    from xenograft.reporting import page

    written = page.render(studies[layout], out=tmp_path / "report")
    text = written.read_text(encoding="utf-8")
    assert "3 folds by patient" in text
    for row in studies[layout].record.arms:
        auroc = row["test"]["policies"]["fixed"]["metrics"]["auroc"]
        assert f"{auroc['value']:.3f}" in text
