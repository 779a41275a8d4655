"""The record of a domain-shift report -> what every part of its page asks: names, rows, units, numbers as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xenograft.errors import printable
from xenograft.reporting import style

Json = Mapping[str, Any]

ADAPTATIONS = {"none": "not adapted", "adabn": "AdaBN", "coral": "CORAL", "reference": "trained on the target"}
POLICIES = {
    "youden": "the threshold chosen on the source's validation images",
    "fixed": "the threshold 0.5",
    "argmax": "the most probable class",
}
METRICS = {
    "auroc": "AUROC",
    "accuracy": "Accuracy",
    "recall": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier",
    "slope": "Slope",
    "in_the_large": "In the large",
}


@dataclass(frozen=True, slots=True)
class ShiftView:
    """One record of `xenograft.study.domain_shift`."""

    record: Json

    def model(self, group: Json) -> str:
        """A group's name."""
        scale = "" if group["lr_scale"] == 1 else f", rate × {group['lr_scale']:g}"
        return f"{style.backbone_name(group['backbone'])} {style.recipe_name(group['recipe'])}{scale}"

    def arm(self, group: Json, adaptation: str) -> Json | None:
        """A group's arm, if it has it."""
        found: Json | None = next((arm for arm in group["arms"] if arm["adaptation"] == adaptation), None)
        return found

    def rows(self, group: Json) -> list[tuple[str, str, Json, Json]]:
        """(domain, adaptation, card, arm): both domains without adaptation, then each on the target."""
        plain = self.arm(group, "none")
        rows = [] if plain is None else [("source", "none", plain["source"], plain)]
        return rows + [("target", arm["adaptation"], arm["target"], arm) for arm in group["arms"]]

    def domain(self, name: str) -> str:
        """A domain's data set by name, told apart where both have the same."""
        alike = self.record["source"]["name"] == self.record["target"]["name"]
        return printable(self.record[name]["name"]) + (f" ({name})" if alike else "")

    @property
    def two_classes(self) -> bool:
        """Whether there is a positive class."""
        return len(self.record["classes"]) == 2

    @property
    def level(self) -> str:
        """Of the intervals, as ``95 %``."""
        return f"{100 * self.record['level']:g} %"

    @property
    def stamps(self) -> tuple[str, ...]:
        """Warnings that every figure carries."""
        both = [self.record["source"], self.record["target"]]
        leak = (
            ("LEAK ALLOWED: splits or domains share patients or images",)
            if any(d["leak_allowed"] for d in both)
            else ()
        )
        return leak + (("SYNTHETIC images",) if any(d["synthetic"] for d in both) else ())

    def size(self, name: str, split: str = "test") -> str:
        """Images and patients of a domain's split."""
        found = self.record[name]["sizes"][split]
        images = style.plural(found["images"], "image")
        known = self.record[name]["patients_known"]
        return f"{images} of {style.plural(found['patients'], 'patient')}" if known else images

    def share(self, name: str, split: str) -> float:
        """Share of the positive class (the last) among a split's images."""
        counts = self.record[name]["counts"][split]
        return float(counts[self.record["classes"][-1]]["images"] / sum(entry["images"] for entry in counts.values()))


def entry(card: Json, metric: str, policy: str) -> Json | None:
    """Value and interval of a metric in a card; None where it has none."""
    if metric in {"auroc", "average_precision"}:
        found: Json | None = card["ranking"][metric]
    elif metric in card["calibration"]:
        found = card["calibration"][metric]
    else:
        found = card["decisions"].get(policy, {}).get(metric)
    return found


def text(found: Json | None, metric: str, *, key: str = "value", signed: bool = False) -> str:
    """``0.912 (0.890–0.931)``."""
    if found is None or found[key] is None:
        return style.MISSING
    value = style.number(found[key], metric=metric, signed=signed)
    ends = style.interval(found["low"], found["high"], metric=metric, signed=signed)
    return f"{value} ({ends})" if ends else value
