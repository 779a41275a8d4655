"""Records as `xenograft similarity` writes them, with values laid down by hand, and contact sheets to go with them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xenograft.similarity.embedding import map_by_pca

LAID: dict[str, dict[str, float]] = {
    "distance": {
        "natural_medical": 18.2, "natural_natural": 17.9, "medical_medical": 13.1, "natural_noise": 24.5,
        "medical_noise": 26.1,
    },
    "ratio": {
        "natural_medical": 1.18, "natural_natural": 1.0, "medical_medical": 1.0, "natural_noise": 2.1,
        "medical_noise": 2.9,
    },
    "cosine_ratio": {
        "natural_medical": 1.31, "natural_natural": 1.0, "medical_medical": 1.0, "natural_noise": 3.1,
        "medical_noise": 4.9,
    },
    "frechet": {
        "natural_medical": 312.0, "natural_natural": 61.0, "medical_medical": 35.0, "natural_noise": 702.0,
        "medical_noise": 1210.0,
    },
    "kid": {
        "natural_medical": 0.112, "natural_natural": 0.0, "medical_medical": 0.0, "natural_noise": 0.81,
        "medical_noise": 1.2,
    },
    "two_sample_auroc": {
        "natural_medical": 0.999, "natural_natural": 0.5, "medical_medical": 0.5, "natural_noise": 1.0,
        "medical_noise": 1.0,
    },
    "neighbour_overlap": {
        "natural_medical": 0.21, "natural_natural": 0.98, "medical_medical": 0.97, "natural_noise": 0.0,
        "medical_noise": 0.0,
    },
}  # fmt: skip
STAGES = ("features.0", "features.1", "features.7", "features.18")
_BY_STAGE = ("distance", "ratio", "kid", "two_sample_auroc")


def value(middle: float | None, half: float = 0.01) -> dict[str, Any]:
    """With an interval of a share of the value to either side."""
    if middle is None:
        return {"value": None, "low": None, "high": None, "why": "undefined: the features do not vary"}
    reach = half * max(abs(middle), 0.01)
    return {"value": middle, "low": middle - reach, "high": middle + reach}


def subject(
    backbone: str = "mobilenet_v2", state: str = "imagenet", *, seed: int | None = None, scale: float = 1.0,
    stages: Sequence[str] = STAGES, shown: int = 30, **laid: float,
) -> dict[str, Any]:  # fmt: skip
    """A network; `laid` replaces values of the last stage, such as ``distance_natural_medical=30.0``."""
    rng = np.random.default_rng(len(backbone) + (seed or 0))
    made = []
    for k, name in enumerate(stages):
        end = k == len(stages) - 1
        pairs = {
            m: {
                p: value(laid.get(f"{m}_{p}", v * scale) if end else v * (1.6 - 0.2 * k) * scale)
                for p, v in LAID[m].items()
            }
            for m in (LAID if end else _BY_STAGE)
        }
        aligned = None if state == "imagenet" else {"natural": value(0.8 - 0.2 * k), "medical": value(0.9 - 0.2 * k)}
        made.append({"name": name, "width": 16 * 2**k, "measures": pairs, "cka": aligned})
    natural, medical = rng.normal(size=(shown, 8)), rng.normal(size=(shown, 8)) + 2
    found = map_by_pca(natural, medical)
    places = {"natural": found.first.tolist(), "medical": found.second.tolist()}
    tsne = {
        "method": "t-sne", "rows": [shown, shown], "features": 8, "components": 8, "start": "pca", "perplexity": 19.7,
        "seed": 0, "steps": 999, "divergence": 0.4, "caution": "Only neighbours mean something in t-SNE.",
    }  # fmt: skip
    return {
        "id": f"{backbone}-{state}" + ("" if seed is None else f"-{seed}"), "backbone": backbone, "title": backbone,
        "state": state, "seed": seed,
        "weights": {"file": "w.safetensors", "sha256": "cd" * 32} if state == "imagenet" else None,
        "stages": made,
        "sets": {
            kind: {"intrinsic_dimension": value(12.3), "effective_rank": value(95.1)} for kind in ("natural", "medical")
        },
        "maps": {"t-sne": {**places, "facts": tsne}, "pca": {**places, "facts": found.facts}},
    }  # fmt: skip


def change(
    seed: int = 0, *, recipe: str = "full", backbone: str = "mobilenet_v2", step: float = 0.1, half: float = 0.05,
    stages: Sequence[str] = STAGES, **steps: float,
) -> dict[str, Any]:  # fmt: skip
    """A fine-tuned network whose sets end `step` further apart by every measure, or as far as `steps` says of one."""
    made = []
    for k, name in enumerate(stages):
        end = k == len(stages) - 1
        found = {}
        for m in LAID if end else _BY_STAGE:
            before = LAID[m]["natural_medical"]
            sign = -1 if m == "neighbour_overlap" else 1
            moved = sign * steps.get(m, step) * (k + 1) / len(stages)
            found[m] = {
                "before": before,
                "after": before + moved,
                "difference": {"value": moved, "low": moved - half, "high": moved + half},
            }
        made.append(
            {"name": name, "measures": found, "cka": {"natural": value(1 - 0.1 * k), "medical": value(1 - 0.2 * k)}}
        )
    return {
        "backbone": backbone, "recipe": recipe, "seed": seed,
        "training": {"images": 500, "patients": 300, "epochs": 5, "val_auroc": 0.97}, "stages": made,
    }  # fmt: skip


def record(
    subjects: Sequence[dict[str, Any]] | None = None, changes: Sequence[dict[str, Any]] = (), **replaced: Any
) -> dict[str, Any]:
    """A whole record; `replaced` are its further keys."""

    def images(name: str, **facts: Any) -> dict[str, Any]:
        return {
            "name": name, "images": 120, "used": 100, "patients": 80, "patients_known": True, "skipped": 0,
            "manifest_sha256": "ab" * 32, "synthetic": False, "notices": [], **facts,
        }  # fmt: skip

    made = [subject(), subject(state="random", seed=0, scale=1.1)] if subjects is None else list(subjects)
    return {
        "format": 1, "command": "xenograft similarity photos chest", "program": "xenograft 0",
        "created": "2026-07-01T10:00:00.123+00:00",
        "natural": images("photos", patients_known=False, thumbnails="thumbnails-natural.jpg"),
        "medical": images("chest", thumbnails="thumbnails-medical.jpg"),
        "noise": {"images": 100, "what": "uniform noise in every pixel"},
        "settings": {"limit": 100, "seed": 0, "resamples": 200, "level": 0.95, "size": 224},
        "subjects": made, "changes": list(changes), "seconds": {"features": 61.2, "measures": 12.0},
        **replaced,
    }  # fmt: skip


def sheet(count: int, seed: int) -> bytes:
    """A contact sheet of plain squares, 20 a row."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (-(-count // 20), 20, 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(tiles.repeat(48, axis=0).repeat(48, axis=1)).save(made, "JPEG", quality=70)
    return made.getvalue()


def lay_sheets(folder: Path, count: int = 30) -> None:
    """Both contact sheets."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, kind in enumerate(("natural", "medical")):
        (folder / f"thumbnails-{kind}.jpg").write_bytes(sheet(count, seed))
