"""What the terminal shows of a study and of an audit."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from xenograft.cli import display
from xenograft.reporting import pairs
from xenograft.reporting.p_values import p_text

from ..reporting.finding_makers import make_findings_study
from ..reporting.makers import make_study


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(display, "_OUT", Console(file=stream, width=160, highlight=False, soft_wrap=True))
    return stream


def test_a_study_of_findings_shows_means_and_the_best_and_worst(tmp_path: Path, shown: io.StringIO) -> None:
    study = make_findings_study(tmp_path / "s", backbones=("resnet18",), seeds=1, n=200, examples=0)
    display.study_table(study)
    text = shown.getvalue()
    probe = next(run for run in study.runs if run.recipe == "probe")
    mean = probe.test["policies"]["fixed"]["metrics"]["auroc"]["value"]
    assert "mean AUROC (95 % CI)" in text
    assert re.search(rf"ResNet18\s+probe\s+1\s+1\s+{mean:.3f} \(", text)
    assert "(no anatomy)" in text
    assert "means over 6 findings, missing labels left out" in text
    singles = {k: own["auroc"]["value"] for k, own in probe.test["per_class"].items()}
    best, worst = max(singles, key=singles.__getitem__), min(singles, key=singles.__getitem__)
    names = study.record.classes
    assert (
        f"AUROC of single findings from {singles[worst]:.3f} ({names[int(worst)]}) to {singles[best]:.3f} "
        f"({names[int(best)]})"
    ) in text
    row = next(row for row in study.record.comparisons if row["metric"] == "auroc")
    assert f"ResNet18: probe - scratch: mean AUROC {row['difference']:+.3f} (" in text
    assert f"adjusted p {p_text(row['p_holm'])}: {pairs.reading(row)}" in text
    assert "p: two-sided, not adjusted, as it is the only comparison of the study" in text


def test_a_study_of_findings_says_why_its_means_are_undefined(tmp_path: Path, shown: io.StringIO) -> None:
    study = make_findings_study(
        tmp_path / "s", backbones=("resnet18",), seeds=1, n=200, examples=0, without=("Mass",), missing=0
    )
    display.study_table(study)
    assert "undefined" in shown.getvalue()
    assert "Mass: all test images have it or none has" in shown.getvalue()


def test_a_study_of_classes_speaks_of_no_findings(tmp_path: Path, shown: io.StringIO) -> None:
    display.study_table(make_study(tmp_path / "s", backbones=("resnet18",), seeds=1, n=40, examples=0))
    assert "finding" not in shown.getvalue()
    assert "mean AUROC" not in shown.getvalue()


def test_an_audit_counts_findings_of_those_whose_label_is_known(shown: io.StringIO) -> None:
    counts = {
        "train": {"Mass": {"images": 12, "patients": 9, "of": 80}},
        "test": {"normal": {"images": 7, "patients": 6}},
    }
    tally = dict.fromkeys(("error", "warning", "note", "passed", "not_applicable"), 0)
    audit = SimpleNamespace(counts=counts, findings=(), tally=lambda: tally, images=90, seconds={"read": 1.0})
    display.audit_findings(audit)
    lines = shown.getvalue().splitlines()
    assert lines[:2] == ["train Mass 12 of 80 (9 patients)", "test  normal 7 (6 patients)"]
