"""What the baseline without a network means: near or not, and nothing where it is not known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting import answer, shortcut
from xenograft.reporting.groups import View
from xenograft.study.record import Study

from .makers import make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = make_study(tmp_path_factory.mktemp("s") / "s", backbones=("resnet18",), seeds=1, n=40, epochs=1, examples=0)
    for run in made.runs:
        run.test["policies"]["fixed"]["metrics"]["auroc"] = {"value": 0.95, "low": 0.92, "high": 0.98}
    return made


def viewed(study: Study, value: float, low: float | None, high: float | None) -> View:
    entry = {"value": value, "low": low, "high": high}
    card: dict[str, Any] = {"policies": {"fixed": {"metrics": {"auroc": entry}}}}
    data = study.record.data | {"baseline": {"families": ["file size"], "test": card}}
    return View.of(dataclasses.replace(study, record=dataclasses.replace(study.record, data=data)))


@pytest.mark.parametrize(
    ("value", "low", "high", "near"),
    [
        (0.75, 0.70, 0.80, False),
        (0.88, 0.84, 0.91, False),
        (0.88, 0.83, 0.93, True),  # reaches into the model's interval
        (0.91, 0.90, 0.915, True),  # within 0.05 of it
        (0.45, 0.10, 0.99, False),  # no better than guessing, however wide
        (0.96, None, None, True),
        (0.80, None, None, False),
    ],
)
def test_near(study: Study, value: float, low: float | None, high: float | None, near: bool) -> None:
    view = viewed(study, value, low, high)
    assert shortcut.near(view) is near
    text = " ".join(shortcut.sentences(view))
    assert ("That is near" in text) is near
    said = answer.sentences(view)
    assert [
        sentence.startswith("A classifier that sees no anatomy, only file size, reaches") for sentence in said
    ].index(True) == (0 if near else said.index(said[-2]))
    assert ("read their results as suspect" in said[0]) is near
    assert f"reaches AUROC {value:.3f}" in text
    assert "ResNet18 probe reaches 0.950" in text


def test_the_share_of_the_way_is_from_guessing(study: Study) -> None:
    text = " ".join(shortcut.sentences(viewed(study, 0.68, 0.6, 0.75)))
    assert "such properties alone go 40 %" in text  # 0.18 of 0.45
    assert "% CI 0.600 to 0.750" in text


def test_an_interval_that_is_missing_leaves_no_empty_brackets(study: Study) -> None:
    view = viewed(study, 0.6, None, None)
    assert " CI" not in " ".join([*shortcut.sentences(view), *shortcut.headline(view, "auroc")])


def test_nothing_is_said_where_nothing_was_recorded(study: Study, tmp_path: Path) -> None:
    assert shortcut.sentences(View.of(study)) == []
    assert not shortcut.near(View.of(study))
