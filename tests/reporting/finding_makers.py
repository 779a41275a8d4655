"""A fake multi-label study folder: several findings an image, some unlabelled; made-up scores, real scorecards."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.threshold import thresholds_for
from xenograft.study.record import Predictions, Study, StudyRecord, write_predictions, write_run, write_study

from .makers import SKILL, make_study

SIX = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Pneumothorax")
FOURTEEN = (
    *SIX,
    "Nodule",
    "Pneumonia",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
RESAMPLES = 40
SIZES = {
    "train": {"images": 6720, "patients": 2100},
    "val": {"images": 1680, "patients": 530},
    "test": {"images": 0, "patients": 0},
}


def make_findings_study(
    folder: Path,
    *,
    findings: tuple[str, ...] = SIX,
    backbones: tuple[str, ...] = ("resnet18", "mobilenet_v2"),
    recipes: tuple[str, ...] = ("scratch", "probe"),
    seeds: int = 2,
    scales: tuple[float, ...] = (1.0,),
    n: int = 400,
    missing: float = 0.08,
    without: tuple[str, ...] = (),
    baseline: bool = True,
    examples: int = 4,
    data: dict[str, Any] | None = None,
) -> Study:
    """Write a study and read it back; deterministic. `without`: findings that no test image has."""
    single = make_study(
        folder,
        backbones=backbones,
        recipes=recipes,
        seeds=seeds,
        scales=scales,
        classes=findings,
        n=len(findings) * 4,
        epochs=6,
        examples=examples,
    )
    truth = {split: _truth(findings, n, missing, split, without) for split in ("val", "test")}
    for run in single.runs:
        where = folder / "runs" / run.id
        rng = np.random.default_rng([run.seed, len(run.backbone), *run.recipe.encode(), int(100 * run.lr_scale)])
        skill = SKILL.get(run.recipe, 2.0) - 1.1 + 0.05 * (len(run.backbone) % 5)
        tables = {split: _predictions(rng, truth[split], skill, split) for split in ("val", "test")}
        write_predictions(where / "predictions.parquet", tables)
        thresholds = thresholds_for(tables["val"].labels, tables["val"].probabilities)
        cards = {split: _card(table, thresholds) for split, table in tables.items()}
        made = {"validation": cards["val"], "test": cards["test"], "thresholds": thresholds}
        write_run(where, dataclasses.replace(run, **made))
    facts = _facts(single.record, truth["test"], findings) | (data or {})
    if baseline:
        rng = np.random.default_rng(17)
        before, seen = (_predictions(rng, truth[split], 0.35, split) for split in ("val", "test"))
        cuts = thresholds_for(before.labels, before.probabilities)
        facts["baseline"] = {"families": ["file size", "gray values"], "thresholds": cuts, "test": _card(seen, cuts)}
    title = "Findings on chest radiographs: transfer against scratch"
    write_study(folder, dataclasses.replace(single.record, title=title, data=facts))
    return Study.load(folder)


def _truth(
    findings: tuple[str, ...], n: int, missing: float, split: str, without: tuple[str, ...]
) -> np.ndarray[Any, Any]:
    """(n, L) in {1, 0, -1}; the last findings are the rarest."""
    rng = np.random.default_rng([len(findings), n, *split.encode()])
    share = np.geomspace(0.22, 0.012, len(findings))
    labels = (rng.random((n, len(findings))) < share).astype(np.int64)
    labels[:3] = 1  # every finding has a few
    labels[:, [findings.index(name) for name in without]] = 0
    labels[3:][rng.random((n - 3, len(findings))) < missing] = -1
    return labels


def _predictions(rng: np.random.Generator, truth: np.ndarray[Any, Any], skill: float, split: str) -> Predictions:
    easy = 0.55 + 0.09 * (np.arange(truth.shape[1]) * 5 % 11)
    logits = rng.normal(0, 1, truth.shape) + skill * easy * (truth == 1) - 1.6
    return Predictions(
        ids=np.array([f"{split}-{i}" for i in range(len(truth))]),
        labels=truth,
        patients=np.array([f"{split}-p{2 * i // 3}" for i in range(len(truth))]),
        probabilities=1 / (1 + np.exp(-logits)),
        split=split,
    )


def _card(table: Predictions, thresholds: dict[str, Any]) -> dict[str, Any]:
    """The real scorecard, with as few resamples as make an interval; a report prints their usual number."""
    rng = np.random.default_rng(2)
    card = scorecard(
        table.labels, table.probabilities, table.patients, thresholds=thresholds, resamples=RESAMPLES, rng=rng
    )
    return card | {"resamples": 2000}


def _facts(record: StudyRecord, test: np.ndarray[Any, Any], findings: tuple[str, ...]) -> dict[str, Any]:
    sizes = SIZES | {"test": {"images": len(test), "patients": len({2 * i // 3 for i in range(len(test))})}}
    gaps = bool((test < 0).any())
    counts = {}
    for split, size in sizes.items():
        counts[split] = {}
        for k, name in enumerate(findings):
            factor = size["images"] / len(test)
            images, known = int(factor * (test[:, k] == 1).sum()), int(factor * (test[:, k] >= 0).sum())
            counts[split][name] = {
                "images": images,
                "patients": max(images // 2, int(images > 0)),
                "of": known if gaps else size["images"],
            }
    return {**record.data, "multi_label": True, "sizes": sizes, "counts": counts, "baseline": None}
