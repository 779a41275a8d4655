from __future__ import annotations

from pathlib import Path

import pytest

from xenograft import demonstration
from xenograft.cli.main import main
from xenograft.errors import UsageError


def test_demo_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole demo with fewer and smaller images; the real weights from their package."""
    monkeypatch.setattr(demonstration, "IMAGES", 120)
    monkeypatch.setattr(demonstration, "SIZE", 64)
    output = tmp_path / "demo"
    assert main(["demo", "-o", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert shown.strip().splitlines()[-1].endswith(str(output / "study" / "report" / "index.html"))
    assert (output / "predictions.csv").is_file()
    assert (output / "bundle" / "model.onnx").is_file()


def test_demo_keeps_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="E-USAGE-13"):
        demonstration.demo(tmp_path)


def test_a_demo_that_was_stopped_while_drawing_draws_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "IMAGES", 40)
    monkeypatch.setattr(demonstration, "SIZE", 64)

    class Enough(Exception):  # noqa: N818
        pass

    def stopped(folder: Path, **_options: object) -> Path:
        (folder / "train").mkdir(parents=True)
        (folder / "SYNTHETIC.txt").touch()
        raise Enough

    monkeypatch.setattr(demonstration, "write_phantoms", stopped)
    with pytest.raises(Enough):
        demonstration.demo(tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []
