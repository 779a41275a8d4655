"""``xenograft audit`` from its command line: what it prints, writes, hides, and its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from xenograft.cli.main import main


@pytest.fixture
def data(phantom_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(phantom_folder, tmp_path / "data"))


def run(data: Path, tmp_path: Path, *more: str) -> int:
    return main(["audit", str(data), "-o", str(tmp_path / "audit"), "--cache-dir", str(tmp_path / "cache"), *more])


def test_a_page_and_a_file_for_programs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, tmp_path, "--strict") == 0
    said = capsys.readouterr().out
    assert "0 errors" in said
    assert str(tmp_path / "audit" / "index.html") in said
    page = (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    assert "SYNTHETIC" in page
    assert all(finding["code"] in page for finding in found["findings"])
    assert "<script" not in page
    assert "http" not in page.split("</style>")[1].replace("https://doi.org", "")
    assert not (tmp_path / "audit" / "sensitive.csv").exists()
    severities = [finding["severity"] for finding in found["findings"]]
    order = ["error", "warning", "note", "passed", "not_applicable"]
    assert severities == sorted(severities, key=order.index)


def test_strict_fails_on_an_error(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = min((data / "train").rglob("*.png"))
    shutil.copy(source, data / "test" / source.parent.name / source.name.replace(".png", "9.png"))
    assert run(data, tmp_path) == 0
    with pytest.raises(SystemExit) as ended:
        run(data, tmp_path, "--strict")
    assert ended.value.code == 1
    assert "error" in capsys.readouterr().out


def test_what_identifies_people_stays_out_of_page_and_json(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = min((data / "train").rglob("*.png"))
    other = source.with_name("P9999_1965-03-21.png")
    other.write_bytes(source.read_bytes()[::1])
    assert run(data, tmp_path, "--patient-regex", r"(P\d+)_", "--catalog", "none") == 0
    listed = (tmp_path / "audit" / "sensitive.csv").read_text(encoding="utf-8")
    assert other.name in listed
    findings = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))["findings"]
    dates = [f for f in findings if f["code"].startswith("A-PHI") and f["severity"] == "warning"]
    assert dates
    assert not any(f["items"] for f in dates)
    assert "sensitive.csv" in capsys.readouterr().out


def test_names_are_escaped_on_the_page(data: Path, tmp_path: Path) -> None:
    source = min((data / "train").rglob("*.png"))
    (source.parent / "P9999_<img src=x onerror=alert(1)>.png").write_bytes(b"")
    assert run(data, tmp_path) == 0
    page = (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page


def test_another_folder_is_not_overwritten(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "thesis.txt").write_text("mine", encoding="utf-8")
    assert run(data, tmp_path) == 2
    assert "E-USAGE-13" in capsys.readouterr().err


def test_features_of_a_backbone_are_looked_at(
    data: Path, tmp_path: Path, made_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--backbone", "resnet18", "--weights-dir", str(made_weights), "--offline", "--precision", "f32"]
    assert run(data, tmp_path, *more) == 0
    assert "embedding with ResNet18" in capsys.readouterr().out
    found = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    assert found["features"] == "resnet18"
    reasons = [f["message"] for f in found["findings"] if f["code"].startswith(("A-LABEL", "A-SHIFT"))]
    assert not [reason for reason in reasons if "needs features" in reason]
