"""Records -> MODEL_CARD.md: every fact is in it, tables render, nothing is guessed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from xenograft.data.preprocess import Preprocess
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.threshold import thresholds_for
from xenograft.model_card.card import FOR_PEOPLE, model_card
from xenograft.model_card.making import without_folders
from xenograft.model_card.markdown import code, interval, table, text
from xenograft.model_card.results import policy_words
from xenograft.study.choices import choices_of, choices_on_test
from xenograft.study.record import RunRecord, Study

from ..reporting.finding_makers import make_findings_study
from ..reporting.makers import make_study

HASHES = {"model.onnx": "cd" * 32}


def whole(study: Study) -> tuple[RunRecord, Study]:
    """The first pretrained run, with what the makers leave out."""
    run = next(run for run in study.runs if run.transfer)
    settings = {**run.settings, "name": run.recipe, "summary": "frozen features"}
    run = replace(run, preprocess=Preprocess().as_json(), settings=settings)
    data = {"multi_label": False, "audit": None, "baseline": None, **study.record.data}
    return run, replace(study, record=replace(study.record, data=data))


def carded(study: Study, rule: str | None = None, **more: Any) -> str:
    run, study = whole(study)
    val, test = (study.predictions(run.id, split) for split in ("val", "test"))
    several = study.record.data["multi_label"]
    thresholds = thresholds_for(val.labels, val.probabilities, rule and parse_rule(rule))
    chosen = choices_of(val, thresholds, study.record.classes, several, asked=rule, resamples=100)
    measured = choices_on_test(chosen, thresholds, test, resamples=100)
    run = replace(run, thresholds=thresholds, **more)
    return model_card(run, study.record, choices=chosen, measured=measured, hashes=HASHES)


def rendered(card: str) -> str:
    body = card.split("---\n", 2)[2]
    html: str = MarkdownIt("commonmark").enable("table").render(body)
    return html


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("s"), seeds=1, n=300, backbones=("resnet18",))


@pytest.fixture(scope="module")
def card(study: Study) -> str:
    return carded(study, "sensitivity=0.9")


def test_every_table_renders_with_all_its_cells(card: str) -> None:
    html = rendered(card)
    assert "|" not in re.sub(r"<code>.*?</code>", "", html)
    for one in re.findall(r"<table>.*?</table>", html, re.DOTALL):
        rows = [len(re.findall(r"<t[hd][ >]", row)) for row in re.findall(r"<tr>.*?</tr>", one, re.DOTALL)]
        assert len(set(rows)) == 1
        assert len(rows) > 1
    assert html.count("<h1>") == 1
    assert "\n\n\n" not in card


def test_facts_of_the_records_are_in_it(card: str, study: Study) -> None:
    run, known = whole(study)
    assert known.record.data["manifest_sha256"] in card
    assert run.weights is not None
    for fact in (run.weights["sha256"], run.weights["file"], run.test_opened, HASHES["model.onnx"], run.created):
        assert fact in card
    for package, version in known.record.environment["packages"].items():
        assert f"{package} {version}" in card
    auroc = next(iter(run.test["policies"].values()))["metrics"]["auroc"]
    assert interval(auroc) in card
    for name in ("fixed", "youden"):
        assert interval(run.test["policies"][name]["metrics"]["specificity"]) in card
    assert "On test, the point in use reached" not in card  # the run's test knows no such policy
    assert "In use: **sensitivity of at least 0.9**" in card
    assert "xenograft predict THIS_FOLDER" in card
    for item in FOR_PEOPLE:
        assert f"| {item} | not supplied |" in card


def test_front_matter_is_yaml_and_holds_known_facts_alone(card: str, study: Study) -> None:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load(card.split("---\n")[1])
    assert found["license"] == "bsd-3-clause"
    assert found["pipeline_tag"] == "image-classification"
    assert {"resnet18", "probe"} <= set(found["tags"])
    assert "synthetic-data" not in found["tags"]
    assert "license" not in yaml.safe_load(carded(study, weights=None).split("---\n")[1])


def test_synthetic_data_and_leaks_are_said(study: Study) -> None:
    data = study.record.data | {"synthetic": True, "leak_allowed": True}
    card = carded(replace(study, record=replace(study.record, data=data)))
    assert "It says nothing about patients" in card
    assert "Patients or images stand in more than one split" in card


def test_a_card_without_choices_or_bundle(study: Study) -> None:
    run, known = whole(study)
    card = model_card(run, known.record, choices=None)
    assert "How to run it" not in card
    assert "Operating points" not in card
    assert rendered(card).count("<table>") >= 3


def test_a_baseline_stands_beside_the_model(study: Study) -> None:
    run, _ = whole(study)
    data = study.record.data | {"baseline": {"families": ["file size"], "thresholds": {}, "test": run.test}}
    card = carded(replace(study, record=replace(study.record, data=data)))
    auroc = interval(next(iter(run.test["policies"].values()))["metrics"]["auroc"])
    assert f"| AUROC | {auroc} | {auroc} |" in card
    assert "a logistic regression on file size and nothing else" in card


def test_broken_promises_and_worse_calibration_are_said(study: Study) -> None:
    run, known = whole(study)
    val, test = (known.predictions(run.id, split) for split in ("val", "test"))
    chosen = choices_of(val, run.thresholds, known.record.classes, False, resamples=100)
    worse = replace(test, probabilities=test.probabilities[:, ::-1])
    texts = {
        name: model_card(
            run, known.record, choices=chosen, measured=choices_on_test(chosen, run.thresholds, on, resamples=100)
        )
        for name, on in (("same", replace(val, split="test")), ("worse", worse))
    }
    assert "promise was not kept for normal, pneumonia" in texts["worse"]
    assert "promise was not kept" not in texts["same"]
    assert "Before you use it" not in texts["same"]
    before = texts["worse"].split("## Before you use it")[1].split("##")[0]
    assert "less often than promised for normal, pneumonia" in before
    assert "recalibration lowered the log-loss" in texts["same"]


def test_several_classes(tmp_path: Path) -> None:
    card = carded(make_study(tmp_path, seeds=1, n=300, backbones=("resnet18",), classes=("a|b", "c_d", "<e>")))
    html = rendered(card)
    assert "the answer is the most probable" in card
    assert "<e>" not in html
    assert "called a|b" in html
    assert "A temperature (" in card


def test_findings(tmp_path: Path) -> None:
    study = make_findings_study(tmp_path, seeds=1, backbones=("resnet18",), data={"multi_label": True})
    card = carded(study, "sensitivity=0.9")
    html = rendered(card)
    assert "| Hernia" not in card
    for name in study.record.classes:
        assert html.count(name) > 3
    assert "sensitivity of at least 0.9, Effusion" in card
    assert "What is missing, and why" in card  # the rarest finding


def test_words_and_escapes() -> None:
    assert text("a|b*c_d") == r"a\|b\*c_d"
    assert text("_x_ [1]") == r"\_x\_ \[1\]"
    assert code("a`b|c") == r"`a'b\|c`"
    assert interval({"value": None, "low": None, "high": None}) == "–"
    assert interval({"value": 0.5, "low": None, "high": None}) == "0.500"
    assert interval({"value": 0.5, "low": 0.4, "high": 0.6}, share=True) == "50.0 % (40.0 to 60.0)"
    assert table(["a"], []) == []
    assert policy_words("argmax") == "the most probable class"


@pytest.mark.parametrize(
    ("command", "short"),
    [
        ("xenograft fit /home/me/chest -o /tmp/a/model", "xenograft fit chest -o model"),
        ("xenograft fit 'D:\\my data\\x' -o model", "xenograft fit 'x' -o model"),
        ("xenograft fit ../chest --window 40,400", "xenograft fit ../chest --window 40,400"),
        ("xenograft.fit('/home/me/chest', weights_dir='/w/x')", "xenograft.fit('chest', weights_dir='x')"),
        ("xenograft fit hf:owner/name", "xenograft fit hf:owner/name"),
    ],
)
def test_folders_of_whoever_made_it_are_not_handed_on(command: str, short: str) -> None:
    assert without_folders(command) == short


def test_the_record_is_not_changed(study: Study) -> None:
    run, known = whole(study)
    before = json.dumps([run.test, known.record.data], sort_keys=True)
    carded(study)
    assert json.dumps([run.test, known.record.data], sort_keys=True) == before
