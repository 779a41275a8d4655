"""What gradient training decides from step and epoch numbers alone: the learning rate, and when to stop waiting."""

from __future__ import annotations

import math


def share_of_peak(step: int, total: int, warmup: float) -> float:
    """The learning rate of a step as a share of its peak: a linear warm-up, then a cosine to zero.

    Args:
        step: from 0 to total - 1. warmup: share of all steps, in [0, 1]; at least one step.

    Returns:
        A number in (0, 1].
    """
    warm = max(1, round(warmup * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def patience_is_out(finished: int, best_epoch: int, patience: int) -> bool:
    """Whether `patience` epochs have passed since the best one; a patience of 0 never ends.

    Args:
        finished: epochs done. best_epoch: from 1.
    """
    return 0 < patience <= finished - best_epoch
