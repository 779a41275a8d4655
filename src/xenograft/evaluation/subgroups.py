"""(labels, probabilities, patients, facts about the images) -> metrics of each subgroup, and its gap to all others.

Subgroups and the others are measured on the same resamples of patients, so a patient who is in both moves both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import listed
from xenograft.evaluation.metrics import (
    METRICS,
    Floats,
    Labels,
    Scores,
    check_probabilities,
    multiclass_tables,
    wrong,
)
from xenograft.evaluation.multilabel import check_multilabel, check_thresholds, finding_tables, prepare
from xenograft.evaluation.multiplicity import holm
from xenograft.evaluation.scorecard import ARGMAX
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary, two_sided

FEWEST = 20
"""Patients of each class below which a level is left out. In a simulation without any gap, intervals of 95 % held the
gap in 91 to 93 % at 10 patients of each class, 92 to 94 % at 20 and 94 to 95 % at 50, and of three gaps one or more had
an adjusted p below 0.05 in 10 to 14, 7 and 4 %: percentile intervals are somewhat short in small groups."""
TESTED = ("auroc", "recall", "specificity")
WITHOUT_THRESHOLD = ("loss", "auroc", "average_precision")

AGE_BANDS = {
    "0–27 days": 0.0,
    "28 days–23 months": 28 / 365.25,
    "2–5 years": 2.0,
    "6–11 years": 6.0,
    "12–17 years": 12.0,
    "18–39 years": 18.0,
    "40–59 years": 40.0,
    "60–79 years": 60.0,
    "80 years and over": 80.0,
}
"""Band -> the age in years at which it begins. Below 18 they are those of ICH E11, with children of 2 to 11 parted into
pre-school and school age as EMA does; adults by twenty years, as chest X-ray studies do (Seyyed-Kalantari et al. 2021,
doi:10.1038/s41591-021-01595-0)."""

Json = dict[str, Any]
Bools = NDArray[np.bool_]
Place = tuple[str, str, str]
"""Policy, finding ("" where there are none; of several classes, a class or "" for all) and metric."""
Kernel = Callable[[Floats], dict[Place, Floats]]
Values = dict[tuple[bytes, Place], Floats]
"""Which images, and which of their metrics -> values (B,)."""


def subgroup_card(
    labels: Labels,
    probabilities: Scores,
    patients: NDArray[Any],
    groups: Mapping[str, NDArray[Any]],
    thresholds: Mapping[str, float | Sequence[float]],
    *,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
    fewest: int = FEWEST,
    tested: Sequence[str] = TESTED,
) -> Json:
    """Metrics of each level of each fact with patient-cluster bootstrap intervals, and its gap to the rest.

    The rest are all other images whose level is known, those of small levels among them. Where a fact has two levels,
    one gap is the other turned round, and both are one comparison. The p of a gap is two-sided and from the same
    resamples as its interval: twice the smaller share of resampled gaps at or beyond zero, with one added above and
    below (Davison & Hinkley 1997, Bootstrap Methods and their Application, chapter 4). It cannot be smaller than
    ``smallest_p``, so many comparisons need many resamples.

    Args:
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        probabilities: (N, C), rows summing to one; (N, L) for findings.
        patients: (N,) patient keys.
        groups: fact -> (N,) levels, such as sex, view or `age_bands`; "", None and nan are unknown.
        thresholds: policy name -> threshold, as in `scorecard`; not looked at for more than two classes.
        resamples, rng, level: as in `scorecard`.
        fewest: patients of each class, or with and without a finding, that a level needs to be measured, and the rest
            to be compared with.
        tested: metrics whose gaps get a p; those that depend on a threshold get one under each policy.

    Returns:
        ``n``, ``patients``, ``resamples``, ``level``, ``fewest``, ``tested``, ``smallest_p``; ``comparisons``: how many
        p were adjusted for; ``undefined``: how many had none; ``groups``: fact -> ``unknown`` (images), ``left_out``
        (those with too few patients: ``level``, ``finding``, None where there are none, and ``classes``) and
        ``levels``: name -> as follows, for findings one step deeper, in ``findings``: "0", "1", ...

        ``n``, ``patients``, ``classes`` ("0", "1", ... -> patients with an image of that class), ``enough`` (each has
        `fewest` or more), ``rest`` (these four of all others) and ``policies``: name -> ``threshold``, ``metrics``
        (metric -> ``value``, ``low``, ``high``) and ``gap`` (metric -> ``difference``, level minus rest, ``low``,
        ``high``, and for tested ones ``p`` and ``p_holm``, adjusted over all comparisons); for more than two classes
        also ``per_class``: "0", "1", ... -> ``metrics`` and ``gap`` of that class, untested. ``policies`` is empty
        where the level has too few patients, ``gap`` where the rest has. None stands for undefined.

    Raises:
        DataError: unusable arrays, no fact, no threshold for two classes, or an unknown metric.
    """
    task = _task(labels, probabilities, patients, thresholds)
    _check(groups, size=len(task.labels), fewest=fewest, tested=tested)
    names = {fact: _names(levels) for fact, levels in groups.items()}
    pairs = {
        (fact, one): (_side(task, of == one, fewest), _side(task, (of != "") & (of != one), fewest))
        for fact, of in names.items()
        for one in sorted(set(of.tolist()) - {""}, key=_order)
    }
    masks = {side.key: side.mask for pair in pairs.values() for side in _measured(*pair)}
    kernels = {key: task.kernel(mask) for key, mask in masks.items()}

    def statistic(weights: Floats) -> Values:
        return {(key, place): v for key, kernel in kernels.items() for place, v in kernel(weights).items()}

    drawn = bootstrap(statistic, task.labels, patients, resamples=resamples, rng=rng)
    results = _Results(task, statistic(np.ones((1, len(task.labels)))), drawn, level, tuple(tested), {})
    facts = {
        fact: {
            "unknown": int((of == "").sum()),
            "left_out": [
                {"level": one, "finding": finding or None, "classes": size["classes"]}
                for (name, one), (inside, _) in pairs.items()
                for finding, size in zip(task.findings, inside.sizes, strict=True)
                if name == fact and not size["enough"]
            ],
            "levels": {one: results.entry(*pair) for (name, one), pair in pairs.items() if name == fact},
        }
        for fact, of in names.items()
    }
    return {
        "n": len(task.labels),
        "patients": int(task.patients.max()) + 1,
        "resamples": int(resamples),
        "level": float(level),
        "fewest": int(fewest),
        "tested": list(tested),
        "smallest_p": min(1.0, 2 / (resamples + 1)),
        **_adjust(results.gaps),
        "groups": facts,
    }


def age_bands(ages: Floats) -> NDArray[np.str_]:
    """The name in `AGE_BANDS` (N,) of each age in years (N,), "" where it is nan.

    Raises:
        DataError: not (N,), or an age that is negative or infinite.
    """
    years = np.asarray(ages, dtype=np.float64)
    if years.ndim != 1:
        raise wrong("ages", f"shape {years.shape}", "(N,)")
    known = ~np.isnan(years)
    if (years[known] < 0).any() or np.isinf(years).any():
        raise wrong("ages", f"values {np.nanmin(years):g} to {np.nanmax(years):g}", "years, 0 or more, nan if unknown")
    band = np.digitize(np.where(known, years, 0), list(AGE_BANDS.values())) - 1
    return np.where(known, np.array(list(AGE_BANDS))[band], "")


@dataclass(frozen=True, slots=True)
class _Task:
    """What is measured: labels (N,) or (N, L), patient numbers (N,), and per policy a threshold for each finding."""

    labels: NDArray[np.int64]
    patients: NDArray[np.intp]
    classes: int
    findings: tuple[str, ...]
    policies: dict[str, list[float] | None]
    kernel: Callable[[Bools], Kernel]


@dataclass(frozen=True, slots=True)
class _Side:
    """The images of a level, or all others of known level, and how many patients that is for each finding."""

    mask: Bools
    sizes: tuple[Json, ...]

    @property
    def key(self) -> bytes:
        return self.mask.tobytes()


@dataclass(frozen=True, slots=True)
class _Results:
    """Values on all images and on the resamples, made into entries; collects the gaps that are tested.

    Args:
        gaps: comparison -> its entries, two where a gap and its reverse are shown.
    """

    task: _Task
    whole: Values
    drawn: Values
    level: float
    tested: tuple[str, ...]
    gaps: dict[tuple[frozenset[bytes], Place], list[Json]]

    def entry(self, inside: _Side, outside: _Side) -> Json:
        """One level of one fact."""
        found = [
            {**size, "rest": rest, "policies": self._policies(inside, outside, number) if size["enough"] else {}}
            for number, (size, rest) in enumerate(zip(inside.sizes, outside.sizes, strict=True))
        ]
        if self.task.findings == ("",):
            return found[0]
        patients = np.unique(self.task.patients[inside.mask]).size
        return {
            "n": int(inside.mask.sum()),
            "patients": int(patients),
            "findings": dict(zip(self.task.findings, found, strict=True)),
        }

    def _policies(self, inside: _Side, outside: _Side, number: int) -> Json:
        classes = [str(k) for k in range(self.task.classes)] if self.task.classes > 2 else []
        values = partial(self._values, inside, outside, compared=outside.sizes[number]["enough"])
        return {
            policy: {
                "threshold": None if cuts is None else cuts[number],
                **values(policy, self.task.findings[number]),
                **({"per_class": {k: values(policy, k) for k in classes}} if classes else {}),
            }
            for policy, cuts in self.task.policies.items()
        }

    def _values(self, inside: _Side, outside: _Side, policy: str, finding: str, *, compared: bool) -> Json:
        return {
            "metrics": {m: self._metric(inside, (policy, finding, m)) for m in METRICS},
            "gap": {m: self._gap(inside, outside, (policy, finding, m)) for m in METRICS} if compared else {},
        }

    def _metric(self, side: _Side, place: Place) -> Json:
        return summary(float(self.whole[side.key, place][0]), self.drawn[side.key, place], level=self.level)

    def _gap(self, inside: _Side, outside: _Side, place: Place) -> Json:
        difference = self.whole[inside.key, place] - self.whole[outside.key, place]
        resampled = self.drawn[inside.key, place] - self.drawn[outside.key, place]
        entry: Json = summary(float(difference[0]), resampled, level=self.level, key="difference")
        policy, finding, metric = place
        if metric in self.tested and finding in self.task.findings:
            entry["p"] = None if entry["difference"] is None or entry["low"] is None else two_sided(resampled)
            once = ("" if metric in WITHOUT_THRESHOLD else policy, finding, metric)
            self.gaps.setdefault((frozenset({inside.key, outside.key}), once), []).append(entry)
        return entry


def _task(
    labels: Labels, probabilities: Scores, patients: NDArray[Any], thresholds: Mapping[str, float | Sequence[float]]
) -> _Task:
    truth, table = (check_multilabel if np.ndim(labels) == 2 else check_probabilities)(labels, probabilities)
    keys = np.asarray(patients)
    if keys.shape != truth.shape[:1]:
        raise wrong("patients", f"shape {keys.shape}", f"one for each of {len(truth)} labels")
    owner = np.unique(keys, return_inverse=True)[1]
    classes = 2 if truth.ndim == 2 else table.shape[1]
    if classes > 2:
        return _Task(truth, owner, classes, ("",), {ARGMAX: None}, partial(_class_kernel, truth, table))
    if not thresholds:
        raise wrong("thresholds", "none", "one policy or more")
    columns, scores = (truth, table) if truth.ndim == 2 else (truth[:, None], table[:, 1:])
    findings = tuple(str(k) for k in range(truth.shape[1])) if truth.ndim == 2 else ("",)
    cuts = {name: check_thresholds(given, findings=len(findings)) for name, given in thresholds.items()}
    return _Task(truth, owner, 2, findings, {**cuts}, partial(_finding_kernel, columns, scores, cuts, findings))


def _class_kernel(labels: NDArray[np.int64], table: Floats, mask: Bools) -> Kernel:
    some, rows = labels[mask], table[mask]

    def kernel(weights: Floats) -> dict[Place, Floats]:
        overall, per_class = multiclass_tables(some, rows, weights[:, mask])
        tables = {"": overall} | {str(k): row for k, row in enumerate(per_class)}
        return {(ARGMAX, place, metric): values for place, table in tables.items() for metric, values in table.items()}

    return kernel


def _finding_kernel(
    labels: NDArray[np.int64], scores: Floats, cuts: dict[str, list[float]], findings: tuple[str, ...], mask: Bools
) -> Kernel:
    """Images outside the mask are as good as unknown; two classes are one finding."""
    prepared = prepare(np.where(mask[:, None], labels, -1), scores, cuts)
    return lambda weights: {
        (policy, finding, metric): values
        for policy, (_, rows) in finding_tables(prepared, weights).items()
        for finding, row in zip(findings, rows, strict=True)
        for metric, values in row.items()
    }


def _side(task: _Task, mask: Bools, fewest: int) -> _Side:
    columns = task.labels.T if task.labels.ndim == 2 else task.labels[None]
    sizes = []
    for column in columns:
        known = mask & (column >= 0)
        counts = [int(np.unique(task.patients[known & (column == c)]).size) for c in range(task.classes)]
        sizes.append(
            {
                "n": int(known.sum()),
                "patients": int(np.unique(task.patients[known]).size),
                "classes": {str(c): count for c, count in enumerate(counts)},
                "enough": min(counts) >= fewest,
            }
        )
    return _Side(mask, tuple(sizes))


def _measured(inside: _Side, outside: _Side) -> list[_Side]:
    """Those of the two that show in the card."""
    enough = [(a["enough"], a["enough"] and b["enough"]) for a, b in zip(inside.sizes, outside.sizes, strict=True)]
    return [side for side, shows in zip((inside, outside), zip(*enough, strict=True), strict=True) if any(shows)]


def _adjust(gaps: Mapping[Any, list[Json]]) -> Json:
    """Give every tested gap its ``p_holm``; the numbers of comparisons for the card."""
    found = holm({str(number): entries[0]["p"] for number, entries in enumerate(gaps.values())})
    for adjusted, entries in zip(found["adjusted"].values(), gaps.values(), strict=True):
        for entry in entries:
            entry["p_holm"] = adjusted
    return {"comparisons": found["comparisons"], "undefined": found["left_out"]}


def _names(levels: NDArray[Any]) -> NDArray[Any]:
    """Levels as text (N,), "" where unknown."""
    unknown = [one is None or one != one for one in np.asarray(levels).tolist()]  # noqa: PLR0124 - nan alone differs
    return np.array(["" if gone else str(one) for one, gone in zip(np.asarray(levels).tolist(), unknown, strict=True)])


def _order(name: str) -> tuple[int, int, str]:
    """Age bands by age, whole numbers by size, the rest by name."""
    band = list(AGE_BANDS).index(name) if name in AGE_BANDS else -1
    return band, len(name) if name.isdecimal() else 0, name


def _check(groups: Mapping[str, NDArray[Any]], *, size: int, fewest: int, tested: Sequence[str]) -> None:
    if not groups:
        raise wrong("groups", "none", "one fact or more")
    for fact, levels in groups.items():
        if np.shape(levels) != (size,):
            raise wrong(f"levels of {fact!r}", f"shape {np.shape(levels)}", f"({size},)")
    if fewest < 1:
        raise wrong("fewest", f"{fewest}", "1 or more")
    if unknown := set(tested) - set(METRICS):
        raise wrong("tested", listed(sorted(unknown)), listed(METRICS, most=len(METRICS)))
