"""(arms, workshop) -> nothing, or one clear line: whether every arm can be trained at all, before any work is done."""

from __future__ import annotations

from collections.abc import Iterable

from xenograft.study.arm import Arm
from xenograft.study.config import StudyConfig
from xenograft.study.runs import check_size
from xenograft.study.tuned import check_trainable
from xenograft.study.workshop import Workshop


def check_feasible(arms: Iterable[Arm], config: StudyConfig, workshop: Workshop) -> None:
    """Look for weights, try the size of images, and see whether recipes can move their networks: seconds, not hours.

    Raises:
        UsageError: a backbone takes no images of this size (E-USAGE-05), has no normalisation layers (E-USAGE-26) or no
            attention (E-USAGE-27) that its recipe could train.
        XenograftError: weights that are not there, or an optional package that a recipe needs.
    """
    every = list(arms)
    for arm in every:
        workshop.weights(arm)
    if config.size is not None:
        for spec in dict.fromkeys(arm.spec for arm in every):
            check_size(spec, config.size)
    for arm in {(arm.spec.name, arm.recipe.trainable): arm for arm in every}.values():
        check_trainable(arm)
