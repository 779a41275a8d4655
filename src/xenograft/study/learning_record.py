"""(points on disk, manifest) -> the record of a learning curve: what its page, tables and sentences are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xenograft import __version__
from xenograft.data.manifest import Manifest
from xenograft.errors import DataError
from xenograft.evaluation.auroc_draws import auroc_draws, measurable
from xenograft.evaluation.learning_facts import (
    Curve,
    Refits,
    catch_up_facts,
    law_facts,
    point_facts,
    refitted,
    target_facts,
)
from xenograft.evaluation.reach import FARTHEST
from xenograft.evaluation.uncertainty import LEVEL
from xenograft.study.config import StudyConfig
from xenograft.study.describe import now
from xenograft.study.learning_plan import LearningPlan
from xenograft.study.learning_subsets import ENOUGH, NEEDED, Subsets

if TYPE_CHECKING:
    from xenograft.study.learning_points import Points

Json = dict[str, Any]

_REFITS = 500
_SEED = 0  # of the bootstrap


def learning_record(
    points: Points,
    manifest: Manifest,
    asked: LearningPlan,
    subsets: Subsets,
    *,
    seconds: Callable[[], float],
    command: str,
) -> Json:
    """Everything about a learning curve that JSON can hold.

    Args:
        points: those of this call and of earlier ones.
        seconds: time of this call so far.

    Returns:
        ``commands``: the calls that made it; ``curves``: one for each backbone and recipe, with ``points`` by size,
        ``law``, ``targets``; ``catch_up``: how many patients training from random weights needs to equal each
        pretrained curve; ``data``, ``subsets`` (patients, images and validation at each size), ``conduct``.

    Raises:
        DataError: test holds images of one class only.
    """
    test, config = manifest.subset("test"), asked.config
    measured = measurable(test.labels, len(manifest.classes))
    if not measured:
        raise DataError("AUROC needs test images of at least two classes; give another test split", code="E-LABEL-12")
    every = points.every()
    whole, drawn = auroc_draws(
        test.labels,
        [points.scores(facts) for facts in every],
        test.patients,
        resamples=config.resamples,
        rng=np.random.default_rng([_SEED, len(test)]),
    )
    curves, laid = [], {}
    for key in _keys(every, config):
        mine = [i for i, facts in enumerate(every) if (facts["backbone"], facts["recipe"]) == key]
        sizes = sorted({every[i]["size"] for i in mine})
        at = [[i for i in mine if every[i]["size"] == size] for size in sizes]
        curve = Curve(np.array(sizes, dtype=np.float64), [whole[i] for i in at], [drawn[i] for i in at])
        refits = refitted(curve, refits=min(_REFITS, config.resamples), rng=np.random.default_rng([_SEED, 1]))
        laid[key] = curve, refits
        last = every[at[-1][0]]
        curves.append(
            {
                "backbone": key[0],
                "recipe": key[1],
                "transfer": last["transfer"],
                "frozen": last["frozen"],
                "settings": last["settings"],
                "weights": last["weights"],
                "preprocess": last["preprocess"],
                "engine": last["engine"],
                "points": [
                    _point(size, [every[i] for i in i_s], curve, k)
                    for k, (size, i_s) in enumerate(zip(sizes, at, strict=True))
                ],
                "law": law_facts(curve, refits),
                "targets": [target_facts(curve, refits, target) for target in asked.targets],
            }
        )
    return {
        "commands": list(dict.fromkeys([*points.commands(), command])),
        "program": f"xenograft {__version__}",
        "created": now(),
        "data": _data(manifest, measured),
        "metric": "auroc",
        "level": LEVEL,
        "resamples": config.resamples,
        "refits": min(_REFITS, config.resamples),
        "farthest": FARTHEST,
        "targets": list(asked.targets),
        "conduct": {
            "chosen": not asked.sizes,
            "least_steps": asked.least_steps,
            "whole": subsets.whole,
            "whole_val": subsets.val.patients,
            "least_val": subsets.least_val,
            "enough": ENOUGH,
            "needed": NEEDED,
            "test_opened": [min(f["test_opened"] for f in every), max(f["test_opened"] for f in every)],
            "points": len(every),
            "seconds": round(seconds(), 3),
            "notices": list({n["code"]: n for f in every for n in f["notices"]}.values()),
        },
        "config": config.as_json(),
        "subsets": _subsets(every),
        "curves": curves,
        "catch_up": _catch_up(curves, laid),
    }


def _keys(every: Sequence[Json], config: StudyConfig) -> list[tuple[str, str]]:
    """(backbone, recipe) of each curve: pretrained ones of a backbone first, then in the order of the names."""
    found = {(f["backbone"], f["recipe"]): f["transfer"] for f in every}
    order = {name: i for i, name in enumerate(config.backbones)}
    return sorted(found, key=lambda key: (order.get(key[0], len(order)), key[0], not found[key], key[1]))


def _point(size: int, facts: Sequence[Json], curve: Curve, k: int) -> Json:
    steps = [f["steps"] for f in facts if f["steps"] is not None]
    return {
        "size": size,
        "repeats": len(facts),
        **point_facts(curve.values[k], curve.drawn[k]),
        "steps": int(np.median(steps)) if steps else None,
        "best_epoch": float(np.median([f["best_epoch"] for f in facts])),
        "seconds": round(sum(sum(f["timings"].values()) for f in facts), 3),
        "lacking": max(len(f["train"]["lacking"]) for f in facts),
    }


def _subsets(every: Sequence[Json]) -> list[Json]:
    """Means over repeats at each size; all curves have the same ones."""
    rows = []
    for size in sorted({f["size"] for f in every}):
        mine = list({f["repeat"]: f for f in every if f["size"] == size}.values())

        def mean(read: Callable[[Json], float], of: Sequence[Json] = mine) -> float:
            return round(float(np.mean([read(f) for f in of])), 1)

        rows.append(
            {
                "size": size,
                "repeats": len(mine),
                "patients": mean(lambda f: f["train"]["patients"]),
                "images": mean(lambda f: f["train"]["images"]),
                "classes": {
                    name: {
                        "patients": mean(lambda f, c=name: f["train"]["classes"][c]["patients"]),  # type: ignore[misc]
                        "images": mean(lambda f, c=name: f["train"]["classes"][c]["images"]),  # type: ignore[misc]
                    }
                    for name in mine[0]["train"]["classes"]
                },
                "val_patients": mean(lambda f: f["val"]["patients"]),
                "val_images": mean(lambda f: f["val"]["images"]),
            }
        )
    return rows


def _data(manifest: Manifest, measured: Sequence[int]) -> Json:
    return {
        "name": manifest.name,
        "classes": list(manifest.classes),
        "multi_label": manifest.multi_label,
        "not_measured": [name for k, name in enumerate(manifest.classes) if k not in measured],
        "patients_known": manifest.patients_known,
        "patient_rule": manifest.patient_rule,
        "split_rule": manifest.split_rule,
        "sizes": manifest.sizes(),
        "synthetic": manifest.synthetic,
        "leak_allowed": manifest.leak_allowed,
        "facts": list(manifest.facts),
        "notices": [str(notice) for notice in manifest.notices],
        "manifest_sha256": manifest.sha256,
    }


def _catch_up(curves: Sequence[Json], laid: dict[tuple[str, str], tuple[Curve, Refits]]) -> list[Json]:
    """For each backbone, each pretrained curve against each one from random weights, both ways."""
    rows = []
    for ahead in (c for c in curves if c["transfer"]):
        for behind in (c for c in curves if not c["transfer"] and c["backbone"] == ahead["backbone"]):
            first, second = ((c["backbone"], c["recipe"]) for c in (ahead, behind))
            rows.append(
                {
                    "backbone": ahead["backbone"],
                    "ahead": ahead["recipe"],
                    "behind": behind["recipe"],
                    "needs": catch_up_facts(*laid[second], *laid[first]),
                    "saves": catch_up_facts(*laid[first], *laid[second]),
                }
            )
    return rows
