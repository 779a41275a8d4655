"""StudyConfig -> an Audit: read the images once, look at them, and with a backbone at its features as well."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xenograft import __version__
from xenograft.auditing.hiding import hide, stand_ins
from xenograft.auditing.material import Material
from xenograft.auditing.record import Audit
from xenograft.auditing.run import mean_histograms, run_checks
from xenograft.data.glance import GlanceStore
from xenograft.data.manifest import Manifest
from xenograft.errors import printable
from xenograft.study.config import StudyConfig
from xenograft.study.describe import now
from xenograft.study.reading import read_data
from xenograft.study.run import open_pixels, plan
from xenograft.study.watch import Watcher


def audit_data(
    config: StudyConfig, *, cache: Path, watcher: Watcher, with_features: bool = False, command: str = ""
) -> tuple[Audit, Material]:
    """Look at a data set as it is; leaks and unreadable files are findings here, not errors.

    Args:
        with_features: of the configuration's first backbone, for likely label errors, outliers and shift.

    Raises:
        XenograftError: the data cannot be read as a labelled data set at all (see the fault catalogue).
    """
    started = time.perf_counter()
    config = replace(config, reading=replace(config.reading, allow_leak=True, max_skip=1.0))
    pixels = open_pixels(config, cache)
    store = GlanceStore(cache / "glances", dicom=config.reading.dicom)
    preprocesses = [next(plan(config)).preprocess] if with_features else []
    manifest = read_data(
        config,
        pixels,
        cache=cache,
        watcher=watcher,
        preprocesses=preprocesses,
        keepers=[store],
        meanwhile=_load_libraries,
        quiet=True,
    )
    material = Material(manifest, store.read(manifest))
    seconds = {"reading": round(time.perf_counter() - started, 3)}
    if with_features:
        started = time.perf_counter()
        features = _features(config, manifest, cache=cache, watcher=watcher)
        material = replace(material, features=features, features_name=config.backbones[0])
        seconds["features"] = round(time.perf_counter() - started, 3)
    findings, by_check = run_checks(material, begin=lambda name: watcher.say(f"looking at {name}"))
    names = stand_ins(material)
    skipped = Counter(skip.code for skip in manifest.skipped)
    audit = Audit(
        data=printable(config.data),
        name=manifest.name,
        command=command,
        created=now(),
        program=f"xenograft {__version__}",
        images=len(manifest),
        listed=len(manifest) + len(manifest.skipped),
        classes=list(manifest.classes),
        counts=manifest.counts(),
        skipped=dict(sorted(skipped.items())),
        patient_rule=manifest.patient_rule,
        split_rule=manifest.split_rule,
        synthetic=manifest.synthetic,
        facts=list(manifest.facts),
        notices=hide([asdict(notice) for notice in (*manifest.notices, *store.notices)], names),
        histograms=mean_histograms(material),
        findings=findings,
        features=material.features_name,
        seconds=seconds | by_check,
        sizes=manifest.sizes(),
        multi_label=manifest.multi_label,
        hidden=names,
    )
    return audit, material


def _load_libraries() -> None:
    """What the checks need once the images are read; the first process would wait for the others meanwhile."""
    for name in ("sklearn.model_selection", "sklearn.linear_model", "sklearn.pipeline", "scipy.sparse.csgraph"):
        importlib.import_module(name)


def _features(config: StudyConfig, manifest: Manifest, *, cache: Path, watcher: Watcher) -> NDArray[np.float32]:
    """(N, D) pooled features of the configuration's first backbone."""
    from xenograft.study import runs  # late: torch

    workshop = runs.make_workshop(config, open_pixels(config, cache), cache=cache, watcher=watcher)
    arm = next(plan(config))
    watcher.say(f"embedding with {arm.spec.title}")
    return workshop.extractor(arm).features(manifest)
