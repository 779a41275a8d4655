"""Runs that differ only in their seed, as one group; a study as a report sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from xenograft.errors import DataError, printable
from xenograft.reporting import style
from xenograft.study.chosen import ArmKey, arms_of, choose
from xenograft.study.record import RunRecord, Study

SYNTHETIC = "synthetic phantom images, not patients"
LEAK = "LEAK ALLOWED"
_POLICIES = ("fixed", "youden", "argmax")


@dataclass(frozen=True, slots=True)
class Score:
    """A metric of a group.

    Args:
        value: mean over seeds and folds.
        low, high: ends of the test data's bootstrap interval of that mean; None if not computed.
        spread: standard deviation over seeds and folds (three or more runs), else None.
        range: smallest and largest value over seeds and folds (two or more runs), else None.
        values: one value per run.
    """

    value: float
    low: float | None
    high: float | None
    spread: float | None
    range: tuple[float, float] | None
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One backbone, one recipe, one learning-rate scale; a run per seed and fold.

    Args:
        card: the arm's entry ``test`` in the study's record: means over its runs with their intervals.
        variation: the arm's entry ``variation``: metric -> standard deviations by source.
    """

    backbone: str
    recipe: str
    lr_scale: float
    transfer: bool
    runs: tuple[RunRecord, ...]
    card: dict[str, Any] = field(default_factory=lambda: {"policies": {}, "per_class": {}})
    variation: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The backbone as the paper spells it."""
        return style.backbone_name(self.backbone)

    @property
    def key(self) -> ArmKey:
        """As records name it."""
        return ArmKey(self.backbone, self.recipe, self.lr_scale)

    @property
    def label(self) -> str:
        """Backbone and recipe."""
        return f"{self.name} {style.recipe_name(self.recipe)}"

    def score(self, policy: str, metric: str, *, split: str = "test", label: str | None = None) -> Score | None:
        """A metric over the seeds that have it; `label` picks a class (without policy) or a finding."""
        cards = [run.test if split == "test" else run.validation for run in self.runs]
        found = [entry for card in cards if (entry := _entry(card, policy, metric, label)) is not None]
        if not found:
            return None
        values = tuple(float(entry["value"]) for entry in found)
        joint = _entry(self.card, policy, metric, label) if split == "test" else None
        if joint is None:  # of validation, which no arm is judged by, ends are averaged
            ends = [(e["low"], e["high"]) for e in found if e.get("low") is not None and e.get("high") is not None]
            complete = len(ends) == len(found)
            low, high = (fmean(end) for end in zip(*ends, strict=True)) if complete else (None, None)
        else:
            low, high = joint.get("low"), joint.get("high")
        return Score(
            value=fmean(values),
            low=low,
            high=high,
            spread=stdev(values) if len(values) >= 3 else None,
            range=(min(values), max(values)) if len(values) >= 2 else None,
            values=values,
        )

    def typical(self, policy: str) -> RunRecord | None:
        """The run whose accuracy is nearest the mean over seeds; the first of equals."""
        runs = [run for run in self.runs if policy in run.test["policies"]]
        mean = self.score(policy, "accuracy")
        if mean is None or not runs:
            return runs[0] if runs else None
        return min(runs, key=lambda run: abs(_value(run, policy, "accuracy", mean.value) - mean.value))


@dataclass(frozen=True, slots=True)
class View:
    """A study arranged for a report: groups in the order of tables and figures."""

    study: Study
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, study: Study) -> View:
        """Group the runs of `study`.

        Raises:
            DataError: the study has no finished run.
        """
        if not study.runs:
            raise DataError(
                f"{printable(study.folder)} has no finished run; run compare until at least one run ends",
                code="E-DATA-13",
            )
        rows = {ArmKey.of(row): row for row in study.record.arms}
        groups = [
            Group(*key, runs[0].transfer, runs, *((rows[key]["test"], rows[key]["variation"]) if key in rows else ()))
            for key, runs in arms_of(study.runs).items()
        ]
        groups.sort(key=lambda g: (-g.lr_scale, style.backbone_order(g.backbone), style.recipe_order(g.recipe)))
        return cls(study, tuple(groups))

    @property
    def data(self) -> dict[str, Any]:
        """The record's facts about the data."""
        return self.study.record.data

    @property
    def classes(self) -> list[str]:
        """Class names fit to print."""
        return [printable(name) for name in self.study.record.classes]

    @property
    def backbones(self) -> tuple[str, ...]:
        """Backbones in order, each once."""
        return tuple(dict.fromkeys(sorted((g.backbone for g in self.groups), key=style.backbone_order)))

    @property
    def recipes(self) -> tuple[str, ...]:
        """Recipes in order, each once."""
        return tuple(dict.fromkeys(sorted((g.recipe for g in self.groups), key=style.recipe_order)))

    @property
    def scales(self) -> tuple[float, ...]:
        """Learning-rate scales, largest first."""
        return tuple(dict.fromkeys(g.lr_scale for g in self.groups))

    @property
    def colours(self) -> dict[str, str]:
        """One colour per backbone."""
        return style.colours(self.backbones)

    @property
    def policies(self) -> tuple[str, ...]:
        """Threshold policies that at least one run has: fixed and youden, or argmax."""
        found = {policy for run in self.study.runs for policy in run.test["policies"]}
        return (*(p for p in _POLICIES if p in found), *sorted(found.difference(_POLICIES)))

    @property
    def main_policy(self) -> str:
        """The policy of figures: 0.5, or the largest probability."""
        return self.policies[0]

    @property
    def multi_label(self) -> bool:
        """Whether the classes are findings, any number of which an image may have."""
        return bool(self.data.get("multi_label"))

    @property
    def multiclass(self) -> bool:
        """More than two classes, one an image."""
        return len(self.study.record.classes) > 2 and not self.multi_label

    @property
    def paper(self) -> bool:
        """Whether this is the paper's data set, so that its published rows belong beside ours."""
        return self.data.get("catalog") == "chest_xray"

    @property
    def card(self) -> dict[str, Any]:
        """The first run's test scorecard: its counts, resamples and level hold for every run."""
        return self.study.runs[0].test

    def baseline(self, policy: str, metric: str, *, label: str | None = None) -> Score | None:
        """A test metric of the classifier that sees no anatomy; None where the study recorded none."""
        entry = _entry(self.data["baseline"]["test"], policy, metric, label) if self.data.get("baseline") else None
        if entry is None:
            return None
        value = float(entry["value"])
        return Score(value, entry.get("low"), entry.get("high"), None, None, (value,))

    @property
    def level(self) -> str:
        """The confidence level as text: ``95 %``, with a space that does not break."""
        return f"{100 * float(self.card.get('level') or 0.95):g}\u00a0%"

    @property
    def stamps(self) -> tuple[str, ...]:
        """What every figure and caption must say about this data."""
        synthetic = (SYNTHETIC,) if self.data.get("synthetic") else ()
        return (*synthetic, LEAK) if self.data.get("leak_allowed") else synthetic

    @property
    def most_seeds(self) -> int:
        """The largest number of runs in a group: seeds, times folds."""
        return max(len(group.runs) for group in self.groups)

    @property
    def runs_are(self) -> str:
        """What the runs of a group differ in: ``seeds``, ``folds``, or ``runs`` where in both."""
        if not self.data.get("folds"):
            return "seeds"
        return "folds" if max(run.seed for run in self.study.runs) == 0 else "runs (folds and seeds)"

    def line_note(self) -> str:
        """What solid, dashed and dotted lines mean, as far as the study has them."""
        kinds = ["solid: pretrained weights (transfer)"] if any(g.transfer for g in self.groups) else []
        if any(not g.transfer and g.recipe != "random" for g in self.groups):
            kinds.append("dashed: random start (scratch)")
        if any(not g.transfer and g.recipe == "random" for g in self.groups):
            kinds.append("dotted: frozen random weights (control)")
        return f"{'; '.join(kinds).capitalize()}."

    def at(self, lr_scale: float) -> tuple[Group, ...]:
        """The groups of one learning-rate scale."""
        return tuple(group for group in self.groups if group.lr_scale == lr_scale)

    def chosen(self, groups: Sequence[Group] = ()) -> Group:
        """Of `groups` (by default all) the one that `xenograft.study.chosen.choose` takes, by validation alone."""
        arms = {group.key: group.runs for group in groups or self.groups}
        return self.group(choose(arms))

    def group(self, key: ArmKey) -> Group:
        """The group of an arm."""
        return next(group for group in self.groups if group.key == key)

    def test_size(self) -> str:
        """``624 images of 428 patients``; of folds that test on different images, all of them."""
        images, patients = int(self.card["n"]), self.card.get("patients")
        folds = self.data.get("folds") or {}
        if folds.get("test") == "rotating":
            images, patients = (sum(part["test"][key] for part in folds["sizes"]) for key in ("images", "patients"))
        said = style.plural(images, "image")
        return f"{said} of {style.plural(int(patients), 'patient')}" if patients else said

    def interval_note(self) -> str:
        """The sentence about intervals that captions share."""
        resamples = self.card.get("resamples")
        count = f"{int(resamples):,} resamples" if resamples else "resamples"
        seeds = f" They are those of the mean over {self.runs_are}." if self.most_seeds > 1 else ""
        return f"Intervals: {self.level}, patient-cluster bootstrap of the test images ({count}).{seeds}"


def _entry(card: dict[str, Any], policy: str, metric: str, label: str | None) -> dict[str, Any] | None:
    chosen = card["policies"].get(policy, {})
    if label is None:
        metrics = chosen.get("metrics", {})
    else:
        metrics = ((chosen if policy else card).get("per_class") or {}).get(label, {})
    entry = metrics.get(metric)
    return entry if entry is not None and entry.get("value") is not None else None


def _value(run: RunRecord, policy: str, metric: str, default: float) -> float:
    entry = _entry(run.test, policy, metric, None)
    return default if entry is None else float(entry["value"])
