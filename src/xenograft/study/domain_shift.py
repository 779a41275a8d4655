"""The conductor of a domain-shift report: two data sets, models of the source, adapted to the target, then measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xenograft import __version__
from xenograft.caching import trim
from xenograft.data.manifest import Manifest
from xenograft.errors import UsageError, printable
from xenograft.evaluation.uncertainty import LEVEL
from xenograft.storage import write_csv
from xenograft.study.arm import Arm
from xenograft.study.config import StudyConfig
from xenograft.study.describe import now
from xenograft.study.domain_shift_data import Domains, domain_facts, make_domains, sample
from xenograft.study.domain_shift_measures import adjusted, card, changes, over_seeds, sheet, universe
from xenograft.study.domain_shift_plan import ADABN, NONE, ShiftPlan
from xenograft.study.reading import read_data
from xenograft.study.run import open_pixels, plan
from xenograft.study.watch import Watcher

if TYPE_CHECKING:
    from xenograft.evaluation.resampled import Resampled, Universe
    from xenograft.study.domain_shift_models import ShiftModel
    from xenograft.study.workshop import Workshop

Json = dict[str, Any]
_Sheets = dict[str, tuple[Manifest, Any, str]]
"""File of predictions -> images, (N, C) probabilities, their split."""
_SOURCE_SEED, _TARGET_SEED = 0, 1  # of the resamples: the domains' patients are drawn independently


def run_domain_shift(asked: ShiftPlan, folder: Path, *, cache: Path, watcher: Watcher, command: str) -> Json:
    """Train on the source, adapt to unlabelled target images, measure on the test images of both.

    Args:
        folder: gets ``predictions`` once all is measured; those of an earlier report are removed.

    Returns:
        ``groups``: one for each backbone and recipe, with ``arms`` (adaptation, ``source`` and ``target`` cards,
        ``drop`` from one to the other, ``thresholds``, ``facts``), ``differences`` (adapted minus not, on the target's
        test, paired) and ``apart``; ``source``, ``target``: data facts; ``adaptation``, ``conduct``.

    Raises:
        XenograftError: see the fault catalogue.
    """
    started = time.perf_counter()
    arms = list(plan(asked.source))
    domains, sources = _read(asked, arms, cache=cache, watcher=watcher)
    # late: torch takes seconds to load, which a mistake in DATA need not wait for
    from xenograft.study import runs
    from xenograft.study.feasible import check_feasible

    workshop = runs.make_workshop(asked.source, sources, cache=cache, watcher=watcher)
    check_feasible(arms, asked.source, workshop)
    if ADABN in asked.adaptations:
        _check_batch_norm(arms, workshop)
    watcher.total(sum(_cost(arm, domains, asked) for arm in arms))
    keys: set[str] = set()
    tests = {name: getattr(domains, name).subset("test") for name in ("source", "target")}
    frames = {
        "source": universe(tests["source"], resamples=asked.source.resamples, seed=_SOURCE_SEED),
        "target": universe(tests["target"], resamples=asked.source.resamples, seed=_TARGET_SEED),
    }
    groups, notices, opened = [], list(domains.notices), []
    sheets: _Sheets = {}
    for _, each in groupby(arms, key=lambda arm: (arm.spec.name, arm.recipe.name, arm.lr_scale)):
        mine = list(each)
        made = _train(mine, domains, asked, workshop, keys)
        # every choice is made: epochs, strengths, thresholds, maps. Only now is a test label read.
        opened.append(now())
        groups.append(_group(mine[0], made, tests, frames, sheets))
        notices += [notice for models in made for model in models for notice in model.notices]
    trim(cache, asked.source.cache_bytes, {*workshop.keys(), *keys})
    _write(sheets, folder)
    rows = {
        f"{g}/{row['adaptation']}/{row['metric']}": row for g, each in enumerate(groups) for row in each["differences"]
    }
    return {
        "command": command,
        "program": f"xenograft {__version__}",
        "created": now(),
        "classes": list(domains.source.classes),
        "source": domain_facts(domains.source),
        "target": domain_facts(domains.target),
        "adaptation": {
            "asked": list(asked.adaptations),
            "adapt_on": asked.adapt_on,
            "images": len(domains.adapting),
            "patients": len(np.unique(domains.adapting.patients)),
            "align_means": asked.align_means,
            "reference": asked.reference,
        },
        "level": LEVEL,
        "resamples": asked.source.resamples,
        "seeds": asked.source.seeds,
        "policy": _policy(groups),
        "tests": adjusted(rows),
        "groups": groups,
        "conduct": {
            "test_opened": opened,
            "repeated_patients": domains.repeated,
            "engine": workshop.engine.as_json(),
            "seconds": round(time.perf_counter() - started, 3),
            "notices": [asdict(n) for n in dict.fromkeys(notices)],
            "config": _config_facts(asked.source),
        },
    }


def _read(asked: ShiftPlan, arms: Sequence[Arm], *, cache: Path, watcher: Watcher) -> tuple[Domains, Any]:
    sources = open_pixels(asked.source, cache)
    preprocesses = [arm.preprocess for arm in arms]
    manifests = []
    for name, config in (("source", asked.source), ("target", asked.target)):
        watcher.say(f"reading the {name}, {printable(config.data.name)}")
        manifests.append(read_data(config, sources, cache=cache, watcher=watcher, preprocesses=preprocesses))
    return make_domains(manifests[0], manifests[1], asked), sources


def _check_batch_norm(arms: Sequence[Arm], workshop: Workshop) -> None:
    """Say before any work which backbone AdaBN cannot adapt."""
    from xenograft.adaptation.batch_statistics import has_batch_norm

    for arm in {arm.spec.name: arm for arm in arms}.values():
        if not has_batch_norm(workshop.backbone(arm)):
            raise UsageError(
                f"{arm.spec.name} has no batch norm, so adabn cannot adapt it; leave out adabn or the backbone",
                code="E-USAGE-38",
            )


def _train(
    arms: Sequence[Arm], domains: Domains, asked: ShiftPlan, workshop: Workshop, keys: set[str]
) -> list[list[ShiftModel]]:
    """The models of each seed; test images have no part in them, but without labels where the user asked for that."""
    from xenograft.study.domain_shift_models import adapted_models, reference_model

    made = []
    for arm in arms:
        workshop.watcher.begin(arm.id, _cost(arm, domains, asked))
        models = adapted_models(arm, domains, asked, workshop, keys)
        if asked.reference and arm.recipe.frozen:
            models.append(reference_model(arm, domains, workshop, keys))
        workshop.watcher.end(f"{arm.id}: {', '.join(model.adaptation for model in models)}")
        made.append(models)
    return made


def _group(
    arm: Arm, made: list[list[ShiftModel]], tests: dict[str, Manifest], frames: dict[str, Universe], sheets: _Sheets
) -> Json:
    """One backbone and recipe: every arm on both test sets, differences on the target's, distances of features."""
    from xenograft.study.domain_shift_models import REFERENCE
    from xenograft.study.domain_shift_predict import answers_of, distance_of

    rows, on_target = [], {}
    for models in zip(*made, strict=True):
        name = models[0].adaptation
        answers = answers_of(models, tests)
        found: dict[str, Resampled] = {
            domain: over_seeds(frames[domain], [(p, m.thresholds) for p, m in zip(each, models, strict=True)])
            for domain, each in answers.items()
        }
        policy = _main(models)
        on_target[name] = found["target"], policy
        rows.append(
            {
                "adaptation": name,
                "source": card(found["source"]) if "source" in found else None,
                "target": card(found["target"]),
                "drop": changes(found["target"], found["source"], policy) if "source" in found else [],
                "thresholds": [model.thresholds for model in models],
                "policy": policy,
                "facts": models[0].facts,
                "predictions": _keep(arm, models, answers, tests, sheets),
                "apart": None if name == REFERENCE else distance_of(models[0], tests),
            }
        )
    # the reference has a validation set of its own: where that is small, it alone has no chosen threshold
    chosen = (row["policy"] for row in rows if row["adaptation"] != REFERENCE)
    policy = min(chosen, key=("fixed", "youden", "argmax").index)
    before = on_target[NONE][0]
    differences = [
        {"adaptation": name, **row, "test": "paired bootstrap by patient"}
        for name, (after, _) in on_target.items()
        if name not in (NONE, REFERENCE)
        for row in changes(after, before, policy)
    ]
    return {
        "backbone": arm.spec.name,
        "recipe": arm.recipe.name,
        "lr_scale": arm.lr_scale,
        "frozen": arm.recipe.frozen,
        "settings": arm.recipe.as_json(),
        "preprocess": arm.preprocess.as_json(),
        "policy": policy,
        "arms": rows,
        "differences": differences,
    }


def _main(models: Sequence[ShiftModel]) -> str:
    """The policy of decisions: chosen on validation where every seed could choose."""
    if models[0].val.shape[1] > 2:
        return "argmax"
    return "youden" if all("youden" in model.thresholds for model in models) else "fixed"


def _policy(groups: Sequence[Json]) -> str:
    return str(min((group["policy"] for group in groups), key=("fixed", "youden", "argmax").index))


def _keep(
    arm: Arm,
    models: Sequence[ShiftModel],
    answers: dict[str, list[Any]],
    tests: dict[str, Manifest],
    sheets: _Sheets,
) -> list[str]:
    """Keep predictions of each seed on each test set, for `xenograft evaluate`; returns the names of the files."""
    stem = f"predictions/{arm.id.rsplit('-seed', 1)[0]}-{models[0].adaptation}"
    mine: _Sheets = {
        f"{stem}-seed{seed}-{domain}.csv": (tests[domain], probabilities, "test")
        for domain, each in answers.items()
        for seed, probabilities in enumerate(each)
    }
    mine |= {f"{stem}-seed{s}-validation.csv": (model.validation, model.val, "val") for s, model in enumerate(models)}
    sheets |= mine
    return list(mine)


def _write(sheets: _Sheets, folder: Path) -> None:
    """Every prediction, where none of an earlier report is left that could be taken for one of this."""
    (folder / "domain-shift.json").unlink(missing_ok=True)  # until the new one is written, this folder is no report
    for stale in (folder / "predictions").glob("*.csv"):
        stale.unlink()
    for name, (images, probabilities, split) in sheets.items():
        write_csv(folder / name, *sheet(images, probabilities, split))


def _cost(arm: Arm, domains: Domains, asked: ShiftPlan) -> float:
    """What an arm moves a progress bar by: images through the network, weighted by its parameters."""
    images = len(domains.source) + len(domains.target)
    adapting = len(sample(domains.adapting)) + 2 * len(sample(domains.source.subset("train")))
    passes = images + (images + adapting if ADABN in asked.adaptations else 0)
    trained = 0.0 if arm.recipe.frozen else arm.cost(len(domains.source.where("train")))
    return trained + passes * arm.spec.params_m


def _config_facts(config: StudyConfig) -> Json:
    """Settings, without where things lie on this machine."""
    left_out = {"data", "images", "weights_dir", "cache_dir"}
    return {key: value for key, value in config.as_json().items() if key not in left_out}
