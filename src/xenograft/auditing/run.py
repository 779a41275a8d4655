"""Material -> findings: which checks there are, and in which order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np

from xenograft.auditing import duplicates, privacy, quality, shift, shortcuts, splits, suspects
from xenograft.auditing.finding import SEVERITIES, Finding
from xenograft.auditing.hiding import hidden, stand_ins
from xenograft.auditing.material import Material
from xenograft.data.manifest import SPLITS

Check = Callable[[Material], list[Finding]]

CHEAP = MappingProxyType(
    {"quality": quality.check, "splits": splits.check, "copies": duplicates.exact, "privacy": privacy.check}
)
"""What `compare` and `fit` look at before they begin: a second for ten thousand images."""

WHOLE = MappingProxyType(
    {
        **CHEAP,
        "near copies": duplicates.near,
        "shortcuts": shortcuts.check,
        "shift": shift.check,
        "suspects": suspects.check,
    }
)
"""What `audit` looks at."""

ALL_IMAGES = "all images"
"""What the histogram of a whole split is called, beside those of findings."""
_LINES, _ENOUGH = 5, 10


def run_checks(
    material: Material, checks: MappingProxyType[str, Check] = WHOLE, *, begin: Callable[[str], None] = lambda _: None
) -> tuple[tuple[Finding, ...], dict[str, float]]:
    """(findings, worst first; seconds of each family of checks). What may tell who a patient is has stand-ins.

    Args:
        begin: called with the name of each family before it is looked at.
    """
    found: list[Finding] = []
    seconds: dict[str, float] = {}
    for name, check in checks.items():
        begin(name)
        started = time.perf_counter()
        found += check(material)
        seconds[name] = round(time.perf_counter() - started, 3)
    names = stand_ins(material)
    return ranked([hidden(finding, names) for finding in found]), seconds


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Worst first; findings of one severity keep their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def mean_histograms(material: Material) -> dict[str, dict[str, list[float]]]:
    """``{split: {class: 32 shares of pixels}}``, the mean over the images.

    Of several findings: of all images, and of those that have one of the five most frequent, of ten at least.
    """
    members = material.members
    if material.multi_label:
        frequent = sorted(members, key=lambda name: -int(members[name].sum()))[:_LINES]
        everything = {ALL_IMAGES: np.ones(len(material), np.bool_)}
        members = everything | {name: members[name] for name in members if name in frequent}
    found: dict[str, dict[str, list[float]]] = {}
    for split in SPLITS:
        for label, of_class in members.items():
            chosen = np.flatnonzero((material.splits == split) & of_class)
            if len(chosen) >= (_ENOUGH if material.multi_label else 1):
                mean = material.glances.histograms[chosen].mean(axis=0)
                found.setdefault(split, {})[label] = [round(float(share), 5) for share in mean]
    return found
