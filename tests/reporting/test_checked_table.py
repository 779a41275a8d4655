"""A table of published rows, checked whole: the paper's own, comparisons, JSON."""

from __future__ import annotations

import csv
import importlib.util
import json
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest

import xenograft
from xenograft.errors import UsageError
from xenograft.reporting.published import rows as published

SIZES = {"positives": 390, "negatives": 234}
ROOT = Path(__file__).resolve().parents[2]


def paper(table: str) -> list[dict[str, str]]:
    text = resources.files("xenograft.reporting").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    return [row for row in csv.DictReader(text.splitlines()) if row["table"] == table]


def test_table_2_without_its_g_mean_has_one_confusion_matrix_a_row() -> None:
    found = xenograft.check_table(paper("2"), ignore=["g_mean"], within=["model"], **SIZES)
    assert all(row.recovery.possible and len(row.recovery.counts) == 1 for row in found.rows)
    for row, printed in zip(found.rows, published(), strict=False):
        for name in ("accuracy", "precision", "recall", "f1"):
            assert row.estimates[name].least == pytest.approx(printed.metrics[name], abs=0.00051)
    assert len(found.pairs) == 7
    assert {found.rows[pair.a].row.labels["arm"] for pair in found.pairs} == {"scratch"}


def test_verdicts_follow_the_adjusted_range() -> None:
    rows = [{"model": m, "accuracy": a} for m, a in (("A", "95.0"), ("B", "94.6"), ("C", "80.0"), ("D", "93.2"))]
    found = xenograft.check_table(rows, positives=500, negatives=500)
    verdicts = {(found.rows[p.a].row.name, found.rows[p.b].row.name): p.verdict for p in found.pairs}
    assert verdicts["A", "C"] == "beyond"
    assert verdicts["A", "B"] == "within"
    assert verdicts["A", "D"] == "depends"
    for pair in found.pairs:
        of = pair.pair
        assert of.best <= of.unpaired <= of.worst
        assert pair.best >= of.best
        assert pair.worst >= of.worst
        assert pair.best <= 6 * of.best
        assert of.low <= of.least <= of.most <= of.high


def test_an_impossible_row_is_compared_by_its_accuracy() -> None:
    rows = [{"accuracy": "90.0", "recall": "10.0", "specificity": "20.0"}, {"accuracy": "50.0"}, {"recall": "0.90"}]
    found = xenograft.check_table(rows, positives=100, negatives=90)
    first = found.rows[0].recovery
    assert [reading.left_out for reading in first.readings] == [("accuracy",)]
    (pair,) = found.pairs
    assert (pair.a, pair.b) == (0, 1)
    assert pair.pair.least == pytest.approx(0.4)  # not the 15 % of its recall and specificity
    assert found.not_compared == ("row 3",)


def test_only_rows_alike_are_compared() -> None:
    found = xenograft.check_table(paper("2"), ignore=["g_mean"], within=["arm"], **SIZES)
    assert len(found.pairs) == 2 * 21
    with pytest.raises(UsageError, match=r"E-USAGE-23.*backbone"):
        xenograft.check_table(paper("2"), within=["backbone"], **SIZES)


def test_json_holds_all_of_it(tmp_path: Path) -> None:
    target = tmp_path / "table.json"
    rows = [{"model": "A", "accuracy": "62.5", "recall": "0.000"}, {"model": "B", "accuracy": "99.99"}]
    found = xenograft.check_table(rows, output=target, **SIZES)
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(found.as_json()))
    assert [row["possible"] for row in written["rows"]] == [False, False]
    assert written["rows"][0]["printed"] == {"accuracy": "62.5", "recall": "0.000"}
    assert written["comparisons"]["count"] == 0
    assert written["comparisons"]["not_compared"] == ["B"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    target = tmp_path / "row.json"
    xenograft.check_table([{"accuracy": "37.5", "recall": "0.0%", "specificity": "100.0"}], output=target, **SIZES)
    row = json.loads(target.read_text(encoding="utf-8"))["rows"][0]
    assert row["readings"][0]["counts"] == [{"tp": 0, "fp": 0, "fn": 390, "tn": 234}]
    assert row["metrics"]["precision"]["interval"] == [None, None]


def test_the_example_of_the_docstring() -> None:
    found = xenograft.check_table([{"accuracy": "93.1", "precision": "91.2", "recall": "98.5"}], **SIZES)
    assert found.rows[0].recovery.counts.tolist() == [[384, 37, 6, 197]]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published_table", ROOT / "scripts" / "published_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page() -> str:
    return (ROOT / "docs" / "published-table.md").read_text(encoding="utf-8")


def test_the_page_holds_the_rows_that_the_tool_finds() -> None:
    found = xenograft.check_table(paper("4"), ignore=["g_mean"], **SIZES)
    assert script().row_table(found, "4") in page()
    assert "384 / 36 / 6 / 198" in page()


@pytest.mark.nightly
def test_the_whole_page_holds_what_the_tool_says() -> None:
    assert script().filled(page()) == page()
