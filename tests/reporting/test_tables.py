"""Tables: numbers equal the records; CSV and LaTeX are well formed."""

from __future__ import annotations

import copy
import csv
import dataclasses
import re
from pathlib import Path

import pytest

from xenograft.reporting import published, tables
from xenograft.reporting.groups import View
from xenograft.reporting.style import backbone_name
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table, latex_text
from xenograft.storage import write_csv
from xenograft.study.chosen import arms_of
from xenograft.study.record import Study

from .makers import make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = make_study(
        tmp_path_factory.mktemp("tables") / "study",
        backbones=("resnet18", "inception_v3"),
        scales=(1.0, 0.1),
        n=60,
        epochs=2,
        examples=0,
    )
    values = {0: (0.90, 0.80, 1.00), 1: (0.80, 0.70, 0.90), 2: (0.70, 0.66, 0.86)}
    for run in study.runs:
        if run.id.startswith("resnet18-probe") and run.lr_scale == 1.0:
            value, low, high = values[run.seed]
            run.test["policies"]["fixed"]["metrics"]["auroc"] = {"value": value, "low": low, "high": high}
    return study


def with_arms(study: Study) -> Study:
    """With results of every arm: those of its first run, but for one, which has an interval of its own."""
    rows = []
    for key, runs in arms_of(study.runs).items():
        test = copy.deepcopy(runs[0].test)
        if key == ("resnet18", "probe", 1.0):
            test["policies"]["fixed"]["metrics"]["auroc"] = {"value": 0.8, "low": 0.741, "high": 0.877}
        rows.append({**key._asdict(), "runs": [run.id for run in runs], "test": test, "variation": {}})
    return dataclasses.replace(study, record=dataclasses.replace(study.record, arms=rows))


def read(table: Table, folder: Path) -> list[dict[str, str]]:
    header, rows = table.csv()
    with write_csv(folder / "t.csv", header, rows).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_results_equal_the_records_by_hand(study: Study, tmp_path: Path) -> None:
    table = tables.results(View.of(with_arms(study)))[0]
    row = next(r for r in read(table, tmp_path) if r["recipe"] == "probe" and r["block"] == "fixed")
    assert float(row["auroc"]) == pytest.approx(0.80)  # (0.9 + 0.8 + 0.7) / 3
    assert float(row["auroc_low"]) == pytest.approx(0.741)  # of the mean over runs, as the arm's record has it
    assert float(row["auroc_high"]) == pytest.approx(0.877)
    assert float(row["auroc_seed_sd"]) == pytest.approx(0.1)
    assert row["seeds"] == "3"
    cells = next(r.cells for r in table.blocks[0].rows if r.cells[1].text == "probe")
    place = [column.label for column in table.columns].index("AUROC")
    assert (cells[place].text, cells[place].notes) == ("0.800", ("0.741–0.877", "SD 0.100"))


def test_each_table_holds_its_learning_rate_and_model(study: Study, tmp_path: Path) -> None:
    found = {table.name: read(table, tmp_path) for table in tables.results(View.of(study))}
    full, tenth, inception = "table-results", "table-results-lr0.1", "table-results-inception"
    assert list(found) == [full, tenth, inception]
    assert {r["lr_scale"] for r in found[full]} == {"1.0"}
    assert {r["lr_scale"] for r in found[tenth]} == {"0.1"}
    assert {r["backbone"] for r in found[full] + found[tenth]} == {"ResNet18"}
    assert {r["backbone"] for r in found[inception]} == {"Inception v3"}
    assert {r["lr_scale"] for r in found[inception]} == {"1.0", "0.1"}


def test_runs_are_called_by_what_they_differ_in(tmp_path: Path) -> None:
    for folds, seeds, words in ((0, 3, "3 seeds"), (3, 1, "3 folds"), (2, 2, "4 runs")):
        options = {"backbones": ("resnet18",), "recipes": ("probe",), "n": 40, "epochs": 1, "examples": 0}
        study = make_study(tmp_path / f"{folds}{seeds}", folds=folds, seeds=seeds, **options)
        table = tables.results(View.of(study))[0]
        assert table.blocks[0].rows[0].cells[1].notes == (words,)
        assert ("over seeds" in table.caption) == (folds == 0)


def test_a_rule_that_was_asked_for_is_told_in_words(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", backbones=("resnet18",), seeds=1, n=40, epochs=1, examples=0)
    for run in study.runs:
        run.test["policies"]["sensitivity=0.95"] = {**run.test["policies"]["youden"], "threshold": 0.25}
    heading = tables.results(View.of(study))[0].blocks[-1].heading
    assert heading == "Threshold chosen on validation images (sensitivity of at least 0.95): 0.250"


def test_both_threshold_policies_are_blocks(study: Study) -> None:
    blocks = tables.results(View.of(study))[0].blocks
    assert [block.key for block in blocks] == ["fixed", "youden"]
    assert "0.410 to 0.450" in blocks[1].heading


def test_two_seeds_are_listed_and_one_has_no_spread(tmp_path: Path) -> None:
    for seeds, lines in ((2, 2), (1, 1)):
        view = View.of(make_study(tmp_path / str(seeds), backbones=("resnet18",), seeds=seeds, n=40, examples=0))
        cell = tables.results(view)[0].blocks[0].rows[0].cells[3]
        assert len(cell.notes) == lines
        assert cell.raw[3] is None


def test_published_rows_stand_only_beside_the_paper_s_data(study: Study, tmp_path: Path) -> None:
    assert all(r["source"] == "this study" for t in tables.results(View.of(study)) for r in read(t, tmp_path))
    study.record.data["catalog"] = "chest_xray"
    try:
        found = [
            (t.name, r["backbone"], r["recipe"], r["lr_scale"], float(r["accuracy"]), float(r["f1"]))
            for t in tables.results(View.of(study))
            for r in read(t, tmp_path)
            if r["source"] == "Gu & Lee 2024"
        ]
    finally:
        study.record.data["catalog"] = None
    assert found == [
        ("table-results", "ResNet18", "scratch", "1.0", 0.896, 0.918),
        ("table-results", "ResNet18", "transfer", "1.0", 0.931, 0.947),
        ("table-results-lr0.1", "ResNet18", "scratch", "0.1", 0.891, 0.914),
        ("table-results-lr0.1", "ResNet18", "transfer", "0.1", 0.926, 0.944),
        ("table-results-inception", "Inception v3", "scratch", "1.0", 0.912, 0.933),
        ("table-results-inception", "Inception v3", "transfer", "1.0", 0.933, 0.948),
    ]


@pytest.mark.parametrize(
    ("name", "recipe", "scale", "loss"),
    [
        ("resnext50_32x4d", "probe", 1.0, 0.190),
        ("wide_resnet50_2", "scratch", 0.1, 0.305),
        ("shufflenet_v2_x1_0", "probe", 1.0, 0.354),
        ("densenet161", "full", 1.0, None),
        ("resnet18", "probe", 0.5, None),
        ("timm:resnet18.a1_in1k", "probe", 1.0, None),
    ],
)
def test_published_row_is_found_by_model_arm_and_rate(name: str, recipe: str, scale: float, loss: float | None) -> None:
    row = published.find(name, recipe, scale)
    assert (row.metrics["loss"] if row else None) == loss


def test_counts_shares_and_totals(tmp_path: Path) -> None:
    counts = {
        "train": {"normal": {"images": 25, "patients": 20}, "pneumonia": {"images": 75, "patients": 30}},
        "test": {"normal": {"images": 4, "patients": 3}, "pneumonia": {"images": 6, "patients": 5}},
    }
    study = make_study(tmp_path / "s", backbones=("resnet18",), seeds=1, n=40, examples=0, data={"counts": counts})
    table = tables.counts(View.of(study))
    assert table is not None
    texts = [[cell.text for cell in row.cells] for row in table.blocks[0].rows]
    assert texts[1] == ["pneumonia", "75 (75.0 %)", "30", "6 (60.0 %)", "5"]
    assert texts[2][:3] == ["All", "100", "–"]
    assert texts[2][4] == str(study.runs[0].test["patients"])


def test_differences_are_read_by_their_adjusted_p(study: Study, tmp_path: Path) -> None:
    table = tables.differences(View.of(study))
    assert table is not None
    rows = read(table, tmp_path)
    assert len(rows) == len(study.record.comparisons)
    assert {row["block"] for row in rows} == {"recipes", "backbones"}
    assert {row["comparisons"] for row in rows} == {str(sum(r["metric"] == "auroc" for r in rows))}
    for row in rows:
        assert (row["reading"] == "no difference shown") == (float(row["p_holm"]) > 0.05)
        if row["reading"] != "no difference shown":
            higher = "a" if float(row["difference"]) > 0 else "b"
            name = row[f"recipe_{higher}"] if row["block"] == "recipes" else backbone_name(row[f"backbone_{higher}"])
            assert row["reading"] == f"{name} higher"
    assert {row["reading"] != "no difference shown" for row in rows} == {True, False}


def test_timings_add_up(study: Study) -> None:
    total = tables.timings(View.of(study)).blocks[0].rows[-1]
    expected = sum(sum(run.timings.values()) for run in study.runs)
    assert total.cells[-2].raw == (pytest.approx(expected),)


def test_classes_have_their_own_table(tmp_path: Path) -> None:
    study = make_study(
        tmp_path / "s", backbones=("resnet18",), recipes=("probe",), seeds=1, classes=("a", "b", "c"), n=60, examples=0
    )
    table = tables.classwise(View.of(study))
    assert table is not None
    row = read(table, tmp_path)[2]
    assert row["class"] == "c"
    assert float(row["recall"]) == pytest.approx(study.runs[0].test["per_class"]["2"]["recall"]["value"], abs=1e-6)


def test_every_csv_is_rectangular_and_every_latex_row_complete(study: Study) -> None:
    view = View.of(study)
    made = [*tables.results(view), tables.timings(view), tables.runs(view), tables.settings(view)]
    made += [t for t in (tables.counts(view), tables.differences(view), tables.weights(view)) if t]
    for table in made:
        header, rows = table.csv()
        assert {len(row) for row in rows} == {len(header)}
        lines = [line for line in table.latex().splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(table.columns) - 1}
        plain = re.sub(r"\\\\|\\[{}]", "", table.latex())  # without line breaks and escaped braces
        assert plain.count("{") == plain.count("}")


def test_latex_escapes_every_special_character() -> None:
    assert latex_text("50 % of a_b & $c$ #1 {x} ~ ^ \\") == (
        r"50 \% of a\_b \& \$c\$ \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert latex_text("95\u00a0% CI") == r"95 \% CI"
    assert latex_text("<b> −1 × 2") == r"\textless{}b\textgreater{} \ensuremath{-}1 \ensuremath{\times} 2"


def test_csv_neutralises_formulas(tmp_path: Path) -> None:
    table = Table("t", "t", "", (Column("Name", words=True),), (Block("", (Row((Cell("=HYPERLINK(1)"),)),)),))
    assert read(table, tmp_path) == [{"Name": "'=HYPERLINK(1)"}]
