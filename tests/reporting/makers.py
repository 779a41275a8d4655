"""A fake study folder with synthetic numbers, written through the record's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xenograft.study.record import (
    Predictions,
    RunRecord,
    Study,
    StudyRecord,
    write_predictions,
    write_run,
    write_study,
)

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
    data: dict[str, Any] | None = None,
) -> Study:
    """Write a study and read it back; deterministic."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [(b, r, s, k) for b in backbones for r in recipes for s in range(seeds) for k in scales]
    for backbone, recipe, seed, scale in cases:
        _write_run(folder, backbone, recipe, seed, scale, classes=classes, youden=youden, epochs=epochs, n=n)
    facts = data_facts(folder, classes, n, examples=examples) | (data or {})
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
        comparisons=comparisons(backbones, recipes, scales),
        seconds=754.2,
    )
    write_study(folder, record)
    return Study.load(folder)


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
    classes: tuple[str, ...],
    youden: bool,
    epochs: int,
    n: int,
) -> None:
    transfer = recipe not in {"scratch", "random"}
    rng = np.random.default_rng([seed, len(backbone), *recipe.encode(), int(100 * scale)])
    skill = SKILL.get(recipe, 2.0) + 0.08 * (len(backbone) % 5) + rng.normal(0, 0.08) - (0.15 if scale < 1 else 0)
    splits = {split: _predictions(rng, skill, n, len(classes), split) for split in ("val", "test")}
    name = f"{backbone}-{recipe}-s{seed}" + ("" if scale == 1 else f"-lr{scale:g}")
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
            settings={
                "name": recipe,
                "pretrained": transfer,
                "trainable": "head",
                "lr": 1e-3 * scale,
                "epochs": epochs,
            },
            weights={
                "file": f"{backbone}.safetensors",
                "sha256": "0f" * 32,
                "origin": "torchvision IMAGENET1K_V1",
                "licence": "BSD-3-Clause",
            }
            if transfer
            else None,
            preprocess={"size": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear"},
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


def _predictions(rng: np.random.Generator, skill: float, n: int, count: int, split: str) -> Predictions:
    truth = labels(n, count)
    logits = rng.normal(0, 1, (len(truth), count))
    logits[np.arange(len(truth)), truth] += skill
    odds = np.exp(1.2 * logits)
    return Predictions(
        ids=np.array([f"{split}-{i}" for i in range(len(truth))]),
        labels=truth.astype(np.int64),
        patients=np.array([f"{split}-p{2 * i // 3}" for i in range(len(truth))]),
        probabilities=odds / odds.sum(axis=1, keepdims=True),
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


def comparisons(
    backbones: tuple[str, ...], recipes: tuple[str, ...], scales: tuple[float, ...]
) -> list[dict[str, Any]]:
    """Every transfer recipe minus scratch (or minus random), by three metrics."""
    rng = np.random.default_rng(3)
    found = []
    for scale in scales:
        for backbone in backbones:
            for a in (r for r in recipes if r not in {"scratch", "random"}):
                for b in (r for r in recipes if r in {"scratch", "random"}):
                    for metric in ("auroc", "accuracy", "f1"):
                        value = float(rng.normal(0.03 if b == "scratch" else 0.12, 0.012))
                        found.append(
                            {
                                "backbone": backbone,
                                "lr_scale": scale,
                                "a": a,
                                "b": b,
                                "metric": metric,
                                "difference": value,
                                "low": value - 0.026,
                                "high": value + 0.026,
                                "p": 0.001 if value > 0.026 else 0.2,
                                "p_holm": 0.04 if value > 0.026 else 1.0,
                                "resamples": 2000,
                            }
                        )
    return found
