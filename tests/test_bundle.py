"""fit -> bundle -> predict: parity with training, refusal of damaged bundles, and no torch on the way."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xenograft
from xenograft.api import FitResult
from xenograft.bundle import Bundle
from xenograft.errors import DataError, UsageError, WeightsError
from xenograft.storage import sha256_file


@pytest.fixture(scope="module")
def fitted(phantom_folder: Path, made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return xenograft.fit(
        phantom_folder,
        output=tmp_path_factory.mktemp("fit") / "bundle",
        backbone="resnet18",
        epochs=3,
        size=64,
        resamples=100,
        weights_dir=made_weights,
        offline=True,
        cache_dir=tmp_path_factory.mktemp("cache"),
    )


def test_predict_equals_the_training_process(fitted: FitResult, phantom_folder: Path) -> None:
    """The scores recorded for the test split, from the bundle alone, within 1e-3 at f32."""
    run = fitted.study.runs[0]
    recorded = fitted.study.predictions(run.id, "test")
    answers = xenograft.predict(fitted.bundle.folder, [phantom_folder / name for name in recorded.ids])
    found = np.array([answer.probabilities for answer in answers])
    assert np.abs(found - recorded.probabilities).max() < 1e-3
    assert fitted.drift < 1e-3
    assert run.engine["precision"] == "f32"


def test_a_tuned_network_is_exported_as_trained(phantom_folder: Path, tmp_path: Path) -> None:
    result = xenograft.fit(
        phantom_folder, output=tmp_path / "b", backbone="resnet18", recipe="scratch", epochs=1, size=32, batch_size=16,
        resamples=100, cache_dir=tmp_path / "cache",
    )  # fmt: skip
    recorded = result.study.predictions(result.study.runs[0].id, "test")
    answers = xenograft.predict(result.bundle, [phantom_folder / name for name in recorded.ids])
    found = np.array([answer.probabilities for answer in answers])
    assert np.abs(found - recorded.probabilities).max() < 1e-3


def test_labels_follow_the_threshold(fitted: FitResult) -> None:
    threshold = fitted.bundle.facts.threshold
    assert threshold is not None
    assert fitted.bundle.decide(np.array([1 - threshold, threshold])) == "PNEUMONIA"
    assert fitted.bundle.decide(np.array([1 - threshold + 1e-6, threshold - 1e-6])) == "NORMAL"


def test_the_card_says_synthetic_and_what_is_not_supplied(fitted: FitResult) -> None:
    card = (fitted.bundle.folder / "MODEL_CARD.md").read_text()
    assert "synthetic phantom images" in card
    assert "| Intended use | not supplied |" in card
    assert fitted.bundle.facts.data["manifest_sha256"] in card


def test_unreadable_images_are_named_and_cells_are_neutralised(fitted: FitResult, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "=cmd.png").write_text("not an image")
    (folder / "empty.png").touch()
    target = tmp_path / "out.csv"
    answers = xenograft.predict(fitted.bundle, folder, output=target)
    assert [answer.label for answer in answers] == ["", ""]
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert all("S-FILE-0" in row["error"] for row in rows)
    assert all(not row["path"].startswith("=") for row in rows)


def copy_of(fitted: FitResult, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(fitted.bundle.folder, folder)
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    facts = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(facts | changes))


def test_m2_another_number_of_classes(fitted: FitResult, tmp_path: Path) -> None:
    folder = copy_of(fitted, tmp_path)
    rewrite(folder, classes=["a", "b", "c"])
    with pytest.raises(WeightsError, match=r"E-MODEL-02 .*3 classes \(3 outputs\), the model has 1"):
        Bundle.load(folder)


def test_m2_a_class_named_twice(fitted: FitResult, tmp_path: Path) -> None:
    folder = copy_of(fitted, tmp_path)
    rewrite(folder, classes=["a", "a"])
    with pytest.raises(WeightsError, match="E-MODEL-02"):
        Bundle.load(folder)


def test_m4_a_changed_model(fitted: FitResult, tmp_path: Path) -> None:
    folder = copy_of(fitted, tmp_path)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(WeightsError, match="E-MODEL-04"):
        Bundle.load(folder)


def test_a_model_that_is_no_onnx(fitted: FitResult, tmp_path: Path) -> None:
    folder = copy_of(fitted, tmp_path)
    (folder / "model.onnx").write_bytes(b"nonsense")
    rewrite(folder, hashes={"model.onnx": sha256_file(folder / "model.onnx")})
    with pytest.raises(WeightsError, match="E-MODEL-06"):
        Bundle.load(folder)


def test_no_bundle_and_foreign_versions(fitted: FitResult, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="E-DATA-12"):
        Bundle.load(tmp_path)
    folder = copy_of(fitted, tmp_path)
    rewrite(folder, version=99)
    with pytest.raises(DataError, match="E-DATA-04"):
        Bundle.load(folder)
    rewrite(folder, version=2)
    with pytest.raises(DataError, match=r"E-DATA-04 .*another version"):
        Bundle.load(folder)
    rewrite(folder, surprise=1)
    with pytest.raises(DataError, match="E-DATA-04"):
        Bundle.load(folder)


def test_m7_drift_leaves_no_bundle(fitted: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xenograft import exporting

    monkeypatch.setattr(exporting, "_drift", lambda *_: 0.5)
    with pytest.raises(WeightsError, match="E-MODEL-07"):
        xenograft.export(fitted.study, fitted.study.runs[0].id, tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


def test_m4_restoring_with_other_weights_is_refused(fitted: FitResult, tmp_path: Path) -> None:
    from dataclasses import replace

    run = replace(fitted.study.runs[0], weights={**fitted.study.runs[0].weights, "sha256": "0" * 64})
    changed = replace(fitted.study, runs=(run,))
    with pytest.raises(WeightsError, match="E-MODEL-04"):
        xenograft.export(changed, run.id, tmp_path / "b")


def test_a_folder_with_other_things_is_refused(phantom_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="E-USAGE-13"):
        xenograft.fit(phantom_folder, output=tmp_path)
    with pytest.raises(UsageError, match="E-USAGE-14"):
        xenograft.fit(phantom_folder, output=tmp_path / "b", backbone="paper")


def test_predicting_loads_no_torch(fitted: FitResult, phantom_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from xenograft.cli.main import main;"
        f"main(['predict', {str(fitted.bundle.folder)!r}, {str(phantom_folder / 'test')!r},"
        f" '-o', {str(tmp_path / 'p.csv')!r}]);"
        "sys.exit(any(name == 'torch' or name.startswith('torch.') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained on synthetic" in done.stdout
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 1 + len(list((phantom_folder / "test").rglob("*.png")))


def test_the_bundle_holds_nothing_of_the_patients(fitted: FitResult) -> None:
    assert sorted(p.name for p in fitted.bundle.folder.iterdir()) == ["MODEL_CARD.md", "bundle.json", "model.onnx"]
    assert fitted.study.folder.name == "bundle-training"
    text = (fitted.bundle.folder / "bundle.json").read_text()
    assert not any(patient in text for patient in fitted.study.predictions(fitted.study.runs[0].id, "test").patients)


def test_fitting_again_exports_what_was_fitted_now(fitted: FitResult, phantom_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "b"
    settings: dict[str, Any] = {
        "backbone": "resnet18", "size": 32, "epochs": 2, "resamples": 100, "cache_dir": tmp_path / "cache",
    }  # fmt: skip
    xenograft.fit(phantom_folder, output=output, recipe="random", **settings)
    again = xenograft.fit(phantom_folder, output=output, recipe="scratch", **settings)
    assert again.bundle.facts.recipe["name"] == "scratch"
    assert [run.recipe for run in again.study.runs] == ["random", "scratch"]


def test_fit_refuses_the_words_of_compare(phantom_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="E-USAGE-14 fit takes backbone and recipe"):
        xenograft.fit(phantom_folder, output=tmp_path / "b", backbones="resnet18")
    with pytest.raises(UsageError, match="E-USAGE-14"):
        xenograft.fit(phantom_folder, output=tmp_path / "b", lr_scales="1,0.1")


def test_a_bundle_whose_card_was_computed_at_bf16_says_so(
    phantom_folder: Path, made_weights: Path, tmp_path: Path
) -> None:
    from xenograft.study.watch import Silent

    class Listening(Silent):
        lines: list[str] = []  # noqa: RUF012

        def say(self, text: str) -> None:
            self.lines.append(text)

    study = xenograft.compare(
        phantom_folder, output=tmp_path / "s", backbones="resnet18", recipes="probe", seeds=1, size=64, epochs=3,
        resamples=100, precision="bf16", engine="openvino", weights_dir=made_weights, cache_dir=tmp_path / "c",
    )  # fmt: skip
    from xenograft import exporting

    watcher = Listening()
    bundle, drift = xenograft.export(study, study.runs[0].id, tmp_path / "b", watcher=watcher)
    pixels, recorded = _sample(study)
    assert drift < 1e-3
    warned = any(line.startswith("W-MODEL-22") for line in watcher.lines)
    assert warned == (exporting.largest_difference(bundle, pixels, recorded) > 1e-3)


def _sample(study: Any) -> Any:
    from xenograft.study.config import make_config
    from xenograft.study.runs import validation_sample

    config = make_config({k: v for k, v in study.record.config.items() if v is not None})
    return validation_sample(study, config, study.runs[0])


def test_columns_carry_the_class_names(fitted: FitResult, tmp_path: Path) -> None:
    from xenograft.bundle import write_predictions_csv

    folder = copy_of(fitted, tmp_path)
    rewrite(folder, classes=["正常", "肺炎 a/b"], choices=None)
    write_predictions_csv(tmp_path / "p.csv", Bundle.load(folder), [])
    assert (tmp_path / "p.csv").read_text().strip() == "path,prediction,p_正常,p_肺炎 a/b,threshold,error"


def test_every_frame_of_a_file_is_answered_as_in_training(made_weights: Path, tmp_path: Path) -> None:
    from .data.readers.dicom_files import made

    rng = np.random.default_rng(3)
    for number in range(24):
        frames = rng.integers(0, 1500, (3, 40, 40)).astype(np.uint16)
        frames[:, 10:20] += np.uint16(1800 * (number % 2))
        file = tmp_path / "data" / "ab"[number % 2] / f"{number:02}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made(frames, frames=3, bits=12, PatientID=f"P{number}", WindowCenter=2048, WindowWidth=4096))
    result = xenograft.fit(
        tmp_path / "data", output=tmp_path / "bundle", backbone="resnet18", epochs=2, size=32, resamples=100,
        weights_dir=made_weights, offline=True, cache_dir=tmp_path / "cache", frame="all",
    )  # fmt: skip
    recorded = result.study.predictions(result.study.runs[0].id, "test")
    known = dict(zip(recorded.ids, recorded.probabilities[:, 1], strict=True))
    files = sorted({tmp_path / "data" / name.rpartition("/")[0] for name in known})
    answers = xenograft.predict(result.bundle.folder, files)
    found = {str(Path(a.path).relative_to(tmp_path / "data")): a.probabilities[1] for a in answers}
    assert found == pytest.approx(known, abs=1e-3)


def chosen(classes: list[str]) -> tuple[Any, dict[str, Any]]:
    """Choices and thresholds of made-up validation scores, in place of those of a few phantoms."""
    from xenograft.evaluation.choices import Choices
    from xenograft.evaluation.rules import parse_rule
    from xenograft.evaluation.threshold import thresholds_for

    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    scores = np.clip(0.3 * labels + 0.7 * rng.random(200), 0, 1)
    table = np.stack([1 - scores, scores], axis=1)
    thresholds = thresholds_for(labels, table, parse_rule("sensitivity=0.9"))
    choices = Choices.fit(
        labels, table, np.arange(200), thresholds=thresholds, classes=classes, asked="sensitivity=0.9", resamples=100,
        rng=rng,
    )  # fmt: skip
    return choices, thresholds


def test_predict_with_another_operating_point_and_refer(
    fitted: FitResult, phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from xenograft.cli.main import main

    folder = copy_of(fitted, tmp_path)
    choices, thresholds = chosen(fitted.bundle.facts.classes)
    cut = thresholds["sensitivity=0.9"]
    rewrite(
        folder, choices=choices.as_json(), thresholds=thresholds, threshold=cut, threshold_rule="sensitivity=0.9"
    )  # fmt: skip
    bundle = Bundle.load(folder)
    assert bundle.choices == choices
    images = phantom_folder / "test"
    count = len(list(images.rglob("*.png")))

    def predict(*options: str) -> tuple[str, list[dict[str, str]]]:
        assert main(["predict", str(folder), str(images), "-o", str(tmp_path / "p.csv"), *options]) == 0
        return capsys.readouterr().out, list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))

    said, rows = predict()
    referred = sum(row["advice"] == "refer" for row in rows)
    assert len(rows) == count
    assert f"{count} images: " in said
    assert f"threshold {cut:.3f}: sensitivity of at least 0.9" in " ".join(said.split())
    assert f"{referred} of them are to be referred" in said
    assert "90%" in said
    assert {row["threshold"] for row in rows} == {f"{cut:.6f}"}
    said, rows = predict("--threshold-rule", "fixed", "--refer")
    assert "threshold 0.500: fixed at 0.5" in said
    assert all((row["prediction"] == "refer") == (row["advice"] == "refer") for row in rows)
    assert main(["predict", str(folder), str(images), "--threshold-rule", "cost=2:1"]) == 2
    rewrite(folder, choices=None)
    assert main(["predict", str(folder), str(images), "--refer"]) == 2
    assert "E-USAGE-31 this bundle cannot refer" in capsys.readouterr().err


def test_a_finished_run_is_exported_with_what_its_validation_chose(fitted: FitResult, tmp_path: Path) -> None:
    from xenograft import exporting
    from xenograft.study.choices import choices_of_run
    from xenograft.study.config import make_config
    from xenograft.study.restore import restore
    from xenograft.study.run import open_pixels
    from xenograft.study.runs import make_workshop
    from xenograft.study.watch import Silent

    study, run = fitted.study, fitted.study.runs[0]
    config = make_config({k: v for k, v in study.record.config.items() if v is not None})
    cache = Path(config.cache_dir or tmp_path)
    workshop = make_workshop(config, open_pixels(config, cache), cache=cache, watcher=Silent())
    choices, measured = choices_of_run(study, run)
    pixels, _ = _sample(study)
    bundle, _ = exporting.export(
        restore(study, run, workshop), run, study.record, tmp_path / "b", sample=pixels, choices=choices,
        measured=measured,
    )  # fmt: skip
    assert bundle.choices == choices
    assert bundle.facts.thresholds == run.thresholds
    assert bundle.facts.threshold_rule == choices.policy
    assert bundle.facts.threshold == run.thresholds[choices.policy]
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "## Operating points" in card
    assert bundle.facts.hashes["model.onnx"] in card
    recorded = study.predictions(run.id, "val")
    answers = bundle.answers(list(recorded.ids), recorded.probabilities)
    assert all(bool(answer.advice) == (choices.conformal is not None) for answer in answers)
