"""The conductor of a learning curve: data, nested subsets, points not made yet, then the record of all points."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from xenograft.caching import trim
from xenograft.data.manifest import Manifest
from xenograft.storage import check_output
from xenograft.study.alone import alone
from xenograft.study.arm import Arm
from xenograft.study.learning_plan import LearningPlan
from xenograft.study.learning_record import learning_record
from xenograft.study.learning_subsets import Subset, Subsets, make_subsets
from xenograft.study.reading import read_data
from xenograft.study.run import open_pixels, plan
from xenograft.study.watch import Watcher

Json = dict[str, Any]

_HEAD = 0.02  # share of embedding everything that fitting a head is taken for, in a progress bar


@dataclass(frozen=True, slots=True)
class _Todo:
    """A point to make."""

    arm: Arm
    subset: Subset
    identity: str


def run_learning(asked: LearningPlan, folder: Path, *, cache: Path, watcher: Watcher, command: str) -> Json:
    """Make the points that are not in the folder yet, and return the record of all that are.

    Args:
        folder: holds the points; those that are finished in it are kept, never repeated.

    Raises:
        XenograftError: see the fault catalogue; finished points stay.
    """
    started = time.perf_counter()
    check_output(folder, "a learning curve", "learning.json", ".lock")
    with alone(folder):
        config, arms = asked.config, list(plan(asked.config))
        pixels = open_pixels(config, cache)
        manifest = read_data(
            config, pixels, cache=cache, watcher=watcher, preprocesses=[arm.preprocess for arm in arms]
        )
        subsets = make_subsets(manifest, sizes=asked.sizes, repeats=config.seeds)
        # late: torch takes seconds to load, which a mistake in DATA need not wait for
        from xenograft.study import runs
        from xenograft.study.feasible import check_feasible
        from xenograft.study.learning_points import Points, common_of, identity_of

        workshop = runs.make_workshop(config, pixels, cache=cache, watcher=watcher)
        check_feasible(arms, config, workshop)
        points = Points(folder, common_of(config, manifest, least_steps=asked.least_steps))
        points.every()  # a folder of other data is refused before anything is trained
        planned = [
            _Todo(arm, subset, identity_of(arm, subset, manifest, workshop))
            for plain in arms
            for subset in (subsets.at(size, plain.seed) for size in subsets.sizes)
            for arm in [asked.arm(plain, subset)]
        ]
        waiting = [todo for todo in planned if not points.finished(todo.arm, todo.subset, todo.identity)]
        if len(waiting) < len(planned):
            watcher.say(f"{len(planned) - len(waiting)} of {len(planned)} points were made before and are kept")
        _make_points(waiting, points, manifest, workshop, subsets)
        trim(cache, config.cache_bytes, workshop.keys())
        watcher.say("measuring")
        return learning_record(
            points,
            manifest,
            asked,
            subsets,
            seconds=lambda: time.perf_counter() - started,
            command=command,
        )


def _make_points(waiting: Sequence[_Todo], points: Any, manifest: Manifest, workshop: Any, subsets: Subsets) -> None:
    """Curve by curve, small sizes first: what is there after an interruption is the cheap part of every curve."""
    watcher, test = workshop.watcher, manifest.subset("test")
    if text := _forecast(waiting, manifest, workshop):
        watcher.say(text)
    whole = len(subsets.train.manifest)
    watcher.total(sum(_cost(todo, whole) for todo in waiting) + sum(_embedding(waiting, manifest).values()))
    ordered = sorted(waiting, key=lambda todo: (*_curve(todo), todo.subset.size, todo.subset.repeat))
    for _, curve in groupby(ordered, key=_curve):
        mine = list(curve)
        _embed(mine, manifest, workshop)
        for size, group in groupby(mine, key=lambda todo: todo.subset.size):
            todos = list(group)
            label = f"{_name(todos[0].arm)}, {size} {'patients' if manifest.patients_known else 'images'}"
            watcher.begin(label, sum(_cost(todo, whole) for todo in todos))
            began = time.perf_counter()
            for todo in todos:
                points.make(todo.arm, todo.subset, test, workshop, todo.identity)
                if todo.arm.recipe.frozen:
                    watcher.advance(_cost(todo, whole))
            watcher.end(f"{label}: {len(todos)} x in {time.perf_counter() - began:.1f} s")


def _embed(todos: Sequence[_Todo], manifest: Manifest, workshop: Any) -> None:
    """The features of all training and validation images, once; every point then reads its rows."""
    from xenograft.study.frozen import head_data

    train, val = manifest.subset("train"), manifest.subset("val")
    for (label, _), todo in _feature_sets(todos).items():
        workshop.watcher.begin(label, _embedding([todo], manifest)[label, todo.arm.seed])
        head_data(todo.arm, train, val, workshop.extractor(todo.arm))
        workshop.watcher.end(label)


def _feature_sets(todos: Sequence[_Todo]) -> dict[tuple[str, int], _Todo]:
    """One point for each set of features that the frozen arms need."""
    from xenograft.study.frozen import feature_key

    found = {feature_key(todo.arm): todo for todo in reversed(todos) if todo.arm.recipe.frozen}
    return {(f"features of {todo.arm.spec.title}", todo.arm.seed): todo for todo in found.values()}


def _embedding(todos: Sequence[_Todo], manifest: Manifest) -> dict[tuple[str, int], float]:
    """What embedding moves a progress bar by."""
    images = len(manifest.where("train")) + len(manifest.where("val"))
    return {key: todo.arm.cost(images) for key, todo in _feature_sets(todos).items()}


def _cost(todo: _Todo, whole: int) -> float:
    """What a point moves a progress bar by."""
    if todo.arm.recipe.frozen:
        return _HEAD * todo.arm.cost(whole)
    return todo.arm.cost(len(todo.subset.train))


def _forecast(waiting: Sequence[_Todo], manifest: Manifest, workshop: Any) -> str:
    """How long the networks that are really trained will take; frozen ones are quick."""
    from xenograft.study.outlook import outlook

    trained = [todo for todo in waiting if not todo.arm.recipe.frozen]
    if not trained:
        return ""
    seconds = 0.0
    for _, group in groupby(sorted(trained, key=lambda t: t.subset.size), key=lambda t: t.subset.size):
        todos = list(group)
        train = manifest.where("train")[: len(todos[0].subset.train)]
        val = manifest.where("val")[: len(todos[0].subset.val)]
        images = manifest.take(np.concatenate([train, val, manifest.where("test")]))
        seconds += outlook([todo.arm for todo in todos], images, workshop).total
    lasts = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"{len(trained)} networks to train, about {lasts}"


def _curve(todo: _Todo) -> tuple[bool, str, str]:
    """Frozen curves first: they are quick."""
    return not todo.arm.recipe.frozen, todo.arm.spec.name, todo.arm.recipe.name


def _name(arm: Arm) -> str:
    return f"{arm.spec.title} {arm.recipe.name}"
