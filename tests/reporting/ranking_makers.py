"""Records of rankings, made by hand through the real record builder."""

from __future__ import annotations

import math
from typing import Any

from xenograft.backbones.catalog import lookup
from xenograft.transferability.scores import SCORES

# (backbone, value, half of the interval, behind low (nan: no interval), images/s, basis)
Row = tuple[str, float | None, float, float | None, float, str]
FOUR: tuple[Row, ...] = (
    ("resnet50", 0.9960, 0.001, None, 204.0, "measured"),
    ("mobilenet_v2", 0.9958, 0.001, -0.0004, 703.0, "measured"),
    ("densenet161", 0.9957, 0.001, -0.0003, 78.0, "estimated"),
    ("squeezenet1_1", 0.9902, 0.002, 0.0031, 690.0, "measured"),
)


def record(rows: tuple[Row, ...] = FOUR, *, name: str = "chest", **data: Any) -> dict[str, Any]:
    """A record of `xenograft.study.ranking_record` with these candidates, best first."""
    best = rows[0][1]
    made = [_candidate(row, best) for row in rows]
    for row in made:
        mine = (row["value"], row["images_per_second"])
        others = [(r["value"], r["images_per_second"]) for r in made if r["value"] is not None]
        row["pareto"] = row["value"] is not None and not any(
            o != mine and o[0] >= mine[0] and o[1] >= mine[1] for o in others
        )
    tied = [row for row in made if row["tied"]]
    choice = None
    if tied:
        chosen = max(tied, key=lambda row: row["images_per_second"])
        known = sum(row["value"] is not None for row in made)
        names = [row["backbone"] for row in tied]
        choice = {"backbone": chosen["backbone"], "best": rows[0][0], "tied": names, "candidates": known}
    facts = {
        "name": name, "classes": ["NORMAL", "PNEUMONIA"], "counts": [1286, 3713], "images": 4999, "patients": 3497,
        "of_images": 5216, "of_patients": 3654, "sizes": {"train": {"images": 4470, "patients": 3133}},
        "patients_known": True, "patient_rule": "by file name", "split_rule": "as given", "synthetic": False,
        "leak_allowed": False, "facts": ["One hospital, children of 1 to 5 years."], "notices": [],
        "images_sha256": "ab" * 32,
    }  # fmt: skip
    return {
        "command": "xenograft rank chest", "program": "xenograft 0.1.0", "created": "2026-07-01T10:00:00.000+00:00",
        "score": "logistic_auroc", "level": 0.95, "resamples": 25, "share": 0.5, "limit": 5000, "data": facts | data,
        "scores": {n: {"label": s.label, "range": s.range, "citation": s.citation, "drawn": n == "logistic_auroc"}
                   for n, s in SCORES.items()},
        "candidates": made,
        "left_out": [{"backbone": "resnet18", "why": "its weights are not on this machine"}],
        "choice": choice, "engine": {"name": "openvino", "precision": "bf16"}, "config": {},
        "seconds": {"reading": 4.0, "features": 1.0, "scores": 40.0, "all": 46.0},
    }  # fmt: skip


def _candidate(row: Row, best: float | None) -> dict[str, Any]:
    name, value, half, ahead, rate, basis = row
    spec = lookup(name)
    low, high = (None, None) if value is None else (value - half, min(1.0, value + half))
    behind = None
    if ahead is not None and value is not None and best is not None:
        behind = {"value": best - value, "low": ahead, "high": 2 * (best - value) - ahead}
        if math.isnan(ahead):  # too many halves are undefined
            behind, low, high = {"value": best - value, "low": None, "high": None}, None, None
    empty = {"value": None, "low": None, "high": None, "why": "the backbone has no classes of its own"}
    scores = {n: empty if s.needs_source or value is None else {**empty, "value": value / 2, "why": None}
              for n, s in SCORES.items()}  # fmt: skip
    scores["logistic_auroc"] = {"value": value, "low": low, "high": high, "why": None if value else "one class"}
    return {
        "backbone": name, "title": spec.title, "value": value, "low": low, "high": high,
        "why": scores["logistic_auroc"]["why"], "images_per_second": rate, "basis": basis, "params_m": spec.params_m,
        "gmacs": spec.gmacs, "gmacs_known": True, "width": spec.width, "size": 224, "weights": None, "embedded": 0,
        "seconds": {"features": 0.3, "scores": 16.0}, "scores": scores, "behind": behind,
        "tied": _tied(value, behind),
    }  # fmt: skip


def _tied(value: float | None, behind: dict[str, Any] | None) -> bool | None:
    if value is None or behind is None:
        return value is not None
    return None if behind["low"] is None else behind["low"] <= 0
