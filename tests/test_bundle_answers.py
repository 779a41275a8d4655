"""Probabilities -> what a bundle says: recalibrated, sets, advice, other operating points, and its table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xenograft.bundle import ANSWER, NO_CLASS, NOTHING, REFER, Bundle, BundleFacts, Prediction, write_predictions_csv
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, UsageError
from xenograft.evaluation.choices import Choices
from xenograft.evaluation.conformal import ConformalSets
from xenograft.evaluation.recalibration import Platt
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.threshold import thresholds_for
from xenograft.study.scored import read_scored

TWO, FINDINGS = ("healthy", "ill"), ("mass", "fluid", "rare")


def bundle_of(
    classes: tuple[str, ...], choices: Choices | None, thresholds: dict[str, Any], *, multi_label: bool = False
) -> Bundle:
    several = len(classes) > 2 and not multi_label
    policy = "argmax" if several else choices.policy if choices is not None else "fixed"
    facts = BundleFacts(
        classes=list(classes),
        multi_label=multi_label,
        preprocess=Preprocess().as_json(),
        threshold=None if several else thresholds[policy],
        threshold_rule=policy,
        thresholds={} if several else thresholds,
        choices=None if choices is None else choices.as_json(),
        backbone="resnet18",
        recipe={},
        weights=None,
        data={"synthetic": False},
        validation={},
        test={},
        hashes={},
        created="",
        xenograft="",
    )
    return Bundle(Path("nowhere"), facts, Preprocess(), choices=choices)


def labelled(classes: int, seed: int = 0, n: int = 300) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    powers = np.exp(rng.normal(0, 1, (n, classes)) + 1.5 * np.eye(classes)[labels])
    return labels, powers / powers.sum(axis=1, keepdims=True), np.array([f"p{k // 2}" for k in range(n)])


def two(rule: str | None = None, classes: tuple[str, ...] = TWO) -> Bundle:
    labels, table, patients = labelled(2)
    thresholds = thresholds_for(labels, table, rule and parse_rule(rule))
    choices = Choices.fit(
        labels, table, patients, thresholds=thresholds, classes=classes, asked=rule, resamples=100,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return bundle_of(classes, choices, thresholds)


def with_findings() -> Bundle:
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 3)) < (0.4, 0.3, 0.0)).astype(np.int64)
    labels[:8, 2] = 1
    table = np.clip(0.35 * labels + 0.6 * rng.random((300, 3)), 0, 1)
    thresholds = thresholds_for(labels, table)
    choices = Choices.fit(
        labels, table, np.arange(300), thresholds=thresholds, classes=FINDINGS, resamples=100,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return bundle_of(FINDINGS, choices, thresholds, multi_label=True)


def rows_of(target: Path) -> list[dict[str, str]]:
    with target.open(newline="") as file:
        return list(csv.DictReader(file))


def test_answers_follow_raw_probabilities_and_advice_follows_sets() -> None:
    bundle = two()
    _, table, _ = labelled(2, seed=7, n=200)
    assert bundle.choices is not None
    assert bundle.choices.conformal is not None
    sets = bundle.choices.conformal.sets(table)
    (platt,) = bundle.choices.recalibration
    assert isinstance(platt, Platt)
    answers = bundle.answers([f"{k}.png" for k in range(200)], table)
    for row, held, answer in zip(table, sets, answers, strict=True):
        assert answer.label == bundle.decide(row) == TWO[int(row[1] >= bundle.facts.threshold)]
        assert answer.conformal == tuple(np.array(TWO)[held])
        assert answer.advice == (ANSWER if answer.conformal == (answer.label,) else REFER)
        assert answer.recalibrated[1] == pytest.approx(platt.apply(row[None])[0, 1])
    assert {answer.advice for answer in answers} == {ANSWER, REFER}


def test_another_operating_point_changes_the_answer_and_the_advice() -> None:
    bundle = two("sensitivity=0.95")
    assert bundle.facts.threshold_rule == "sensitivity=0.95"
    fixed = bundle.at("fixed")
    assert (fixed.facts.threshold, fixed.facts.threshold_rule) == (0.5, "fixed")
    assert bundle.at(" Sensitivity = 0.95 ").facts == bundle.facts
    cut = bundle.facts.threshold
    assert isinstance(cut, float)
    assert cut < 0.5
    between = np.array([[1 - (cut + 0.5) / 2, (cut + 0.5) / 2]])
    (low,), (half,) = bundle.answers(["a"], between), fixed.answers(["a"], between)
    assert (low.label, half.label) == ("ill", "healthy")
    assert low.conformal == half.conformal
    assert low.recalibrated == half.recalibrated


@pytest.mark.parametrize(("name", "hint"), [("yuden", "did you mean youden"), ("cost=1:1", "it has fixed, youden")])
def test_an_operating_point_that_is_not_there(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint) as caught:
        two().at(name)
    assert caught.value.code == "E-USAGE-31"


def test_several_classes_have_no_other_operating_point() -> None:
    labels, table, patients = labelled(3)
    classes = ("a", "b", "c")
    choices = Choices.fit(
        labels, table, patients, thresholds={"fixed": 0.5}, classes=classes, rng=np.random.default_rng(0)
    )
    bundle = bundle_of(classes, choices, {})
    answers = bundle.answers(["x"] * 300, table)
    assert [answer.label for answer in answers] == [classes[k] for k in table.argmax(axis=1)]
    assert all((a.advice == ANSWER) == (a.conformal == (a.label,)) for a in answers)
    with pytest.raises(UsageError, match="most probable of its classes"):
        bundle.at("youden")


def test_findings_have_a_word_each_and_a_rare_one_has_none() -> None:
    bundle = with_findings()
    cuts = bundle.facts.threshold
    assert isinstance(cuts, list)
    rng = np.random.default_rng(3)
    table = rng.random((100, 3))
    assert bundle.choices is not None
    assert bundle.choices.conformal is not None
    sets = bundle.choices.conformal.sets(table)
    for row, held, answer in zip(table, sets, bundle.answers(["x"] * 100, table), strict=True):
        present = [name for name, p, cut in zip(FINDINGS, row, cuts, strict=True) if p >= cut]
        assert answer.label == ("|".join(present) or NOTHING)
        words = [
            ("present" if name in present else "absent") if tuple(pair) == (name not in present, name in present) else
            "refer" for name, pair in zip(FINDINGS, held, strict=True)
        ]  # fmt: skip
        assert answer.conformal == (*words[:2], "")
        assert answer.advice == (REFER if "refer" in answer.conformal else ANSWER)
        assert np.isnan(answer.recalibrated[2])
    fixed = bundle.at("fixed").facts
    assert fixed.threshold == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("label", "words", "written"),
    [
        ("mass|rare", ("refer", "absent", ""), "?mass|rare"),
        (NOTHING, ("refer", "refer", ""), "?mass|?fluid"),
        (NOTHING, ("absent", "absent", ""), NOTHING),
        ("mass", ("present", "refer", ""), "mass|?fluid"),
    ],
)
def test_referred_findings_stand_behind_a_question_mark(label: str, words: tuple[str, ...], written: str) -> None:
    advice = REFER if "refer" in words else ANSWER
    answer = Prediction("a", (0.5, 0.5, 0.5), label, advice=advice, conformal=words)
    assert answer.referring(FINDINGS, multi_label=True) == written


def test_the_table_of_two_classes_can_be_evaluated(tmp_path: Path) -> None:
    bundle = two()
    labels, table, patients = labelled(2, seed=7, n=60)
    answers = [*bundle.answers([f"{k}.png" for k in range(60)], table), Prediction("bad.png", error="S-FILE-01 empty")]
    for refer in (False, True):
        assert write_predictions_csv(tmp_path / "p.csv", bundle, answers, refer=refer) == (60, 1)
        rows = rows_of(tmp_path / "p.csv")
        assert [*rows[0]] == [
            "path", "prediction", "advice", "set", "p_healthy", "p_ill", "recalibrated_healthy", "recalibrated_ill",
            "threshold", "error",
        ]  # fmt: skip
        for row, answer in zip(rows[:-1], answers[:-1], strict=True):
            assert row["prediction"] == (REFER if refer and answer.advice == REFER else answer.label)
            assert row["set"] == ("|".join(answer.conformal) or NO_CLASS)
            assert float(row["p_ill"]) == pytest.approx(answer.probabilities[1], abs=1e-6)
        assert [rows[-1][name] for name in ("prediction", "advice", "set", "p_ill", "recalibrated_ill")] == [""] * 5
        truth = "".join(f"{k}.png,{TWO[label]},{patients[k]}\n" for k, label in enumerate(labels))
        (tmp_path / "labels.csv").write_text("path,label,patient\n" + truth)
        scored = read_scored(tmp_path / "p.csv", labels=tmp_path / "labels.csv")
        assert scored.classes == TWO
        assert scored.probabilities == pytest.approx(table, abs=2e-6)
        assert scored.threshold == pytest.approx(bundle.facts.threshold, abs=1e-6)
        assert np.array_equal(scored.labels, labels)


def test_the_table_of_findings(tmp_path: Path) -> None:
    bundle = with_findings()
    answers = bundle.answers(["a.png", "b.png"], np.array([[0.9, 0.1, 0.2], [0.45, 0.5, 0.9]]))
    write_predictions_csv(tmp_path / "p.csv", bundle, answers, refer=True)
    rows = rows_of(tmp_path / "p.csv")
    starts = ("set_", "p_", "recalibrated_", "threshold_")
    columns = [start + name for start in starts for name in FINDINGS]
    assert [*rows[0]] == ["path", "prediction", "advice", *columns, "error"]
    assert [row["prediction"] for row in rows] == [a.referring(FINDINGS, multi_label=True) for a in answers]
    assert {row["set_rare"] for row in rows} == {row["recalibrated_rare"] for row in rows} == {""}


def test_a_bundle_without_choices_answers_and_cannot_refer(tmp_path: Path) -> None:
    bundle = bundle_of(TWO, None, {"fixed": 0.5})
    (answer,) = bundle.answers(["a.png"], np.array([[0.2, 0.8]]))
    assert answer == Prediction("a.png", (0.2, 0.8), "ill")
    write_predictions_csv(tmp_path / "p.csv", bundle, [answer])
    assert [*rows_of(tmp_path / "p.csv")[0]] == ["path", "prediction", "p_healthy", "p_ill", "threshold", "error"]
    with pytest.raises(UsageError, match="no prediction sets; leave --refer out") as caught:
        write_predictions_csv(tmp_path / "q.csv", bundle, [answer], refer=True)
    assert caught.value.code == "E-USAGE-31"
    assert not (tmp_path / "q.csv").exists()


def test_why_it_cannot_refer() -> None:
    whole = two()
    assert whole.choices is not None
    few = replace(whole.choices, conformal=None, missing=("prediction sets: validation has 3 patients",))
    with pytest.raises(UsageError, match="validation has 3 patients"):
        replace(whole, choices=few).check_refer()
    with pytest.raises(UsageError, match="a class is called 'refer' itself"):
        two(classes=("refer", "ill")).check_refer()


def test_damaged_choices_are_refused() -> None:
    record = two().facts.choices
    assert record is not None
    with pytest.raises(DataError):
        Choices.from_json(record | {"conformal": {"method": "another"}})
    assert Choices.from_json(record).conformal == ConformalSets.from_json(record["conformal"])
