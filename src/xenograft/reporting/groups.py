"""Runs that differ only in their seed, as one group; a study as a report sees it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from xenograft.errors import DataError, printable
from xenograft.reporting import style
from xenograft.study.record import RunRecord, Study

SYNTHETIC = "synthetic phantom images, not patients"
LEAK = "LEAK ALLOWED"
_POLICIES = ("fixed", "youden", "argmax")


@dataclass(frozen=True, slots=True)
class Score:
    """A metric of a group.

    Args:
        value: mean over seeds.
        low, high: ends of the data's bootstrap interval, each averaged over seeds; None if not computed.
        spread: standard deviation over seeds (three or more), else None.
        range: smallest and largest value over seeds (two or more), else None.
        values: one value per seed.
    """

    value: float
    low: float | None
    high: float | None
    spread: float | None
    range: tuple[float, float] | None
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One backbone, one recipe, one learning-rate scale; a run per seed."""

    backbone: str
    recipe: str
    lr_scale: float
    transfer: bool
    runs: tuple[RunRecord, ...]

    @property
    def name(self) -> str:
        """The backbone as the paper spells it."""
        return style.backbone_name(self.backbone)

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
        ends = [(e["low"], e["high"]) for e in found if e.get("low") is not None and e.get("high") is not None]
        complete = len(ends) == len(found)
        return Score(
            value=fmean(values),
            low=fmean(low for low, _ in ends) if complete else None,
            high=fmean(high for _, high in ends) if complete else None,
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
        seeds: dict[tuple[str, str, float, bool], list[RunRecord]] = defaultdict(list)
        for run in study.runs:
            seeds[run.backbone, run.recipe, run.lr_scale, run.transfer].append(run)
        groups = [Group(*key, tuple(sorted(runs, key=lambda run: run.seed))) for key, runs in seeds.items()]
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
        """The largest number of seeds in a group."""
        return max(len(group.runs) for group in self.groups)

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
        """Of `groups` (by default all) the one with transfer, or any where none has it, that validation rates highest.

        Test results do not choose.
        """
        among = groups or self.groups
        candidates = [group for group in among if group.transfer] or list(among)

        def rating(group: Group) -> list[float]:
            scores = [group.score(self.main_policy, m, split="validation") for m in ("auroc", "accuracy")]
            singles = self._single_aurocs(group) if scores[0] is None and self.multi_label else []
            return [*([fmean(singles)] if singles else []), *(-1.0 if s is None else s.value for s in scores)]

        return max(candidates, key=rating)

    def _single_aurocs(self, group: Group) -> list[float]:
        """A group's AUROC on validation of every finding that has one."""
        keys = map(str, range(len(self.classes)))
        found = (group.score(self.main_policy, "auroc", split="validation", label=key) for key in keys)
        return [score.value for score in found if score is not None]

    def test_size(self) -> str:
        """``624 images of 428 patients``."""
        images = style.plural(int(self.card["n"]), "image")
        patients = self.card.get("patients")
        return f"{images} of {style.plural(int(patients), 'patient')}" if patients else images

    def interval_note(self) -> str:
        """The sentence about intervals that captions share."""
        resamples = self.card.get("resamples")
        count = f"{int(resamples):,} resamples" if resamples else "resamples"
        seeds = " Interval ends are averaged over seeds." if self.most_seeds > 1 else ""
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
