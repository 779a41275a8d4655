"""``xenograft similarity`` through the command line, and its function."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest

import xenograft
from xenograft.cli.main import main
from xenograft.comparing_sets import _call
from xenograft.study import similarity_measures
from xenograft.study.config import make_config
from xenograft.study.similarity_plan import SimilarityPlan

from ..study.similarity_places import check_record, photos


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("HALVINGS", 40), ("HALVES", 2), ("PROBED", 2)):
        monkeypatch.setattr(similarity_measures, name, count)


@pytest.fixture(scope="module")
def common(made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cache = tmp_path_factory.mktemp("cache")
    return [
        "--backbone", "resnet18", "--size", "32", "--resamples", "100", "--limit", "30", "--weights-dir",
        str(made_weights), "--offline", "--cache-dir", str(cache),
    ]  # fmt: skip


def test_a_comparison_its_answers_and_its_files(
    phantom_folder: Path, tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, natural = tmp_path / "s", photos(tmp_path / "photos", 30)
    training = ["--after", "partial", "--epochs", "1", "--train-limit", "20", "--random", "0"]
    assert main(["similarity", str(natural), str(phantom_folder), "-o", str(out), *training, *common]) == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert "ResNet18, last stage" in shown
    assert "natural - medical" in shown
    assert "after training" in shown
    assert "Proposition 4" in shown
    assert f"open this page in a browser: {out / 'index.html'}" in shown
    record = json.loads((out / "similarity.json").read_text(encoding="utf-8"))
    check_record(record)
    assert record["command"].startswith("xenograft")
    assert {"thumbnails-natural.jpg", "thumbnails-medical.jpg", "similarity.csv", "skipped.csv"} <= {
        path.name for path in out.iterdir()
    }


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["--limit", "3"], "E-USAGE-32"),
        (["--split", "none"], "E-USAGE-32"),
        (["--seeds", "2"], "E-USAGE-32"),
        (["--after", "probe"], "E-USAGE-32"),
        (["--after", "fulll"], "E-USAGE-"),
        (["--backbone", "nothing"], "E-USAGE-"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    phantom_folder: Path, tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str], given: list[str],
    code: str,
) -> None:  # fmt: skip
    natural = photos(tmp_path / "photos", 3)
    assert main(["similarity", str(natural), str(phantom_folder), "-o", str(tmp_path / "x"), *common, *given]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(code)
    assert len(shown.splitlines()) == 1
    assert not (tmp_path / "x" / "similarity.json").exists()


def test_an_empty_folder_and_one_set_only(
    phantom_folder: Path, tmp_path: Path, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for pair in ([tmp_path / "empty", phantom_folder], [phantom_folder, tmp_path / "empty"]):
        assert main(["similarity", *map(str, pair), "-o", str(tmp_path / "x"), *common]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith("E-DATA-07")
        assert "holds no image" in shown
    with pytest.raises(SystemExit) as raised:
        main(["similarity", str(phantom_folder)])
    assert raised.value.code == 2
    assert "medical" in capsys.readouterr().err


def test_settings_of_a_study_that_say_nothing_here_are_refused(phantom_folder: Path) -> None:
    with pytest.raises(ValueError, match="does not take folds, recipes"):
        xenograft.feature_similarity(phantom_folder, phantom_folder, recipes="probe", folds=2)


def test_the_call_of_a_record_made_by_a_program_makes_it_again(phantom_folder: Path, tmp_path: Path) -> None:
    config = make_config({"data": phantom_folder, "backbones": "resnet18", "recipes": "full", "seeds": 2, "size": 32})
    call = _call(SimilarityPlan(tmp_path / "photos", config, limit=30, random=0, after=True, train_limit=5))
    assert call.startswith(f"xenograft.feature_similarity('photos', {phantom_folder.name!r}, ")
    assert str(tmp_path) not in call
    (made,) = ast.parse(call).body
    assert isinstance(made, ast.Expr)
    assert isinstance(made.value, ast.Call)
    given = {word.arg: ast.literal_eval(word.value) for word in made.value.keywords}
    assert (given["limit"], given["random"], given["train_limit"], given["size"]) == (30, 0, 5, 32)
    assert (given["after"], given["seeds"]) == (["full"], 2)
    known = set(inspect.signature(xenograft.feature_similarity).parameters)
    settings = set(make_config({"data": phantom_folder}).as_json())
    assert set(given) <= known | settings
