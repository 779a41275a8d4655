"""(models, test images of both domains) -> their answers, and how far apart the domains are in their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.manifest import Manifest
from xenograft.study.domain_shift_apart import MOST, apart
from xenograft.study.domain_shift_data import sample
from xenograft.study.domain_shift_models import REFERENCE, ShiftModel

Floats = NDArray[np.float64]


def answers_of(models: Sequence[ShiftModel], tests: dict[str, Manifest]) -> dict[str, list[Floats]]:
    """domain -> (N, C) probabilities of each seed; the reference answers for the target alone."""
    found = {"target": [model.head.probabilities(model.of_target(tests["target"])) for model in models]}
    if models[0].adaptation == REFERENCE:
        return found
    return {"source": [model.head.probabilities(model.of_source(tests["source"])) for model in models], **found}


def distance_of(model: ShiftModel, tests: dict[str, Manifest]) -> dict[str, Any] | None:
    """See `apart`; of large test sets a sample."""
    source, target = sample(tests["source"], MOST), sample(tests["target"], MOST)
    return apart(model.of_source(source), model.of_target(target), source, target)
