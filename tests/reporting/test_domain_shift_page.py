"""The page of a domain-shift report: the record's numbers, verdicts that follow them, and nothing loaded."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import pytest

from xenograft.reporting import domain_shift_page
from xenograft.reporting import domain_shift_words as words
from xenograft.reporting.domain_shift_view import ShiftView
from xenograft.reporting.tables import domain_shift as tables

HOSTILE = '<img src=x onerror="alert(1)">'


def number(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.04}


def card(auroc: float) -> dict[str, Any]:
    decided = {m: number(auroc - 0.1) for m in ("accuracy", "recall", "specificity", "precision", "f1")}
    return {
        "ranking": {"auroc": number(auroc), "average_precision": number(auroc)},
        "calibration": {"brier": number(0.2), "slope": number(0.8), "in_the_large": number(0.3)},
        "decisions": {"fixed": copy.deepcopy(decided), "youden": copy.deepcopy(decided)},
    }


def change(metric: str, value: float, p: float | None = None) -> dict[str, Any]:
    return {"metric": metric, "difference": value, "low": value - 0.03, "high": value + 0.03, "p": p, "p_holm": p}


def arm(name: str, source: float | None, target: float, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "adaptation": name, "source": None if source is None else card(source), "target": card(target),
        "drop": [] if source is None else [change("auroc", target - source)], "policy": "youden",
        "facts": facts, "predictions": [], "thresholds": [{"fixed": 0.5, "youden": 0.4}],
        "apart": None if source is None else {"two_sample": number(0.9), "ratio": number(1.2), "images": [80, 90]},
    }  # fmt: skip


def record(name: str = "ours") -> dict[str, Any]:
    counts = {s: {"a": {"images": 60, "patients": 50}, "b": {"images": 40, "patients": 30}} for s in ("train", "test")}
    other = {s: {"a": {"images": 90, "patients": 50}, "b": {"images": 10, "patients": 30}} for s in ("train", "test")}
    domain = {
        "name": name, "classes": ["a", "b"], "patients_known": True, "patient_rule": "rule", "split_rule": "rule",
        "sizes": {s: {"images": 100, "patients": 80} for s in ("train", "test")}, "counts": counts,
        "synthetic": False, "leak_allowed": False, "skipped": 0, "facts": [], "notices": [],
        "manifest_sha256": "0" * 64,
    }  # fmt: skip
    coral = {"images": 100, "ridge": 1.0, "align_means": True, "head": "fitted"}
    adabn = {"images": 100, "batch": 64, "source_images": None, "head": "as trained"}
    rows = [
        {"adaptation": adaptation, "test": "t", **change(metric, gain, p)}
        for adaptation, gain, p in (("adabn", 0.1, 0.004), ("coral", 0.01, 0.7))
        for metric in ("auroc", "accuracy", "brier")
    ]
    group = {
        "backbone": "mobilenet_v2", "recipe": "probe", "lr_scale": 1.0, "frozen": True, "settings": {},
        "preprocess": {}, "policy": "youden", "differences": rows,
        "arms": [
            arm("none", 0.95, 0.8, {}), arm("adabn", 0.94, 0.9, adabn), arm("coral", 0.93, 0.81, coral),
            arm("reference", None, 0.97, {}),
        ],
    }  # fmt: skip
    return {
        "command": "xenograft domain-shift", "program": "xenograft 0", "created": "2026-01-01T00:00:00+00:00",
        "classes": ["a", "b"], "source": domain, "target": {**domain, "name": "theirs", "counts": other},
        "adaptation": {
            "asked": ["none", "adabn", "coral"], "adapt_on": "train", "images": 100, "patients": 80,
            "align_means": True, "reference": True,
        },
        "level": 0.95, "resamples": 2000, "seeds": 1, "policy": "youden", "tests": 6, "groups": [group],
        "conduct": {
            "test_opened": ["2026-01-01T00:00:00+00:00"], "repeated_patients": 0, "seconds": 1.0, "notices": [],
            "engine": {"name": "openvino", "precision": "f32"}, "config": {},
        },
    }  # fmt: skip


def test_answers_are_the_records_numbers() -> None:
    said = " ".join(words.answers(ShiftView(record())))
    assert "AUROC 0.950 (0.900–0.990) on its own test patients and 0.800 (0.750–0.840) on those of theirs" in said
    assert "−0.150 (−0.180 to −0.120); lower on the target" in said
    assert "AdaBN changes AUROC on the target by +0.100 (+0.070 to +0.130), adjusted p 0.004" in said
    assert "AUROC rises, accuracy rises, the Brier score rises" in said
    assert "CORAL" in said
    assert "these data show no change." in said
    assert "own labels has AUROC 0.970" in said


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.2, -0.1, "lower on"), (0.1, 0.2, "higher on"), (-0.1, 0.1, "do not show"), (None, None, "no interval")],
)
def test_verdicts_follow_the_interval(low: float | None, high: float | None, verdict: str) -> None:
    made = record()
    made["groups"][0]["arms"][0]["drop"][0] |= {"low": low, "high": high}
    assert verdict in words.answers(ShiftView(made))[0]


def test_a_difference_of_prevalence_is_told() -> None:
    made = record()
    said = " ".join(words.cautions(ShiftView(made)))
    assert "40 % of the source's training images and 10 % of the target images" in said
    assert "Where prevalence differs" in said
    made["target"]["counts"] = made["source"]["counts"]
    assert "Where prevalence differs" not in " ".join(words.cautions(ShiftView(made)))


def test_what_adaptation_saw_is_told() -> None:
    made = record()
    assert "none of its test patients" in words.seen(ShiftView(made))
    made["adaptation"]["adapt_on"] = "test"
    assert "the very 100 images of 80 patients" in words.seen(ShiftView(made))


def test_page_figure_and_tables(tmp_path: Path) -> None:
    page = domain_shift_page.render(record(), tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert 'src="http' not in page
    for name in ("domain-shift.svg", "domain-shift.pdf", "measures.csv", "measures-fixed.csv", "differences.csv"):
        assert (tmp_path / name).stat().st_size > 100
        assert f'href="{name}"' in page
    with (tmp_path / "measures.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["domain"], r["adaptation"]) for r in rows][:3] == [
        ("source", "none"), ("target", "none"), ("target", "adabn"),
    ]  # fmt: skip
    assert float(rows[2]["auroc"]) == pytest.approx(0.9)
    again = domain_shift_page.render(record(), tmp_path / "again").read_text(encoding="utf-8")
    assert page == again


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    page = domain_shift_page.render(record(HOSTILE), tmp_path).read_text(encoding="utf-8")
    assert "<img" not in page
    assert "&lt;img" in page


def test_two_domains_of_one_name_are_told_apart() -> None:
    view = ShiftView(record("theirs"))
    assert (view.domain("source"), view.domain("target")) == ("theirs (source)", "theirs (target)")


def test_the_terminal_has_a_row_for_each_arm() -> None:
    head, rows = tables.brief(ShiftView(record()))
    assert len(rows) == 5
    assert all(len(row) == len(head) for row in rows)


def test_nothing_adapted_has_no_differences(tmp_path: Path) -> None:
    made = record()
    made["groups"][0]["arms"] = made["groups"][0]["arms"][:1]
    made["groups"][0]["differences"] = []
    page = domain_shift_page.render(made, tmp_path).read_text(encoding="utf-8")
    assert 'id="gain"' not in page
    assert not (tmp_path / "differences.csv").exists()


def test_too_few_resamples_are_not_taken_for_no_change() -> None:
    made = record()
    made["resamples"] = 100
    said = " ".join(words.answers(ShiftView(made)))
    assert "100 resamples cannot show a change" in said
    assert "--resamples 240 or more" in said
    assert "these data show no change" not in said
    made["resamples"] = 240
    assert "these data show no change" in " ".join(words.answers(ShiftView(made)))


def test_without_adaptation_nothing_is_said_of_it() -> None:
    made = record()
    made["groups"][0] |= {"arms": made["groups"][0]["arms"][:1], "differences": [], "recipe": "full", "frozen": False}
    made["adaptation"]["asked"] = ["none"]
    said = words.seen(ShiftView(made)) + " ".join(words.cautions(ShiftView(made)))
    assert "Nothing was adapted" in said
    for absent in ("Adaptation was given", "CORAL", "a yardstick"):
        assert absent not in said


def test_cautions_of_rows_that_are_there() -> None:
    made = record()
    made["groups"][0] |= {"frozen": False}
    said = " ".join(words.cautions(ShiftView(made)))
    assert "CORAL fits a new head" in said
    assert "a yardstick" in said


def test_a_sample_of_many_images_is_told() -> None:
    made = record()
    assert "drawn at random" not in words.seen(ShiftView(made))
    made["adaptation"]["images"] = 5000
    assert "AdaBN took 100 of these images" in words.seen(ShiftView(made))


def test_distances_say_whose_features_they_are() -> None:
    made = record()
    assert "first seed" not in str(tables.distances(ShiftView(made)))
    made["seeds"] = 3
    assert "first seed" in str(tables.distances(ShiftView(made)))
