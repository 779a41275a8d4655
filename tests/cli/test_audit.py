"""``xenograft audit`` from its command line: what it prints, writes, hides, and its exit codes."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path

import cv2
import numpy as np
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
    other = max((data / "train").rglob("*.png"))
    mirrored = np.ascontiguousarray(cv2.imread(str(other), cv2.IMREAD_UNCHANGED)[:, ::-1])
    cv2.imwrite(str(data / "test" / other.parent.name / "P8888_mirrored.png"), mirrored)
    assert run(data, tmp_path) == 0
    assert "<small>one is mirrored left to right</small>" in (tmp_path / "audit" / "index.html").read_text("utf-8")
    with pytest.raises(SystemExit) as ended:
        run(data, tmp_path, "--strict")
    assert ended.value.code == 1
    assert "error" in capsys.readouterr().out


def test_what_identifies_people_stays_out_of_page_json_and_terminal(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of a training image lies in test and in train, so that other checks name it too."""
    source = min((data / "train").rglob("*.png"))
    born, named = "P9999_1965-03-21.png", "P9998_Maria_Gonzalez.png"
    for other in (source.with_name(born), data / "test" / source.parent.name / named):
        shutil.copy(source, other)
    (source.parent / "Anna Smith.png").write_bytes(b"")
    assert run(data, tmp_path, "--patient-regex", r"(P\d+)_", "--catalog", "none") == 0
    with (tmp_path / "audit" / "sensitive.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["where"]).name: row for row in csv.DictReader(file)}
    assert set(rows) == {born, named, "Anna Smith.png"}
    assert {row["code"] for row in rows.values()} == {"A-PHI-01", "A-PHI-02"}
    text = (tmp_path / "audit" / "audit.json").read_text(encoding="utf-8")
    page = (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")
    said = "".join(capsys.readouterr())
    for shown in (text, page, said):
        assert not [name for name in ("1965-03-21", "Gonzalez", "Anna Smith") if name in shown]
    findings = {f["code"]: f for f in json.loads(text)["findings"]}
    assert findings["A-DUP-01"]["severity"] == "error"
    assert {rows[born]["stand_in"], rows[named]["stand_in"]} <= set(findings["A-DUP-01"]["items"][0])
    assert not findings["A-PHI-01"]["items"]
    assert f"<figcaption>{rows[named]['stand_in']}</figcaption>" in page  # with its picture
    assert rows["Anna Smith.png"]["stand_in"] in findings["A-QUAL-01"]["message"]
    assert "sensitive.csv" in said


def test_several_findings_an_image(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    lines = ["path,Mass,Edema"]
    for k, path in enumerate(sorted(data.rglob("*.png"))):
        lines.append(
            f"{path.relative_to(data).as_posix()},{rng.randint(0, 1)},{'' if k % 4 == 0 else rng.randint(0, 1)}"
        )
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    assert run(table, tmp_path, "--images", str(data), "--label-column", "Mass,Edema", "--catalog", "none") == 0
    found = json.loads((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    page = (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")
    assert found["multi_label"]
    assert found["sizes"]["train"]["images"] > found["counts"]["train"]["Edema"]["of"]
    assert "do not add up" in page
    assert f"{found['counts']['train']['Edema']['images']} of {found['counts']['train']['Edema']['of']}" in page
    assert "all images" in page
    assert f" of {found['counts']['test']['Edema']['of']}" in capsys.readouterr().out


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
