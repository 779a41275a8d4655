"""``xenograft robustness`` from a fitted bundle to the page, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import xenograft
from xenograft.cli.main import main


@pytest.fixture(scope="module")
def bundle(phantom_folder: Path, made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "bundle"
    xenograft.fit(
        phantom_folder, output=folder, backbone="resnet18", epochs=2, size=32, resamples=100, weights_dir=made_weights,
        offline=True, cache_dir=tmp_path_factory.mktemp("cache"),
    )  # fmt: skip
    return folder


def test_the_clean_answers_are_those_of_training(
    bundle: Path, phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "robustness"
    command = ["robustness", str(bundle), str(phantom_folder), "--changes", "noise,blur", "--resamples", "100"]
    assert main([*command, "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert f"open this page in a browser: {out / 'index.html'}" in shown
    assert "Images as they are: AUROC" in shown
    record = json.loads((out / "robustness.json").read_text())
    facts = json.loads((bundle / "bundle.json").read_text())
    assert [change["name"] for change in record["changes"]] == ["blur", "noise"]
    assert record["data"]["relation"] == "own"
    assert record["data"]["synthetic"] is True
    assert record["images"] == facts["test"]["n"]
    trained = next(p for p in facts["test"]["policies"].values() if p["threshold"] == facts["threshold"])
    for metric in ("auroc", "accuracy", "loss"):
        assert record["clean"][metric]["value"] == pytest.approx(trained["metrics"][metric]["value"], abs=2e-3)
    assert "Synthetic images" in (out / "index.html").read_text()
    assert main([*command, "-o", str(out)]) == 0  # its own folder may be written again


def test_training_images_are_refused(
    bundle: Path, phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["robustness", str(bundle), str(phantom_folder), "--split", "train", "-o", str(tmp_path / "r")]) == 2
    assert capsys.readouterr().err.startswith("E-DATA-43 ")
    assert main(["robustness", str(bundle), str(phantom_folder / "train"), "-o", str(tmp_path / "r")]) == 2
    assert "in the bundle's training or validation data" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (["--changes", "fog"], "E-USAGE-06"),
        (["--limit", "1"], "E-USAGE-25"),
        (["--frame", "2"], "E-USAGE-25"),
        (["--amount", "2"], "E-DATA-05"),
    ],
)
def test_options_that_cannot_be_used(
    bundle: Path, phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], code: str
) -> None:
    out = tmp_path / "r"
    assert main(["robustness", str(bundle), str(phantom_folder), *extra, "-o", str(out)]) == 2
    assert capsys.readouterr().err.startswith(code)
    assert not out.exists()


def test_other_images_without_splits_are_all_measured_without_torch(bundle: Path, tmp_path: Path) -> None:
    script = f"""
import shutil, sys, xenograft
from pathlib import Path
from xenograft.data.phantom import write_phantoms
made = write_phantoms(Path({str(tmp_path)!r}) / "made", count=60, size=64, seed=8)
flat = Path({str(tmp_path)!r}) / "flat"
for path in made.rglob("*.*"):
    if path.parent.name in ("NORMAL", "PNEUMONIA"):
        target = flat / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
found = xenograft.robustness(
    {str(bundle)!r}, flat, changes="crop", resamples=100, limit=20, output=flat.parent / "out"
)
assert "torch" not in sys.modules
assert callable(xenograft.robustness)  # the module of the verb has not taken its place
print(found.record["images"], found.record["sampled_from"], found.record["data"]["relation"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    images, whole, relation = done.stdout.split()[-3:]
    assert int(images) <= 20
    assert (whole, relation) == ("60", "unseen")
