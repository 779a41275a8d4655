"""Small classification tasks of graded difficulty and appearance: phantom families, and parts of a real data set."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from xenograft.data.ingest import ingest
from xenograft.data.manifest import Manifest
from xenograft.data.phantom.radiograph import Patient, radiograph

SIDE = 224
Picture = Any
KINDS = ("consolidation", "patchy", "interstitial")


@dataclass(frozen=True, slots=True)
class Task:
    """One data set on disk.

    Args:
        data: folder or table for `xenograft.compare`. images: folder that the table's paths are below, if any.
        real: whether it shows people.
    """

    name: str
    data: Path
    images: Path | None = None
    real: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """Phantoms of one appearance.

    Args:
        kinds: of lesion, by class; none for the healthy one. contrast: of the lesion, 1 as the phantom makes it.
        change: of the finished picture.
    """

    kinds: Mapping[str, tuple[str, ...]]
    contrast: float = 1.0
    change: Callable[[Picture, np.random.Generator], Picture] = lambda pixels, _: pixels


def _noisy_negative(pixels: Picture, rng: np.random.Generator) -> Picture:
    return np.clip(255.0 - pixels + rng.normal(0, 25, pixels.shape), 0, 255).astype(np.uint8)


def _coarse(pixels: Picture, side: int = 28) -> Picture:
    """As a picture of 28 pixels looks when it is enlarged again (MedMNIST's size)."""
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, pixels.shape[::-1], interpolation=cv2.INTER_LINEAR)


_DISEASE = {"HEALTHY": (), "DISEASE": KINDS}
FAMILIES = {
    "phantom, four times the contrast": Family(_DISEASE, contrast=4),
    "phantom, twice the contrast": Family(_DISEASE, contrast=2),
    "phantom": Family(_DISEASE),
    "phantom, nodules": Family({"HEALTHY": (), "NODULE": ("nodule",)}, contrast=4),
    "phantom, noisy negatives": Family(_DISEASE, contrast=4, change=_noisy_negative),
    "phantom, which of three lesions": Family({kind.upper(): (kind,) for kind in KINDS}, contrast=3),
}


def phantom_tasks(folder: Path, *, train: int, test: int) -> Iterator[Task]:
    """Every family, `train` and `test` images of two for each patient."""
    for number, (name, family) in enumerate(FAMILIES.items()):
        place = folder / f"family{number}"
        if not (place / "done").is_file():
            _write(place, family, train=train, test=test, seed=number)
            (place / "done").touch()
        yield Task(name, place / "images")


def real_tasks(folder: Path, data: Path, *, train: int, test: int) -> Iterator[Task]:
    """Parts of a labelled data set with a test split, patients drawn at random; file names may tell more classes."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = ingest(data)
    name = manifest.name
    chosen = {"train": _some(manifest, ("train", "val"), train), "test": _some(manifest, ("test",), test)}
    yield Task(name, _table(folder / "whole.csv", manifest, chosen), manifest.root, real=True)
    few = {**chosen, "train": _some(manifest, ("train", "val"), 40)}
    yield Task(f"{name}, 40 training images", _table(folder / "few.csv", manifest, few), manifest.root, real=True)
    coarse = folder / "coarse"
    if not (coarse / "done").is_file():
        _write_changed(coarse / "images", manifest, chosen, _coarse)
        (coarse / "done").touch()
    yield Task(f"{name}, as 28 pixels", _table(folder / "coarse.csv", manifest, chosen), coarse / "images", real=True)
    kinds = [next((kind for kind in ("bacteria", "virus") if kind in path), None) for path in manifest.column("path")]
    if any(kinds):
        parts = {
            "train": _some(manifest, ("train", "val"), train, labels=kinds),
            "test": _some(manifest, ("test",), test, labels=kinds),
        }
        table = _table(folder / "kinds.csv", manifest, parts, labels=kinds)
        yield Task(f"{name}, bacteria or virus", table, manifest.root, real=True)


def archive_tasks(archives: Sequence[Path]) -> Iterator[Task]:
    """MedMNIST files, where somebody has them."""
    for path in archives:
        yield Task(path.stem, path, real=True)


def _write(place: Path, family: Family, *, train: int, test: int, seed: int) -> None:
    labels = list(family.kinds)
    for number in range((train + test) // 2):
        label = labels[number % len(labels)]
        options = family.kinds[label]
        kind = options[(number // len(labels)) % len(options)] if options else None
        split = "train" if number < train // 2 else "test"
        for view in (1, 2):
            film, healthy = (
                radiograph(
                    Patient.draw(each, np.random.default_rng([seed, number, 0])),
                    rng=np.random.default_rng([seed, number, view]),
                    size=SIDE,
                ).pixels.astype(np.float32)
                for each in (kind, None)
            )
            drawn = np.clip(np.round(healthy + family.contrast * (film - healthy)), 0, 255).astype(np.uint8)
            pixels = family.change(drawn, np.random.default_rng([seed, number, view, 1]))
            _save(place / "images" / split / label / f"P{number:04d}_{view}.png", pixels)


def _save(path: Path, pixels: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _some(
    manifest: Manifest, splits: tuple[str, ...], count: int, labels: Sequence[str | None] | None = None
) -> list[int]:
    """About `count` positions, of whole patients in random order, the classes in turn."""
    marks = list(manifest.column("label") if labels is None else labels)
    split, group = manifest.column("split"), manifest.column("group")
    members: dict[tuple[str, int], list[int]] = {}
    for position, (mark, owner) in enumerate(zip(marks, group, strict=True)):
        if mark is not None and split[position] in splits:
            members.setdefault((mark, owner), []).append(position)
    rng = np.random.default_rng(0)
    names = sorted({mark for mark, _ in members})
    queues = {name: [owner for mark, owner in members if mark == name] for name in names}
    for queue in queues.values():
        rng.shuffle(queue)
    taken: dict[str, list[int]] = {name: [] for name in names}
    while sum(map(len, taken.values())) < count and any(queues.values()):
        poorest = min((name for name in names if queues[name]), key=lambda name: len(taken[name]))
        taken[poorest] += members[poorest, queues[poorest].pop()]
    return sorted(position for each in taken.values() for position in each)


def _table(
    path: Path, manifest: Manifest, chosen: Mapping[str, list[int]], labels: Sequence[str | None] | None = None
) -> Path:
    marks = manifest.column("label") if labels is None else labels
    paths, patients = manifest.column("path"), manifest.column("group")
    with path.open("w", newline="", encoding="utf-8") as sink:
        writer = csv.writer(sink)
        writer.writerow(("path", "label", "split", "patient"))
        for split, positions in chosen.items():
            writer.writerows((paths[at], marks[at], split, patients[at]) for at in positions)
    return path


def _write_changed(
    place: Path, manifest: Manifest, chosen: Mapping[str, list[int]], change: Callable[[Picture], Picture]
) -> None:
    paths = manifest.column("path")
    for at in sorted({position for positions in chosen.values() for position in positions}):
        target = place / paths[at]
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(manifest.root / paths[at]) as image:
            changed = Image.fromarray(change(np.asarray(image.convert("L"))))
        # the name must stay, whatever the format it promises; a high quality adds nothing to 28 pixels
        changed.save(target, **({"quality": 95} if target.suffix.lower() in {".jpg", ".jpeg"} else {}))
