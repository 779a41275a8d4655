"""A made-up study whose runs are finished -> the same with all that they show together, by the real functions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from xenograft.data.manifest import SCHEMA, Manifest
from xenograft.storage import sha256_file
from xenograft.study.record import Study, write_study
from xenograft.study.run import together

RESAMPLES = 24
_PICTURES = 4
_FACTS = ({"sex": "F", "age": "4"}, {"sex": "M", "age": "9"}, {"sex": "M", "age": "31"})


def complete(
    study: Study, *, facts: bool = True, pictures: bool = True, robustness: dict[str, Any] | None = None
) -> Study:
    """Arms, comparisons, ensembles, evidence and mistakes of few resamples; captions say their usual number.

    Args:
        facts: whether sex and age of each image are known. pictures: whether the images can be read again.
    """
    manifest = _manifest(study, facts=facts)
    with (study.folder / "manifest.parquet").open("wb") as stream:
        pq.write_table(manifest.table, stream)
    if not pictures:
        for picture in manifest.root.glob("*.png"):
            picture.unlink()
    study.record.data.setdefault("patients_known", True)
    record = together(study, study.record, manifest, resamples=RESAMPLES)
    write_study(study.folder, dataclasses.replace(record, robustness=robustness))
    return Study.load(study.folder)


def _manifest(study: Study, *, facts: bool) -> Manifest:
    """All images that a run predicted, each one of a few pictures."""
    root = study.folder.parent / f"{study.folder.name}-images"
    root.mkdir(exist_ok=True)
    files = [_write_picture(root, number) for number in range(_PICTURES)]
    hashes = [sha256_file(file) for file in files]
    rows: dict[str, dict[str, Any]] = {}
    for run in study.runs:
        for split in ("val", "test"):
            found = study.predictions(run.id, split)
            for image, patient in zip(found.ids.tolist(), found.patients.tolist(), strict=True):
                number = len(rows)
                at = number % _PICTURES
                rows.setdefault(
                    image,
                    {
                        "id": image,
                        "path": files[at].name,
                        "label": study.record.classes[0],
                        "split": split,
                        "patient": patient,
                        "group": number,
                        "sha256": hashes[at],
                        "pixels_sha256": hashes[at],
                        "bytes": files[at].stat().st_size,
                        "width": 64,
                        "height": 64,
                        "bits": 8,
                        "mode": "L",
                        "notes": "",
                        "colour": False,
                        "acquisition": json.dumps(_FACTS[number % len(_FACTS)] if facts else {}),
                    },
                )
    table = pa.Table.from_pylist(list(rows.values()), schema=SCHEMA)
    return Manifest(
        root=root,
        name="made-up radiographs",
        classes=tuple(study.record.classes),
        table=table,
        patient_rule="",
        split_rule="",
        multi_label=bool(study.record.data["multi_label"]),
    )


def _write_picture(root: Path, number: int) -> Path:
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    pixels = 120 + 80 * np.sin((number + 2) * x) * np.cos((number + 1) * y)
    path = root / f"{number}.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path
