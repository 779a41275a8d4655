"""What gradient training decides from step and epoch numbers alone: learning rate, open stages, the end of waiting."""

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


def stages_open(epoch: int, *, stages: int, epochs: int, every: int) -> int:
    """How many stages, counted from the output, train in an epoch of gradual unfreezing (Howard & Ruder 2018, §3.3).

    In the first `every` epochs the head trains alone; after each `every` epochs one more stage joins. Where the stages
    are so many that some would still be frozen at half of the epochs, several join at once, as evenly as can be.

    Args:
        epoch: from 0. stages: of the backbone. epochs: of the whole run. every: epochs from one opening to the next.
    """
    openings = _openings(stages, epochs, every)
    return min(stages, -(-stages * (epoch // every) // openings))


def epochs_until_open(*, stages: int, epochs: int, every: int) -> int:
    """Epochs before all stages train; more than `epochs` where these are too few for it."""
    return every * _openings(stages, epochs, every)


def _openings(stages: int, epochs: int, every: int) -> int:
    return min(stages, max(1, epochs // 2 // every))
