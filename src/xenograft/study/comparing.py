"""A finished study -> its arms' results over seeds and folds, and the paired differences between them on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from xenograft.evaluation.mean_auroc import Part, mean_auroc_test
from xenograft.evaluation.multiplicity import holm
from xenograft.evaluation.proportions import METHOD
from xenograft.evaluation.resampled import Resampled, overall
from xenograft.evaluation.scorecard import ARGMAX
from xenograft.evaluation.variation import variation
from xenograft.study.chosen import ArmKey
from xenograft.study.pool import Pool
from xenograft.study.record import RunRecord, Study

COMPARED = ("auroc", "accuracy", "f1", "average_precision")
BOOTSTRAP = "paired patient bootstrap"
ANALYTIC = "DeLong with patients as clusters (Obuchowski 1997)"
Json = dict[str, Any]
Arms = Mapping[ArmKey, tuple[RunRecord, ...]]


def arm_rows(arms: Arms, pool: Pool) -> tuple[list[Json], dict[ArmKey, Resampled]]:
    """Results of every arm on test, and what differences are made of.

    Returns:
        One mapping an arm: ``backbone``, ``recipe``, ``lr_scale``, ``runs`` (ids), ``test`` (means over runs with
        intervals: ``level``, ``policies``, ``per_class``), ``variation`` (metric -> `xenograft.evaluation.variation`,
        at the first policy); and by arm its overall metrics at that policy on every resample.
    """
    rows, kept = [], {}
    for key, runs in arms.items():
        found = pool.arm(runs)
        policy = _policy(runs)
        kept[key] = found.only(overall(policy))
        rows.append(
            {
                **key._asdict(),
                "runs": [run.id for run in runs],
                "test": _with_width(found.card(), runs) if len(runs) > 1 else _own_card(runs[0]),
                "variation": {metric: _variation(runs, policy, metric) for metric in COMPARED},
            }
        )
    return rows, kept


def _own_card(run: RunRecord) -> Json:
    """That of the run itself, so that one number has one interval wherever it is printed."""
    policies = {
        name: {"metrics": entry["metrics"], "per_class": entry.get("per_class") or {}}
        for name, entry in run.test["policies"].items()
    }
    of_classes = {} if any(entry["per_class"] for entry in policies.values()) else run.test["per_class"]
    return {"level": run.test["level"], "policies": policies, "per_class": of_classes}


def _with_width(card: Json, runs: Sequence[RunRecord]) -> Json:
    """Shares that no resample changes have the hull of their runs' own intervals, see `with_proportions`."""

    def table(found: Mapping[str, Json], policy: str, place: str = "") -> Json:
        flat = {m for m, e in found.items() if e["low"] is not None and e["low"] == e["high"]}
        hulls = {m: _hull(found[m], [_own(run, policy, place, m) for run in runs]) for m in flat}
        return {metric: hulls.get(metric, entry) for metric, entry in found.items()}

    policies = {
        name: {
            "metrics": table(entry["metrics"], name),
            "per_class": {place: table(of, name, place) for place, of in entry["per_class"].items()},
        }
        for name, entry in card["policies"].items()
    }
    per_class = {place: table(of, "", place) for place, of in card["per_class"].items()}
    return {**card, "policies": policies, "per_class": per_class}


def _own(run: RunRecord, policy: str, place: str, metric: str) -> Json:
    """The entry of a run's own scorecard."""
    card = run.test["policies"][policy] if policy else run.test
    table = card["per_class"][place] if place else card["metrics"]
    return dict(table[metric])


def _hull(entry: Json, own: Sequence[Json]) -> Json:
    if any(found.get("method") != METHOD for found in own):
        return entry
    return {**entry, "low": min(e["low"] for e in own), "high": max(e["high"] for e in own), "method": METHOD}


def compare_arms(study: Study, arms: Arms, pool: Pool, kept: Mapping[ArmKey, Resampled]) -> list[Json]:
    """Paired differences of means over seeds and folds: recipes within a backbone, backbones within a recipe.

    Returns:
        One mapping a pair and metric: ``family`` (``"recipes"`` or ``"backbones"``), ``a`` and ``b`` (arms; the
        difference is a minus b), ``metric``, ``difference``, ``low``, ``high``, ``p``, ``p_holm`` (adjusted for all
        ``of`` comparisons by this metric), ``test`` (`ANALYTIC` for the AUROC of two classes, else `BOOTSTRAP`),
        ``bootstrap`` (``low``, ``high``, ``p`` of the bootstrap, where the test is another), ``resamples``.
    """
    rows: list[Json] = []
    for family, a, b in pairs(study, arms):
        differences = kept[a].minus(kept[b])
        for metric in COMPARED:
            key = next((key for key in differences.value if key[2] == metric), None)
            if key is None:
                continue
            found: Json = {**differences.difference(key), "test": BOOTSTRAP, "bootstrap": None}
            if metric == "auroc" and _two_classes(pool):
                found = _tested(found, _parts(arms[a], arms[b], pool))
            row = {"family": family, "a": a._asdict(), "b": b._asdict(), "metric": metric}
            rows.append(row | found | {"resamples": pool.universe.resamples})
    return adjusted(rows)


def pairs(study: Study, arms: Arms) -> list[tuple[str, ArmKey, ArmKey]]:
    """(family, a, b) of everything that is compared; transfer stands first, then the order of the study.

    Arms of other folds are left out: an arm of an earlier call that stopped half-way was tested on other images.
    """
    order = {name: place for place, name in enumerate(study.record.config["recipes"])}
    backbones = {name: place for place, name in enumerate(study.record.config.get("backbones", ()))}
    ranked = sorted(
        arms,
        key=lambda key: (
            -key.lr_scale,
            backbones.get(key.backbone, len(backbones)),
            not arms[key][0].transfer,
            order.get(key.recipe, len(order)),
            key,
        ),
    )
    folds = {key: {run.fold for run in runs} for key, runs in arms.items()}
    found = [(a, b) for a, b in combinations(ranked, 2) if folds[a] == folds[b]]
    recipes = [("recipes", a, b) for a, b in found if (a.backbone, a.lr_scale) == (b.backbone, b.lr_scale)]
    return recipes + [("backbones", a, b) for a, b in found if (a.recipe, a.lr_scale) == (b.recipe, b.lr_scale)]


def adjusted(rows: Sequence[Json]) -> list[Json]:
    """The rows with ``p_holm`` and ``of``: adjusted for every comparison that was made by the same metric."""
    done = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        mine = {str(number): row for number, row in enumerate(rows) if row["metric"] == metric}
        found = holm({number: row["p"] for number, row in mine.items()})
        done += [
            (int(number), {**row, "p_holm": found["adjusted"][number], "of": found["comparisons"]})
            for number, row in mine.items()
        ]
    return [row for _, row in sorted(done, key=lambda item: item[0])]


def _tested(drawn: Json, parts: Sequence[Part]) -> Json:
    """The analytic test, with the bootstrap beside it; the bootstrap alone where the test is undefined."""
    found = mean_auroc_test(parts)
    if found["p"] is None or drawn["difference"] is None:
        return drawn
    beside = {key: drawn[key] for key in ("low", "high", "p")}
    return {**found, "difference": drawn["difference"], "test": ANALYTIC, "bootstrap": beside}


def _parts(a: Sequence[RunRecord], b: Sequence[RunRecord], pool: Pool) -> list[Part]:
    """One part for each set of test images: a fold where folds test on different ones."""
    found = []
    for fold in dict.fromkeys(run.fold for run in a) if pool.rotating else (None,):
        mine = [[pool.predictions(r) for r in runs if not pool.rotating or r.fold == fold] for runs in (a, b)]
        first = mine[0][0]
        scores = [[p.probabilities[:, 1] for p in side] for side in mine]
        found.append(Part(first.labels, first.patients, scores[0], scores[1]))
    return found


def _two_classes(pool: Pool) -> bool:
    return pool.universe.labels.ndim == 1 and pool.predictions(pool.study.runs[0]).probabilities.shape[1] == 2


def _policy(runs: Sequence[RunRecord]) -> str:
    return "fixed" if "fixed" in runs[0].test["policies"] else ARGMAX


def _variation(runs: Sequence[RunRecord], policy: str, metric: str) -> Json:
    values = [run.test["policies"][policy]["metrics"][metric]["value"] for run in runs]
    return variation(
        np.array([np.nan if v is None else v for v in values]),
        np.array([-1 if r.fold is None else r.fold for r in runs]),
    )
