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
from xenograft.study import score_sheet

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


def findings(path: Path, skill: float, seed: int) -> Path:
    """Validation and test, each 240 images of 120 patients, with three findings; the last is never present."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "patient", "split", "sex", "Mass", "Edema", "Hernia", "p_Mass", "p_Edema", "p_Hernia"])
        for who, split in (("v", "val"), ("t", "test")):
            truth = (np.random.default_rng(ord(who)).random((N, 2)) < [0.5, 0.3]).astype(int)
            given = [scores(truth[:, k], skill, seed + 10 * k + ord(who)) for k in range(2)]
            for k in range(N):
                known = ["" if k % 11 == 0 else truth[k, 0], truth[k, 1], 0]
                row = [f"{who}{k}", f"{who}-p{k // 2}", split, "FM"[k // 2 % 2], *known]
                writer.writerow([*row, given[0][k], given[1][k], 0.1])
    return path


@pytest.fixture(scope="module")
def several_findings(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Path]]:
    folder = tmp_path_factory.mktemp("findings")
    files = {"good": findings(folder / "good.csv", 1.5, 1), "poor": findings(folder / "poor.csv", 0.4, 2)}
    found = xenograft.evaluate(
        list(files.values()), resamples=100, by=["sex"], operating_point="sensitivity=0.9", output=folder / "e"
    )
    return found.record, files


def known(path: Path, finding: str, split: str = "test") -> tuple[Any, Any]:
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split and row[finding]]
    return np.array([int(row[finding]) for row in rows]), np.array([float(row[f"p_{finding}"]) for row in rows])


def test_each_finding_is_measured_where_it_is_known(several_findings: tuple[dict[str, Any], dict[str, Path]]) -> None:
    record, files = several_findings
    assert record["multi_label"]
    assert record["classes"] == ["Mass", "Edema"]
    assert any("W-LABEL-25" in notice and "Hernia" in notice for notice in record["notices"])
    for model, path in zip(record["models"], files.values(), strict=True):
        areas = []
        for k, name in enumerate(record["classes"]):
            truth, score = known(path, name)
            areas.append(roc_auc_score(truth, score))
            entry = model["findings"][str(k)]
            assert (entry["n"], entry["positive"]) == (len(truth), truth.sum())
            assert entry["auroc"]["patients_as_clusters"]["value"] == pytest.approx(areas[-1])
            assert entry["calibration"]["metrics"]["brier"]["value"] == pytest.approx(np.mean((truth - score) ** 2))
        assert model["scorecard"]["policies"]["fixed"]["metrics"]["auroc"]["value"] == pytest.approx(np.mean(areas))
        assert model["overall"]["fixed"]["averages"]["auroc_macro"]["value"] == pytest.approx(np.mean(areas))
        for nothing in ("abstention", "conformal", "decision_curve", "auroc"):
            assert model[nothing] is None


def test_thresholds_of_findings_come_from_validation(several_findings: tuple[dict[str, Any], dict[str, Path]]) -> None:
    record, files = several_findings
    thresholds = record["models"][0]["thresholds"]
    assert list(thresholds) == ["fixed", "youden", "sensitivity=0.9"]
    for k, name in enumerate(record["classes"]):
        truth, score = known(files["good"], name, "val")
        cut = thresholds["sensitivity=0.9"][k]
        assert (score[truth == 1] >= cut).mean() >= 0.9
        assert set(record["models"][0]["findings"][str(k)]["chosen"]) == {"youden", "sensitivity=0.9"}


def test_findings_are_compared_one_by_one_and_adjusted_for_all(
    several_findings: tuple[dict[str, Any], dict[str, Path]],
) -> None:
    record, _ = several_findings
    (pair,) = record["comparisons"]
    ps = sorted(entry["p"] for entry in pair["findings"].values())
    assert sorted(e["adjusted_p"] for e in pair["findings"].values()) == pytest.approx(
        [2 * ps[0], max(2 * ps[0], ps[1])]
    )
    assert record["adjusted"]["findings"] == {"comparisons": 2, "left_out": 0}
    assert pair["adjusted_p"] == pair["metrics"]["auroc"]["p"] == pytest.approx(2 / 101)
    assert record["adjusted"]["smallest_p"] == pytest.approx(2 / 101)
    groups = record["models"][0]["subgroups"]["groups"]["sex"]["levels"]
    assert set(groups["F"]["findings"]) == {"0", "1"}


def test_one_finding_has_everything_that_two_classes_have(
    several_findings: tuple[dict[str, Any], dict[str, Path]], tmp_path: Path
) -> None:
    record, files = several_findings
    one = xenograft.evaluate(
        list(files.values()), finding="Edema", prevalence=0.1, margin=0.02, resamples=60, output=tmp_path / "e"
    ).record
    assert one["classes"] == ["no Edema", "Edema"]
    area = record["models"][0]["findings"]["1"]["auroc"]["patients_as_clusters"]
    assert one["models"][0]["auroc"]["patients_as_clusters"] == area
    assert one["models"][0]["decision_curve"]["restated"]
    with pytest.raises(XenograftError, match=r"E-USAGE-24 .*--finding"):
        xenograft.evaluate(files["good"], prevalence=0.1, output=tmp_path / "f")


def test_several_classes_are_adjusted_too(tmp_path: Path) -> None:
    tables = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        tables.append(tmp_path / f"{seed}.csv")
        with tables[-1].open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "label", "patient", "p_a", "p_b", "p_c"])
            for k in range(150):
                p = rng.dirichlet(np.ones(3) + (0.2 + seed) * np.eye(3)[k % 3])
                writer.writerow([k, "abc"[k % 3], f"p{k // 2}", *p])
    record = xenograft.evaluate(tables, resamples=100, output=tmp_path / "e").record
    raw = [pair["metrics"]["auroc"]["p"] for pair in record["comparisons"]]
    adjusted = [pair["adjusted_p"] for pair in record["comparisons"]]
    assert min(adjusted) == pytest.approx(3 * min(raw))
    assert all(a >= p for a, p in zip(adjusted, raw, strict=True))
    assert record["adjusted"] == {
        "test": "bootstrap", "smallest_p": 2 / 101, "comparisons": 3, "left_out": 0, "findings": None,
    }  # fmt: skip


def test_a_rule_chooses_on_validation_or_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    rule = {"operating_point": "specificity=0.9", "resamples": 60}
    model = xenograft.evaluate(files["good"], validation=files["good_val"], output=tmp_path / "e", **rule).record[
        "models"
    ][0]
    truth, score = read(files["good_val"])
    assert (score[~truth] < model["thresholds"]["specificity=0.9"]).mean() >= 0.9
    assert set(model["chosen"]) == {"youden", "specificity=0.9"}
    with pytest.raises(XenograftError, match=r"E-USAGE-24 .*validation"):
        xenograft.evaluate(files["good"], output=tmp_path / "f", **rule)


def test_a_perfect_share_has_an_interval_with_a_width(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "score"])
        writer.writerows([k, ["no", "yes"][k % 2], 0.9 if k % 2 else 0.4 + 0.01 * (k % 40)] for k in range(80))
    record = xenograft.evaluate(path, resamples=60, output=tmp_path / "e").record
    entry = record["models"][0]["scorecard"]["policies"]["fixed"]["metrics"]["recall"]
    assert (entry["value"], entry["high"], entry["method"]) == (1.0, 1.0, "clustered_wilson")
    assert 0.85 < entry["low"] < 0.95
    with (tmp_path / "e" / "results.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert float(row["recall_low"]) == pytest.approx(entry["low"], abs=1e-6)


def test_each_table_is_read_once(
    several_findings: tuple[dict[str, Any], dict[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_from: list[Path] = []
    original = score_sheet.lines_of
    monkeypatch.setattr(score_sheet, "lines_of", lambda source: read_from.append(source) or original(source))
    good = several_findings[1]["good"]
    xenograft.evaluate(good, resamples=40, output=tmp_path / "e")  # test and validation
    assert read_from == [good]
