"""Test labels cannot reach a choice: whatever they say, the same is chosen; no way to hand them in is open."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xenograft
from xenograft.data.ingest import ingest
from xenograft.data.phantom import write_phantoms
from xenograft.errors import DataError
from xenograft.storage import sha256_file
from xenograft.study import run as conductor
from xenograft.study import runs
from xenograft.study.choices import choices_of, choices_of_run
from xenograft.study.chosen import arms_of, choose, reference_of, representative
from xenograft.study.config import StudyConfig, make_config
from xenograft.study.describe import now
from xenograft.study.ensembles import average
from xenograft.study.record import Study
from xenograft.study.run import run_study
from xenograft.study.watch import Silent

OTHER = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
KINDS = pytest.mark.parametrize("kind", ["seeds", "folds"])


@dataclass(frozen=True)
class Tables:
    """Two tables of the same images and splits: one tells the truth of test, the other its opposite."""

    images: Path
    truth: Path
    lie: Path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("tables")
    images = write_phantoms(folder / "images", count=160, size=64, seed=5)
    rows = [(path.relative_to(images).as_posix(), *path.relative_to(images).parts) for path in images.rglob("*.png")]
    for name, lies in (("truth", False), ("lie", True)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "patient", "split"])
            for path, split, label, image in sorted(rows):
                told = OTHER[label] if lies and split == "test" else label
                writer.writerow([path, told, image.split("_")[0], split])
    return Tables(images, folder / "truth.csv", folder / "lie.csv")


def config(tables: Tables, table: Path, weights: Path, **more: Any) -> StudyConfig:
    values = {
        "data": table, "images": tables.images, "backbones": "resnet18", "seeds": 2, "epochs": 3, "size": 32,
        "val": 0.5, "resamples": 100, "weights_dir": weights, "offline": True, "precision": "f32",
        "operating_point": "sensitivity=0.8",
    }  # fmt: skip
    return make_config(values | more)


ASKED: dict[str, dict[str, Any]] = {
    "seeds": {"recipes": "probe,random"},
    "folds": {"recipes": "logistic,scratch", "folds": 2, "seeds": 1, "epochs": 2, "batch_size": 16},
}


@pytest.fixture(scope="module")
def clock() -> Iterator[dict[str, list[str]]]:
    """Times at which something had been chosen, by the run's place in time."""
    seen: dict[str, list[str]] = {"trained": [], "thresholds": []}
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in (("train_arm", "trained"), ("thresholds_for", "thresholds")):
            real = getattr(runs, name)

            def timed(*given: Any, real: Any = real, kind: str = kind, **more: Any) -> Any:
                found = real(*given, **more)
                seen[kind].append(now())
                return found

            patch.setattr(runs, name, timed)
        yield seen


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pairs(
    tables: Tables, made_weights: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path, clock: dict[str, Any]
) -> dict[str, tuple[Study, Study]]:
    """Studies of seeds and of folds: on the truth and on the lie."""
    found = {}
    for kind, more in ASKED.items():
        folder = tmp_path_factory.mktemp(kind)
        given = [config(tables, table, made_weights, **more) for table in (tables.truth, tables.lie)]
        studies = [run_study(one, folder / f"{k}", cache=cache) for k, one in enumerate(given)]
        found[kind] = (studies[0], studies[1])
    return found


def chosen_by_runs(study: Study) -> dict[str, Any]:
    """Everything that a run chose, and what it was chosen by."""
    return {
        run.id: {
            "best_epoch": run.best_epoch,
            "history": [{**epoch, "seconds": 0} for epoch in run.history],
            "settings": run.settings,
            "thresholds": run.thresholds,
            "validation": run.validation,
            "parameters": sha256_file(study.folder / "runs" / run.id / "model.safetensors"),
            "answers": study.predictions(run.id, "val").probabilities.tolist(),
            "test answers": study.predictions(run.id, "test").probabilities.tolist(),
        }
        for run in study.runs
    }


def chosen_together(study: Study) -> dict[str, Any]:
    """Everything that a study chose among its runs."""
    arms = arms_of(study.runs)
    best = choose(arms)
    assert study.record.evidence is not None
    assert study.record.failures is not None
    return {
        "arm": best,
        "reference": reference_of(best, arms),
        "runs": {key: representative(members).id for key, members in arms.items()},
        "evidence": study.record.evidence["runs"],
        "failures": study.record.failures["run"],
        "order": [(row["a"], row["b"]) for row in study.record.comparisons],
        "ensembles": [(row["kind"], row["members"], row["thresholds"]) for row in study.record.ensembles],
        "against": [row["against"]["b"] for row in study.record.ensembles],
    }


def chosen_in_evidence(study: Study) -> list[dict[str, Any]]:
    """What was fitted on validation for the evidence."""
    assert study.record.evidence is not None
    return [
        {
            "thresholds": model["thresholds"],
            "recalibration": model["recalibration"]["fitted"],
            "conformal": model["conformal"]["fitted"],
            "abstention": model["abstention"]["at_target"]["chosen"],
            "chosen": model["chosen"],
        }
        for model in study.record.evidence["models"]
    ]


@KINDS
def test_every_run_chooses_the_same_whatever_test_says(pairs: dict[str, tuple[Study, Study]], kind: str) -> None:
    truth, lie = (chosen_by_runs(study) for study in pairs[kind])
    assert truth == lie
    assert all({"youden", "sensitivity=0.8"} < set(entry["thresholds"]) for entry in truth.values())
    if kind == "seeds":  # a test that can fail: the runs did not all choose alike
        assert len({entry["best_epoch"] for entry in truth.values()}) > 1
        assert len({str(entry["thresholds"]) for entry in truth.values()}) == len(truth)


@KINDS
def test_a_bundle_answers_by_the_same_choices_whatever_test_says(
    pairs: dict[str, tuple[Study, Study]], kind: str
) -> None:
    truth, lie = (choices_of_run(study, study.runs[-1]) for study in pairs[kind])
    assert truth[0].as_json() == lie[0].as_json()
    assert truth[0].as_json()["recalibration"] != [None]
    assert truth[0].asked == "sensitivity=0.8"
    assert truth[1] != lie[1]  # what they do on test is measured there


@KINDS
def test_a_study_chooses_the_same_whatever_test_says(pairs: dict[str, tuple[Study, Study]], kind: str) -> None:
    truth, lie = (chosen_together(study) for study in pairs[kind])
    assert truth == lie
    assert truth["ensembles"]


@KINDS
def test_evidence_is_fitted_alike_whatever_test_says(pairs: dict[str, tuple[Study, Study]], kind: str) -> None:
    truth, lie = (chosen_in_evidence(study) for study in pairs[kind])
    assert truth == lie
    assert len(truth) == 2
    assert all(entry["recalibration"] and entry["conformal"] for entry in truth)


@KINDS
def test_what_is_measured_on_test_is_another(pairs: dict[str, tuple[Study, Study]], kind: str) -> None:
    truth, lie = pairs[kind]
    for first, second in zip(truth.runs, lie.runs, strict=True):
        a, b = (run.test["policies"]["fixed"]["metrics"]["auroc"]["value"] for run in (first, second))
        assert a == pytest.approx(1 - b)
        assert a != pytest.approx(b)
    for name in ("arms", "comparisons", "ensembles", "evidence", "failures"):
        assert getattr(truth.record, name) != getattr(lie.record, name)


@KINDS
def test_the_best_on_test_is_not_what_was_chosen(pairs: dict[str, tuple[Study, Study]], kind: str) -> None:
    """Test labels turned round turn round who is best on test; at most one of both studies chose that arm."""

    def best(study: Study) -> tuple[Any, ...]:
        values = [row["test"]["policies"]["fixed"]["metrics"]["auroc"]["value"] for row in study.record.arms]
        row = study.record.arms[int(np.argmax(values))]
        return row["backbone"], row["recipe"], row["lr_scale"]

    found = [best(study) == choose(arms_of(study.runs)) for study in pairs[kind]]
    assert not all(found)


def test_every_record_says_when_test_was_opened_and_it_was_after_every_choice(
    pairs: dict[str, tuple[Study, Study]], clock: dict[str, list[str]]
) -> None:
    records = sorted((run for pair in pairs.values() for study in pair for run in study.runs), key=lambda r: r.created)
    assert len(records) == len(clock["trained"]) == len(clock["thresholds"]) == 2 * (4 + 4)
    for record, trained, thresholds in zip(records, clock["trained"], clock["thresholds"], strict=True):
        times = [datetime.fromisoformat(t) for t in (trained, thresholds, record.test_opened, record.created)]
        assert times == sorted(times)
    opened = [record.test_opened for record in records]
    assert opened == sorted(opened)


@pytest.mark.parametrize("split", ["test", "train", ""])
def test_predictions_of_another_split_choose_nothing(pairs: dict[str, tuple[Study, Study]], split: str) -> None:
    study = pairs["seeds"][0]
    run = study.runs[0]
    answers = replace(study.predictions(run.id, "test"), split=split)
    with pytest.raises(DataError, match="E-DATA-50"):
        choices_of(answers, run.thresholds, study.record.classes, False)


def test_an_average_of_test_answers_is_still_one_of_test(pairs: dict[str, tuple[Study, Study]]) -> None:
    study = pairs["seeds"][0]
    mean = average([study.predictions(run.id, "test") for run in study.runs])
    with pytest.raises(DataError, match="E-DATA-50"):
        choices_of(mean, {"fixed": 0.5}, study.record.classes, False)


@pytest.mark.parametrize("place", ["train", "val"])
@pytest.mark.parametrize("recipe", ["probe", "scratch"])
def test_images_of_test_neither_train_nor_validate(
    tables: Tables, made_weights: Path, cache: Path, place: str, recipe: str
) -> None:
    asked = config(tables, tables.truth, made_weights, recipes=recipe)
    manifest = ingest(tables.truth, asked.reading)
    parts = {name: manifest.subset(name) for name in ("train", "val")}
    parts[place] = manifest.take(np.r_[manifest.where(place), manifest.where("test")[:1]])
    workshop = runs.make_workshop(asked, conductor.open_pixels(asked, cache), cache=cache, watcher=Silent())
    with pytest.raises(DataError, match=r"E-DATA-50 .*test"):
        runs.train_arm(next(conductor.plan(asked)), parts["train"], parts["val"], workshop)


def write_table(path: Path, study: Study, split: str, *, more: str | None = None) -> Path:
    """A run's answers as anybody's table; `more` adds the first image of another split."""
    parts = [study.predictions(study.runs[0].id, name) for name in (split, *([more] if more else []))]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "patient", "p_NORMAL", "p_PNEUMONIA"])
        for part in parts:
            for k in range(len(part.ids) if part is parts[0] else 1):
                label = study.record.classes[part.labels[k]]
                writer.writerow([part.ids[k], label, part.patients[k], *part.probabilities[k].tolist()])
    return path


def test_l14_evaluate_refuses_a_validation_table_with_a_patient_of_test(
    pairs: dict[str, tuple[Study, Study]], tmp_path: Path
) -> None:
    study = pairs["seeds"][0]
    test = write_table(tmp_path / "test.csv", study, "test")
    for other in (test, write_table(tmp_path / "val.csv", study, "val", more="test")):
        with pytest.raises(DataError, match="E-LABEL-14"):
            xenograft.evaluate(test, validation=other, output=tmp_path / "out", resamples=100)
    assert not (tmp_path / "out").exists()
