"""(labels, scores of one arm or two) -> AUROC, or the difference of two, with an analytic interval and test.

The variance of DeLong, DeLong and Clarke-Pearson (1988, doi:10.2307/2531595) assumes that images are independent. Where
a patient has several images it is too small: use the ``clustered_`` functions (Obuchowski 1997, doi:10.2307/2533958;
the same numbers where every patient has one image) and print the patient-cluster bootstrap beside them.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, Labels, Scores, check_binary, wrong
from xenograft.evaluation.uncertainty import LEVEL

Counts: TypeAlias = NDArray[np.int64]

_HALVINGS = 60  # of an interval no wider than 1: past the last bit of a double
_CANCELLED = 1e-12  # of the parts of a variance: what rounding leaves where they cancel


class AurocInterval(TypedDict):
    """An AUROC in [0, 1] with its interval and variance; None where undefined. `delong_interval` says more."""

    value: float | None
    low: float | None
    high: float | None
    variance: float | None
    method: Literal["logit", "score"] | None


class AurocTest(TypedDict):
    """AUROC of arm a minus that of arm b, in [-1, 1]; None where undefined. `delong_test` says more."""

    difference: float | None
    low: float | None
    high: float | None
    z: float | None
    p: float | None
    method: Literal["wald", "identical", "square-and-add"] | None


def delong_interval(labels: Labels, scores: Scores, *, level: float = LEVEL) -> AurocInterval:
    """AUROC with DeLong's variance and an interval on the logit scale.

    Assumes independent images: with several images a patient the interval is too narrow, so use
    `clustered_delong_interval` and print the cluster bootstrap beside it.

    The logit scale follows Perme and Manevski (2019, doi:10.1177/0962280218814556): DeLong's variance is reliable, but
    intervals on the plain scale leave [0, 1] and cover too rarely in small samples and near 1. They also find that a
    perfect AUROC needs another method, its DeLong variance being zero. There, and wherever that variance is zero or
    undefined, the interval is the score interval of Newcombe (2006, method 5, doi:10.1002/sim.2324), which is never of
    zero width; ``method`` says which of the two it is, ``"logit"`` or ``"score"``.

    In simulation (binormal scores) its 95 % intervals cover in 92 to 97 of 100 cases with 20 images or more of each
    class and an AUROC up to 0.95, where the plain scale falls to 77. Beyond, or with ten images of a class, that can be
    80 to 92, least where the two classes spread unequally: the ROC curve then hangs on a few images.

    Args:
        labels: (N,) in {0, 1}.
        scores: (N,) in [0, 1]; only their order matters, a tie is half a win.
        level: of the interval.

    Returns:
        ``value``, ``low``, ``high``, ``variance``, ``method``. With one class only all are None; with a single image of
        a class only the variance is.

    Raises:
        DataError: wrong shapes, values out of range, nan, no image, or level outside (0, 1).
    """
    return clustered_delong_interval(labels, scores, np.arange(np.size(labels)), level=level)


def clustered_delong_interval(
    labels: Labels, scores: Scores, patients: NDArray[Any], *, level: float = LEVEL
) -> AurocInterval:
    """`delong_interval` for patients with several images, of one class or both (Obuchowski 1997).

    The AUROC is the same, that of all pairs of images; its variance comes from sums over patients. The score interval
    counts the patients that have a class instead of its images. In simulation with two or four images a patient its
    95 % intervals cover in 94 to 95 of 100 cases with 50 patients of each class, and in 91 to 96 with 6 to 40; the
    percentile bootstrap of patients does in 93 to 97 and 74 to 94, `delong_interval` in as few as 76.

    Args:
        patients: (N,) patient keys.

    Raises:
        DataError: as `delong_interval`, or patients of another shape.
    """
    truth, score = check_binary(labels, scores)
    z = normal_quantile(level)
    owner = owners(patients, truth)
    positive = truth == 1
    if positive.all() or not positive.any():
        return {"value": None, "low": None, "high": None, "variance": None, "method": None}
    value = auroc_of_wins(positive, score)
    variance = components_variance(*wins(positive, score), positive, owner)
    low, high = _interval(value, variance, _sizes(positive, owner), z)
    return {
        "value": value, "low": low, "high": high, "variance": variance, "method": "logit" if variance else "score",
    }  # fmt: skip


def delong_test(labels: Labels, scores_a: Scores, scores_b: Scores, *, level: float = LEVEL) -> AurocTest:
    """Difference of two AUROCs measured on the same images, with DeLong's interval and two-sided test.

    Assumes independent images: with several images a patient its p is too small (in simulation with two or four images
    each it claims a difference between equal arms in up to 21 of 100 cases at the 0.05 level), so use
    `clustered_delong_test` and print the paired cluster bootstrap beside it. Near 1 both are conservative: with 20
    images of each class and AUROCs of 0.96 they claim one in 0.5 of 100.

    Args:
        labels: (N,) in {0, 1}.
        scores_a: (N,) in [0, 1]; `scores_b` alike. Only their order matters, a tie is half a win.
        level: of the interval.

    Returns:
        ``difference`` (a minus b), ``low``, ``high``, ``z``, ``p`` and ``method``:

        - ``"wald"``: difference +- quantile * standard error.
        - ``"identical"``: both arms order the images alike, so the difference is 0 without error and p is 1.
        - ``"square-and-add"``: the orders differ, yet the variance of the difference is zero or undefined (two perfect
          arms, or one image of a class). The interval joins the arms' own intervals as if they were independent (Zou
          and Donner 2008, doi:10.1002/sim.3095); z and p are None unless the difference is 0, where they are 0 and 1.

        All are None with one class only.

    Raises:
        DataError: as `delong_interval`.
    """
    return clustered_delong_test(labels, scores_a, scores_b, np.arange(np.size(labels)), level=level)


def clustered_delong_test(
    labels: Labels, scores_a: Scores, scores_b: Scores, patients: NDArray[Any], *, level: float = LEVEL
) -> AurocTest:
    """`delong_test` for patients with several images, of one class or both (Obuchowski 1997).

    Args:
        patients: (N,) patient keys.

    Raises:
        DataError: as `delong_interval`, or patients of another shape.
    """
    truth, a = check_binary(labels, scores_a, name="scores_a")
    b = check_binary(labels, scores_b, name="scores_b")[1]
    z = normal_quantile(level)
    owner = owners(patients, truth)
    positive = truth == 1
    if positive.all() or not positive.any():
        return {"difference": None, "low": None, "high": None, "z": None, "p": None, "method": None}
    if np.array_equal(_order(a), _order(b)):
        return {"difference": 0.0, "low": 0.0, "high": 0.0, "z": 0.0, "p": 1.0, "method": "identical"}

    wins_a, wins_b = wins(positive, a), wins(positive, b)
    value_a, value_b = auroc_of_wins(positive, a), auroc_of_wins(positive, b)
    difference = value_a - value_b
    variance = components_variance(wins_a[0] - wins_b[0], wins_a[1] - wins_b[1], positive, owner)
    if variance:
        error = math.sqrt(variance)
        return {
            "difference": difference,
            "low": difference - z * error,
            "high": difference + z * error,
            "z": difference / error,
            "p": math.erfc(abs(difference / error) / math.sqrt(2)),
            "method": "wald",
        }
    sizes = _sizes(positive, owner)
    low_a, high_a = _interval(value_a, components_variance(*wins_a, positive, owner), sizes, z)
    low_b, high_b = _interval(value_b, components_variance(*wins_b, positive, owner), sizes, z)
    return {
        "difference": difference,
        "low": difference - math.hypot(value_a - low_a, high_b - value_b),
        "high": difference + math.hypot(high_a - value_a, value_b - low_b),
        "z": None if difference else 0.0,
        "p": None if difference else 1.0,
        "method": "square-and-add",
    }


def normal_quantile(level: float) -> float:
    """Half width of a central normal interval in standard errors: 1.96 for 0.95.

    Raises:
        DataError: level outside (0, 1).
    """
    if not 0 < level < 1:
        raise wrong("level", f"{level}", "above 0 and below 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def wins(positive: NDArray[np.bool_], scores: Floats) -> tuple[Counts, Counts]:
    """Twice the number of images of the other class that each image is on the right side of: positives, negatives.

    These are the midrank among all minus the midrank in the own class (Sun and Xu 2014, doi:10.1109/LSP.2014.2337313),
    doubled to whole numbers so that equal arms differ by exactly nothing. O(N log N).
    """
    above, below = scores[positive], scores[~positive]
    return _lower(above, np.sort(below)), 2 * above.size - _lower(below, np.sort(above))


def _lower(values: Floats, ordered: Floats) -> Counts:
    # Once for "below", once for "not above": a tie counts one of two.
    found: Counts = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return found


def auroc_of_wins(positive: NDArray[np.bool_], scores: Floats) -> float:
    """AUROC as the share of pairs that are won, a tie counting half."""
    won = wins(positive, scores)[0]
    return int(won.sum()) / (2 * won.size * (positive.size - won.size))


def components_variance(
    wins10: Counts, wins01: Counts, positive: NDArray[np.bool_], owner: NDArray[np.intp]
) -> float | None:
    """Variance of an AUROC, or of a difference where the wins are differences; None under two patients of a class.

    Obuchowski (1997): S10 / m + S01 / n + 2 S11 / (m n), from sums over patients of the structural components minus
    their mean. With one image a patient S11 is zero, and S10 and S01 are those of DeLong et al. (1988, Eq. 5).
    """
    m, n = wins10.size, wins01.size
    with10, with01 = _sizes(positive, owner)
    if min(with10, with01) < 2:
        return None
    patients = int(owner.max()) + 1
    sum10 = np.bincount(owner[positive], _centred(wins10) / (2 * n), minlength=patients)
    sum01 = np.bincount(owner[~positive], _centred(wins01) / (2 * m), minlength=patients)
    s10 = with10 / (with10 - 1) / m * float(sum10 @ sum10)
    s01 = with01 / (with01 - 1) / n * float(sum01 @ sum01)
    s11 = patients / (patients - 1) * float(sum10 @ sum01)
    classes = s10 / m + s01 / n
    variance = classes + 2 * s11 / (m * n)
    return variance if variance > _CANCELLED * classes else 0.0


def _centred(wins: Counts) -> Floats:
    # Whole numbers first: equal wins leave exact zeros, which a rounded mean would not.
    shifted = wins - wins[0]
    centred: Floats = shifted - shifted.mean()
    return centred


def _interval(value: float, variance: float | None, sizes: tuple[int, int], z: float) -> tuple[float, float]:
    """Logit interval (Perme and Manevski 2019), or the score interval where the variance is zero or undefined."""
    if not variance:
        return _score_bound(value, sizes, z), 1 - _score_bound(1 - value, sizes, z)
    centre = math.log(value / (1 - value))
    half = z * math.sqrt(variance) / (value * (1 - value))
    return _expit(centre - half), _expit(centre + half)


def _score_bound(value: float, sizes: tuple[int, int], z: float) -> float:
    """Lower limit of Newcombe (2006), method 5: the AUROC that is z of its own standard errors below `value`.

    Its variance is that of Hanley and McNeil (1982) for exponential scores, with both sizes of the correction replaced
    by their mean.
    """
    m, n = sizes
    star = (m + n) / 2 - 1
    outside, inside = 0.0, value
    for _ in range(_HALVINGS):
        at = (outside + inside) / 2
        variance = at * (1 - at) * (1 + star * (1 - at) / (2 - at) + star * at / (1 + at)) / (m * n)
        if (value - at) ** 2 > z * z * variance:
            outside = at
        else:
            inside = at
    return outside


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _sizes(positive: NDArray[np.bool_], owner: NDArray[np.intp]) -> tuple[int, int]:
    """How many patients have a positive image, and how many a negative one."""
    return np.unique(owner[positive]).size, np.unique(owner[~positive]).size


def owners(patients: NDArray[Any], truth: NDArray[np.int64]) -> NDArray[np.intp]:
    """Patient number of each image (N,), from 0."""
    keys = np.asarray(patients)
    if keys.shape != truth.shape:
        raise wrong("patients", f"shape {keys.shape}", f"the shape of labels {truth.shape}")
    owner: NDArray[np.intp] = np.unique(keys, return_inverse=True)[1]
    return owner


def _order(scores: Floats) -> NDArray[np.intp]:
    """Dense rank of each image (N,)."""
    rank: NDArray[np.intp] = np.unique(scores, return_inverse=True)[1]
    return rank
