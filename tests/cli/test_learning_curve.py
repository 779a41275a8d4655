"""``xenograft learning-curve`` through the command line, on phantoms, findings and several classes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xenograft
from xenograft.cli.main import main


@pytest.fixture(scope="module")
def common(made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cache = tmp_path_factory.mktemp("cache")
    return [
        "--backbones", "resnet18", "--epochs", "2", "--size", "32", "--resamples", "100", "--weights-dir",
        str(made_weights), "--offline", "--cache-dir", str(cache),
    ]  # fmt: skip


def test_a_curve_its_answers_and_its_files(
    phantom_folder: Path, tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lc"
    sizes = ["--sizes", "8,14,24,37", "--repeats", "2", "--targets", "0.6"]
    assert main(["learning-curve", str(phantom_folder), *sizes, "-o", str(out), *common]) == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert "ResNet18 probe" in shown
    assert "How many labels? Patients that ResNet18 probe needs for AUROC 0.60:" in shown
    assert f"open this page in a browser: {out / 'index.html'}" in shown
    record = json.loads((out / "learning.json").read_text(encoding="utf-8"))
    assert record["targets"] == [0.6]
    assert len(record["curves"][0]["points"]) == 4
    assert main(["learning-curve", str(phantom_folder), *sizes, "-o", str(out), *common]) == 0
    assert len(json.loads((out / "learning.json").read_text(encoding="utf-8"))["commands"]) == 1
    assert "8 of 8 points were made before and are kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--sizes", "10,many"], "E-USAGE-11"),
        (["--sizes", "1000"], "E-USAGE-11"),
        (["--sizes", "1"], "E-USAGE-11"),
        (["--targets", "90"], "E-USAGE-11"),
        (["--repeats", "0"], "E-USAGE-11"),
        (["--least-steps", "0"], "E-USAGE-11"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    phantom_folder: Path, tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str], options: list[str],
    code: str,
) -> None:  # fmt: skip
    assert main(["learning-curve", str(phantom_folder), *options, "-o", str(tmp_path / "x"), *common]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(code)
    assert len(shown.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_folder_of_something_else_is_left_alone(phantom_folder: Path, tmp_path: Path, common: list[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["learning-curve", str(phantom_folder), "-o", str(tmp_path), *common]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_settings_of_a_study_that_make_no_curve_are_refused(phantom_folder: Path) -> None:
    with pytest.raises(ValueError, match="not folds, seeds"):
        xenograft.learning_curve(phantom_folder, seeds=3, folds=2)


def images(folder: Path, labels: list[str]) -> Path:
    """A table of made images, one a patient, whose brightness follows the first letter of the label."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for number, label in enumerate(labels):
        bright = 40 + 50 * ("abc".find(label[0]) + 1)
        pixels = rng.integers(bright, bright + 60, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append([f"{number}.png", label, f"p{number}"])
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label", "patient"], *rows])
    return folder / "labels.csv"


def test_several_classes(tmp_path: Path, common: list[str]) -> None:
    table = images(tmp_path / "images", ["a", "b", "c"] * 40)
    output = ["--repeats", "2", "-o", str(tmp_path / "lc")]
    assert main(["learning-curve", str(table), *output, *common]) == 0
    record = json.loads((tmp_path / "lc" / "learning.json").read_text(encoding="utf-8"))
    assert record["data"]["classes"] == ["a", "b", "c"]
    assert len(record["curves"][0]["points"]) >= 3
    assert "mean AUROC over 3 classes" in (tmp_path / "lc" / "index.html").read_text(encoding="utf-8")


def test_several_findings(tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    table = images(tmp_path / "images", ["a|b", "b", "No Finding", "a"] * 30 + ["c"] * 12)
    output = ["--sizes", "10,20,60", "--repeats", "2", "-o", str(tmp_path / "lc")]
    assert main(["learning-curve", str(table), *output, *common]) == 0
    record = json.loads((tmp_path / "lc" / "learning.json").read_text(encoding="utf-8"))
    assert record["data"]["multi_label"] is True
    assert "mean AUROC over 3 findings" in capsys.readouterr().out
