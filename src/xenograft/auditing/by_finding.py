"""A check for one question of two classes -> the same check for each of several findings, merged by code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from xenograft.auditing.finding import SEVERITIES, Finding
from xenograft.auditing.material import Material
from xenograft.errors import listed, printable

_MOST = 20


def for_each_finding(
    material: Material, check: Callable[[Material, int], list[Finding]], *, size: Callable[[Finding], float]
) -> list[Finding]:
    """What a check says of each finding, one result a code.

    Args:
        check: called with the images of which finding k is known, as a set of two classes, and with k.
        size: how strong a result is, to choose between two of the same severity.

    Returns:
        As many as one call of `check` gives. The worst speaks, led by the name of its finding; of how many findings
        the same is true is said behind; ``numbers`` are those of the worst, with ``finding``, its name, and
        ``findings``, name -> severity and numbers of each.
    """
    names = [printable(name) for name in material.manifest.classes]
    said: dict[tuple[str, str], dict[str, Finding]] = {}
    for k, name in enumerate(names):
        for finding in check(material.for_label(k), k):
            said.setdefault((finding.code, finding.title), {})[name] = finding
    return [_merged(of, size) for of in said.values()]


def _merged(of: Mapping[str, Finding], size: Callable[[Finding], float]) -> Finding:
    ranked = sorted(of, key=lambda name: (SEVERITIES.index(of[name].severity), -size(of[name])))
    worst, idle = of[ranked[0]], [name for name in of if of[name].severity == "not_applicable"]
    numbers: dict[str, Any] = {name: {"severity": found.severity, **found.numbers} for name, found in of.items()}
    items = tuple(item for name in ranked for item in of[name].items)[:_MOST]
    message = f"{ranked[0]}: {worst.message.rstrip('.')}. {_shares(of, ranked, worst, idle)}"
    if len(idle) == len(of) and len({found.message for found in of.values()}) == 1:
        message = worst.message  # the reason lies in the set, not in a finding
    more = {"finding": ranked[0], "findings": numbers}
    return replace(worst, message=message, items=items, numbers={**worst.numbers, **more})


def _shares(of: Mapping[str, Finding], ranked: list[str], worst: Finding, idle: list[str]) -> str:
    looked = len(of) - len(idle)
    without = f"; {len(idle)} of {len(of)} findings could not be looked at" if idle and looked else ""
    if worst.severity == "not_applicable":
        return f"The same, or alike, for all {len(of)} findings."
    if worst.severity == "passed":
        return f"The strongest of {looked} findings, none of which stands out{without}."
    told = [name for name in ranked if of[name].severity in {"error", "warning", "note"}]
    others = f" (also {listed(told[1:])})" if len(told) > 1 else ""
    return f"Found for {len(told)} of {looked} findings{others}{without}."
