"""Everything said of predictions agrees with its parts, chooses on validation alone, and stands on disk."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

import xenograft
from xenograft.cli.main import main
from xenograft.errors import XenograftError

N = 240


def scores(truth: Any, skill: float, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return 1 / (1 + np.exp(-(skill * (2 * truth - 1) + rng.normal(size=len(truth)) * 1.5)))


def write(path: Path, skill: float, seed: int, *, who: str = "t", flip: int | None = None) -> Path:
    truth = (np.random.default_rng(99 if who == "t" else 98).random(N) < 0.4).astype(int)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "patient", "score"])
        for k, p in enumerate(scores(truth, skill, seed)):
            label = truth[k] if k != flip else 1 - truth[k]
            writer.writerow([f"{who}{k}", ["normal", "ill"][label], f"{who}-p{k // 2}", f"{p:.6f}"])
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    return {
        "good": write(folder / "good.csv", 1.5, 1),
        "poor": write(folder / "poor.csv", 0.4, 2),
        "good_val": write(folder / "good_val.csv", 1.5, 3, who="v"),
        "poor_val": write(folder / "poor_val.csv", 0.4, 4, who="v"),
    }


@pytest.fixture(scope="module")
def record(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return xenograft.evaluate(
        [files["good"], files["poor"]], validation=[files["good_val"], files["poor_val"]], prevalence=0.05, margin=0.02,
        resamples=200, output=tmp_path_factory.mktemp("out") / "evaluation",
    ).record  # fmt: skip


def read(path: Path) -> tuple[Any, Any]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([row["label"] == "ill" for row in rows]), np.array([float(row["score"]) for row in rows])


def test_numbers_are_those_of_scikit_learn(record: dict[str, Any], files: dict[str, Path]) -> None:
    for model, name in zip(record["models"], ("good", "poor"), strict=True):
        truth, score = read(files[name])
        metrics = model["scorecard"]["policies"]["fixed"]["metrics"]
        assert metrics["auroc"]["value"] == pytest.approx(roc_auc_score(truth, score))
        assert metrics["accuracy"]["value"] == pytest.approx(accuracy_score(truth, score >= 0.5))
        for found in model["auroc"].values():
            assert found["value"] == pytest.approx(roc_auc_score(truth, score))
            assert found["low"] < found["value"] < found["high"]


def test_two_models_are_compared_by_every_test(record: dict[str, Any]) -> None:
    (pair,) = record["comparisons"]
    assert (pair["a"], pair["b"]) == ("good.csv", "poor.csv")
    gap = np.diff([m["auroc"]["images_independent"]["value"] for m in record["models"]])[0]
    assert pair["delong"]["difference"] == pytest.approx(-gap)
    assert pair["metrics"]["auroc"]["difference"] == pytest.approx(-gap)
    assert pair["clustered_delong"]["p"] < 0.01
    assert pair["adjusted_p"] == pair["clustered_delong"]["p"]  # one comparison
    assert pair["margin"]["verdict"] == "superior"


def test_choices_come_from_validation_alone(files: dict[str, Path], tmp_path: Path) -> None:
    """Other test labels change what is measured, never what was chosen."""
    changed = write(tmp_path / "good.csv", 1.5, 1, flip=0)
    found = [
        xenograft.evaluate(path, validation=files["good_val"], resamples=100, output=tmp_path / f"e{k}").record[
            "models"
        ][0]
        for k, path in enumerate((files["good"], changed))
    ]
    assert found[0]["thresholds"] == found[1]["thresholds"]
    assert set(found[0]["thresholds"]) == {"fixed", "youden"}
    assert found[0]["recalibration"]["fitted"] == found[1]["recalibration"]["fitted"]
    assert found[0]["conformal"]["fitted"] == found[1]["conformal"]["fitted"]
    assert found[0]["abstention"]["at_target"]["chosen"] == found[1]["abstention"]["at_target"]["chosen"]
    assert found[0]["chosen"] == found[1]["chosen"]
    assert found[0]["scorecard"] != found[1]["scorecard"]


def test_without_validation_nothing_is_chosen(files: dict[str, Path], tmp_path: Path) -> None:
    model = xenograft.evaluate(files["good"], resamples=100, output=tmp_path / "e").record["models"][0]
    assert model["thresholds"] == {"fixed": 0.5}
    assert model["recalibration"] is None
    assert model["conformal"] is None
    assert model["chosen"] is None
    assert not model["decision_curve"]["recalibrated"]


def test_l14_validation_that_shares_patients_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(XenograftError, match="E-LABEL-14"):
        xenograft.evaluate(files["good"], validation=files["poor"], resamples=100, output=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_what_does_not_fit_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(XenograftError, match="E-USAGE-24"):
        xenograft.evaluate([files["good"], files["poor"]], validation=files["good_val"], output=tmp_path / "e")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(XenograftError, match="E-USAGE-13"):
        xenograft.evaluate(files["good"], output=tmp_path / "mine")


def test_three_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "three.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "patient", "p_a", "p_b", "p_c"])
        for k in range(150):
            p = rng.dirichlet(np.ones(3) + 4 * np.eye(3)[k % 3])
            writer.writerow([k, "abc"[k % 3], f"p{k // 2}", *p])
    record = xenograft.evaluate(path, resamples=100, output=tmp_path / "e").record
    assert list(record["models"][0]["scorecard"]["policies"]) == ["argmax"]
    assert record["models"][0]["auroc"] is None


def test_a_study_brings_its_validation_along(files: dict[str, Path], tmp_path: Path) -> None:
    both = tmp_path / "predictions.csv"
    with both.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["id", "label", "patient", "score", "split"])
        for name, split in (("good", "test"), ("good_val", "val")):
            with files[name].open(newline="") as source:
                writer.writerows([*row, split] for row in list(csv.reader(source))[1:])
    model = xenograft.evaluate(both, resamples=100, output=tmp_path / "e").record["models"][0]
    assert model["validation"]["images"] == N
    assert "youden" in model["thresholds"]


def test_the_command_writes_what_it_shows(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(files["good"]), str(files["poor"]), "--resamples", "100", "-o", str(tmp_path / "e")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    record = json.loads((tmp_path / "e" / "evaluation.json").read_text(encoding="utf-8"))
    auroc = record["models"][0]["scorecard"]["policies"]["fixed"]["metrics"]["auroc"]["value"]
    assert f"{auroc:.3f}" in said
    for name in ("results", "calibration", "comparisons"):
        with (tmp_path / "e" / f"{name}.csv").open(newline="") as file:
            assert len(list(csv.reader(file))) > 1
    assert main(arguments) == 0  # again, over its own folder


def test_subgroups_come_from_either_table(files: dict[str, Path], tmp_path: Path) -> None:
    with files["good"].open(newline="") as source:
        rows = list(csv.DictReader(source))
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["id", "label", "patient", "Sex", "Age"])
        for k, row in enumerate(rows):
            writer.writerow([row["id"], row["label"], row["patient"], "FM"[k // 2 % 2], 5 + k // 2 % 70])
    found = xenograft.evaluate(files["good"], labels=labels, by=["sex", "age"], resamples=100, output=tmp_path / "e")
    groups = found.record["models"][0]["subgroups"]["groups"]
    assert set(groups["sex"]["levels"]) == {"F", "M"}
    assert sum(level["n"] for level in groups["age"]["levels"].values()) == N
    assert len(groups["age"]["levels"]) < 10  # bands
    truth, score = read(files["good"])
    women = np.array([k // 2 % 2 == 0 for k in range(N)])
    auroc = groups["sex"]["levels"]["F"]["policies"]["fixed"]["metrics"]["auroc"]["value"]
    assert auroc == pytest.approx(roc_auc_score(truth[women], score[women]))
    assert (tmp_path / "e" / "subgroups.csv").is_file()
    with pytest.raises(XenograftError, match="E-LABEL-07"):
        xenograft.evaluate(files["good"], by=["scanner"], output=tmp_path / "f")


def test_net_benefit_at_another_prevalence_restates_the_scores_too(
    record: dict[str, Any], files: dict[str, Path], tmp_path: Path
) -> None:
    """Scores that are right for validation's share of positives are too high where positives are rare."""
    curve = record["models"][0]["decision_curve"]
    assert curve["restated"]
    assert min(gain for gain in curve["model_over_default"]["value"] if gain is not None) > -0.01
    plain = xenograft.evaluate(files["good"], prevalence=0.05, resamples=100, output=tmp_path / "e").record
    assert not plain["models"][0]["decision_curve"]["restated"]
    assert min(plain["models"][0]["decision_curve"]["model_over_default"]["value"]) < -0.05


def test_a_model_that_ranks_the_wrong_way_round_is_evaluated_too(files: dict[str, Path], tmp_path: Path) -> None:
    val = write(tmp_path / "val.csv", -1.5, 3, who="v")
    model = xenograft.evaluate(
        files["good"], validation=val, prevalence=0.1, resamples=100, output=tmp_path / "e"
    ).record["models"][0]
    assert model["recalibration"] is None
    assert not model["decision_curve"]["recalibrated"]
    assert model["validation"]["name"] == "val.csv"
