"""(features of both domains' test images) -> how far apart the domains are, before or after adaptation."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from xenograft.data.manifest import Manifest
from xenograft.similarity.feature_sets import Features
from xenograft.similarity.pairwise import pairwise_draws
from xenograft.similarity.resampling import bootstrap
from xenograft.similarity.two_sample import two_sample

Json = dict[str, Any]

MOST = 1000
"""Images of each domain: the distance costs their product, and its interval moves little beyond."""
_FOLDS = 5
_RESAMPLES = 500


def apart(source: Features, target: Features, source_images: Manifest, target_images: Manifest) -> Json | None:
    """AUROC of a probe that tells the domains apart, and D (Eq. 9) between them over D within them; with intervals.

    Args:
        source: (N, D), target: (M, D): features of images that adaptation has not seen, as far as it saw only train.
        source_images, target_images: whose they are, in order; patients are drawn within each domain, and a key that is
            in both counts as two patients.

    Returns:
        ``two_sample`` and ``ratio``: value, low, high; ``images``: of each domain; None with fewer than five patients
        in a domain.
    """
    groups = [np.unique(images.patients, return_inverse=True)[1] for images in (source_images, target_images)]
    if min(len(np.unique(each)) for each in groups) < _FOLDS:
        return None
    told = two_sample(
        source, target, groups_a=groups[0], groups_b=groups[1] + groups[0].max() + 1, folds=_FOLDS, seed=0
    )
    ratio = bootstrap(
        partial(_draws, source, target), groups[0], groups[1], resamples=_RESAMPLES, rng=np.random.default_rng(0)
    )["ratio"]
    return {
        "two_sample": {"value": told["auroc"], "low": told["low"], "high": told["high"]},
        "ratio": {name: ratio[name] for name in ("value", "low", "high")},
        "images": [len(source), len(target)],
    }


def _draws(source: Features, target: Features, left: Any, right: Any) -> Any:
    return pairwise_draws(source, target, left, right)
