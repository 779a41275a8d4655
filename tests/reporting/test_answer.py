"""The answer box: facts in, sentences out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting import answer
from xenograft.reporting.answer_trust import trusted
from xenograft.reporting.groups import View
from xenograft.study.comparing import BOOTSTRAP
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


def difference(
    value: float, low: float, high: float, a: str = "probe", b: str = "scratch", p: float | None = None
) -> dict[str, Any]:
    arms = {side: {"backbone": "mobilenet_v2", "recipe": name, "lr_scale": 1.0} for side, name in (("a", a), ("b", b))}
    ends = {"difference": value, "low": low, "high": high, "p": p, "p_holm": p, "of": 1}
    return {"family": "recipes", **arms, "metric": "auroc", **ends, "test": BOOTSTRAP, "resamples": 2000}


def test_headline_and_shown_difference(study: Study) -> None:
    text = said(study, difference(0.036, 0.012, 0.061))
    assert text.startswith(
        "On the held-out test set (624 images of 428 patients), MobileNet v2 with frozen ImageNet features and a "
        "trained head reached AUROC 0.957 (95\u00a0% CI 0.947 to 0.967)."
    )
    assert "The same network trained from scratch reached AUROC 0.921 (95\u00a0% CI 0.911 to 0.931)." in text
    assert (
        "The paired difference is +0.036 (95\u00a0% CI +0.012 to +0.061): the first is higher on this test set." in text
    )
    assert "one seed" in text


def test_interval_over_zero_shows_no_difference(study: Study) -> None:
    text = said(study, difference(0.010, -0.004, 0.024))
    assert "+0.010 (95\u00a0% CI −0.004 to +0.024): these data do not show a difference." in text


def test_the_adjusted_p_decides_and_the_interval_does_not(study: Study) -> None:
    text = said(study, difference(0.036, 0.012, 0.061, p=0.08))
    assert "(95\u00a0% CI +0.012 to +0.061, adjusted p\u00a0=\u00a00.080): these data do not show a difference." in text
    text = said(study, difference(-0.010, -0.024, 0.001, p=0.04))
    assert "adjusted p\u00a0=\u00a00.040): the second is higher on this test set." in text


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


def backbones(value: float, p: float, a: str = "resnet18", b: str = "mobilenet_v2") -> dict[str, Any]:
    arms = {side: {"backbone": name, "recipe": "probe", "lr_scale": 1.0} for side, name in (("a", a), ("b", b))}
    ends = {"difference": value, "low": value - 0.01, "high": value + 0.01, "p": p / 3, "p_holm": p, "of": 3}
    return {"family": "backbones", **arms, "metric": "auroc", **ends, "test": BOOTSTRAP, "resamples": 2000}


def test_backbones_differ_by_their_adjusted_p(study: Study) -> None:
    same = backbones(0.02, 0.09), backbones(0.01, 0.5, b="resnet50")
    assert "Of 2 comparisons of one backbone with another by the same recipe, none shows a difference" in said(
        study, *same
    )
    text = said(study, backbones(-0.02, 0.03), same[1])
    assert (
        "1 show a difference in AUROC, adjusted for all 3 comparisons of the study (Holm): MobileNet v2 higher" in text
    )


def test_a_single_pair_of_backbones_is_named(study: Study) -> None:
    text = said(study, backbones(0.02, 0.09) | {"of": 1})
    assert (
        "ResNet18 and MobileNet v2 by the same recipe (probe): no difference shown in AUROC (+0.020, "
        "p\u00a0=\u00a00.090, not adjusted, as it is the only comparison of the study)." in text
    )


def ensemble(study: Study, difference: float, p: float | None) -> dict[str, Any]:
    against = {
        "difference": difference,
        "low": difference - 0.01,
        "high": difference + 0.01,
        "p": p,
        "p_holm": p,
        "of": 1,
    }
    return {"kind": "backbones", "recipe": "probe", "test": study.runs[0].test, "against": against}


@pytest.mark.parametrize(("difference", "words"), [(0.02, "above"), (-0.02, "below")])
def test_an_ensemble_is_told_where_it_differs(study: Study, difference: float, words: str) -> None:
    def text(p: float | None) -> str:
        record = dataclasses.replace(study.record, ensembles=[ensemble(study, difference, p)])
        return " ".join(answer.sentences(View.of(dataclasses.replace(study, record=record))))

    assert f"{words} the combination named first by 0.020 (paired difference" in text(0.01)
    assert "mean answer" not in text(0.2)
    assert "mean answer" not in text(None)


def entry(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


def trusted_of(study: Study, level: dict[str, Any], slope: dict[str, Any], left_out: dict[str, Any]) -> str:
    """The sentences of a record in which these are the calibration and the specificity promised."""
    metrics = {"recall": entry(0.9, 0.85, 0.95), "specificity": entry(0.6, 0.55, 0.65)}
    model = {
        "name": "x",
        "calibration": {"metrics": {"in_the_large": level, "slope": slope}},
        "scorecard": {"policies": {"youden": {"threshold": 0.4, "metrics": metrics}}},
        "chosen": {"youden": {"sensitivity": {"left_out": 0.9, "low": 0.8, "high": 1.0}, "specificity": left_out}},
    }
    run = next(run for run in study.runs if run.recipe == "probe")
    arm = {"id": run.id, "backbone": run.backbone, "recipe": run.recipe, "lr_scale": run.lr_scale}
    made = {"runs": [arm], "classes": study.record.classes, "multi_label": False, "models": [model]}
    record = dataclasses.replace(study.record, evidence=made)
    return " ".join(trusted(View.of(dataclasses.replace(study, record=record))))


def test_miscalibration_and_a_promise_that_test_breaks_are_told(study: Study) -> None:
    text = trusted_of(
        study, entry(-1.8, -2.2, -1.5), entry(0.8, 0.7, 0.9), {"left_out": 0.95, "low": 0.88, "high": 1.0}
    )
    assert text == (
        "The probabilities of MobileNet v2 probe are too high as a whole and too extreme on test and should not be "
        "read as risks: calibration in the large −1.800 (−2.200 to −1.500), slope 0.800 (0.700–0.900). Test looks "
        "unlike validation: specificity at the threshold chosen there (Youden) is 60.0 % (55.0–65.0) on test, but was "
        "95.0 % (88.0–100.0) in validation patients who had no part in the choice."
    )


def test_what_is_not_shown_is_not_told_as_fault(study: Study) -> None:
    text = trusted_of(study, entry(0.1, -0.2, 0.4), entry(1.0, 0.9, 1.1), {"left_out": 0.7, "low": 0.64, "high": 0.8})
    assert "show no miscalibration on test" in text
    assert "unlike" not in text
    assert (
        trusted_of(study, entry(0.1, None, None), entry(1.0, None, None), {"left_out": None, "low": None, "high": None})
        == ""
    )
    assert trusted(View.of(study)) == []
