"""One run of a study after the other: what is finished, what a run depends on, training, choosing, testing, writing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from xenograft.backbones import catalog
from xenograft.backbones.build import build
from xenograft.data.batches import PixelSources
from xenograft.data.manifest import Manifest
from xenograft.data.prepared import read_prepared
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, UsageError, printable
from xenograft.evaluation.proportions import with_proportions
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.threshold import thresholds_for
from xenograft.features.engine import choose_engine, torch_device
from xenograft.storage import atomic_write, read_json, sha256_of
from xenograft.study import environment
from xenograft.study.arm import Arm, Trained
from xenograft.study.config import StudyConfig
from xenograft.study.describe import now
from xenograft.study.forecast import describe as in_words
from xenograft.study.frozen import FrozenArm
from xenograft.study.outlook import RateKeeper, outlook, units_of_work
from xenograft.study.record import Predictions, RunRecord, Study, write_predictions, write_run
from xenograft.study.tuned import TunedArm, engine_facts, planned_machine
from xenograft.study.watch import Watcher
from xenograft.study.workshop import Workshop, weights_facts
from xenograft.train.loop import Machine

Splits = Mapping[int | None, Manifest]
"""The data set by fold, each with its own splits; under None with those of a study without folds."""


def make_workshop(config: StudyConfig, pixels: PixelSources, *, cache: Path, watcher: Watcher) -> Workshop:
    """Engine, caches and weights as the configuration asks for."""
    return Workshop(
        engine=choose_engine(config.engine, config.precision, threads=config.threads),
        machine=Machine(torch_device(), micro_batch=config.micro_batch),
        sources=pixels,
        cache=cache,
        threads=pixels.threads,
        precision=config.precision,
        weights_dir=config.weights_dir,
        offline=config.offline,
        watcher=watcher,
    )


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


def run_arms(
    waiting: Sequence[Arm],
    splits: Splits,
    workshop: Workshop,
    folder: Path,
    *,
    resamples: int,
    of: int,
    operating_point: str | None = None,
) -> None:
    """Run the arms that are not finished, `of` that many in all; says beforehand how long it will take."""
    manifest = splits[0] if 0 in splits else splits[None]  # folds differ by a few images
    watcher = workshop.watcher
    for line in in_words(outlook(waiting, manifest, workshop)):
        watcher.say(line)
    costs = units_of_work(waiting, len(manifest.where("train")))
    watcher.total(sum(costs))
    workshop.arms = tuple(waiting)
    keeper = RateKeeper(workshop, manifest)
    for number, (arm, cost) in enumerate(zip(waiting, costs, strict=True), start=1 + of - len(waiting)):
        watcher.begin(f"{number}/{of} {arm.id}", cost)
        keeper.begin(arm)
        run = run_arm(
            arm,
            splits[arm.fold],
            workshop,
            folder / "runs" / arm.id,
            resamples=resamples,
            operating_point=operating_point,
        )
        keeper.end(arm, run)
        watcher.end(f"{arm.id}: {headline(run)}")


def run_arm(
    arm: Arm,
    manifest: Manifest,
    workshop: Workshop,
    folder: Path,
    *,
    resamples: int,
    operating_point: str | None = None,
) -> RunRecord:
    """Train one arm, let validation choose, then open test once; write everything, the record last."""
    train, val = manifest.subset("train"), manifest.subset("val")
    checkpoint = folder / "checkpoint.safetensors"
    identity = fingerprint(arm, manifest, workshop)
    trained = train_arm(arm, train, val, workshop, checkpoint=checkpoint, fingerprint=identity)
    scores = {"val": trained.predict(val)}
    rule = None if operating_point is None else parse_rule(operating_point)
    thresholds = thresholds_for(val.labels, scores["val"], rule)
    # every choice is made: epoch, strength, thresholds. Only now is the test split read.
    opened = now()
    test = manifest.subset("test")
    scores["test"] = trained.predict(test)
    started = time.perf_counter()
    splits = {name: _predictions(images, scores[name], name) for name, images in (("val", val), ("test", test))}
    cards = {
        name: with_proportions(
            scorecard(
                p.labels,
                p.probabilities,
                p.patients,
                thresholds=thresholds,
                resamples=resamples,
                rng=np.random.default_rng([arm.seed, len(p.ids)]),
            ),
            p.labels,
            p.probabilities,
            p.patients,
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
        fold=arm.fold,
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
    """Train one arm; validation chooses the epoch, cross-validation on train the strength of a logistic head.

    Raises:
        DataError: images of another split are among those that choose (E-DATA-50).
    """
    for name, part in (("train", train), ("val", val)):
        if strange := set(part.column("split")) - {name}:
            raise DataError(
                f"images of split {', '.join(sorted(strange))!r} cannot be used as {name}: test only measures what the "
                "other splits chose",
                code="E-DATA-50",
            )
    if arm.recipe.frozen:
        return FrozenArm(arm, train, val, workshop)
    return TunedArm(arm, train, val, workshop, checkpoint, fingerprint)


def validation_sample(
    study: Study, config: StudyConfig, run: RunRecord, *, cache: Path | None = None, count: int = 32
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(n, C, S, S) prepared validation images and (n, classes) recorded scores, to compare an exported model with."""
    table = pq.read_table(study.folder / "manifest.parquet")
    root = config.reading.listing(config.data, cache).root
    classes, findings = tuple(study.record.classes), study.record.data["multi_label"]
    manifest = Manifest(root, "", classes, table, "", "", multi_label=findings)
    predicted = study.predictions(run.id, "val")
    place = {image: at for at, image in enumerate(manifest.column("id"))}
    chosen = np.arange(0, len(predicted.ids), max(1, len(predicted.ids) // count))[:count]
    rows = manifest.take([place[image] for image in predicted.ids[chosen].tolist()]).rows()
    pixels = np.stack([read_prepared(manifest, row, Preprocess.from_json(run.preprocess)) for row in rows])
    return pixels, predicted.probabilities[chosen]


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


def is_finished(folder: Path, arm: Arm, manifest: Manifest, workshop: Workshop) -> bool:
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


def _predictions(manifest: Manifest, probabilities: Any, split: str) -> Predictions:
    ids = np.array(manifest.column("id"), dtype=np.str_)
    return Predictions(ids, manifest.labels, manifest.patients, probabilities, split)


def _planned_engine(arm: Arm, workshop: Workshop) -> dict[str, str | int]:
    """What is planned; memory that runs out may still change the size of the parts."""
    if arm.recipe.frozen:
        return workshop.engine_facts()
    return engine_facts(arm, planned_machine(arm, workshop))


def headline(run: RunRecord) -> str:
    """Validation's answer: the test split is not for watching while a study runs."""
    policy = run.validation["policies"].get("fixed") or run.validation["policies"]["argmax"]
    auroc = policy["metrics"]["auroc"]
    return f"validation AUROC {auroc['value']:.3f}" if auroc["value"] is not None else "done"
