"""Choices are of validation alone, and do what they say: against direct use of the kernels, and brute force."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from xenograft.errors import DataError
from xenograft.evaluation.abstention import choose_cut
from xenograft.evaluation.choices import Choices
from xenograft.evaluation.conformal import ConformalSets
from xenograft.evaluation.recalibration import Platt, Temperature
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.threshold import thresholds_for
from xenograft.study.choices import choices_of, choices_on_test, decisions
from xenograft.study.record import Predictions

TWO, THREE = ("healthy", "ill"), ("a", "b", "c")
FINDINGS = ("mass", "fluid", "rare")


def made(classes: int, *, split: str = "val", seed: int = 0, n: int = 300) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(0, 1, (n, classes)) + 1.5 * np.eye(classes)[labels]
    table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    patients = np.array([f"p{k // 2}" for k in range(n)])
    return Predictions(np.array([f"{split}{k}" for k in range(n)]), labels, patients, table, split)


def findings(*, split: str = "val", seed: int = 0, n: int = 300) -> Predictions:
    """The third one is present in eight images, too few for anything; a fifth of the first is unknown."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < (0.4, 0.3, 0.0)).astype(np.int64)
    labels[:8, 2] = 1
    scores = np.clip(0.35 * labels + 0.6 * rng.random((n, 3)), 0, 1)
    labels[rng.random(n) < 0.2, 0] = -1
    return Predictions(
        np.array([f"{split}{k}" for k in range(n)]), labels, np.array([f"p{k // 2}" for k in range(n)]), scores, split
    )


def chosen(of: Predictions, classes: tuple[str, ...], rule: str | None = None) -> tuple[Choices, Any]:
    parsed = None if rule is None else parse_rule(rule)
    thresholds = thresholds_for(of.labels, of.probabilities, parsed)
    several = of.labels.ndim == 2
    return choices_of(of, thresholds, classes, several, asked=rule, resamples=100), thresholds


@pytest.mark.parametrize("split", ["test", "train", ""])
def test_nothing_is_chosen_on_another_split(split: str) -> None:
    with pytest.raises(DataError, match="cannot choose") as caught:
        choices_of(replace(made(2), split=split), {"fixed": 0.5}, TWO, False)
    assert caught.value.code == "E-DATA-50"


def test_two_classes_are_what_the_kernels_say() -> None:
    val = made(2)
    found, thresholds = chosen(val, TWO, "sensitivity=0.9")
    assert found.policy == found.asked == "sensitivity=0.9"
    assert found.recalibration == (Platt.fit(val.labels, val.probabilities[:, 1]),)
    assert found.conformal == ConformalSets.fit(val.labels, val.probabilities, val.patients, coverage=0.9)
    cut = thresholds["sensitivity=0.9"]
    positive = val.probabilities[:, 1]
    assert found.cuts == (choose_cut((positive >= cut) != val.labels, np.abs(positive - cut), val.patients),)
    assert set(found.points) == {"youden", "sensitivity=0.9"}
    for name, (card,) in found.points.items():
        assert card is not None
        assert card["threshold"]["value"] == thresholds[name]
        assert card["threshold"]["low"] <= thresholds[name] <= card["threshold"]["high"]
    assert found.missing == ()
    assert (found.images, found.patients, sum(found.counts)) == (300, 150, 300)


@pytest.mark.parametrize(("of", "classes"), [(made(2), TWO), (made(3), THREE), (findings(), FINDINGS)])
def test_json_and_back(of: Predictions, classes: tuple[str, ...]) -> None:
    found, _ = chosen(of, classes)
    assert Choices.from_json(json.loads(json.dumps(found.as_json(), allow_nan=False))) == found
    again, _ = chosen(of, classes)
    assert again == found


@pytest.mark.parametrize("change", [{"cuts": [{"x": 1}]}, {"conformal": {}}, {"points": None}])
def test_another_record_is_refused(change: dict[str, Any]) -> None:
    record = chosen(made(2), TWO)[0].as_json()
    with pytest.raises(DataError):
        Choices.from_json(record | change)
    with pytest.raises(DataError, match="choices"):
        Choices.from_json({k: v for k, v in record.items() if k != "policy"})


def test_three_classes_have_a_temperature_and_sets_but_no_threshold() -> None:
    val = made(3)
    found, _ = chosen(val, THREE)
    assert found.policy == "argmax"
    assert found.points == {}
    assert found.recalibration == (Temperature.fit(val.labels, val.probabilities),)
    recalibrated = found.recalibrated(val.probabilities)
    assert recalibrated is not None
    assert recalibrated.sum(axis=1) == pytest.approx(1)
    answers = val.probabilities.argmax(axis=1)
    referred = found.referred(val.probabilities, answers)
    assert found.conformal is not None
    sets = found.conformal.sets(val.probabilities)
    assert referred is not None
    for k, held in enumerate(sets):
        assert referred[k] == (set(np.flatnonzero(held)) != {answers[k]})


def test_a_set_of_one_class_that_is_not_the_answer_is_referred() -> None:
    found, _ = chosen(made(2), TWO)
    assert found.conformal is not None
    sets = replace(found.conformal, thresholds=((0.3, 0.8),))
    found = replace(found, conformal=sets)
    scores = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.25, 0.75]])
    referred = found.referred(scores, np.array([0, 1, 1, 1]))
    assert referred is not None
    assert referred.tolist() == [False, True, False, True]


def test_a_rare_finding_has_nothing_of_its_own_and_the_record_says_why() -> None:
    val = findings()
    found, thresholds = chosen(val, FINDINGS, "specificity=0.8")
    assert [made is not None for made in found.recalibration] == [True, True, False]
    assert found.offered.tolist() == [True, True, False]
    assert found.points["specificity=0.8"][2] is None
    assert len([text for text in found.missing if "rare" in text]) == 2
    recalibrated = found.recalibrated(val.probabilities)
    assert recalibrated is not None
    assert np.isnan(recalibrated[:, 2]).all()
    assert not np.isnan(recalibrated[:, :2]).any()
    referred = found.referred(val.probabilities, decisions(found, thresholds, val.probabilities))
    assert referred is not None
    assert not referred[:, 2].any()
    assert 0 < referred[:, :2].mean() < 1


def test_many_findings_of_many_images_take_fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    val = findings()
    thresholds = thresholds_for(val.labels, val.probabilities)
    monkeypatch.setattr("xenograft.evaluation.choices._CELLS", 300 * 3 * 250)
    for asked, used in ((100, 100), (2000, 250)):
        found = choices_of(val, thresholds, FINDINGS, True, resamples=asked)
        assert [card and card["resamples"] for card in found.points["youden"]] == [used, used, None]


def test_too_small_a_validation_set_leaves_everything_out_and_says_so() -> None:
    val = made(2, n=12)
    found, _ = chosen(val, TWO, "sensitivity=0.9")
    assert found.policy == "fixed"
    assert found.points == {}
    assert found.recalibration == (None,)
    assert found.conformal is None
    assert found.recalibrated(val.probabilities) is None
    assert found.referred(val.probabilities, val.labels) is None
    assert not found.offered.any()
    words = " ".join(found.missing)
    assert all(text in words for text in ("operating point sensitivity=0.9", "recalibrated", "prediction sets"))
    measured = choices_on_test(found, {"fixed": 0.5}, made(2, split="test", seed=1), resamples=100)
    assert measured["recalibrated"] is measured["conformal"] is measured["referred"] is None


def test_scores_that_rank_the_wrong_way_round_are_not_recalibrated() -> None:
    val = made(2)
    found, _ = chosen(replace(val, probabilities=val.probabilities[:, ::-1]), TWO)
    assert found.recalibration == (None,)
    assert "do not rise" in found.missing[0]


def test_an_unreachable_specificity_falls_back_and_says_so() -> None:
    val = made(2)
    table = val.probabilities.copy()
    table[val.labels == 0] = [0.0, 1.0]
    found, _ = chosen(replace(val, probabilities=table), TWO, "specificity=0.9")
    assert found.policy == "youden"
    assert "youden is used instead" in found.missing[0]


def test_on_test_coverage_is_kept_for_patients_of_the_same_kind() -> None:
    """The mean over validation sets of the coverage by patient is at least 90 %, and not by much more."""
    test = made(2, split="test", seed=999, n=1200)
    coverage = []
    for seed in range(30):
        found, _ = chosen(made(2, seed=seed, n=200), TWO)
        assert found.conformal is not None
        held = found.conformal.sets(test.probabilities)
        coverage.append(held[np.arange(1200), test.labels].mean())
    assert 0.885 < np.mean(coverage) < 0.93


def test_measured_on_test_is_a_count() -> None:
    found, thresholds = chosen(made(2), TWO)
    test = made(2, split="test", seed=5)
    measured = choices_on_test(found, thresholds, test, resamples=100)
    answers = decisions(found, thresholds, test.probabilities)
    referred = found.referred(test.probabilities, answers)
    assert referred is not None
    assert measured["referred"]["n"] == referred.sum()
    assert measured["referred"]["value"] == pytest.approx(referred.mean())
    platt = found.recalibration[0]
    assert isinstance(platt, Platt)
    after = platt.apply(test.probabilities[:, 1])
    loss = -np.mean(np.log(np.where(test.labels == 1, after, 1 - after)))
    assert measured["recalibrated"]["metrics"]["log_loss"]["value"] == pytest.approx(loss)
    several, cuts = chosen(findings(), FINDINGS)
    test = findings(split="test", seed=3)
    measured = choices_on_test(several, cuts, test, resamples=100)
    for k in range(3):
        known = test.labels[:, k] >= 0
        expected = log_loss(test.labels[known, k], test.probabilities[known, k], labels=[0, 1])
        entry = measured["calibration"]["per_class"][str(k)]["log_loss"]
        assert entry["value"] == pytest.approx(expected)
        assert entry["low"] < entry["value"] < entry["high"]
    assert measured["recalibrated"]["per_class"]["2"]["log_loss"]["value"] is None
    assert measured["recalibrated"]["per_class"]["0"]["log_loss"]["value"] is not None
    assert len(measured["referred"]) == 3
    assert json.dumps(measured, allow_nan=False)
