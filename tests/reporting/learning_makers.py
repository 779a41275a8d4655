"""Records of learning curves as `xenograft.study.learning_record` writes them, from simulated curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xenograft.evaluation.learning_facts import (
    Curve,
    catch_up_facts,
    law_facts,
    point_facts,
    refitted,
    target_facts,
)

SIZES = (30, 60, 120, 240, 480, 960)


def simulated(sizes: Sequence[int], floor: float, scale: float, seed: int = 0) -> Curve:
    rng, patients = np.random.default_rng(seed), np.random.default_rng(7)
    shift = patients.normal(size=150) * 0.01
    values = [1 - floor - scale * n**-0.5 + rng.normal(size=3) * 0.003 for n in sizes]
    return Curve(np.array(sizes, dtype=float), values, [v[:, None] + shift for v in values])


def record(
    curves: dict[tuple[str, str], tuple[Sequence[int], float, float]] | None = None,
    *,
    classes: Sequence[str] = ("normal", "pneumonia"),
    **data: Any,
) -> dict[str, Any]:
    """(backbone, recipe) -> (sizes, floor, scale) of its law."""
    curves = curves or {
        ("mobilenet_v2", "probe"): (SIZES, 0.03, 0.4),
        ("mobilenet_v2", "scratch"): ((30, 60, 120, 240), 0.05, 1.5),
    }
    laid = {key: simulated(*law, seed=i) for i, (key, law) in enumerate(curves.items())}
    drawn = {key: refitted(c, refits=100, rng=np.random.default_rng(0)) for key, c in laid.items()}
    entries = [
        {
            "backbone": key[0],
            "recipe": key[1],
            "transfer": key[1] != "scratch",
            "frozen": key[1] != "scratch",
            "settings": {
                "summary": "made", "solver": "gradient", "epochs": 20, "batch_size": 64, "optimiser": "adamw",
                "head_lr": 1e-3, "backbone_lr": 1e-3,
            },
            "weights": None if key[1] == "scratch" else {"file": "w.safetensors"},
            "preprocess": {},
            "engine": {"name": "torch", "precision": "f32"},
            "points": [
                {
                    "size": int(n), "repeats": 3, **point_facts(curve.values[k], curve.drawn[k]), "steps": int(n),
                    "best_epoch": 9.0, "seconds": 1.0, "lacking": 1 if data.get("multi_label") and k == 0 else 0,
                }
                for k, n in enumerate(curve.sizes)
            ],
            "law": law_facts(curve, drawn[key]),
            "targets": [target_facts(curve, drawn[key], target) for target in (0.9, 0.95)],
        }
        for key, curve in laid.items()
    ]  # fmt: skip
    sizes = sorted({int(n) for curve in laid.values() for n in curve.sizes})
    pairs = [(a, b) for a in laid for b in laid if a[1] != "scratch" and b[1] == "scratch" and a[0] == b[0]]
    return {
        "commands": ["xenograft learning-curve chest"],
        "program": "xenograft 0",
        "created": "2026-07-01T10:00:00.123+00:00",
        "data": {
            "name": "chest", "classes": list(classes), "multi_label": False, "not_measured": [],
            "patients_known": True, "patient_rule": "by name", "split_rule": "as given",
            "sizes": {"test": {"images": 200, "patients": 150}}, "synthetic": False, "leak_allowed": False,
            "facts": [], "notices": [], "manifest_sha256": "ab" * 32, **data,
        },
        "metric": "auroc", "level": 0.95, "resamples": 150, "refits": 100, "farthest": 4.0, "targets": [0.9, 0.95],
        "conduct": {
            "chosen": True, "least_steps": None, "whole": 960, "whole_val": 160, "least_val": 6, "enough": 10,
            "needed": 2, "test_opened": ["2026-07-01T09:00:00+00:00", "2026-07-01T09:30:00+00:00"], "points": 30,
            "seconds": 9.0, "notices": [],
        },
        "config": {},
        "subsets": [
            {
                "size": n, "repeats": 3, "patients": n, "images": 2.0 * n, "val_patients": n / 6, "val_images": n / 3,
                "classes": {name: {"patients": n / len(classes), "images": 1.0 * n} for name in classes},
            }
            for n in sizes
        ],
        "curves": entries,
        "catch_up": [
            {
                "backbone": a[0], "ahead": a[1], "behind": b[1],
                "needs": catch_up_facts(laid[b], drawn[b], laid[a], drawn[a]),
                "saves": catch_up_facts(laid[a], drawn[a], laid[b], drawn[b]),
            }
            for a, b in pairs
        ],
    }  # fmt: skip
