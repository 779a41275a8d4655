"""Cells of a published table as numbers with digits, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from xenograft.errors import DataError, UsageError, XenograftError
from xenograft.evaluation.recovered import Printed
from xenograft.reporting.printed_table import read_cells, read_rows


def read(tmp_path: Path, text: str) -> list[dict[str, str]]:
    source = tmp_path / "table.csv"
    source.write_text(text, encoding="utf-8")
    return read_cells(source)


def close(number: Printed, value: float, step: float) -> bool:
    return number.value == pytest.approx(value, abs=1e-15) and number.step == pytest.approx(step, rel=1e-9)


def test_per_cent_and_fractions_in_one_table(tmp_path: Path) -> None:
    cells = read(tmp_path, "model,arm,test_loss,Test Accuracy (%),Sensitivity,F1-score\nA,x,0.3,93.1,98.5%,0.947\n")
    table = read_rows(cells)
    (row,) = table.rows
    assert row.name == "A x"
    assert row.labels == {"model": "A", "arm": "x"}
    assert table.ignored == ("test_loss",)
    assert list(row.printed) == ["accuracy", "recall", "f1"]
    assert close(row.printed["accuracy"], 0.931, 0.001)
    assert close(row.printed["recall"], 0.985, 0.001)
    assert close(row.printed["f1"], 0.947, 0.001)
    assert row.texts == {"accuracy": "93.1", "recall": "98.5%", "f1": "0.947"}


def test_zeros_that_a_spreadsheet_dropped_count_as_printed(tmp_path: Path) -> None:
    cells = read(tmp_path, "model,accuracy,recall\nA,93,0.9\nB,93.1,0.912\nC,90,-\n")
    rows = read_rows(cells).rows
    assert close(rows[0].printed["accuracy"], 0.93, 0.001)
    assert close(rows[0].printed["recall"], 0.9, 0.001)
    assert "recall" not in rows[2].printed
    wide = read_rows(cells, digits={"acc": 2}).rows[0]
    assert close(wide.printed["accuracy"], 0.93, 0.0001)
    assert close(read_rows(cells, digits=3).rows[0].printed["recall"], 0.9, 0.001)


def test_semicolons_with_decimal_commas_and_a_byte_order_mark(tmp_path: Path) -> None:
    source = tmp_path / "table.csv"
    source.write_text("model;accuracy;MCC\nA;93,1;-0,25\n", encoding="utf-8-sig")
    (row,) = read_rows(read_cells(source)).rows
    assert close(row.printed["accuracy"], 0.931, 0.001)
    assert close(row.printed["mcc"], -0.25, 0.01)


def test_rows_are_named_by_text_and_whole_numbers(tmp_path: Path) -> None:
    cells = read(tmp_path, "table,model,accuracy\n2,A,90.1\n2,A,90.2\n3,A,90.3\n")
    assert [row.name for row in read_rows(cells).rows] == ["2 A (row 1)", "2 A (row 2)", "3 A"]
    assert read_rows([{"accuracy": "0.91"}]).rows[0].name == "row 1"


def test_metrics_can_be_ignored() -> None:
    cells = [{"model": "A", "accuracy": 0.91, "G-Mean": 0.904}]
    table = read_rows(cells, ignore=["g_mean"])
    assert list(table.rows[0].printed) == ["accuracy"]
    assert table.ignored == ("G-Mean",)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "E-DATA-41", "0 rows"),
        ("model,accuracy\n", "E-DATA-41", "0 rows"),
        ("model,auroc\nA,0.95\n", "E-DATA-41", "no column is a metric"),
        ("model,acc,accuracy\nA,90.1,90.1\n", "E-DATA-41", "both accuracy"),
        ("model,accuracy,accuracy\nA,90.1,90.1\n", "E-DATA-41", "two columns"),
        ("model,accuracy\nA,90.1,7\n", "E-DATA-41", "row 1 has 3 cells"),
        ('model,accuracy\n"A,90.1\n', "E-DATA-41", "CSV"),
        ("model,accuracy\nA,90.1 (2.3)\n", "E-DATA-42", "no number"),
        ("model,accuracy\nA,190.1\n", "E-DATA-42", "out of range"),
        ("model,accuracy\nA,-90.1\n", "E-DATA-42", "out of range"),
        ("model,accuracy\nA,1\n", "E-DATA-42", "no decimals"),
        ("model,accuracy\nA,0.9100001\n", "E-DATA-42", "more digits"),
        ("model,accuracy,recall\nA,90.1,80.1\nB,,-\n", "E-DATA-42", "row 2 "),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path, text: str, code: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_rows(read(tmp_path, text))
    assert error.value.code == code
    assert "\n" not in str(error.value)


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="E-DATA-41"):
        read_cells(tmp_path / "nothing.csv")
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"model,accuracy\n\xff\xfe")
    with pytest.raises(DataError, match="offset 15"):
        read_cells(binary)
    with pytest.raises(DataError, match="201 rows"):
        read(tmp_path, "accuracy\n" + "90.1\n" * 201)


@pytest.mark.parametrize(
    "options", [{"digits": 0}, {"digits": 9}, {"digits": {"f1": 3}}, {"ignore": ["f1"]}, {"ignore": ["acc"]}]
)
def test_unusable_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(XenograftError, match="E-USAGE-23") as error:
        read_rows([{"accuracy": "90.1"}], **options)
    assert isinstance(error.value, UsageError)
