"""The record of `xenograft similarity` -> what every part of its page asks of it: names, colours, readings, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xenograft.errors import printable
from xenograft.reporting import style

Json = Mapping[str, Any]
Verdict = Literal["yes", "no", "untold"]


@dataclass(frozen=True, slots=True)
class Measure:
    """How to read one measure.

    Args:
        key: in the record. name: as a heading. says: in a few words.
        closer_is_less: whether smaller values mean that sets are closer.
        scale_free: whether it compares networks, or before with after; the others have units of the features.
        same: what it is for two sets of one distribution of any size; None where that depends on size or unit.
        short: where a column is narrow.
    """

    key: str
    name: str
    says: str
    closer_is_less: bool = True
    scale_free: bool = True
    same: float | None = None
    short: str = ""

    def text(self, value: float | None, *, signed: bool = False) -> str:
        """A value: three decimals, or four digits where it has units of the features."""
        if value is None or self.scale_free:
            return style.number(value, signed=signed)
        return _digits(value, signed=signed)

    def span(self, entry: Json, *, signed: bool = False) -> str:
        """Low and high of a value; empty where they are unknown."""
        low, high = entry["low"], entry["high"]
        if low is None or high is None:
            return ""
        joint = " to " if signed or min(low, high) < 0 else "–"
        return joint.join(self.text(end, signed=signed) for end in (low, high))


MEASURES = {
    m.key: m
    for m in (
        Measure(
            "distance", "Mean distance D", "mean Euclidean distance of a feature vector of one set and one of the "
            "other, in units of the features (Eq. 9)", scale_free=False, short="D",
        ),
        Measure(
            "ratio", "Distance ratio", "D over the mean distance within the two sets; 1: as far apart as images of "
            "one set", same=1.0, short="ratio",
        ),
        Measure(
            "cosine_ratio", "Cosine ratio", "the same with cosine distance, which sees directions only", same=1.0,
            short="cosine ratio",
        ),
        Measure(
            "frechet", "Fréchet distance", "squared distance of two normal distributions with the means and "
            "covariances of the sets, in squared units of the features; grows as sets get smaller", scale_free=False,
            short="Fréchet",
        ),
        Measure(
            "kid", "KID", "squared kernel distance of the distributions, unbiased; 0 for one distribution, may fall "
            "below; depends on the units of the features", scale_free=False, same=0.0, short="KID",
        ),
        Measure(
            "two_sample_auroc", "Probe AUROC", "how well a linear probe tells the sets apart, on images that it was "
            "not fitted on; 0.5: not at all, 1: always", same=0.5, short="AUROC",
        ),
        Measure(
            "neighbour_overlap", "Neighbour overlap", "share of nearest neighbours that are from the other set, of "
            "what mixing at random would give; 1: mixed, 0: apart", closer_is_less=False, short="overlap",
        ),
    )
}  # fmt: skip
"""In the order of the page."""

PAIRS = {
    "natural_medical": ("natural and medical", style.INK),
    "natural_natural": ("natural halves", style.COLOURS[0]),
    "medical_medical": ("medical halves", style.COLOURS[1]),
    "natural_noise": ("natural and noise", style.COLOURS[5]),
    "medical_noise": ("medical and noise", style.COLOURS[4]),
}
"""Pair -> (name, colour)."""

SETS = {"natural": style.COLOURS[0], "medical": style.COLOURS[1]}
STATES = {"imagenet": "ImageNet weights", "random": "random weights"}
MAPS = {"t-sne": "t-SNE", "pca": "PCA"}


@dataclass(frozen=True, slots=True)
class SimilarityView:
    """One record of `xenograft similarity`."""

    record: Json

    @property
    def level(self) -> str:
        """Of the intervals, as ``95 %``."""
        return f"{100 * self.record['settings']['level']:g} %"

    @property
    def stamps(self) -> tuple[str, ...]:
        """Warnings that every figure carries."""
        found = [f"SYNTHETIC {name} images" for name in SETS if self.record[name]["synthetic"]]
        return tuple(found)

    @property
    def subjects(self) -> list[Json]:
        """Networks with their weights, each backbone's ImageNet weights before its random ones."""
        every: list[Json] = list(self.record["subjects"])
        first = {s["backbone"]: i for i, s in reversed(list(enumerate(every)))}
        return sorted(every, key=lambda s: (first[s["backbone"]], s["state"] != "imagenet", s["seed"] or 0))

    @property
    def asked(self) -> list[Json]:
        """The subjects that Proposition 4 is asked of: with ImageNet weights; all where none has them."""
        return [s for s in self.subjects if s["state"] == "imagenet"] or self.subjects

    @property
    def backbones(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(s["backbone"] for s in self.subjects))

    def random_of(self, subject: Json) -> list[Json]:
        """The same network with random weights, one for each seed."""
        return [s for s in self.subjects if s["backbone"] == subject["backbone"] and s["state"] == "random"]

    def backbone(self, subject: Json) -> str:
        """A network's name without its weights."""
        return style.backbone_name(subject["backbone"])

    def name(self, subject: Json) -> str:
        """A network's name with its weights, and the seed where there are several."""
        state = STATES[subject["state"]]
        if subject["state"] == "random" and len(self.random_of(subject)) > 1:
            state += f", seed {subject['seed']}"
        return f"{self.backbone(subject)}, {state}"

    def trained(self, change: Json) -> str:
        """A fine-tuned network's name, without the seed."""
        return f"{style.backbone_name(change['backbone'])} {style.recipe_name(change['recipe'])}"

    def set_name(self, kind: str) -> str:
        """``natural (imagenet_sample)``."""
        return f"{kind} ({printable(self.record[kind]['name'])})"

    @property
    def trainings(self) -> list[tuple[str, list[Json]]]:
        """(name, changes of its seeds) for each backbone and recipe that was fine-tuned."""
        found: dict[str, list[Json]] = {}
        for change in self.record["changes"]:
            found.setdefault(self.trained(change), []).append(change)
        return [(name, sorted(changes, key=lambda c: c["seed"])) for name, changes in found.items()]


def at(stage: Json, measure: str, pair: str) -> Json:
    """A value of a stage; an undefined one where it was not measured there."""
    entry: Json | None = stage["measures"].get(measure, {}).get(pair)
    return entry or {"value": None, "low": None, "high": None}


def last(subject: Json) -> Json:
    """The stage that a head sees."""
    stage: Json = subject["stages"][-1]
    return stage


def measured(stages: Sequence[Json]) -> list[Measure]:
    """Measures that one of these stages has, in the order of the page."""
    return [m for key, m in MEASURES.items() if any(key in stage["measures"] for stage in stages)]


def closer(measure: Measure, one: Json, other: Json) -> Verdict:
    """Whether the first of two values says "closer" than the second: their intervals lie apart, or it is untold."""
    ends = (one["low"], one["high"], other["low"], other["high"])
    if any(end is None for end in ends):
        return "untold"
    less, more = one["high"] < other["low"], one["low"] > other["high"]
    if not (less or more):
        return "untold"
    return "yes" if less == measure.closer_is_less else "no"


def than_noise(stage: Json, measure: Measure) -> Verdict:
    """Whether the sets are closer to each other than either is to noise."""
    between = at(stage, measure.key, "natural_medical")
    found = {closer(measure, between, at(stage, measure.key, f"{name}_noise")) for name in SETS}
    return "no" if "no" in found else "untold" if "untold" in found else "yes"


def than_halves(stage: Json, measure: Measure, kind: str) -> Verdict:
    """Whether the sets are closer to each other than two halves of one of them; `kind` is natural or medical."""
    return closer(measure, at(stage, measure.key, "natural_medical"), at(stage, measure.key, f"{kind}_{kind}"))


def distinct(stage: Json, measure: Measure) -> Verdict:
    """Whether a measure shows two distributions: "no" never, as a difference too small to see is still one.

    DeLong's interval of an AUROC is of these probes and too narrow for sets of one distribution: it must also lie above
    what halves of either set give.
    """
    entry = at(stage, measure.key, "natural_medical")
    if measure.same is None or entry["low"] is None:
        return "untold"
    bars = [measure.same]
    if measure.key == "two_sample_auroc":
        halves = [at(stage, measure.key, f"{name}_{name}")["high"] for name in SETS]
        if None in halves:
            return "untold"
        bars += halves
    return "yes" if entry["low"] > max(bars) else "untold"


def moved(measure: Measure, difference: Json) -> Verdict:
    """Whether a difference, after minus before, says "closer": its interval excludes 0, or it is untold."""
    return closer(measure, difference, {"low": 0.0, "high": 0.0})


def seconds(record: Json) -> list[tuple[str, str]]:
    """(step, duration)."""
    return [(printable(name), style.duration(value)) for name, value in record["seconds"].items()]


def _digits(value: float, *, signed: bool) -> str:
    """Four digits: ``18.23``, ``1,234``, ``0.01234``; with an exponent below a ten-thousandth: ``1.2e−11``.

    Untrained networks give features of a millionth, whose squares are not 0.
    """
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-4:
        return f"{value:{'+' if signed else ''}.1e}".replace("-", "−")
    places = max(0, 4 - len(str(int(size)))) if size >= 1 else 4 if size >= 0.1 else 5 if size >= 0.01 else 6
    sign = "+" if signed else ""
    return f"{value:{sign},.{places}f}".replace("-", "−")
