"""(manifest, limit) -> the images that a ranking looks at: train and validation, whole patients, never test."""

from __future__ import annotations

import numpy as np

from xenograft.data.manifest import Manifest
from xenograft.data.nested import nested_order
from xenograft.errors import UsageError, printable

_SEED = 20260901  # of the order in which patients are taken; changing it changes every limited ranking


def ranking_images(manifest: Manifest, *, limit: int) -> Manifest:
    """Train and validation images; above `limit`, a sample of their patients stratified by class.

    Args:
        limit: images at most, or 0 for all. A patient, or patients with identical pixels, are taken whole.

    Raises:
        UsageError: several findings an image (E-USAGE-35).
    """
    if manifest.multi_label:
        raise UsageError(
            f"{printable(manifest.name)} has several findings an image, which transferability scores are not made for; "
            "rank one finding: give --label-column NAME with a single column, or compare backbones instead",
            code="E-USAGE-35",
        )
    pool = manifest.take(np.sort(np.concatenate([manifest.where("train"), manifest.where("val")])))
    if not limit or len(pool) <= limit:
        return pool
    groups = np.array(pool.column("group"), dtype=np.int64)
    order = nested_order(pool.strata, groups, pool.patients, rng=np.random.default_rng(_SEED))
    count = max(1, int(np.searchsorted(order.ends, limit, side="right")))
    return pool.take(np.sort(order.images[: order.ends[count - 1]]))
