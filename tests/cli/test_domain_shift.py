"""``xenograft domain-shift`` through the command line; `evaluate` reads its predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xenograft.cli.main import main


def domain(folder: Path, *, seed: int, classes: int = 2) -> Path:
    """Folders split/class of made images."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", 14), ("test", 8)):
        for k in range(classes):
            place = folder / split / "abc"[k]
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(40 * k, 120 + 40 * k, (32, 32), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{folder.name}{split}{k}{number}.png")
    return folder


@pytest.fixture(scope="module")
def common(made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [
        "--backbones", "resnet18", "--epochs", "1", "--size", "32", "--resamples", "100", "--weights-dir",
        str(made_weights), "--offline", "--cache-dir", str(tmp_path_factory.mktemp("cache")), "--seeds", "1",
    ]  # fmt: skip


def test_a_report_its_files_and_evaluate(tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    places = [str(domain(tmp_path / name, seed=seed)) for seed, name in enumerate(("ours", "theirs"))]
    out = tmp_path / "shift"
    assert main(["domain-shift", *places, "-o", str(out), *common]) == 0
    shown = capsys.readouterr().out
    for words in ("not adapted", "AdaBN changes AUROC", "CORAL changes AUROC", "trained on the target", "in a browser"):
        assert words in shown
    stem = "predictions/resnet18-probe-lr1-coral-seed0"
    tables = [str(out / f"{stem}-target.csv"), "--validation", str(out / f"{stem}-validation.csv")]
    assert main(["evaluate", *tables, "--resamples", "100", "-o", str(tmp_path / "evaluation")]) == 0


def test_three_classes(tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    places = [str(domain(tmp_path / name, seed=seed, classes=3)) for seed, name in enumerate(("ours", "theirs"))]
    options = ["--adapt", "coral", "--keep-means", "--no-reference", "-o", str(tmp_path / "shift")]
    assert main(["domain-shift", *places, *options, *common]) == 0
    shown = capsys.readouterr().out
    assert "Accuracy of the most probable class" in shown
    assert "trained on the target" not in shown


def test_a_mistake_is_one_line(tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    place = str(domain(tmp_path / "ours", seed=0))
    assert main(["domain-shift", place, place, "--adapt", "x", "-o", str(tmp_path / "shift"), *common]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("E-USAGE-37")
    assert len(shown.splitlines()) == 1
