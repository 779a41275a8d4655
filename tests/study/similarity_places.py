"""Folders of tiny made photographs, and the shape that a record of similarity must have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xenograft.study.similarity_measures import MEASURES, PAIRS


def photos(folder: Path, count: int = 40, *, side: int = 48, seed: int = 0, depth: int = 0) -> Path:
    """Colour photographs of blobs, flat or `depth` folders deep, with names as those of a sample of ImageNet."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    for number in range(count):
        hue, (a, b) = rng.uniform(40, 255, 3), rng.uniform(0, 1, 2)
        blob = np.exp(-((x - a) ** 2 + (y - b) ** 2) * rng.uniform(2, 40))
        pixels = blob[..., None] * hue + rng.normal(20, 12, (side, side, 3))
        place = folder.joinpath(*(f"f{number % 3}" for _ in range(depth)))
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(place / f"n{number:08d}.jpg")
    return folder


def check_record(record: dict[str, Any]) -> None:
    """Raise AssertionError where a record is not as the page reads it."""
    assert record["format"] == 1
    assert {"command", "program", "created", "settings", "seconds"} <= set(record)
    for name in ("natural", "medical"):
        facts = record[name]
        assert facts["used"] <= facts["images"]
        assert facts["patients"] <= facts["used"]
        assert all(isinstance(notice, str) for notice in facts["notices"])
        assert {"name", "patients_known", "skipped", "manifest_sha256", "synthetic", "thumbnails"} <= set(facts)
    assert record["noise"]["images"] == min(record[name]["used"] for name in ("natural", "medical"))
    assert "\n" not in record["noise"]["what"]
    assert {"limit", "seed", "resamples", "level", "size"} <= set(record["settings"])
    for subject in record["subjects"]:
        _check_subject(subject, record)
    for change in record["changes"]:
        assert {"backbone", "recipe", "seed", "training", "stages"} <= set(change)
        assert set(change["training"]) >= {"images", "patients", "epochs", "val_auroc"}
        for stage in change["stages"]:
            assert set(stage["measures"]) == set(MEASURES)
            for entry in stage["measures"].values():
                assert set(entry) == {"before", "after", "difference"}
                _check_value(entry["difference"])
            assert set(stage["cka"]) == {"natural", "medical"}


def _check_subject(subject: dict[str, Any], record: dict[str, Any]) -> None:
    random = subject["state"] == "random"
    assert random == isinstance(subject["seed"], int) == (subject["weights"] is None)
    assert {"id", "backbone", "title"} <= set(subject)
    for stage in subject["stages"]:
        assert set(stage["measures"]) == set(MEASURES)
        assert all(set(pairs) == set(PAIRS) for pairs in stage["measures"].values())
        for pairs in stage["measures"].values():
            for value in pairs.values():
                _check_value(value)
        assert (stage["cka"] is not None) == random
    for name in ("natural", "medical"):
        assert set(subject["sets"][name]) == {"intrinsic_dimension", "effective_rank"}
        for places in subject["maps"].values():
            assert len(places[name]) == min(300, record[name]["used"])
            assert all(len(place) == 2 for place in places[name])


def _check_value(value: dict[str, Any]) -> None:
    if value["value"] is None:
        assert isinstance(value["why"], str)
        return
    assert value["low"] is None or value["low"] <= value["value"] <= value["high"]
