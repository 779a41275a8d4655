"""The conductor: the one file that knows the order of stages. StudyConfig in, a folder of records out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.torch import save

from xenograft.backbones import catalog
from xenograft.data.batches import read_prepared
from xenograft.data.ingest import ingest
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, UsageError, printable
from xenograft.evaluate.paired import paired_difference, paired_difference_multiclass
from xenograft.evaluate.scorecard import scorecard
from xenograft.evaluate.threshold import FIXED, enough, youden
from xenograft.features.engine import choose_engine, torch_device, trains_in_bf16
from xenograft.storage import atomic_path, atomic_write, read_json, sha256_of
from xenograft.study import environment
from xenograft.study.arm import Arm, Workshop, train_arm, weights_facts
from xenograft.study.config import StudyConfig
from xenograft.study.record import (
    Predictions,
    RunRecord,
    Study,
    StudyRecord,
    write_predictions,
    write_run,
    write_study,
)
from xenograft.study.watch import Silent, Watcher
from xenograft.train.loop import Machine

_EXAMPLES = 4
_COMPARED = ("auroc", "accuracy", "f1", "average_precision")


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
    manifest = read_data(config, cache=cache, watcher=watcher, skip_report=folder / "skipped.csv")
    workshop = make_workshop(config, cache=cache, watcher=watcher)
    arms = list(plan(config))
    for arm in arms:
        workshop.weights(arm)  # a missing file is said before hours of work, not after
    record = _study_record(config, manifest, folder, command)
    finished = {arm.id for arm in arms if _is_finished(folder, arm, manifest, workshop)}
    write_study(folder, record)
    _write_manifest(folder, manifest)
    images = len(manifest.where("train"))
    waiting = [arm for arm in arms if arm.id not in finished]
    if finished:
        watcher.say(f"{len(finished)} of {len(arms)} runs were finished before and are kept")
    watcher.total(sum(arm.cost(images) for arm in waiting))
    for number, arm in enumerate(waiting, start=1 + len(finished)):
        watcher.begin(f"{number}/{len(arms)} {arm.id}", arm.cost(images))
        run = run_arm(arm, manifest, workshop, folder / "runs" / arm.id, resamples=config.resamples)
        watcher.end(f"{arm.id}: {_headline(run)}")
    study = Study.load(folder)
    record = replace(
        record,
        comparisons=compare_arms(study, resamples=config.resamples),
        seconds=record.seconds + time.perf_counter() - started,
    )
    write_study(folder, record)
    return replace(study, record=record)


def read_data(config: StudyConfig, *, cache: Path, watcher: Watcher, skip_report: Path | None) -> Manifest:
    """The manifest of a study; its notices are said once."""
    manifest = ingest(
        config.data,
        config.reading,
        cache=cache,
        threads=config.threads,
        skip_report=skip_report,
        progress=lambda done, total: (
            watcher.say(f"read {done} of {total} files") if done and done % 5000 == 0 else None
        ),
    )
    counts = manifest.counts()
    for split, classes in counts.items():
        text = ", ".join(f"{printable(c)} {n['images']} ({n['patients']} patients)" for c, n in classes.items())
        watcher.say(f"{split:5} {text}")
    for notice in manifest.notices:
        watcher.say(str(notice))
    if manifest.skipped:
        watcher.say(f"{len(manifest.skipped)} files were skipped; see skipped.csv")
    return manifest


def make_workshop(config: StudyConfig, *, cache: Path, watcher: Watcher) -> Workshop:
    """Engine, caches and weights as the configuration asks for."""
    device = torch_device()
    return Workshop(
        engine=choose_engine(config.engine, config.precision),
        machine=Machine(
            device, bf16=config.precision == "bf16" or (config.precision == "auto" and trains_in_bf16(device))
        ),
        cache=cache,
        threads=config.threads or 2,
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
            for scale in config.lr_scales:
                for seed in range(config.seeds):
                    yield Arm(spec, config.recipe(recipe).scaled(scale), seed, scale, preprocess)


def run_arm(arm: Arm, manifest: Manifest, workshop: Workshop, folder: Path, *, resamples: int) -> RunRecord:
    """Train one arm, let validation choose, then open test once; write everything, the record last."""
    train, val = manifest.subset("train"), manifest.subset("val")
    checkpoint = folder / "checkpoint.safetensors"
    trained = train_arm(arm, train, val, workshop, checkpoint=checkpoint)
    scores = {"val": trained.predict(val)}
    thresholds = choose_thresholds(val, scores["val"])
    # every choice is made: epoch, strength, thresholds. Only now is the test split read.
    opened = _now()
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
        engine=_engine_facts(arm, workshop),
        history=trained.history,
        best_epoch=trained.best_epoch,
        thresholds=thresholds,
        validation=cards["val"],
        test=cards["test"],
        test_opened=opened,
        timings={stage: round(seconds, 3) for stage, seconds in timings.items()},
        peak_memory_mb=environment.peak_memory_mb(),
        created=_now(),
        notices=[asdict(notice) for notice in trained.notices],
        fingerprint=fingerprint(arm, manifest, workshop),
    )
    write_predictions(folder / "predictions.parquet", splits)
    tensors = {name: tensor.contiguous() for name, tensor in trained.tensors().items()}
    atomic_write(folder / "model.safetensors", save(tensors))
    write_run(folder, record)
    with suppress(OSError):
        checkpoint.unlink()
    return record


def validation_sample(study: Study, config: StudyConfig, run: RunRecord, *, count: int = 16) -> NDArray[np.uint8]:
    """(n, C, S, S) prepared validation images of a finished study, for comparing an exported model on."""
    table = pq.read_table(study.folder / "manifest.parquet")
    root = config.data if config.data.is_dir() else config.reading.images or config.data.parent
    manifest = Manifest(root, "", tuple(study.record.classes), table, "", "").subset("val")
    preprocess = Preprocess.from_json(run.preprocess)
    step = max(1, len(manifest) // count)
    rows = list(manifest.take(range(0, len(manifest), step)).rows())[:count]
    return np.stack([read_prepared(manifest, row, preprocess) for row in rows])


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
            "engine": _engine_facts(arm, workshop),
        }
    )


def compare_arms(study: Study, *, resamples: int) -> list[dict[str, Any]]:
    """Paired patient-cluster bootstrap of every pair of recipes of one backbone, means over seeds."""
    rows = []
    places = dict.fromkeys((run.backbone, run.lr_scale) for run in study.runs)
    for backbone, scale in places:
        group = [run for run in study.runs if (run.backbone, run.lr_scale) == (backbone, scale)]
        recipes = sorted({run.recipe for run in group}, key=list(study.record.config["recipes"]).index)
        recipes.sort(key=lambda name: not next(run.transfer for run in group if run.recipe == name))
        for a, b in combinations(recipes, 2):
            arms = [[study.predictions(r.id, "test") for r in group if r.recipe == name] for name in (a, b)]
            rows += [
                {"backbone": backbone, "lr_scale": scale, "a": a, "b": b, "metric": m, **d, "resamples": resamples}
                for m, d in _difference(arms[0], arms[1], resamples).items()
            ]
    return rows


def _difference(a: Sequence[Predictions], b: Sequence[Predictions], resamples: int) -> dict[str, dict[str, Any]]:
    labels, patients = a[0].labels, a[0].patients
    rng = np.random.default_rng(0)
    if a[0].probabilities.shape[1] == 2:
        found = paired_difference(
            labels,
            [p.probabilities[:, 1] for p in a],
            [p.probabilities[:, 1] for p in b],
            patients,
            threshold_a=FIXED,
            threshold_b=FIXED,
            resamples=resamples,
            rng=rng,
        )
    else:
        found = paired_difference_multiclass(
            labels, [p.probabilities for p in a], [p.probabilities for p in b], patients, resamples=resamples, rng=rng
        )
    return {metric: dict(found[metric]) for metric in _COMPARED}


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
    return any((folder / name).exists() for name in ("study.json", "skipped.csv"))


def _study_record(config: StudyConfig, manifest: Manifest, folder: Path, command: str) -> StudyRecord:
    earlier = folder / "study.json"
    known = StudyRecord.from_json(read_json(earlier), earlier) if earlier.is_file() else None
    data: dict[str, Any] = {
        "name": manifest.name,
        "catalog": manifest.catalog,
        "synthetic": manifest.synthetic,
        "leak_allowed": manifest.leak_allowed,
        "manifest_sha256": manifest.sha256,
        "counts": manifest.counts(),
        "patient_rule": manifest.patient_rule,
        "split_rule": manifest.split_rule,
        "skipped": [asdict(skip) for skip in manifest.skipped],
        "notices": [asdict(notice) for notice in manifest.notices],
        "facts": list(manifest.facts),
        "examples": _write_examples(manifest, folder, config),
    }
    return StudyRecord(
        title=f"{manifest.name}: {' and '.join(config.recipes)}, {_titles(config.backbones)}",
        command=command,
        created=known.created if known is not None else _now(),
        config=config.as_json(),
        classes=list(manifest.classes),
        data=data,
        environment=environment.describe(),
        seconds=known.seconds if known is not None else 0.0,
    )


def _titles(backbones: Sequence[str]) -> str:
    if len(backbones) > 3:
        return f"{len(backbones)} backbones"
    return ", ".join(catalog.lookup(name).title for name in backbones)


def _write_examples(manifest: Manifest, folder: Path, config: StudyConfig) -> dict[str, list[str]]:
    """A few training images of each class as the networks see them (the paper's Fig. 2)."""
    preprocess = Preprocess(channels=3 if config.colour else 1, fit=config.fit)  # type: ignore[arg-type]
    train = manifest.subset("train")
    examples: dict[str, list[str]] = {}
    for index, label in enumerate(manifest.classes):
        positions = np.flatnonzero(train.labels == index)
        chosen = np.random.default_rng(0).permutation(positions)[:_EXAMPLES]
        names = []
        for number, row in enumerate(train.take(chosen).rows()):
            pixels = read_prepared(train, row, preprocess)
            image = pixels[0] if len(pixels) == 1 else cv2.cvtColor(pixels.transpose(1, 2, 0), cv2.COLOR_RGB2BGR)
            name = f"examples/class{index}-{number}.png"
            atomic_write(folder / name, cv2.imencode(".png", image)[1].tobytes())
            names.append(name)
        examples[label] = names
    return examples


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    with atomic_path(folder / "manifest.parquet") as temporary:
        pq.write_table(manifest.table, temporary)


def _predictions(manifest: Manifest, probabilities: Any) -> Predictions:
    ids = np.array(manifest.column("id"), dtype=np.str_)
    return Predictions(ids, manifest.labels, manifest.patients, probabilities)


def _engine_facts(arm: Arm, workshop: Workshop) -> dict[str, str]:
    if arm.recipe.frozen:
        return {k: v for k, v in workshop.engine.as_json().items() if k != "version"}
    machine = workshop.machine
    return {"name": "torch", "precision": "bf16" if machine.bf16 else "f32", "device": machine.device}


def _headline(run: RunRecord) -> str:
    policy = run.test["policies"].get("fixed") or run.test["policies"]["argmax"]
    auroc = policy["metrics"]["auroc"]
    return f"test AUROC {auroc['value']:.3f}" if auroc["value"] is not None else "done"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
