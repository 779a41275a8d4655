"""(labels, patients) -> weights of bootstrap resamples; (values of resamples) -> interval.

Images of one patient are not independent, so patients are drawn, not images, and within strata, so that every resample
holds every class (without strata where an image has several labels, see `cluster_weights`). Resamples are weights: an
image counts as often as its patient was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import Floats, Labels, check_labels
from xenograft.evaluation.multilabel import check_findings

K = TypeVar("K", bound=Hashable)

LEVEL = 0.95
MOST_UNDEFINED = 0.05
_BLOCK = 20  # resamples drawn by one child generator; changing it changes every interval
_CELLS = 1 << 20  # resamples x images held at once: 8 MB as float64, a few times that inside the metrics


def cluster_weights(
    labels: Labels, patients: NDArray[Any], *, resamples: int = 2000, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Weights of all resamples at once; `weight_chunks` gives the same rows within bounded memory.

    Args:
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        patients: (N,) patient keys.
        resamples: B.
        rng: its children draw, so a second call with the same generator draws anew.

    Returns:
        (B, N) float32: how often each image's patient was drawn. Patients are drawn with replacement, as many as there
        are, within strata; a patient's stratum is the set of classes of its images. A stratum of one patient does not
        vary. Findings make one stratum of all patients: their sets are so many that most would hold one patient, and
        the intervals would be too narrow. A resample may then miss a rare finding, whose metrics are nan in it.

    Raises:
        DataError: wrong shapes, no image, or no resample.
    """
    return np.concatenate(list(weight_chunks(labels, patients, resamples=resamples, rng=rng)))


def weight_chunks(
    labels: Labels,
    patients: NDArray[Any],
    *,
    resamples: int = 2000,
    rng: np.random.Generator,
    chunk: int | None = None,
) -> Iterator[NDArray[np.float32]]:
    """The rows of `cluster_weights`, some at a time; which rows they are does not depend on `chunk`.

    Args:
        chunk: resamples per array, rounded up to a multiple of 20; by default about a million weights.

    Raises:
        DataError: as `cluster_weights`, at the call.
    """
    strata, owner = _strata(labels, patients)
    if resamples < 1:
        raise DataError(f"resamples: got {resamples}; allowed: 1 or more", code="E-DATA-05")
    children = rng.spawn(math.ceil(resamples / _BLOCK))
    step = max(1, math.ceil(chunk / _BLOCK) if chunk else _CELLS // (_BLOCK * owner.size))

    def chunks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(children), step):
            counts = np.concatenate([_drawn(strata, child) for child in children[start : start + step]])
            yield counts[: resamples - start * _BLOCK, owner]

    return chunks()


def bootstrap(
    statistic: Callable[[Floats], dict[K, Floats]],
    labels: Labels,
    patients: NDArray[Any],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> dict[K, Floats]:
    """Values (B,) of every statistic over the same resamples.

    Args:
        statistic: weights (b, N) float64 -> name -> values (b,).

    Raises:
        DataError: as `cluster_weights`.
    """
    parts = [
        statistic(weights.astype(np.float64))
        for weights in weight_chunks(labels, patients, resamples=resamples, rng=rng)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile_interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Central interval of resampled values (B,), nan left out; (nan, nan) if more than 5 % are nan.

    Raises:
        DataError: level outside (0, 1).
    """
    _check_level(level)
    known = values[~np.isnan(values)]
    if known.size == 0 or known.size < (1 - MOST_UNDEFINED) * values.size:
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def summary(value: float, resampled: Floats, *, level: float, key: str = "value") -> dict[str, float | None]:
    """One number and its percentile interval as a mapping for JSON: `key`, ``low``, ``high``; None for nan."""
    low, high = percentile_interval(resampled, level)
    return {name: None if np.isnan(v) else float(v) for name, v in ((key, value), ("low", low), ("high", high))}


def two_sided(resampled: Floats) -> float:
    """p of a difference: twice the smaller share of resampled differences (B,) at or beyond zero, nan left out.

    One is added above and below (Davison & Hinkley 1997, Bootstrap Methods and their Application, chapter 4), so that
    it is never below 2 / (B + 1).
    """
    known = resampled[~np.isnan(resampled)]
    beyond = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (1 + beyond) / (1 + known.size))


def wilson(successes: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), for one image per patient; (nan, nan) for nothing of nothing.

    Raises:
        DataError: not 0 <= successes <= total, or level outside (0, 1).
    """
    _check_level(level)
    if not 0 <= successes <= total:
        raise DataError(f"successes: got {successes} of {total}; allowed: 0 to the total", code="E-DATA-05")
    if total == 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # Rounding must not leave an exact 0 or 1 outside.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == total else (centre + half) / scale
    return low, high


def _strata(labels: Labels, patients: NDArray[Any]) -> tuple[list[NDArray[np.intp]], NDArray[np.intp]]:
    """Patient numbers of each stratum, and the patient number of each image (N,)."""
    several = np.ndim(labels) == 2
    classes = check_findings(labels) if several else check_labels(labels, classes=np.iinfo(np.int64).max)
    keys = np.asarray(patients)
    if keys.shape != classes.shape[:1]:
        raise DataError(
            f"patients: got shape {keys.shape}; allowed: the shape of labels {classes.shape[:1]}", code="E-DATA-05"
        )
    names, owner = np.unique(keys, return_inverse=True)
    if several:
        return [np.arange(names.size)], owner
    present, column = np.unique(classes, return_inverse=True)
    has = np.zeros((names.size, present.size), dtype=np.bool_)
    has[owner, column] = True
    stratum = np.unique(has, axis=0, return_inverse=True)[1].reshape(-1)
    return [np.flatnonzero(stratum == s) for s in range(stratum.max() + 1)], owner


def _drawn(strata: list[NDArray[np.intp]], rng: np.random.Generator) -> NDArray[np.float32]:
    """How often each patient is drawn in each resample of one block: (_BLOCK, patients)."""
    counts = np.empty((_BLOCK, sum(s.size for s in strata)), dtype=np.float32)
    for members in strata:
        n = members.size
        draws = rng.integers(n, size=(_BLOCK, n)) + n * np.arange(_BLOCK)[:, None]
        counts[:, members] = np.bincount(draws.ravel(), minlength=_BLOCK * n).reshape(_BLOCK, n)
    return counts


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise DataError(f"level: got {level}; allowed: above 0 and below 1", code="E-DATA-05")
