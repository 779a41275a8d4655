"""The record of a learning curve -> what every part of its page asks of it: names, colours, units, numbers as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xenograft.reporting import style

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LearningView:
    """One record of `xenograft.study.learning_record`."""

    record: Json

    @property
    def curves(self) -> list[tuple[str, str, Json]]:
        """(name, colour, entry of the record) of each curve."""
        colours = style.colours(list(dict.fromkeys(curve["backbone"] for curve in self.record["curves"])))
        return [
            (self.name(c["backbone"], c["recipe"]), style.shade(c["recipe"], colours[c["backbone"]]), c)
            for c in self.record["curves"]
        ]

    def name(self, backbone: str, recipe: str) -> str:
        """A curve's name."""
        return f"{style.backbone_name(backbone)} {style.recipe_name(recipe)}"

    @property
    def data(self) -> Json:
        """What is known of the data."""
        found: Json = self.record["data"]
        return found

    @property
    def unit(self) -> str:
        """What sizes count: patients, or images where patients are not known."""
        return "patients" if self.data["patients_known"] else "images"

    @property
    def level(self) -> str:
        """Of the intervals, as ``95 %``."""
        return f"{100 * self.record['level']:g} %"

    @property
    def metric(self) -> str:
        """AUROC, and of what it is a mean."""
        count = len(self.data["classes"]) - len(self.data["not_measured"])
        if self.data["multi_label"]:
            return f"mean AUROC over {style.plural(count, 'finding')}"
        return "AUROC" if len(self.data["classes"]) == 2 else f"mean AUROC over {count} classes"

    @property
    def test(self) -> str:
        """The size of the test set."""
        found = self.data["sizes"]["test"]
        images = style.plural(found["images"], "image")
        return f"{images} of {style.plural(found['patients'], 'patient')}" if self.data["patients_known"] else images

    @property
    def stamps(self) -> tuple[str, ...]:
        """Warnings that every figure carries."""
        leak = ("LEAK ALLOWED: splits share patients or images",) if self.data["leak_allowed"] else ()
        return leak + (("SYNTHETIC images",) if self.data["synthetic"] else ())

    def reached(self, entry: Json, largest: float) -> str:
        """How many patients reach a target, in words, with the interval.

        Args:
            entry: of ``targets`` or ``catch_up``. largest: size of the curve that is to reach it.
        """
        status, limit = entry["status"], rounded(self.record["farthest"] * largest)
        if status == "unknown":
            return f"more than {exact(largest)}; how many cannot be said"
        if status in {"never", "too_far"}:
            what = "never, by the fitted law" if status == "never" else f"more than {limit}, by the fitted law"
            found = "" if entry["low"] is None else f" ({self.level} interval from {rounded(entry['low'])} on)"
            return what + found
        if status == "smallest":
            value = f"{rounded(entry['value'])} or fewer"
            high = entry["high"]
            if high is None or rounded(high) != rounded(entry["value"]):
                value += f" ({self.level} interval up to {'more than ' + limit if high is None else rounded(high)})"
            return value
        high = f"more than {limit}" if entry["high"] is None else rounded(entry["high"])
        low = f"more than {limit}" if entry["low"] is None else rounded(entry["low"])
        law = ", by the fitted law beyond the data" if status == "beyond" else ""
        return f"about {rounded(entry['value'])}{law} ({self.level} interval {low} to {high})"


def rounded(number: float) -> str:
    """A number of patients with two digits, as no curve tells more; up to 100 whole: ``29``, ``990``, ``13,000``."""
    return f"{number:.0f}" if number < 100 else f"{float(f'{number:.2g}'):,.0f}"


def exact(number: float) -> str:
    """A size that was measured: ``3,133``."""
    return f"{number:,.0f}"


def largest(curve: Json) -> float:
    """The largest size of a curve."""
    return float(curve["points"][-1]["size"])
