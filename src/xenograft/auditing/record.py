"""What an audit was and found: one JSON file, from which its page is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from xenograft.auditing.finding import SEVERITIES, Finding, Severity
from xenograft.auditing.hiding import StandIn
from xenograft.storage import write_csv, write_json

AUDIT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit of one data set.

    Args:
        data: as the user named it. name: short name of the data set. command: makes the audit again.
        images: kept. classes: names in index order. counts: ``{split: {class: {"images": n, "patients": n}}}``.
        listed: images that the source names. skipped: ``{code: how many}`` of those that cannot be used.
        patient_rule, split_rule: one sentence each. facts: what every report on a known data set must carry.
        notices: what reading said, ``{"code", "message", "count", "items"}``.
        histograms: ``{split: {class: 32 shares of pixels}}``, the mean over images.
        findings: from the worst, within a severity in the order of the checks.
        features: which backbone's features were looked at, or empty. seconds: by stage.
        sizes: ``{split: {"images": n, "patients": n}}``. multi_label: an image may have several of `classes`, or none;
            `counts` then are of images and patients that have each, with ``"of"``, the images where it is known.
        hidden: what may tell who a patient is -> its stand-in in all the rest. Never written into the JSON file.
    """

    data: str
    name: str
    command: str
    created: str
    program: str
    images: int
    listed: int
    classes: list[str]
    counts: dict[str, Any]
    skipped: dict[str, int]
    patient_rule: str
    split_rule: str
    synthetic: bool
    facts: list[str]
    notices: list[dict[str, Any]]
    histograms: dict[str, dict[str, list[float]]]
    findings: tuple[Finding, ...]
    features: str
    seconds: dict[str, float]
    sizes: dict[str, dict[str, int]]
    multi_label: bool
    hidden: dict[str, StandIn] = field(default_factory=dict)
    version: int = AUDIT_VERSION

    def tally(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        return tally(self.findings)

    def write(self, target: Path) -> Path:
        """Write the audit as JSON, without what could identify people."""
        public = {name: value for name, value in asdict(replace(self, hidden={})).items() if name != "hidden"}
        return write_json(target, public | {"findings": [_public(finding).as_json() for finding in self.findings]})


def write_sensitive(target: Path, hidden: Mapping[str, StandIn]) -> Path | None:
    """List what could identify people in a file of its own, or remove an earlier list where there is nothing."""
    if not hidden:
        target.unlink(missing_ok=True)
        return None
    rows = [(" ".join(stand_in.codes), stand_in.shown, name) for name, stand_in in hidden.items()]
    return write_csv(target, ("code", "stand_in", "where"), rows)


def _public(finding: Finding) -> Finding:
    return replace(finding, items=()) if finding.numbers.get("sensitive") else finding


def tally(findings: tuple[Finding, ...]) -> dict[Severity, int]:
    """How many findings there are of each severity, zeros included."""
    seen = Counter(finding.severity for finding in findings)
    return {severity: seen[severity] for severity in SEVERITIES}


def summary(findings: tuple[Finding, ...]) -> dict[str, Any]:
    """What a study's record keeps of an audit: how many findings of each severity, and those to look at."""
    serious = [f for f in findings if f.severity in {"error", "warning", "note"}]
    fields = ("code", "severity", "title", "message", "advice", "count", "total")
    return {
        "tally": tally(findings),
        "findings": [{name: value for name, value in asdict(f).items() if name in fields} for f in serious],
        "not_applicable": [f.title for f in findings if f.severity == "not_applicable"],
    }
