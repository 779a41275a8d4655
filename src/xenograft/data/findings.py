"""A split multi-label Manifest -> the same with the findings that can be learnt and measured, and what is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xenograft.data.label_sets import MISSING, encode
from xenograft.data.manifest import SCHEMA, SPLITS, Manifest
from xenograft.errors import LabelError, Notice, listed, printable


def usable(manifest: Manifest) -> Manifest:
    """Leave out findings of which a split has no positive or no negative (L25), and say what is unknown (L26).

    Images of which nothing is known about the findings that stay go with them.

    Raises:
        LabelError: no finding is left (E-LABEL-12).
    """
    labels = {split: manifest.labels[manifest.where(split)] for split in SPLITS}
    lacking = {k: why for k in range(len(manifest.classes)) if (why := _lacking(labels, k))}
    kept = [k for k in range(len(manifest.classes)) if k not in lacking]
    named = [f"{printable(manifest.classes[k])} ({why})" for k, why in lacking.items()]
    if not kept:
        raise LabelError(
            f"no finding has images with and without it in every split: {listed(named)}; add images, or larger shares "
            "for val and test",
            code="E-LABEL-12",
        )
    notices: list[Notice] = []
    if lacking:
        manifest, gone = _only(manifest, kept)
        also = f"; {gone} images of which only these are known were left out too" if gone else ""
        message = f"left out, for want of images: {listed(named, most=20)}{also}"
        notices.append(Notice("W-LABEL-25", message, len(lacking), tuple(named[:5])))
    return replace(manifest, notices=(*manifest.notices, *notices, *_unknown(manifest)))


def _lacking(labels: Mapping[str, NDArray[np.int64]], k: int) -> str:
    """Which split has no image with the finding, or none without; empty if each has both."""
    return ", ".join(
        f"none {word} it in {split}"
        for split, rows in labels.items()
        for value, word in ((1, "with"), (0, "without"))
        if not (rows[:, k] == value).any()
    )


def _only(manifest: Manifest, kept: list[int]) -> tuple[Manifest, int]:
    """The findings at `kept`, without images of which none of them is known, and how many these were."""
    classes = tuple(manifest.classes[k] for k in kept)
    labels = manifest.labels[:, kept]
    some = (labels != MISSING).any(axis=1)
    texts = pa.array([encode(row, classes) for row in labels], pa.string())
    at = SCHEMA.get_field_index("label")
    changed = replace(manifest, table=manifest.table.set_column(at, SCHEMA.field(at), texts), classes=classes)
    return changed.take(np.flatnonzero(some)), int((~some).sum())


def _unknown(manifest: Manifest) -> list[Notice]:
    missing = (manifest.labels == MISSING).sum(axis=0)
    if not (total := int(missing.sum())):
        return []
    order = np.argsort(-missing, kind="stable")
    images = len(manifest)
    most = [f"{printable(manifest.classes[k])} {missing[k] / images:.0%}" for k in order if missing[k]]
    message = (
        f"{total} labels ({total / manifest.labels.size:.1%}) are missing or uncertain: they are neither learnt nor "
        f"scored; most: {listed(most)}"
    )
    return [Notice("W-LABEL-26", message, total, tuple(most[:5]))]
