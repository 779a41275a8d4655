"""A fake study folder with synthetic numbers, written through the record's own functions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import norm

from xenograft.data.preprocess import Preprocess
from xenograft.study.chosen import arms_of
from xenograft.study.comparing import ANALYTIC, BOOTSTRAP, adjusted, pairs
from xenograft.study.record import (
    Predictions,
    RunRecord,
    Study,
    StudyRecord,
    write_predictions,
    write_run,
    write_study,
)
from xenograft.train.recipes import lookup

SKILL = {"scratch": 1.75, "random": 1.0, "probe": 2.5, "logistic": 2.4, "full": 2.9}
BINARY = ("loss", "accuracy", "precision", "recall", "specificity", "f1", "g_mean", "auroc", "average_precision")


def make_study(
    folder: Path,
    *,
    backbones: tuple[str, ...] = ("resnet18", "mobilenet_v2"),
    recipes: tuple[str, ...] = ("scratch", "probe"),
    seeds: int = 3,
    classes: tuple[str, ...] = ("normal", "pneumonia"),
    scales: tuple[float, ...] = (1.0,),
    youden: bool = True,
    epochs: int = 20,
    n: int = 120,
    examples: int = 3,
    folds: int = 0,
    rotating: bool = False,
    baseline: float | None = None,
    data: dict[str, Any] | None = None,
) -> Study:
    """Write a study whose runs are finished and read it back; deterministic.

    What its runs show together is left out but for made-up differences, as if it had been interrupted there;
    `completing.complete` adds the rest.

    Args:
        folds: of cross-validation; 0 without it. rotating: whether they test on different images.
        baseline: skill of the classifier without anatomy; None where none was recorded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = range(folds) if folds else (None,)
    cases = [(b, r, k, f, s) for b in backbones for r in recipes for k in scales for f in parts for s in range(seeds)]
    for backbone, recipe, scale, fold, seed in cases:
        _write_run(
            folder,
            backbone,
            recipe,
            seed,
            scale,
            fold=fold,
            rotating=rotating,
            classes=classes,
            youden=youden,
            epochs=epochs,
            n=n,
        )
    facts = data_facts(folder, classes, n, examples=examples) | {"folds": _folds(folds, n, rotating=rotating)}
    if baseline is not None:
        seen = _predictions(np.random.default_rng(23), baseline, n, len(classes), "test", "test")
        facts["baseline"] = {
            "families": ["file size", "gray values"],
            "thresholds": {"fixed": 0.5},
            "test": scorecard(seen, {"fixed": 0.5}),
        }
    facts |= data or {}
    record = StudyRecord(
        title="Pneumonia on chest radiographs: transfer against scratch",
        command="xenograft compare chest_xray --backbones resnet18,mobilenet_v2 --recipes scratch,probe --seeds 3",
        created="2026-07-01T10:00:00+00:00",
        config={"backbones": list(backbones), "recipes": list(recipes), "seeds": list(range(seeds)), "epochs": epochs},
        classes=list(classes),
        data=facts,
        environment={
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64",
            "cpu": "Example CPU @ 2.00GHz",
            "cores": 2,
            "memory_gb": 16.0,
            "gpu": None,
            "packages": {"torch": "2.10.0", "openvino": "2026.0.0", "numpy": "2.3.1"},
        },
        seconds=754.2,
    )
    write_study(folder, record)
    if cases:
        write_study(folder, dataclasses.replace(record, comparisons=comparisons(Study.load(folder))))
    return Study.load(folder)


def _folds(folds: int, n: int, *, rotating: bool) -> dict[str, Any] | None:
    if not folds:
        return None
    sizes = {
        split: {"images": f * n, "patients": f * n * 2 // 3} for split, f in (("train", 8), ("val", 2), ("test", 1))
    }
    test = "rotating" if rotating else "fixed"
    return {
        "folds": folds,
        "test": test,
        "rule": f"{folds} folds by patient, stratified by class",
        "sizes": [sizes] * folds,
    }


def data_facts(folder: Path, classes: tuple[str, ...], n: int, *, examples: int) -> dict[str, Any]:
    """The data part of a study record, and its example images."""
    files: dict[str, list[str]] = {}
    rng = np.random.default_rng(5)
    (folder / "examples").mkdir(exist_ok=True)
    for k, name in enumerate(classes):
        for i in range(examples):
            y, x = np.mgrid[-1:1:200j, -1:1:240j]
            lungs = sum(np.exp(-((((x - c) / 0.3) ** 2 + (y / 0.7) ** 2) ** 2)) for c in (-0.45, 0.45))
            spot = k * np.exp(-(((x - rng.uniform(-0.5, 0.5)) / 0.2) ** 2 + ((y - 0.2) / 0.2) ** 2))
            pixels = 190 - 130 * lungs + 70 * spot + rng.normal(0, 6, x.shape)
            relative = f"examples/{k}-{i}.png"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / relative)
            files.setdefault(name, []).append(relative)
    sizes = {"train": 8, "val": 2, "test": 1}
    return {
        "name": "made-up radiographs",
        "catalog": None,
        "synthetic": False,
        "leak_allowed": False,
        "multi_label": False,
        "folds": None,
        "baseline": None,
        "manifest_sha256": "ab" * 32,
        "counts": {
            split: {
                name: {"images": factor * int((labels(n, len(classes)) == k).sum()), "patients": factor * (10 + k)}
                for k, name in enumerate(classes)
            }
            for split, factor in sizes.items()
        },
        "patient_rule": "file name up to the second underscore (a proxy, not proof)",
        "split_rule": "official test set kept; 20 % of the training patients drawn for validation, stratified, seed 0",
        "skipped": [{"path": "train/normal/._IM-1.jpeg", "code": "S-FILE-03", "reason": "not an image"}],
        "notices": [
            {"code": "W-DATA-04", "message": "32 identical images within train", "count": 32, "items": ["a.png"]}
        ],
        "facts": [],
        "examples": files,
    }


def labels(n: int, count: int) -> np.ndarray:
    """(n,) labels, the later classes more frequent."""
    weights = np.arange(1, count + 1)
    return np.repeat(np.arange(count), np.maximum(2, np.floor(n * weights / weights.sum())).astype(int))


def _write_run(
    folder: Path,
    backbone: str,
    recipe: str,
    seed: int,
    scale: float,
    *,
    fold: int | None,
    rotating: bool,
    classes: tuple[str, ...],
    youden: bool,
    epochs: int,
    n: int,
) -> None:
    transfer = recipe not in {"scratch", "random"}
    rng = np.random.default_rng(
        [seed, len(backbone), *recipe.encode(), int(100 * scale), *([fold + 7] if fold is not None else [])]
    )
    skill = SKILL.get(recipe, 2.0) + 0.08 * (len(backbone) % 5) + rng.normal(0, 0.08) - (0.15 if scale < 1 else 0)
    of = {"val": "val" if fold is None else f"val{fold}", "test": f"test{fold}" if rotating else "test"}
    splits = {split: _predictions(rng, skill, n, len(classes), split, images) for split, images in of.items()}
    name = f"{backbone}-{recipe}-s{seed}" + ("" if scale == 1 else f"-lr{scale:g}")
    name += "" if fold is None else f"-f{fold}"
    run = folder / "runs" / name
    run.mkdir(parents=True)
    write_predictions(run / "predictions.parquet", splits)
    thresholds = {"fixed": 0.5} | ({"youden": 0.41 + 0.02 * seed} if youden and len(classes) == 2 else {})
    cards = {split: scorecard(table, thresholds) for split, table in splits.items()}
    history = [] if recipe == "logistic" else [_epoch(rng, e, epochs, skill, transfer) for e in range(1, epochs + 1)]
    write_run(
        run,
        RunRecord(
            id=name,
            backbone=backbone,
            recipe=recipe,
            seed=seed,
            lr_scale=scale,
            transfer=transfer,
            settings=lookup(recipe).scaled(scale).as_used().as_json() | {"epochs": epochs},
            weights={
                "file": f"{backbone}.safetensors",
                "sha256": "0f" * 32,
                "origin": "torchvision IMAGENET1K_V1",
                "licence": "BSD-3-Clause",
            }
            if transfer
            else None,
            preprocess=Preprocess().as_json(),
            engine={"name": "openvino", "precision": "bf16", "device": "cpu"},
            history=history,
            best_epoch=max(0, len(history) - seed),
            thresholds=thresholds,
            validation=cards["val"],
            test=cards["test"],
            test_opened=f"2026-07-01T10:1{seed}:03+00:00",
            timings={"read": 1.25, "embed": 11.0 + len(backbone), "fit": 3.5, "evaluate": 0.75},
            peak_memory_mb=1834.0,
            created=f"2026-07-01T10:1{seed}:09+00:00",
            fold=fold,
        ),
    )


def _epoch(rng: np.random.Generator, epoch: int, epochs: int, skill: float, transfer: bool) -> dict[str, Any]:
    left = np.exp(-epoch / (3 if transfer else 8))
    top = 0.80 + 0.055 * skill
    noise = rng.normal(0, 0.006 if transfer else 0.02, 5)
    return {
        "epoch": epoch,
        "train_loss": float(0.62 * left + 0.5 / (1 + skill) + noise[0]),
        "train_accuracy": float(min(1, top - 0.25 * left + noise[1])),
        "val_loss": float(0.62 * left + 0.55 / (1 + skill) + noise[2]),
        "val_accuracy": float(min(1, top - 0.02 - 0.25 * left + noise[3])),
        "val_f1": float(min(1, top - 0.2 * left + noise[4])),
        "val_auroc": None,
    }


def _predictions(rng: np.random.Generator, skill: float, n: int, count: int, split: str, images: str) -> Predictions:
    truth = labels(n, count)
    logits = rng.normal(0, 1, (len(truth), count))
    logits[np.arange(len(truth)), truth] += skill
    odds = np.exp(1.2 * logits)
    return Predictions(
        ids=np.array([f"{images}-{i}" for i in range(len(truth))]),
        labels=truth.astype(np.int64),
        patients=np.array([f"{images}-p{2 * i // 3}" for i in range(len(truth))]),
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        split=split,
    )


def scorecard(table: Predictions, thresholds: dict[str, float]) -> dict[str, Any]:
    """A scorecard with plausible intervals (a normal approximation is enough for a fake)."""
    count = table.probabilities.shape[1]
    card: dict[str, Any] = {
        "n": len(table.labels),
        "patients": len(set(table.patients.tolist())),
        "resamples": 2000,
        "level": 0.95,
        "policies": {},
        "per_class": {},
    }
    if count == 2:
        for policy, threshold in thresholds.items():
            guess = (table.probabilities[:, 1] >= threshold).astype(int)
            card["policies"][policy] = {"threshold": threshold} | _policy(table, guess, [1])
        return card
    guess = table.probabilities.argmax(axis=1)
    card["policies"]["argmax"] = {"threshold": None} | _policy(table, guess, list(range(count)))
    card["per_class"] = {str(k): _policy(table, guess, [k])["metrics"] for k in range(count)}
    return card


def _policy(table: Predictions, guess: np.ndarray, positives: list[int]) -> dict[str, Any]:
    n, count = len(guess), table.probabilities.shape[1]
    confusion = np.zeros((count, count), dtype=int)
    np.add.at(confusion, (table.labels, guess), 1)
    parts = [_one_against_rest(table, guess, k) for k in positives]
    values = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    values["loss"] = float(-np.log(table.probabilities[np.arange(n), table.labels]).mean())
    values["accuracy"] = float((guess == table.labels).mean())
    metrics = {}
    for name in BINARY:
        half = 1.96 * np.sqrt(max(values[name] * (1 - values[name]), 0.004) / n) if name != "loss" else 0.04
        high = values[name] + half
        metrics[name] = {
            "value": values[name],
            "low": float(values[name] - half),
            "high": float(high if name == "loss" else min(1.0, high)),
        }
    return {"metrics": metrics, "confusion": confusion.tolist()}


def _one_against_rest(table: Predictions, guess: np.ndarray, k: int) -> dict[str, float]:
    truth, said, scores = table.labels == k, guess == k, table.probabilities[:, k]
    tp, fp, fn, tn = (int((a & b).sum()) for a, b in ((truth, said), (~truth, said), (truth, ~said), (~truth, ~said)))
    recall, specificity, precision = tp / (tp + fn), tn / (tn + fp), tp / max(1, tp + fp)
    order = np.argsort(-scores)
    hits = truth[order]
    ranked = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return {
        "precision": precision,
        "recall": recall,
        "specificity": specificity,
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "g_mean": float(np.sqrt(recall * specificity)),
        "auroc": float((scores[truth][:, None] > scores[~truth][None]).mean()),
        "average_precision": float(ranked[hits].mean()),
    }


def comparisons(study: Study) -> list[dict[str, Any]]:
    """Made-up differences of everything that a study compares, by three measures, adjusted as the real ones are."""
    rng = np.random.default_rng(3)
    error = 0.026 / 1.96
    found = []
    for family, a, b in pairs(study, arms_of(study.runs)):
        for metric in ("auroc", "accuracy", "f1"):
            middle = 0.12 if b.recipe == "random" else 0.03 if family == "recipes" else 0.0
            value = float(rng.normal(middle, 0.012))
            p = float(2 * norm.sf(abs(value) / error))
            ends = {"low": value - 0.026, "high": value + 0.026, "p": p}
            found.append(
                {
                    "family": family,
                    "a": a._asdict(),
                    "b": b._asdict(),
                    "metric": metric,
                    "difference": value,
                    **ends,
                    "test": ANALYTIC if metric == "auroc" else BOOTSTRAP,
                    "bootstrap": ends if metric == "auroc" else None,
                    "resamples": 2000,
                }
            )
    return adjusted(found)
