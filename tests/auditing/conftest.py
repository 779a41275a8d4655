"""`material`: a maker of small made-up data sets for the checks, from arrays alone, no file on disk."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from xenograft.auditing.material import Material
from xenograft.data.glance import BINS, SIDE, STATISTICS, Glances
from xenograft.data.label_sets import encode
from xenograft.data.manifest import SCHEMA, Manifest
from xenograft.data.split import linked_groups


@pytest.fixture
def material():
    """``material(count=60, seed=0, thumbnails=None, statistics=None, **columns) -> Material``.

    Two classes in turn, patients of two images each, 60 % train, 20 % val, 20 % test by patient; nothing is wrong with
    it. A keyword that names a column of the manifest replaces that column; `thumbnails` (N, 32, 32) also makes the
    histograms and statistics unless these are given; `statistics` is (N, K) or a mapping from a name to its values.
    """
    return make


@pytest.fixture
def several_findings():
    """``several_findings(count=60, values={image: (1, 0, -1)}, equal=[(a, b)], **columns) -> Material``.

    Three findings an image, mass present in every third patient, edema in every fourth, and nodule in every fifth but
    unknown in every seventh; `equal` images share their pixels.
    """
    return make_several


NAMES = ("mass", "edema", "nodule")


def make_several(count=60, values=None, equal=(), **given):
    patient = np.arange(count) // 2
    table = np.stack([patient % 3 == 0, patient % 4 == 1, patient % 5 == 2], axis=1).astype(np.int64)
    table[patient % 7 == 3, 2] = -1
    for k, row in (values or {}).items():
        table[k] = row
    splits = [("train", "train", "train", "val", "test")[p * 7919 % 5] for p in patient]
    hashes = columns_of(count, given.get("seed", 0), NAMES)["pixels_sha256"]
    for group in equal:
        for k in group:
            hashes[k] = hashes[group[0]]
    columns = {"label": [encode(row, NAMES) for row in table], "split": splits, "pixels_sha256": hashes} | given
    return make(count, classes=NAMES, multi_label=True, **columns)


def make(
    count=60,
    seed=0,
    thumbnails=None,
    statistics=None,
    *,
    histograms=None,
    features=None,
    classes=("normal", "pneumonia"),
    skipped=(),
    declared_splits=True,
    has_patients=True,
    multi_label=False,
    **columns,
):
    rng = np.random.default_rng(seed)
    table = columns_of(count, seed, classes) | {name: list(values) for name, values in columns.items()}
    if "group" not in columns:
        table["group"] = linked_groups(table["patient"], table["pixels_sha256"])
    table = pa.table({field.name: pa.array(table[field.name], field.type) for field in SCHEMA}, schema=SCHEMA)
    manifest = Manifest(
        root=Path("made-up"),
        name="made up",
        classes=tuple(classes),
        table=table,
        patient_rule="patient key from the table's patient column",
        split_rule="splits as given",
        splits_given=declared_splits,
        patients_known=has_patients,
        skipped=tuple(skipped),
        multi_label=multi_label,
    )
    thumbnails = chests(count, rng) if thumbnails is None else np.asarray(thumbnails, np.float32)
    if histograms is None:
        histograms = np.stack([np.histogram(t, bins=BINS, range=(0, 1))[0] / t.size for t in thumbnails])
    glances = Glances(thumbnails, np.asarray(histograms, np.float32), with_statistics(thumbnails, statistics))
    return Material(manifest, glances, features=features)


def columns_of(count, seed, classes):
    patients = np.arange(count) // 2
    labels = [classes[p % len(classes)] for p in patients]
    splits = [("train", "train", "train", "val", "test")[p // len(classes) % 5] for p in patients]
    paths = [f"{s}/{c}/image{k:04}.png" for k, (s, c) in enumerate(zip(splits, labels, strict=True))]
    rng = np.random.default_rng(seed + 1)
    return {
        "id": paths,
        "path": paths,
        "label": labels,
        "split": splits,
        "patient": [f"P{p:04}" for p in patients],
        "sha256": [hashlib.sha256(f"file {seed} {k}".encode()).hexdigest() for k in range(count)],
        "pixels_sha256": [hashlib.sha256(f"pixels {seed} {k}".encode()).hexdigest() for k in range(count)],
        "bytes": rng.integers(30_000, 50_000, count),
        "width": np.full(count, 256),
        "height": np.full(count, 240),
        "bits": np.full(count, 8),
        "mode": ["gray"] * count,
        "notes": [""] * count,
        "colour": [False] * count,
        "acquisition": ["{}"] * count,
    }


def chests(count, rng):
    """(count, 32, 32): one common anatomy, individual smooth variation, and a little noise, in [0, 1]."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    lungs = sum(np.exp(-((((x - c) / 0.35) ** 2 + (y / 0.75) ** 2) ** 2)) for c in (-0.5, 0.5))
    low = rng.normal(0, 1, (count, 7, 7))
    wave = np.cos(np.pi * np.arange(7)[:, None] * (np.arange(SIDE) + 0.5) / SIDE)
    own = np.einsum("nij,iy,jx->nyx", low, wave, wave) / 7
    image = 0.65 - 0.4 * lungs + 0.07 * own + rng.normal(0, 0.015, (count, SIDE, SIDE))
    return np.clip(image, 0, 1).astype(np.float32)


def with_statistics(thumbnails, given):
    if given is not None and not isinstance(given, dict):
        return np.asarray(given, np.float32)
    flat = thumbnails.reshape(len(thumbnails), -1)
    border = np.concatenate([thumbnails[:, (0, -1)].reshape(len(flat), -1), thumbnails[:, :, 0]], axis=1)
    rough = np.abs(np.diff(thumbnails, axis=2)).mean(axis=(1, 2))
    table = {
        "mean": flat.mean(axis=1),
        "sd": flat.std(axis=1),
        **{f"p{q:02}": np.percentile(flat, q, axis=1) for q in (1, 25, 50, 75, 99)},
        "black": (flat == flat.min(axis=1, keepdims=True)).mean(axis=1),
        "white": (flat == flat.max(axis=1, keepdims=True)).mean(axis=1),
        "border_mean": border.mean(axis=1),
        "border_sd": border.std(axis=1),
        "sharpness": rough,
        "colour": np.zeros(len(flat)),
    }
    table |= {name: np.broadcast_to(values, len(flat)) for name, values in (given or {}).items()}
    return np.stack([table[name] for name in STATISTICS], axis=1).astype(np.float32)
