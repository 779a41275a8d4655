"""``xenograft rank`` through the command line, on phantoms with a made network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xenograft.cli.main import main


def call(data: Path, weights: Path, output: Path, *options: str) -> int:
    common = ["--weights-dir", str(weights), "--offline", "--size", "32", "--backbones", "resnet18", "--resamples", "4"]
    return main(["rank", str(data), "-o", str(output), *common, *options])


def test_a_ranking_shows_its_table_and_its_choice(
    phantom_folder: Path, made_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(phantom_folder, made_weights, tmp_path / "r", "--limit", "40", "--score", "logme") == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert "LogME (95 % CI)" in shown
    assert "ResNet18 was chosen: it is the only candidate" in shown
    assert "nothing to compare it with" in shown
    assert f"open this page in a browser: {tmp_path / 'r' / 'index.html'}" in shown
    record = json.loads((tmp_path / "r" / "ranking.json").read_text(encoding="utf-8"))
    assert record["score"] == "logme"
    assert record["data"]["images"] <= 40 < record["data"]["of_images"]


def test_a_misspelt_score_is_one_line(
    phantom_folder: Path, made_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(phantom_folder, made_weights, tmp_path / "r", "--score", "logmee") == 2
    error = capsys.readouterr().err
    assert "E-USAGE-35" in error
    assert "did you mean 'logme'?" in error
    assert not (tmp_path / "r").exists()
