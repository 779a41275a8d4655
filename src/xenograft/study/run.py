"""The conductor: the one file that knows the order of stages. StudyConfig in, a folder of records out."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xenograft.auditing.material import Material
from xenograft.auditing.record import summary
from xenograft.auditing.run import CHEAP, run_checks
from xenograft.backbones import catalog
from xenograft.backbones.zoo import zoo
from xenograft.caching import trim
from xenograft.data.batches import PixelSources
from xenograft.data.glance import GlanceStore
from xenograft.data.ingest import write_skips
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.evaluation.recalibrating import check_method
from xenograft.evaluation.rules import check_usable, parse_rule
from xenograft.storage import check_output
from xenograft.study.alone import alone
from xenograft.study.arm import Arm
from xenograft.study.baseline import baseline
from xenograft.study.chosen import arms_of, choose
from xenograft.study.comparing import arm_rows, compare_arms
from xenograft.study.config import StudyConfig
from xenograft.study.describe import check_earlier, study_record, write_manifest
from xenograft.study.ensembles import ensembles
from xenograft.study.evidence import evidence, standing_for
from xenograft.study.failures import failures
from xenograft.study.folding import folded
from xenograft.study.pool import Pool
from xenograft.study.reading import read_data
from xenograft.study.record import Study, StudyRecord, write_study
from xenograft.study.watch import Silent, Watcher


def run_study(
    config: StudyConfig, folder: Path, *, cache: Path, watcher: Watcher | None = None, command: str = ""
) -> Study:
    """Run what is not finished yet, and return the whole study.

    Args:
        folder: holds the study; made if needed. Runs that are finished in it are kept, never repeated.
        cache: for features, facts about files, and weights. command: how to make the study again, for its record.

    Raises:
        XenograftError: see the fault catalogue; finished runs stay.
    """
    watcher = watcher or Silent()
    started = time.perf_counter()
    folder = Path(folder)
    check_output(folder, "a study", "study.json", "skipped.csv", ".lock")
    with alone(folder):
        return _run_alone(config, folder, cache=cache, watcher=watcher, command=command, started=started)


def _run_alone(
    config: StudyConfig, folder: Path, *, cache: Path, watcher: Watcher, command: str, started: float
) -> Study:
    begun = (folder / "study.json").is_file()  # a refused call must not touch a study that is there
    check_earlier(config, folder)
    skips = None if begun else folder / "skipped.csv"
    arms = list(plan(config))
    pixels = open_pixels(config, cache)
    glances = GlanceStore(cache / "glances", dicom=config.reading.dicom)
    manifest = read_data(
        config,
        pixels,
        cache=cache,
        watcher=watcher,
        skip_report=skips,
        preprocesses=[arm.preprocess for arm in arms],
        keepers=[glances],
        meanwhile=lambda: _load_libraries(arms),
    )
    parts = folded(manifest, config.folds, seed=config.reading.split_seed) if config.folds else ()
    _check_choices(config, parts or (manifest,))
    # late: torch takes seconds to load, which a mistake in DATA need not wait for
    from xenograft.study import runs
    from xenograft.study.feasible import check_feasible

    workshop = runs.make_workshop(config, pixels, cache=cache, watcher=watcher)
    check_feasible(arms, config, workshop)
    splits: dict[int | None, Manifest] = {None: manifest, **dict(enumerate(parts))}
    record = study_record(config, manifest, folder, command, parts=parts, look=lambda: _looked(manifest, glances))
    finished = {arm.id for arm in arms if runs.is_finished(folder, arm, splits[arm.fold], workshop)}
    write_study(folder, record)
    write_manifest(folder, manifest)
    write_skips(folder / "skipped.csv", manifest.skipped)
    waiting = [arm for arm in arms if arm.id not in finished]
    if finished:
        watcher.say(f"{len(finished)} of {len(arms)} runs were finished before and are kept")
    runs.run_arms(
        waiting,
        splits,
        workshop,
        folder,
        resamples=config.resamples,
        of=len(arms),
        operating_point=config.operating_point,
    )
    trim(cache, config.cache_bytes, workshop.keys())
    record.data["baseline"] = record.data["baseline"] or baseline(
        Material(manifest, glances.read(manifest)), resamples=config.resamples
    )
    record = replace(
        together(Study.load(folder), record, manifest, resamples=config.resamples),
        seconds=record.seconds + (time.perf_counter() - started if waiting else 0.0),
    )
    write_study(folder, record)
    return Study.load(folder)


def together(study: Study, record: StudyRecord, manifest: Manifest, *, resamples: int) -> StudyRecord:
    """What the finished runs show together; test was opened by every run before, and nothing is chosen on it here."""
    arms = arms_of(study.runs)
    pool = Pool.of(study, resamples=resamples)
    rows, kept = arm_rows(arms, pool)
    standing = standing_for(arms)
    measured = record.robustness or {}
    return replace(
        record,
        arms=rows,
        comparisons=compare_arms(study, arms, pool, kept),
        ensembles=ensembles(arms, pool, kept, choose(arms)),
        evidence=evidence(study, standing, resamples=resamples),
        failures=failures(study, standing[0], manifest),
        robustness=measured if measured.get("run") == standing[0].id else None,  # of another run it says nothing here
    )


def _check_choices(config: StudyConfig, parts: Sequence[Manifest]) -> None:
    """Refuse now, not after the first training, what validation could not choose."""
    classes, findings = len(parts[0].classes), parts[0].multi_label
    check_method(config.recalibration, several=classes > 2 and not findings)
    if config.operating_point is not None:
        rule = parse_rule(config.operating_point)
        for part in parts:
            check_usable(rule, part.subset("val").labels, classes)


def _looked(manifest: Manifest, glances: GlanceStore) -> dict[str, Any]:
    """The quick part of an audit; leaks were refused before."""
    findings, _ = run_checks(Material(manifest, glances.read(manifest)), CHEAP)
    return summary(findings)


def _load_libraries(arms: Sequence[Arm]) -> None:
    """What a study needs once its images are read."""
    importlib.import_module("xenograft.study.runs")
    importlib.import_module("sklearn.model_selection")
    for name in sorted({"torchvision.models" if arm.spec.source == "torchvision" else "timm" for arm in arms}):
        zoo(name)


def open_pixels(config: StudyConfig, cache: Path) -> PixelSources:
    """Where a study's prepared images come from."""
    return PixelSources(
        cache / "pixels" if config.cache_bytes else None,
        threads=config.threads or min(8, os.cpu_count() or 2),
        limit=config.cache_bytes,
    )


def plan(config: StudyConfig) -> Iterator[Arm]:
    """Every arm: backbones x recipes x learning-rate scales x folds x seeds, in this order."""
    for name in config.backbones:
        spec = catalog.lookup(name)
        preprocess = Preprocess(
            size=config.size or spec.size,
            mean=spec.mean,
            std=spec.std,
            channels=3 if config.colour else 1,
            fit=config.fit,  # type: ignore[arg-type]  # checked by StudyConfig
            dicom=config.reading.dicom,
        ).normalised(config.normalise)
        for recipe in config.recipes:
            convex = config.recipe(recipe).solver == "logistic"  # it has no learning rate
            for scale in (1.0,) if convex else config.lr_scales:
                for fold in range(config.folds) if config.folds else (None,):
                    for seed in range(config.seeds):
                        yield Arm(spec, config.recipe(recipe).scaled(scale), seed, scale, preprocess, fold)
