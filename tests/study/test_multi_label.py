"""Several findings an image, labels missing: from a table to a study, a report, a bundle and its predictions."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import xenograft
from xenograft.bundle import NOTHING
from xenograft.study.record import Study

FINDINGS = ("stripes", "disc", "bright rim")
COUNT, SIDE = 240, 32


@dataclass(frozen=True)
class Made:
    """A table beside its images, and the truth behind it, also where the table is silent."""

    table: Path
    truth: np.ndarray
    known: np.ndarray


def drawn(findings: Any, rng: np.random.Generator) -> Any:
    """One image of noise with what it shows."""
    pixels = rng.normal(110, 18, (SIDE, SIDE))
    if findings[0]:
        pixels[::4] += 55
    if findings[1]:
        cv2.circle(pixels, (int(rng.integers(10, 22)), int(rng.integers(10, 22))), 6, 215.0, -1)
    if findings[2]:
        pixels[:, :2] = pixels[:, -2:] = 235
    return np.clip(pixels, 0, 255).astype(np.uint8)


def make(folder: Path) -> Made:
    rng = np.random.default_rng(4)
    truth = (rng.random((COUNT, 3)) < (0.4, 0.3, 0.25)).astype(int)
    known = rng.random((COUNT, 3)) > (0.0, 0.2, 0.1)
    words = {1: "1", 0: "0"}
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "patient_id", *FINDINGS])
        for k in range(COUNT):
            cv2.imwrite(str(folder / f"{k:03}.png"), drawn(truth[k], rng))
            cells = [words[int(v)] if seen else ("", "-1")[k % 2] for v, seen in zip(truth[k], known[k], strict=True)]
            writer.writerow([f"{k:03}.png", f"p{k // 2:03}", *cells])
    return Made(folder / "labels.csv", truth, known)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("findings"))


def settings(weights: Path, cache: Path, **more: Any) -> dict[str, Any]:
    return {
        "label_column": ",".join(FINDINGS), "size": SIDE, "resamples": 100, "weights_dir": weights, "offline": True,
        "precision": "f32", "cache_dir": cache, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(made: Made, made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    given = settings(made_weights, folder / "cache", backbones="resnet18", seeds=2, epochs=3, batch_size=16)
    return xenograft.compare(made.table, output=folder / "study", recipes="probe,logistic,scratch", **given)


def test_the_record_says_that_labels_are_findings(study: Study) -> None:
    data = study.record.data
    assert data["multi_label"] is True
    assert set(study.record.classes) == set(FINDINGS)
    assert sum(entry["images"] for entry in data["sizes"].values()) == COUNT
    assert all(of["images"] < of["of"] <= COUNT for split in data["counts"].values() for of in split.values())
    assert {"W-LABEL-26"} <= {notice["code"] for notice in data["notices"]}


def test_no_patient_is_in_two_splits(study: Study) -> None:
    patients = [set(study.predictions(study.runs[0].id, split).patients) for split in ("val", "test")]
    assert not patients[0] & patients[1]


def test_scores_are_of_known_labels_alone(study: Study, made: Made) -> None:
    for run in study.runs:
        found = study.predictions(run.id, "test")
        rows = [int(Path(name).stem) for name in found.ids]
        for k, name in enumerate(study.record.classes):
            column = FINDINGS.index(name)
            known = made.known[rows, column]
            assert np.array_equal(found.labels[:, k] >= 0, known)
            assert np.array_equal(found.labels[known, k], made.truth[rows, column][known])
            auroc = run.test["per_class"][str(k)]["auroc"]["value"]
            assert auroc == pytest.approx(roc_auc_score(found.labels[known, k], found.probabilities[known, k]))
            assert run.test["known"][str(k)] == {"n": known.sum(), "positive": made.truth[rows, column][known].sum()}


@pytest.mark.parametrize("recipe", ["probe", "logistic"])
def test_a_frozen_backbone_finds_what_was_drawn(study: Study, recipe: str) -> None:
    run = next(run for run in study.runs if run.recipe == recipe)
    assert run.test["policies"]["fixed"]["metrics"]["auroc"]["value"] > 0.8


def test_each_finding_has_its_own_threshold(study: Study) -> None:
    thresholds = study.runs[0].thresholds
    assert thresholds["fixed"] == 0.5
    assert isinstance(thresholds["youden"], list)
    assert len(thresholds["youden"]) == len(FINDINGS)


def test_differences_are_between_means_over_findings(study: Study) -> None:
    wanted = ("probe", "scratch", "auroc")
    row = next(r for r in study.record.comparisons if (r["a"]["recipe"], r["b"]["recipe"], r["metric"]) == wanted)
    means = [
        np.mean([r.test["policies"]["fixed"]["metrics"]["auroc"]["value"] for r in study.runs if r.recipe == name])
        for name in ("probe", "scratch")
    ]
    assert row["difference"] == pytest.approx(means[0] - means[1])
    assert row["low"] <= row["difference"] <= row["high"]


def test_the_baseline_that_sees_no_anatomy_stands_beside(study: Study) -> None:
    baseline = study.record.data["baseline"]["test"]
    assert set(baseline["per_class"]) == {"0", "1", "2"}
    page = (study.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert all(name in page for name in FINDINGS)


def test_the_study_goes_on_where_it_was(study: Study, made: Made, made_weights: Path) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in study.folder.glob("runs/*/run.json")}
    given = settings(
        made_weights, study.folder.parent / "cache", backbones="resnet18", seeds=2, epochs=3, batch_size=16
    )
    xenograft.compare(made.table, output=study.folder, recipes="probe,logistic,scratch", **given)
    assert {path: path.stat().st_mtime_ns for path in study.folder.glob("runs/*/run.json")} == stamps


@pytest.mark.parametrize("recipe", ["probe", "full"])
def test_a_bundle_answers_as_the_study_did(made: Made, made_weights: Path, tmp_path: Path, recipe: str) -> None:
    given = settings(made_weights, tmp_path / "cache", epochs=2, batch_size=16)
    fitted = xenograft.fit(made.table, output=tmp_path / "bundle", backbone="resnet18", recipe=recipe, **given)
    run = fitted.study.runs[0]
    recorded = fitted.study.predictions(run.id, "test")
    images = [made.table.parent / str(name) for name in recorded.ids]
    answers = xenograft.predict(fitted.bundle.folder, images, output=tmp_path / "predictions.csv")
    found = np.array([answer.probabilities for answer in answers])
    assert np.abs(found - recorded.probabilities).max() < 1e-3
    threshold = fitted.bundle.facts.threshold
    assert isinstance(threshold, list)
    for answer in answers:
        present = [
            n
            for n, p, cut in zip(fitted.bundle.facts.classes, answer.probabilities, threshold, strict=True)
            if p >= cut
        ]
        assert answer.label == ("|".join(present) or NOTHING)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = fitted.bundle.facts.classes
    columns = [column for column in rows[0] if not column.startswith(("set_", "recalibrated_", "advice"))]
    assert columns == ["path", "prediction", *(f"p_{n}" for n in names), *(f"threshold_{n}" for n in names), "error"]
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in card for name in names)


def test_what_the_table_hides_cannot_matter(made: Made, made_weights: Path, tmp_path: Path) -> None:
    """Blank and uncertain cells are one thing, whatever the image shows."""
    text = made.table.read_text(encoding="utf-8").replace(",-1", ",")
    other = made.table.with_name("blank.csv")
    other.write_text(text, encoding="utf-8")
    cards = []
    for number, table in enumerate((made.table, other)):
        given = settings(made_weights, tmp_path / "cache", backbones="resnet18", epochs=2, seeds=1)
        cards.append(xenograft.compare(table, output=tmp_path / str(number), recipes="probe", **given).runs[0].test)
    assert json.dumps(cards[0]) == json.dumps(cards[1])


def test_an_audit_speaks_of_each_finding(made: Made, tmp_path: Path) -> None:
    result = xenograft.audit(
        made.table, output=tmp_path / "audit", cache_dir=tmp_path / "cache", label_column=",".join(FINDINGS)
    )
    assert result.audit.tally()["error"] == 0
    border = next(f for f in result.audit.findings if f.code == "A-SHORT-08")
    assert border.severity == "warning"
    assert "bright rim" in border.message  # the stripes reach the border too
