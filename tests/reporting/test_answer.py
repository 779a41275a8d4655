"""The answer box: facts in, sentences out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting import answer
from xenograft.reporting.groups import View
from xenograft.study.record import Study

from .makers import make_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = make_study(tmp_path / "study", backbones=("mobilenet_v2",), seeds=1, n=40, epochs=2, examples=0)
    for run in study.runs:
        value = 0.957 if run.recipe == "probe" else 0.921
        entry = {"value": value, "low": value - 0.01, "high": value + 0.01}
        run.test["policies"]["fixed"]["metrics"]["auroc"] = entry
        run.test.update(n=624, patients=428)
    return study


def said(study: Study, *comparisons: dict[str, Any]) -> str:
    record = dataclasses.replace(study.record, comparisons=list(comparisons))
    return " ".join(answer.sentences(View.of(dataclasses.replace(study, record=record))))


def difference(value: float, low: float, high: float, a: str = "probe", b: str = "scratch") -> dict[str, Any]:
    where = {"backbone": "mobilenet_v2", "lr_scale": 1.0, "a": a, "b": b, "metric": "auroc"}
    return where | {"difference": value, "low": low, "high": high, "resamples": 2000}


def test_headline_and_shown_difference(study: Study) -> None:
    text = said(study, difference(0.036, 0.012, 0.061))
    assert text.startswith(
        "On the held-out test set (624 images of 428 patients), MobileNet v2 with frozen ImageNet features and a "
        "trained head reached AUROC 0.957 (95\u00a0% CI 0.947 to 0.967)."
    )
    assert "The same network trained from scratch reached AUROC 0.921 (95\u00a0% CI 0.911 to 0.931)." in text
    assert "The paired difference is +0.036 (95\u00a0% CI +0.012 to +0.061); the interval excludes 0" in text
    assert "one seed" in text


def test_interval_over_zero_shows_no_difference(study: Study) -> None:
    text = said(study, difference(0.010, -0.004, 0.024))
    assert (
        "+0.010 (95\u00a0% CI −0.004 to +0.024); the interval includes 0: these data do not show a difference." in text
    )


def test_difference_recorded_the_other_way_is_turned_round(study: Study) -> None:
    text = said(study, difference(-0.036, -0.061, -0.012, a="scratch", b="probe"))
    assert "The paired difference is +0.036 (95\u00a0% CI +0.012 to +0.061)" in text


def test_missing_difference_is_said(study: Study) -> None:
    assert "No paired difference of the two was recorded." in said(study)


def test_validation_chooses_the_headline_not_test(tmp_path: Path) -> None:
    study = make_study(
        tmp_path / "s", backbones=("resnet18", "resnet50"), recipes=("probe",), seeds=1, n=40, examples=0
    )
    for run in study.runs:
        better = run.backbone == "resnet50"
        run.validation["policies"]["fixed"]["metrics"]["auroc"]["value"] = 0.9 if better else 0.8
        run.test["policies"]["fixed"]["metrics"]["auroc"]["value"] = 0.7 if better else 0.99
    text = said(study)
    assert "ResNet50" in text
    assert "the one that the validation images rated highest" in text


def test_study_without_transfer_says_so(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", backbones=("resnet18",), recipes=("scratch",), seeds=1, n=40, examples=0)
    assert "this study says nothing about transfer" in said(study)
