"""(learning curve, its power law, a target) -> how many patients reach the target, and how that is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.power_law import PowerLaw
from xenograft.evaluation.uncertainty import LEVEL

Floats = NDArray[np.float64]
Status = Literal["smallest", "within", "beyond", "too_far", "never", "unknown"]

FARTHEST = 4.0
"""A law is not asked about more than this many times the largest size that was measured."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How many patients reach a target.

    Args:
        status: ``smallest`` (the smallest size does already), ``within`` (between two sizes), ``beyond`` (by the law,
            at most `FARTHEST` times the largest size), ``too_far`` (by the law, more than that), ``never`` (the law
            levels off below it), ``unknown`` (not within the sizes, and there is no law).
        size: patients; infinite for the last three.
    """

    status: Status
    size: float


def reach(sizes: Floats, values: Floats, target: float, law: PowerLaw | None) -> Reach:
    """Where a curve comes to a target for good: from there on no measured size falls below it again.

    Between two sizes it is interpolated on the logarithm of the size; beyond the largest one the law is asked.

    Args:
        sizes: (K,) increasing. values: (K,) of a metric of which more is better, such as AUROC in [0, 1].
        law: of 1 - value.
    """
    below = np.flatnonzero(values < target)
    if below.size == 0:
        return Reach("smallest", float(sizes[0]))
    last = int(below[-1])
    if last + 1 < sizes.size:
        share = (target - values[last]) / (values[last + 1] - values[last])
        step = math.log(sizes[last + 1] / sizes[last])
        return Reach("within", float(sizes[last] * math.exp(share * step)))
    if law is None:
        return Reach("unknown", math.inf)
    size = law.size(1 - target)
    if math.isinf(size):
        return Reach("never", math.inf)
    size = max(size, float(sizes[-1]))  # the law may pass above the last point, which was seen to be below
    return Reach("beyond", size) if size <= FARTHEST * sizes[-1] else Reach("too_far", math.inf)


def reach_interval(found: Reach, drawn: Sequence[Reach], *, level: float = LEVEL) -> dict[str, float | str | None]:
    """A number of patients with the percentile interval of resamples, for JSON.

    Returns:
        ``status``; ``value``, None where it is not a number; ``low`` and ``high``, None where that end lies beyond what
        the law may be asked about, or is never reached; ``reached``: share of resamples that reach it, in [0, 1].
    """
    ends: list[float | None] = [None, None]
    sizes = np.array([each.size for each in drawn])
    if sizes.size:
        # a quantile that is one of the values: between a number and infinity nothing can be interpolated
        quantiles = np.quantile(sizes, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        ends = [float(end) if np.isfinite(end) else None for end in quantiles]
    return {
        "status": found.status,
        "value": found.size if math.isfinite(found.size) else None,
        "low": ends[0],
        "high": ends[1],
        "reached": float(np.isfinite(sizes).mean()) if sizes.size else None,
    }
