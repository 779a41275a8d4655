"""How to make a study again: the record's facts, and what they lack."""

from __future__ import annotations

import dataclasses

import pytest

from xenograft.reporting.checklist_item import NOT_RECORDED
from xenograft.reporting.groups import View
from xenograft.reporting.reproduce import facts, instructions
from xenograft.study.config import make_config
from xenograft.study.record import Study

from .guideline_makers import changed, guideline_study, with_data


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return guideline_study(tmp_path_factory.mktemp("reproduce") / "s")


def value(view: View, name: str) -> str:
    return next(fact.value for fact in facts(view) if fact.name == name)


def opened(study: Study, *times: str) -> View:
    runs = [dataclasses.replace(run, test_opened=time) for run, time in zip(study.runs, times, strict=False)]
    return View.of(dataclasses.replace(study, runs=tuple(runs)))


def test_rows_come_from_the_record(study: Study) -> None:
    view = changed(study, command="xenograft compare other", seconds=61.0)
    assert value(view, "Command") == "xenograft compare other"
    assert value(view, "Wall-clock time") == "1 min 01 s"
    assert value(view, "Seeds") == "0 and 1"
    assert value(view, "GPU") == "none"
    assert "0f" * 32 in value(view, "Weights of ResNet18")
    assert "licence BSD-3-Clause" in value(view, "Weights of ResNet18")
    assert value(view, "Data, labels, patients and splits (SHA-256)") == "ab" * 32


def test_only_settings_that_differ_are_listed(study: Study) -> None:
    config = make_config({"data": "x", "recipes": "probe", "seeds": 5, "size": 96, "offline": True, "fit": "pad"})
    view = changed(study, config=config.as_json())
    assert value(view, "Settings that are not the defaults") == "recipes = probe; seeds = 5; fit = pad; size = 96"
    machine = value(view, "Settings of the machine alone")
    assert "offline = True" in machine
    assert "data = …/x" in machine  # the folder above it may name a person
    windows = changed(study, config={"data": "C:\\Users\\jane\\scans"})
    assert value(windows, "Settings of the machine alone") == "data = …/scans"
    plain = changed(study, config=make_config({"data": "x"}).as_json())
    assert value(plain, "Settings that are not the defaults") == "none"


def test_when_test_was_opened(study: Study) -> None:
    early, late = "2026-07-01T10:00:00+00:00", "2026-07-01T12:00:00+00:00"
    several = opened(study, late, early, late)
    assert "from 2026-07-01 10:00:00 UTC to 2026-07-01 12:00:00 UTC" in value(several, "Test split opened")
    assert value(several, "Runs after the first opening").startswith("2 runs ended their choices after another run")
    once = opened(study, early)
    assert value(once, "Test split opened") == "2026-07-01 10:00:00 UTC, once by each run after its choices"
    assert not any(fact.name == "Runs after the first opening" for fact in facts(once))
    assert value(opened(study, ""), "Test split opened") == NOT_RECORDED
    assert value(opened(study, early, ""), "Test split opened").endswith("not recorded for 1 run")


def test_five_steps(study: Study) -> None:
    steps = instructions(View.of(study))
    assert len(steps) == 5
    assert steps[2] == f"Run: {study.record.command}"
    assert "abababababab…" in steps[3]
    assert "no hash" in instructions(with_data(study, manifest_sha256=None))[3]
    assert "resnet18.safetensors" in steps[1]


def test_a_record_without_facts_says_so(study: Study) -> None:
    view = changed(study, data={}, environment={}, config={}, command="", seconds=0.0)
    for name in ("Command", "Python", "Packages", "System", "Processor", "Wall-clock time"):
        assert value(view, name) == NOT_RECORDED


def test_random_weights_are_named(study: Study) -> None:
    runs = tuple(dataclasses.replace(run, weights=None) for run in study.runs)
    view = View.of(dataclasses.replace(study, runs=runs))
    assert value(view, "Weights") == "random in every run"
    assert "no weight files" in instructions(view)[1]
