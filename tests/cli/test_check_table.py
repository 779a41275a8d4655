"""``xenograft check-table`` from its command line: what it prints and writes, and its one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xenograft.cli.main import main

SIZES = ["--positives", "390", "--negatives", "234"]
TABLE = """\
model,arm,test_loss,accuracy_pct,precision_pct,recall_pct,f1,g_mean
[ResNet18],scratch,0.272,89.6,90.1,93.6,0.918,0.894
[ResNet18],transfer,0.168,93.1,91.2,98.5,0.947,0.904
ShuffleNet v2,scratch,0.473,78.2,79.8,87.2,0.833,0.788
ShuffleNet v2,transfer,0.354,91.2,91.0,95.4,0.931,0.908
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    source = tmp_path / "table.csv"
    source.write_text(TABLE, encoding="utf-8")
    return source


def test_one_row_with_what_was_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-table", "--accuracy", "93.1", "--ppv", "91.2", "--sensitivity", "98.5", *SIZES]) == 0
    shown = capsys.readouterr().out
    assert "agree with exactly one confusion matrix." in shown
    assert "TP 384, FP 37, FN 6, TN 197" in shown
    lines = {line.split("  ")[0]: line for line in shown.splitlines()}
    assert "0.842" in lines["specificity"]  # 197 of 234
    assert "0.790 to 0.883" in lines["specificity"]  # Wilson
    assert "98.5" in lines["sensitivity (recall)"]
    for name in ("NPV", "MCC", "balanced accuracy", "G-mean", "F1"):
        assert " to " in lines[name]
    assert "several images a patient make them too narrow" in shown


def test_a_row_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    row = ["--accuracy", "93.1", "--precision", "91.2", "--recall", "98.5", "--g-mean", "0.904"]
    assert main(["check-table", *row, *SIZES]) == 0
    shown = capsys.readouterr().out
    assert "No confusion matrix gives these numbers. They are possible without G-mean." in shown
    assert "TP 384, FP 37, FN 6, TN 197 without G-mean" in shown


def test_a_row_of_averages_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    row = ["--accuracy", "91.03", "--precision", "91.07", "--recall", "89.66", "--f1", "90.27"]
    assert main(["check-table", *row, *SIZES]) == 0
    assert "All are possible if they are plain means over both classes (macro)." in capsys.readouterr().out


def test_many_possible_counts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-table", "--accuracy", "93.1", *SIZES]) == 0
    shown = capsys.readouterr().out
    assert "agree with 44 confusion matrices" in shown
    assert "and 40 more" in shown


def test_a_table_with_its_comparisons(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.json"
    assert main(["check-table", str(table), *SIZES, "--within", "model", "--ignore", "g_mean", "-o", str(target)]) == 0
    shown = capsys.readouterr().out
    assert "[ResNet18] transfer" in shown  # not taken as markup
    assert "384/37/6/197" in shown
    assert "0 impossible as printed" in shown
    assert "not looked at: test_loss, g_mean" in shown
    assert "2 pairs within model; p adjusted for all of them (Holm)" in shown
    line = next(
        line for line in shown.splitlines() if line.startswith("ShuffleNet v2 scratch - ShuffleNet v2 transfer")
    )
    assert "-13.0" in line
    assert line.rstrip().endswith("beyond")
    assert str(target) in shown
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["comparisons"]["count"] == 2
    assert written["rows"][1]["readings"][0]["counts"] == [{"tp": 384, "fp": 37, "fn": 6, "tn": 197}]


def test_impossible_rows_are_marked(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-table", str(table), *SIZES]) == 0
    shown = capsys.readouterr().out
    assert "4 impossible as printed" in shown
    assert "for g mean" in shown
    assert "6 pairs;" in shown


def test_long_lists_of_pairs_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "t.csv"
    source.write_text("model,accuracy\n" + "".join(f"m{i},{80 + i}.0\n" for i in range(9)), encoding="utf-8")
    assert main(["check-table", str(source), "--positives", "100", "--negatives", "100", "--digits", "1"]) == 0
    assert "and 11 less sure ones" in capsys.readouterr().out


def test_names_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "t.csv"
    source.write_text("model,accuracy\n\x1b[31mA,90.1\nB,80.1\n", encoding="utf-8")
    assert main(["check-table", str(source), *SIZES]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"\x1b[31mA - B" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "E-USAGE-23"),
        (["TABLE", "--accuracy", "90.1"], "E-USAGE-23"),
        (["TABLE", "--digits", "one"], "E-USAGE-23"),
        (["TABLE", "--digits", "f1=x"], "E-USAGE-23"),
        (["TABLE", "--digits", "mcc=2"], "E-USAGE-23"),
        (["TABLE", "--within", "backbone"], "E-USAGE-23"),
        (["TABLE", "--ignore", "mcc"], "E-USAGE-23"),
        (["nothing.csv"], "E-DATA-41"),
        (["--accuracy", "about 90"], "E-DATA-42"),
        (["--accuracy", "90.1", "--level", "1.5"], "E-DATA-05"),
        (["--accuracy", "90.1", "--positives", "0"], "E-DATA-05"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: str, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(table) if argument == "TABLE" else argument for argument in arguments]
    assert main(["check-table", *SIZES, *given]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(code + " ")
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check-table", "--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "xenograft check-table" in shown
