"""Each verb once, through the command line, on phantoms."""

from __future__ import annotations

from pathlib import Path

import pytest

from xenograft.cli.main import main


@pytest.fixture(scope="module")
def common(made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cache = tmp_path_factory.mktemp("cache")
    return [
        "--epochs", "2", "--size", "32", "--resamples", "100", "--weights-dir", str(made_weights), "--offline",
        "--cache-dir", str(cache),
    ]  # fmt: skip


def test_compare_then_report(
    phantom_folder: Path, tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "study.toml"
    config.write_text(f'data = "{phantom_folder}"\nbackbones = "resnet18"\nrecipes = "scratch"\nseeds = 5\n')
    arguments = ["compare", "--config", str(config), "--recipes", "probe,random", "--seeds", "1"]
    assert main([*arguments, "-o", str(tmp_path / "study"), *common]) == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert "ResNet18" in shown
    assert "probe - random: AUROC" in shown
    page = tmp_path / "study" / "report" / "index.html"
    assert f"open this page in a browser: {page}" in shown
    page.unlink()
    assert main(["report", str(tmp_path / "study")]) == 0
    assert page.is_file()


def test_fit_then_predict(
    phantom_folder: Path, tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, answers = tmp_path / "bundle", tmp_path / "p.csv"
    assert main(["fit", str(phantom_folder), "--backbone", "resnet18", "-o", str(bundle), *common]) == 0
    assert "within" in capsys.readouterr().out
    broken = tmp_path / "broken.png"
    broken.touch()
    assert main(["predict", str(bundle), str(phantom_folder / "test"), str(broken), "-o", str(answers)]) == 0
    shown = capsys.readouterr().out
    assert "1 files could not be read" in shown
    assert answers.read_text().startswith("path,prediction,p_NORMAL,p_PNEUMONIA,threshold,error")


def test_weights_list_and_verify(made_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list", "--backbones", "resnet18,resnet50", "--weights-dir", str(made_weights)]) == 0
    shown = capsys.readouterr().out
    assert "resnet18.imagenet1k.safetensors" in shown
    assert "resnet50-0676ba61.pth  from https://" in shown
    assert main(["weights", "verify", "--backbones", "resnet18", "--weights-dir", str(made_weights)]) == 0
    assert "unlisted" in capsys.readouterr().out


def test_weights_verify_fails_on_a_foreign_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"not the weights")
    assert main(["weights", "verify", "--backbones", "resnet18", "--weights-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("E-MODEL-04 resnet18")


def test_doctor_without_rates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--no-rates"]) == 0
    shown = capsys.readouterr().out
    for word in ("machine", "embedding", "training", "cache", "efficientnet_lite0", "advice:"):
        assert word in shown
    assert "forecast" not in shown


def test_doctor_measures_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = ["--cache-dir", str(tmp_path)]
    assert main(["doctor", "--backbones", "squeezenet1_1", "--seconds", "0.2", *cache]) == 0
    shown = capsys.readouterr().out
    assert "5,840 images" in shown
    assert "forecast: about" in shown
    assert "embedding: rates measured on this machine" in shown
    assert "xenograft doctor --training measures" in shown
    assert (tmp_path / "rates.json").is_file()


def test_doctor_measures_training_and_counts_files(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xenograft.study import measure_rates

    monkeypatch.setattr(measure_rates, "measure_embedding", lambda *_, **__: 60.0)
    monkeypatch.setattr(measure_rates, "measure_training", lambda *_, **__: 4.0)
    cache = ["--cache-dir", str(tmp_path), "--backbones", "resnet18,mobilenet_v2"]
    assert main(["doctor", str(phantom_folder), "--training", *cache]) == 0
    shown = capsys.readouterr().out
    assert "120 images" in shown
    assert "mobilenet_v2: training measured" in shown
    assert "by backbone: " in shown
    assert "rates measured on this machine" in shown
    assert main(["doctor", str(phantom_folder), "--no-rates", *cache]) == 0
    assert "rates measured on this machine" in capsys.readouterr().out
    other = ["--engine", "torch", "--precision", "f32"]  # nothing was measured with it
    assert main(["doctor", str(phantom_folder), "--no-rates", *other, *cache]) == 0
    assert "no rate was measured on this machine yet" in capsys.readouterr().out


@pytest.mark.parametrize("made", [False, True])
def test_doctor_refuses_a_folder_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str], made: bool) -> None:
    folder = tmp_path / "images"
    if made:
        folder.mkdir()
    assert main(["doctor", str(folder), "--no-rates"]) == 2
    assert capsys.readouterr().err.startswith("E-DATA-06 ")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "ten"])
def test_doctor_refuses_seconds_that_are_none(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--seconds", seconds])
    assert stop.value.code == 2
    assert "--seconds" in capsys.readouterr().err
