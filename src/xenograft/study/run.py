"""The conductor: the one file that knows the order of stages. StudyConfig in, a folder of records out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.torch import save

from xenograft.backbones import catalog
from xenograft.backbones.build import build
from xenograft.caching import trim
from xenograft.data.ingest import ingest, write_skips
from xenograft.data.manifest import Manifest
from xenograft.data.prepared import distinct, read_prepared
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, ProcessError, UsageError, printable
from xenograft.evaluate.scorecard import scorecard
from xenograft.evaluate.threshold import FIXED, enough, youden
from xenograft.features.engine import choose_engine, torch_device
from xenograft.storage import atomic_write, read_json, sha256_of
from xenograft.study import environment
from xenograft.study.arm import Arm, Trained
from xenograft.study.config import StudyConfig
from xenograft.study.describe import now, study_record, write_manifest
from xenograft.study.differences import compare_arms
from xenograft.study.forecast import describe as in_words
from xenograft.study.frozen import FrozenArm
from xenograft.study.outlook import RateKeeper, outlook, units_of_work
from xenograft.study.record import (
    Predictions,
    RunRecord,
    Study,
    write_predictions,
    write_run,
    write_study,
)
from xenograft.study.tuned import TunedArm, engine_facts, planned_machine
from xenograft.study.watch import Silent, Watcher
from xenograft.study.workshop import Workshop, weights_facts
from xenograft.train.loop import Machine


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
    _check_folder(folder)
    with _alone(folder):
        return _run_alone(config, folder, cache=cache, watcher=watcher, command=command, started=started)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time works on a study."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(folder / ".lock"), timeout=0):
            yield
    except Timeout as error:
        raise ProcessError(
            f"another process is working on {printable(folder)}; wait for it, or choose another folder",
            code="E-PROC-06",
        ) from error
    finally:
        if [entry.name for entry in folder.iterdir()] == [".lock"]:  # refused before anything was written
            (folder / ".lock").unlink()
            folder.rmdir()


def _run_alone(
    config: StudyConfig, folder: Path, *, cache: Path, watcher: Watcher, command: str, started: float
) -> Study:
    begun = (folder / "study.json").is_file()  # a refused call must not touch a study that is there
    skips = None if begun else folder / "skipped.csv"
    workshop = make_workshop(config, cache=cache, watcher=watcher)
    arms = list(plan(config))
    manifest = read_data(config, workshop, skip_report=skips, preprocesses=[arm.preprocess for arm in arms])
    for arm in arms:
        workshop.weights(arm)  # a missing file is said before hours of work, not after
    if config.size is not None:
        for spec in dict.fromkeys(arm.spec for arm in arms):
            check_size(spec, config.size)
    record = study_record(config, manifest, folder, command)
    finished = {arm.id for arm in arms if _is_finished(folder, arm, manifest, workshop)}
    write_study(folder, record)
    write_manifest(folder, manifest)
    write_skips(folder / "skipped.csv", manifest.skipped)
    images = len(manifest.where("train"))
    waiting = [arm for arm in arms if arm.id not in finished]
    if finished:
        watcher.say(f"{len(finished)} of {len(arms)} runs were finished before and are kept")
    for line in in_words(outlook(waiting, manifest, workshop)):
        watcher.say(line)
    costs = units_of_work(waiting, images)
    watcher.total(sum(costs))
    workshop.arms = tuple(waiting)
    keeper = RateKeeper(workshop, manifest)
    for number, (arm, cost) in enumerate(zip(waiting, costs, strict=True), start=1 + len(finished)):
        watcher.begin(f"{number}/{len(arms)} {arm.id}", cost)
        keeper.begin(arm)
        run = run_arm(arm, manifest, workshop, folder / "runs" / arm.id, resamples=config.resamples)
        keeper.end(arm, run)
        watcher.end(f"{arm.id}: {_headline(run)}")
    trim(cache, config.cache_bytes, workshop.keys())
    study = Study.load(folder)
    record = replace(
        record,
        comparisons=compare_arms(study, resamples=config.resamples),
        seconds=record.seconds + (time.perf_counter() - started if waiting else 0.0),
    )
    write_study(folder, record)
    return replace(study, record=record)


def read_data(
    config: StudyConfig, workshop: Workshop, *, skip_report: Path | None, preprocesses: Sequence[Preprocess] = ()
) -> Manifest:
    """The manifest of a study; its notices are said once.

    Args:
        preprocesses: those that the study will use; what is decoded to be inspected is kept for them.
    """
    watcher = workshop.watcher
    sources = [workshop.pixels(preprocess) for preprocess in distinct(preprocesses)]
    manifest = ingest(
        config.data,
        config.reading,
        cache=workshop.cache,
        threads=config.threads,
        skip_report=skip_report,
        progress=_milestones(watcher),
        on_picture=workshop.offer if sources else None,
    )
    for source in sources:
        source.flush()
    if len(manifest.classes) == 2:
        watcher.say(f"positive class: {printable(manifest.classes[1])}")
    counts = manifest.counts()
    for split, classes in counts.items():
        text = ", ".join(f"{printable(c)} {n['images']} ({n['patients']} patients)" for c, n in classes.items())
        watcher.say(f"{split:5} {text}")
    for notice in manifest.notices:
        watcher.say(str(notice))
    if manifest.skipped:
        watcher.say(f"{len(manifest.skipped)} files were skipped; see skipped.csv")
    return manifest


def _milestones(watcher: Watcher) -> Callable[[int, int], None]:
    """Says every 2,000 files how far reading has come."""
    said = 0

    def tell(done: int, total: int) -> None:
        nonlocal said
        if done - said >= 2000:
            said = done
            watcher.say(f"read {done} of {total} files")

    return tell


def make_workshop(config: StudyConfig, *, cache: Path, watcher: Watcher) -> Workshop:
    """Engine, caches and weights as the configuration asks for."""
    return Workshop(
        engine=choose_engine(config.engine, config.precision, threads=config.threads),
        machine=Machine(torch_device(), micro_batch=config.micro_batch),
        cache=cache,
        threads=config.threads or min(8, os.cpu_count() or 2),
        precision=config.precision,
        cache_bytes=config.cache_bytes,
        weights_dir=config.weights_dir,
        offline=config.offline,
        watcher=watcher,
    )


def plan(config: StudyConfig) -> Iterator[Arm]:
    """Every arm: backbones x recipes x learning-rate scales x seeds, in this order."""
    for name in config.backbones:
        spec = catalog.lookup(name)
        preprocess = Preprocess(
            size=config.size or spec.size,
            mean=spec.mean,
            std=spec.std,
            channels=3 if config.colour else 1,
            fit=config.fit,  # type: ignore[arg-type]  # checked by StudyConfig
        ).normalised(config.normalise)
        for recipe in config.recipes:
            convex = config.recipe(recipe).solver == "logistic"  # it has no learning rate
            for scale in (1.0,) if convex else config.lr_scales:
                for seed in range(config.seeds):
                    yield Arm(spec, config.recipe(recipe).scaled(scale), seed, scale, preprocess)


def check_size(spec: catalog.BackboneSpec, size: int) -> None:
    """One image through the network at the chosen size.

    Raises:
        UsageError: the network does not take this size.
    """
    try:
        with torch.inference_mode():
            build(spec, tensors=None, seed=0)(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"{spec.name} takes no images of {size} px ({str(error).splitlines()[0]}); its own size is {spec.size}",
            code="E-USAGE-05",
        ) from error


def run_arm(arm: Arm, manifest: Manifest, workshop: Workshop, folder: Path, *, resamples: int) -> RunRecord:
    """Train one arm, let validation choose, then open test once; write everything, the record last."""
    train, val = manifest.subset("train"), manifest.subset("val")
    checkpoint = folder / "checkpoint.safetensors"
    identity = fingerprint(arm, manifest, workshop)
    trained = train_arm(arm, train, val, workshop, checkpoint=checkpoint, fingerprint=identity)
    scores = {"val": trained.predict(val)}
    thresholds = choose_thresholds(val, scores["val"])
    # every choice is made: epoch, strength, thresholds. Only now is the test split read.
    opened = now()
    test = manifest.subset("test")
    scores["test"] = trained.predict(test)
    started = time.perf_counter()
    splits = {"val": _predictions(val, scores["val"]), "test": _predictions(test, scores["test"])}
    cards = {
        name: scorecard(
            p.labels,
            p.probabilities,
            p.patients,
            thresholds=thresholds,
            resamples=resamples,
            rng=np.random.default_rng([arm.seed, len(p.ids)]),
        )
        for name, p in splits.items()
    }
    timings = {**trained.timings, "evaluate": time.perf_counter() - started}
    record = RunRecord(
        id=arm.id,
        backbone=arm.spec.name,
        recipe=arm.recipe.name,
        seed=arm.seed,
        lr_scale=arm.lr_scale,
        transfer=arm.recipe.pretrained,
        settings={**arm.recipe.as_json(), **trained.chosen},
        weights=weights_facts(arm, workshop),
        preprocess=arm.preprocess.as_json(),
        engine=dict(trained.engine),
        history=trained.history,
        best_epoch=trained.best_epoch,
        thresholds=thresholds,
        validation=cards["val"],
        test=cards["test"],
        test_opened=opened,
        timings={stage: round(seconds, 3) for stage, seconds in timings.items()},
        peak_memory_mb=environment.peak_memory_mb(),
        created=now(),
        notices=[asdict(notice) for notice in trained.notices],
        fingerprint=identity,
    )
    write_predictions(folder / "predictions.parquet", splits)
    tensors = {name: tensor.contiguous() for name, tensor in trained.tensors().items()}
    atomic_write(folder / "model.safetensors", save(tensors))
    write_run(folder, record)
    with suppress(OSError):
        checkpoint.unlink()
    return record


def train_arm(
    arm: Arm,
    train: Manifest,
    val: Manifest,
    workshop: Workshop,
    *,
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> Trained:
    """Train one arm; validation chooses the epoch, cross-validation on train the strength of a logistic head."""
    if arm.recipe.frozen:
        return FrozenArm(arm, train, val, workshop)
    return TunedArm(arm, train, val, workshop, checkpoint, fingerprint)


def validation_sample(
    study: Study, config: StudyConfig, run: RunRecord, *, count: int = 32
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(n, C, S, S) prepared validation images and (n, classes) recorded scores, to compare an exported model with."""
    table = pq.read_table(study.folder / "manifest.parquet")
    root = config.reading.images or (config.data if config.data.is_dir() else config.data.parent)
    if not root.is_dir():
        raise DataError(
            f"the images of {printable(study.folder)} are not at {printable(root)} any more", code="E-DATA-06"
        )
    manifest = Manifest(root, "", tuple(study.record.classes), table, "", "").subset("val")
    preprocess = Preprocess.from_json(run.preprocess)
    step = max(1, len(manifest) // count)
    chosen = np.arange(0, len(manifest), step)[:count]
    pixels = np.stack([read_prepared(manifest, row, preprocess) for row in manifest.take(chosen).rows()])
    return pixels, study.predictions(run.id, "val").probabilities[chosen]


def choose_thresholds(val: Manifest, probabilities: Any) -> dict[str, float]:
    """``fixed`` 0.5, and Youden's J on validation where both classes have enough images (L13)."""
    thresholds = {"fixed": FIXED}
    if len(val.classes) == 2 and enough(val.labels):
        thresholds["youden"] = youden(val.labels, probabilities[:, 1])
    return thresholds


def fingerprint(arm: Arm, manifest: Manifest, workshop: Workshop) -> str:
    """Hash of everything a run's result depends on, library versions aside."""
    found = workshop.weights(arm)
    return sha256_of(
        {
            "data": manifest.sha256,
            "id": arm.id,
            "recipe": arm.recipe.as_json(),
            "preprocess": arm.preprocess.as_json(),
            "weights": found.sha256 if found is not None else None,
            "engine": _planned_engine(arm, workshop),
        }
    )


def _is_finished(folder: Path, arm: Arm, manifest: Manifest, workshop: Workshop) -> bool:
    """Whether a run is on disk, made from the same data by the same settings.

    Raises:
        DataError: it is there, but made otherwise; it is neither taken nor overwritten.
    """
    path = folder / "runs" / arm.id / "run.json"
    if not path.is_file():
        return False
    record = RunRecord.from_json(read_json(path), path)
    if record.fingerprint != fingerprint(arm, manifest, workshop):
        raise DataError(
            f"{printable(path.parent)} was made from other data, weights or settings; choose another output folder, or "
            "remove that run to make it again",
            code="E-DATA-11",
        )
    return True


def _check_folder(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_study(folder)):
        raise UsageError(
            f"{printable(folder)} exists and is not a study; choose a new or empty folder", code="E-USAGE-13"
        )


def _is_study(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("study.json", "skipped.csv", ".lock"))


def _predictions(manifest: Manifest, probabilities: Any) -> Predictions:
    ids = np.array(manifest.column("id"), dtype=np.str_)
    return Predictions(ids, manifest.labels, manifest.patients, probabilities)


def _planned_engine(arm: Arm, workshop: Workshop) -> dict[str, str | int]:
    """What is planned; memory that runs out may still change the size of the parts."""
    if arm.recipe.frozen:
        return workshop.engine_facts()
    return engine_facts(arm, planned_machine(arm, workshop))


def _headline(run: RunRecord) -> str:
    """Validation's answer: the test split is not for watching while a study runs."""
    policy = run.validation["policies"].get("fixed") or run.validation["policies"]["argmax"]
    auroc = policy["metrics"]["auroc"]
    return f"validation AUROC {auroc['value']:.3f}" if auroc["value"] is not None else "done"
