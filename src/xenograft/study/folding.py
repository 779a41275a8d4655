"""(manifest, number of folds) -> a manifest for each fold, the same images in other splits; no group is ever cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xenograft.data.manifest import SCHEMA, Manifest
from xenograft.data.split import folds as deal
from xenograft.errors import UsageError

FEWEST = 3  # folds, where one tests and another validates


def folded(manifest: Manifest, k: int, *, seed: int = 0) -> tuple[Manifest, ...]:
    """Cross-validation by patient, stratified by class.

    Where the source names a test split, it stays the test of every fold: the other images are dealt into `k` parts,
    each of which validates once. Else all images are dealt: each part tests once, the next one validates, so that every
    image is tested once.

    Args:
        k: number of folds, 2 or more; 3 or more where no test split is named.

    Raises:
        LabelError: a class has fewer patients than folds (E-LABEL-12). UsageError: too few folds.
    """
    keeps = keeps_test(manifest)
    if k < (2 if keeps else FEWEST):
        raise UsageError(
            f"folds is {k}; without a test split of its own a data set needs at least {FEWEST} folds: one tests, one "
            "validates, the others train",
            code="E-USAGE-11",
        )
    free = np.concatenate([manifest.where(split) for split in ("train", "val")]) if keeps else np.arange(len(manifest))
    free = np.sort(free)
    groups = np.array(manifest.column("group"), dtype=np.int64)
    part = np.full(len(manifest), -1, dtype=np.int64)
    part[free] = deal(manifest.labels[free], groups[free], k=k, seed=seed, classes=manifest.classes)
    return tuple(_fold(manifest, part, fold, k) for fold in range(k))


def keeps_test(manifest: Manifest) -> bool:
    """Whether the source named the test split, which then stays one."""
    return manifest.test_given


def facts(manifest: Manifest, parts: Sequence[Manifest]) -> dict[str, Any]:
    """``folds``, ``test`` (``"fixed"`` or ``"rotating"``), ``rule`` (a sentence) and ``sizes`` of each fold."""
    fixed = keeps_test(manifest)
    rule = (
        f"{len(parts)} folds by patient, stratified by class, over train and validation; each part validates once, and "
        "the test split is that of every fold."
        if fixed
        else f"{len(parts)} folds by patient, stratified by class, over all images; each part tests once and the next "
        "one validates, so that every image is tested once."
    )
    return {
        "folds": len(parts),
        "test": "fixed" if fixed else "rotating",
        "rule": rule,
        "sizes": [part.sizes() for part in parts],
    }


def _fold(manifest: Manifest, part: NDArray[np.int64], fold: int, k: int) -> Manifest:
    splits = np.full(len(manifest), "train", dtype=object)
    if keeps_test(manifest):
        splits[part == fold] = "val"
        splits[part == -1] = "test"
    else:
        splits[part == fold] = "test"
        splits[part == (fold + 1) % k] = "val"
    at = SCHEMA.get_field_index("split")
    return replace(
        manifest,
        table=manifest.table.set_column(at, SCHEMA.field(at), pa.array(splits.tolist(), pa.string())),
        split_rule=f"fold {fold + 1} of {k}",
    )
