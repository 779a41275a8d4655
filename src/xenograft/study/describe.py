"""(configuration, manifest) -> what a study says of its data and machine before the first run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from xenograft.backbones import catalog
from xenograft.data.manifest import Manifest
from xenograft.data.prepared import read_prepared
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, printable
from xenograft.storage import atomic_path, atomic_write, read_json
from xenograft.study import environment, folding
from xenograft.study.config import GROWING, INCIDENTAL, StudyConfig
from xenograft.study.record import StudyRecord

_EXAMPLES = 4
_TOGETHER = ("arms", "comparisons", "ensembles", "evidence", "failures", "robustness")


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def check_earlier(config: StudyConfig, folder: Path) -> None:
    """Refuse at once, before data are read, a folder whose study this configuration cannot go on with.

    Raises:
        DataError: it was made by another version (E-DATA-04) or with other settings (E-DATA-11).
    """
    source = folder / "study.json"
    if source.is_file():
        _check_settings(StudyRecord.from_json(read_json(source), source).config, config.as_json(), folder)


def study_record(
    config: StudyConfig,
    manifest: Manifest,
    folder: Path,
    command: str,
    *,
    parts: Sequence[Manifest] = (),
    look: Callable[[], dict[str, Any]],
) -> StudyRecord:
    """The record of a study before its runs; keeps the date and the time spent of a study that goes on.

    Args:
        parts: the data set in the splits of each fold. look: audits the data; called for a new study.

    Raises:
        DataError: the folder's study was made from other data.
    """
    earlier = folder / "study.json"
    known = StudyRecord.from_json(read_json(earlier), earlier) if earlier.is_file() else None
    if known is not None and known.data["manifest_sha256"] != manifest.sha256:
        raise DataError(
            f"{printable(folder)} is a study of other data or other splits; choose another output folder",
            code="E-DATA-11",
        )
    check_earlier(config, folder)
    before = known.data if known is not None else {}
    data: dict[str, Any] = {
        "name": manifest.name,
        "catalog": manifest.catalog,
        "synthetic": manifest.synthetic,
        "leak_allowed": manifest.leak_allowed,
        "manifest_sha256": manifest.sha256,
        "multi_label": manifest.multi_label,
        "counts": manifest.counts(),
        "sizes": manifest.sizes(),
        "patients_known": manifest.patients_known,
        "folds": folding.facts(manifest, parts) if parts else None,
        "patient_rule": manifest.patient_rule,
        "split_rule": manifest.split_rule,
        "skipped": [asdict(skip) for skip in manifest.skipped],
        "notices": [asdict(notice) for notice in manifest.notices],
        "facts": list(manifest.facts),
        "examples": _write_examples(manifest, folder, config),
        "audit": before.get("audit") or look(),
        "baseline": before.get("baseline"),
    }
    return StudyRecord(
        title=_title(manifest.name, config.as_json() if known is None else _grown(known.config, config.as_json())),
        command=command,
        created=known.created if known is not None else now(),
        config=config.as_json() if known is None else _grown(known.config, config.as_json()),
        classes=list(manifest.classes),
        data=data,
        environment=environment.describe(),
        # what was shown before stands until the runs of this call are finished
        **({} if known is None else {name: getattr(known, name) for name in _TOGETHER}),
        seconds=known.seconds if known is not None else 0.0,
    )


def _check_settings(before: dict[str, Any], now_given: dict[str, Any], folder: Path) -> None:
    """Runs of one study differ in backbone, recipe, seed and learning rate alone, or they could not be compared."""
    free = {*GROWING, *INCIDENTAL}
    changed = [key for key, value in now_given.items() if key not in free and before.get(key) != value]
    if changed:
        key = changed[0]
        raise DataError(
            f"{printable(folder)} was made with {key} = {before.get(key)!r}, not {now_given[key]!r}; give the same "
            "settings, or choose another output folder",
            code="E-DATA-11",
        )


def _grown(before: dict[str, Any], now_given: dict[str, Any]) -> dict[str, Any]:
    """The configuration of all runs together."""
    joined = {key: list(dict.fromkeys([*before[key], *now_given[key]])) for key in GROWING if key != "seeds"}
    robust = bool(before.get("robustness") or now_given.get("robustness"))
    return {**now_given, **joined, "seeds": max(before["seeds"], now_given["seeds"]), "robustness": robust}


def _title(data: str, config: dict[str, Any]) -> str:
    names: list[str] = config["backbones"]
    backbones = ", ".join(catalog.lookup(n).title for n in names) if len(names) < 4 else f"{len(names)} backbones"
    return f"{data}: {' and '.join(config['recipes'])}, {backbones}"


def _write_examples(manifest: Manifest, folder: Path, config: StudyConfig) -> dict[str, list[str]]:
    """A few training images of each class as the networks see them (the paper's Fig. 2)."""
    preprocess = Preprocess(
        channels=3 if config.colour else 1,
        fit=config.fit,  # type: ignore[arg-type]
        dicom=config.reading.dicom,
    )
    train = manifest.subset("train")
    examples: dict[str, list[str]] = {}
    for index, label in enumerate(manifest.classes):
        positions = np.flatnonzero(train.labels[:, index] == 1 if train.multi_label else train.labels == index)
        chosen = np.random.default_rng(0).permutation(positions)[:_EXAMPLES]
        names = []
        for number, row in enumerate(train.take(chosen).rows()):
            pixels = read_prepared(train, row, preprocess)
            image = pixels[0] if len(pixels) == 1 else cv2.cvtColor(pixels.transpose(1, 2, 0), cv2.COLOR_RGB2BGR)
            name = f"examples/class{index}-{number}.png"
            atomic_write(folder / name, cv2.imencode(".png", image)[1].tobytes())
            names.append(name)
        examples[label] = names
    return examples


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Keep the manifest beside the runs."""
    with atomic_path(folder / "manifest.parquet") as temporary:
        pq.write_table(manifest.table, temporary)
