"""A multi-label study's findings as the test images have them, their order in figures, and their thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from xenograft.evaluation.threshold import MIN_PER_CLASS
from xenograft.reporting.groups import Group, Score, View

FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Args:
        key: its place in the record as text, as ``per_class`` has it.
        name: fit to print.
        known: test images of which it is known whether they have it.
        positive: test images that have it.
    """

    key: str
    name: str
    known: int
    positive: int

    @property
    def prevalence(self) -> float | None:
        """Share of the known test images that have it; None where none is known."""
        return self.positive / self.known if self.known else None


def findings(view: View) -> tuple[Finding, ...]:
    """The findings of a multi-label study in the record's order."""
    known = view.card.get("known") or {}
    return tuple(
        Finding(str(k), name, int(own.get("n", 0)), int(own.get("positive", 0)))
        for k, name in enumerate(view.classes)
        for own in (known.get(str(k), {}),)
    )


def ranked(view: View, groups: Sequence[Group]) -> tuple[Finding, ...]:
    """Findings from the highest AUROC, averaged over `groups`, to the lowest; the undefined ones at the end."""

    def rating(finding: Finding) -> float:
        scores = [score.value for group in groups if (score := auroc(view, group, finding)) is not None]
        return -fmean(scores) if scores else 1.0

    return tuple(sorted(findings(view), key=rating))


def auroc(view: View, group: Group, finding: Finding) -> Score | None:
    """A group's AUROC of one finding; it depends on no threshold."""
    return group.score(view.main_policy, "auroc", label=finding.key)


def own_policy(view: View) -> str:
    """The policy under which every finding has a threshold of its own, if there is one: else 0.5 for all."""
    return "youden" if "youden" in view.policies else view.main_policy


def thresholds(cards: Sequence[dict[str, Any]], policy: str, finding: Finding) -> tuple[float, ...]:
    """The finding's threshold in each of the scorecards that have the policy."""
    chosen = (card["policies"].get(policy, {}).get("threshold") for card in cards)
    return tuple(float(t[int(finding.key)] if isinstance(t, list) else t) for t in chosen if t is not None)


def too_few(group: Group, finding: Finding) -> bool:
    """Whether validation had too few images with or without the finding to choose a threshold of its own."""
    own = (group.runs[0].validation.get("known") or {}).get(finding.key, {})
    known, positive = int(own.get("n", 0)), int(own.get("positive", 0))
    return min(positive, known - positive) < MIN_PER_CLASS


def one_sided(view: View) -> tuple[Finding, ...]:
    """Findings that every known test image has, or none: means over findings that need both are undefined."""
    return tuple(finding for finding in findings(view) if finding.positive in {0, finding.known})


def mean_note(view: View) -> str:
    """What a figure of a whole multi-label study is."""
    note = f"Every figure is the mean over {len(view.classes)} findings; labels that are missing are left out."
    return f"{note} {gap}" if (gap := gap_note(view)) else note


def gap_note(view: View) -> str:
    """Why means over findings are not defined, where they are not."""
    names = ", ".join(finding.name for finding in one_sided(view))
    if not names:
        return ""
    return f"{names}: all test images have it or none has, so means over findings that need both are not defined."
