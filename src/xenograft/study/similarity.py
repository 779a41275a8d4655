"""The conductor of a comparison: two sets of images, networks, features of every stage, measures, maps, the record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft import __version__
from xenograft.caching import trim
from xenograft.data.importers import hub
from xenograft.similarity.embedding import map_by_pca, map_by_tsne
from xenograft.storage import check_output, write_csv
from xenograft.study import runs
from xenograft.study.alone import alone
from xenograft.study.arm import Arm, Clock
from xenograft.study.describe import now
from xenograft.study.run import open_pixels
from xenograft.study.similarity_changes import train_and_measure
from xenograft.study.similarity_material import Material, Stages
from xenograft.study.similarity_measures import HALVES, HALVINGS, KINDS, NEIGHBOURS, PROBED, Ruler
from xenograft.study.similarity_plan import SimilarityPlan
from xenograft.study.similarity_sets import (
    NOISE,
    SETS,
    joint_groups,
    read_sets,
    shown_rows,
    skips,
    what_noise,
    write_sheet,
)
from xenograft.study.tuned import check_trainable
from xenograft.study.watch import Watcher
from xenograft.study.workshop import weights_facts

Json = dict[str, Any]


def run_similarity(asked: SimilarityPlan, folder: Path, *, cache: Path, watcher: Watcher, command: str) -> Json:
    """Measure, and return the record; sheets of thumbnails and ``similarity.csv`` are written beside it.

    Raises:
        XenograftError: see the fault catalogue.
    """
    started = time.perf_counter()
    check_output(folder, "a record of similarity", "similarity.json", ".lock")
    with alone(folder):
        material = _material(asked, cache=cache, watcher=watcher)
        arms = asked.arms()
        watcher.total(sum(_cost(asked, material, arm) for arm in arms))
        subjects: list[Json] = []
        changes: list[Json] = []
        for arm in arms:
            mine, before = _subjects(arm, material)
            subjects += mine
            changes += train_and_measure(arm, material, before, checkpoints=folder / CHECKPOINTS)
        sheets = {name: f"thumbnails-{name}.jpg" for name in SETS}
        pixels = material.pixels(arms[0].preprocess)
        for name, sheet in sheets.items():
            write_sheet(folder / sheet, pixels[name][shown_rows(len(pixels[name]))])
        write_csv(folder / "skipped.csv", ("set", "path", "code", "reason"), skips(material.sets))
        trim(cache, asked.config.cache_bytes, material.workshop.keys())
        seconds = {**material.clock.timings, "whole": time.perf_counter() - started}
        record = {
            "format": 1,
            "command": command,
            "program": f"xenograft {__version__}",
            "created": now(),
            **{name: material.sets[name].facts(sheets[name]) for name in SETS},
            "noise": {"images": len(pixels[NOISE]), "what": what_noise(pixels["medical"])},
            "settings": _settings(asked, material),
            "subjects": subjects,
            "changes": changes,
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        }
        write_csv(folder / "similarity.csv", COLUMNS, flat(record))
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return record


CHECKPOINTS = "training"
"""Folder of networks that are being trained, below that of the record; gone when the record is made."""

COLUMNS = ("subject", "stage", "measure", "pair", "value", "low", "high")


def flat(record: Json) -> Iterator[tuple[Any, ...]]:
    """Every number of a record, a row each, as in `COLUMNS`; those of one set have it as their pair."""
    for subject in record["subjects"]:
        for stage in subject["stages"]:
            for measure, pairs in {**stage["measures"], "cka": stage["cka"] or {}}.items():
                for pair, value in pairs.items():
                    yield subject["id"], stage["name"], measure, pair, *_ends(value)
        for name, facts in subject["sets"].items():
            for measure, value in facts.items():
                yield subject["id"], subject["stages"][-1]["name"], measure, name, *_ends(value)
    for change in record["changes"]:
        name = f"{change['backbone']}-{change['recipe']}-seed{change['seed']}"
        for stage in change["stages"]:
            for cells in _changes(stage):
                yield name, stage["name"], *cells


def _changes(stage: Json) -> Iterator[tuple[Any, ...]]:
    """Measure, pair, value and interval of what training changed in one stage."""
    pair = "natural_medical"
    for measure, entry in stage["measures"].items():
        yield f"{measure} before", pair, entry["before"], None, None
        yield f"{measure} after", pair, entry["after"], None, None
        yield f"{measure} change", pair, *_ends(entry["difference"])
    for name, value in stage["cka"].items():
        yield "cka", name, *_ends(value)


def _ends(value: Json) -> tuple[float | None, float | None, float | None]:
    return value["value"], value["low"], value["high"]


def _material(asked: SimilarityPlan, *, cache: Path, watcher: Watcher) -> Material:
    config, clock = asked.config, Clock()
    arms = asked.arms()
    pixels = open_pixels(config, cache)
    with clock("reading"):
        natural, medical = read_sets(
            asked, pixels, cache=cache, watcher=watcher, preprocesses=[arm.preprocess for arm in arms]
        )
    for name, images in zip(SETS, (natural, medical), strict=True):
        watcher.say(f"{name:8} {len(images.used)} of {len(images.whole)} images")
    for notice in dict.fromkeys((*natural.notices, *medical.notices)):
        watcher.say(str(notice))
    workshop = runs.make_workshop(config, pixels, cache=cache, watcher=watcher)
    for arm in arms:
        workshop.weights(arm)  # a missing file is said before the work, not after
        for each in asked.trained_arms(arm):
            check_trainable(each)
        if config.size is not None:
            runs.check_size(arm.spec, config.size)
    noise = min(len(natural.used), len(medical.used))
    groups = joint_groups(natural.used, medical.used, noise)
    ruler = Ruler(groups, resamples=config.resamples, seed=asked.seed)
    return Material(asked, {"natural": natural, "medical": medical}, ruler, workshop, clock)


def _subjects(arm: Arm, material: Material) -> tuple[list[Json], Stages]:
    """The network with ImageNet weights and with random ones; and the features of the former."""
    watcher, asked, workshop = material.workshop.watcher, material.asked, material.workshop
    found: list[Json] = []
    imagenet: Stages = {}
    for each in (arm, *asked.random_arms(arm)):
        label = f"{arm.spec.title}, {'ImageNet' if each is arm else 'random'} weights"
        watcher.begin(label, _images(material) * arm.spec.params_m)
        features = material.features(workshop.backbone(each), arm.preprocess)
        if each is arm:
            imagenet = features
        watcher.say(f"measuring {label}")
        found.append(_subject(each, material, features, None if each is arm else imagenet))
        watcher.end(label)
    return found, imagenet


def _subject(arm: Arm, material: Material, features: Stages, imagenet: Stages | None) -> Json:
    ruler, pretrained = material.ruler, arm.recipe.pretrained
    state = "imagenet" if pretrained else f"random-seed{arm.seed}"
    name = arm.spec.name.replace(":", "_").replace("/", "_")
    last = features[list(features)[-1]]
    with material.measuring():
        stages = [
            {
                "name": stage,
                "width": int(of_sets["natural"].shape[1]),
                "measures": ruler.measure(of_sets),
                "cka": None
                if imagenet is None
                else {each: ruler.alignment(of_sets[each], imagenet[stage][each], each) for each in SETS},
            }
            for stage, of_sets in features.items()
        ]
        sets = {each: ruler.dimensions(last[each], each) for each in SETS}
    with material.clock("maps"):
        maps = _maps(last, material.asked.seed)
    return {
        "id": f"{name}-{state}",
        "backbone": arm.spec.name,
        "title": arm.spec.title,
        "state": "imagenet" if pretrained else "random",
        "seed": None if pretrained else arm.seed,
        "weights": weights_facts(arm, material.workshop),
        "stages": stages,
        "sets": sets,
        "maps": maps,
    }


def _maps(last: Mapping[str, NDArray[np.float32]], seed: int) -> Json:
    shown = [last[name][shown_rows(len(last[name]))] for name in SETS]
    made = {"t-sne": map_by_tsne(shown[0], shown[1], seed=seed), "pca": map_by_pca(shown[0], shown[1])}
    return {
        kind: {
            "natural": _places(found.first),
            "medical": _places(found.second),
            "facts": found.facts,
        }
        for kind, found in made.items()
    }


def _places(places: NDArray[np.float64]) -> list[list[float]]:
    return [[float(f"{number:.6g}") for number in place] for place in places.tolist()]


def _settings(asked: SimilarityPlan, material: Material) -> Json:
    config, ruler = asked.config, material.ruler
    data = config.data if hub.is_address(config.data) else config.data.name
    return {
        "natural": asked.natural.name,
        "medical": str(data),
        "backbones": list(config.backbones),
        "limit": asked.limit,
        "seed": asked.seed,
        "random": asked.random,
        "split": asked.split,
        "after": list(config.recipes) if asked.after else [],
        "seeds": config.seeds if asked.after else 0,
        "epochs": config.epochs,
        "train_limit": asked.train_limit,
        "resamples": ruler.resamples,
        "level": ruler.level,
        "size": config.size,
        "colour": config.colour,
        "fit": config.fit,
        "normalise": config.normalise,
        "half": ruler.half,
        "halvings": {"of weights": HALVINGS, "of rows": HALVES, "of probes": PROBED},
        "neighbours": NEIGHBOURS,
        "intervals": dict(KINDS),
    }


def _images(material: Material) -> int:
    return sum(len(groups) for groups in material.ruler.groups.values())


def _cost(asked: SimilarityPlan, material: Material, arm: Arm) -> float:
    """What one backbone moves a progress bar by."""
    measured = (1 + asked.random) * _images(material) * arm.spec.params_m
    train = material.sets["medical"].whole.where("train")
    trained = sum(each.cost(len(train)) for each in asked.trained_arms(arm))
    return measured + trained
