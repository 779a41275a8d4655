"""(labels, patients, scores of several runs of two arms) -> difference of their mean AUROCs, with an analytic test.

An arm's AUROC is the mean over its runs. The variance of DeLong and Obuchowski is that of sums of structural components
(see `xenograft.evaluation.delong`), and a mean of AUROCs has the mean of their components, so it holds for means over
seeds as it stands. Folds have different patients: their variances add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.delong import components_variance, normal_quantile, owners, wins
from xenograft.evaluation.metrics import Labels, Scores, check_binary
from xenograft.evaluation.uncertainty import LEVEL


class Part(NamedTuple):
    """Runs of both arms on the same images: all images, or those of one fold.

    Args:
        labels: (N,) in {0, 1}. patients: (N,) keys; no patient is in two parts.
        a, b: (N,) scores in [0, 1] of each run of the two arms; any number of them.
    """

    labels: Labels
    patients: NDArray[Any]
    a: Sequence[Scores]
    b: Sequence[Scores]


def mean_auroc_test(parts: Sequence[Part], *, level: float = LEVEL) -> dict[str, float | None]:
    """Mean AUROC of arm a minus that of arm b, tested for patients with any number of images (Obuchowski 1997).

    With one part and one run of each arm this is `clustered_delong_test`. It speaks of the test patients, given these
    seeds and folds: that networks trained anew would differ is not in it.

    Returns:
        ``difference``, ``low``, ``high``, ``p``; the last three are None where the variance is undefined, or zero
        although the arms differ, and all are None where a part holds one class only.

    Raises:
        DataError: unusable arrays, a part without runs of an arm, no part, or level outside (0, 1).
    """
    z = normal_quantile(level)
    if not parts or any(not part.a or not part.b for part in parts):
        raise DataError("runs: got none of an arm; allowed: one or more of both in every part", code="E-DATA-05")
    found = [_one(part) for part in parts]
    if any(difference is None for difference, _ in found):
        return {"difference": None, "low": None, "high": None, "p": None}
    difference = math.fsum(d for d, _ in found if d is not None) / len(found)
    if any(variance is None for _, variance in found):
        return {"difference": difference, "low": None, "high": None, "p": None}
    error = math.sqrt(math.fsum(v for _, v in found if v is not None)) / len(found)
    if error == 0:
        known = 0.0 if difference == 0 else None
        return {"difference": difference, "low": known, "high": known, "p": 1.0 if difference == 0 else None}
    return {
        "difference": difference,
        "low": difference - z * error,
        "high": difference + z * error,
        "p": math.erfc(abs(difference / error) / math.sqrt(2)),
    }


def _one(part: Part) -> tuple[float | None, float | None]:
    """Difference and its variance in one part."""
    truth, _ = check_binary(part.labels, part.a[0], name="a")
    owner = owners(part.patients, truth)
    positive = truth == 1
    if positive.all() or not positive.any():
        return None, None
    a, b = ([check_binary(part.labels, scores, name=name)[1] for scores in runs] for name, runs in
            (("a", part.a), ("b", part.b)))  # fmt: skip
    # Whole numbers until the end: equal arms then differ by exactly nothing, in whatever order their runs stand.
    sums = [[sum(column) for column in zip(*(wins(positive, s) for s in runs), strict=True)] for runs in (a, b)]
    ten, one = (len(b) * of_a - len(a) * of_b for of_a, of_b in zip(*sums, strict=True))
    difference = int(ten.sum()) / (2 * ten.size * one.size * len(a) * len(b))
    variance = components_variance(ten, one, positive, owner)
    return difference, None if variance is None else variance / (len(a) * len(b)) ** 2
