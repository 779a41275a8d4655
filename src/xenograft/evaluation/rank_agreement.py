"""(predicted scores, measured results of candidates) -> Kendall's tau, weighted tau; over data sets, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.evaluation.uncertainty import LEVEL, summary

LEAST_CANDIDATES = 3
LEAST_SETS = 3
_ENUMERATED = 8  # 40,320 orders

Values = Sequence[float | None] | NDArray[Any]
Json = dict[str, Any]


def rank_agreement(predicted: Values, measured: Values) -> Json:
    """How far two rankings of the same candidates agree on one data set.

    Args:
        predicted: (K,) scores, higher being better. measured: (K,) results, higher being better. A candidate whose
            value is None or nan on either side is left out.

    Returns:
        ``candidates``: those left. ``tau``: Kendall's tau-b in [-1, 1] (Kendall 1945: ties on one side make 1
        impossible). ``weighted_tau``: the same with more weight for the best, pair (r, s) of ranks from 0 counting
        1 / (r + 1) + 1 / (s + 1), averaged over ranking by either side (Vigna 2015, doi:10.1145/2736277.2741088; the
        default of scipy.stats.weightedtau). ``p``: two-sided, of tau under random order; ``p_method``: "exact" (without
        ties by its distribution, with ties over all orders, up to 8 candidates) or "normal". All None where fewer than
        three candidates are left or one side is constant.

    Raises:
        DataError: different lengths, infinite values.
    """
    x, y = _pairs(predicted, measured)
    empty = {"candidates": len(x), "tau": None, "weighted_tau": None, "p": None, "p_method": None}
    if len(x) < LEAST_CANDIDATES or np.ptp(x) == 0 or np.ptp(y) == 0:
        return empty
    from scipy.stats import kendalltau, weightedtau

    ties = len(np.unique(x)) < len(x) or len(np.unique(y)) < len(y)
    found = kendalltau(x, y, method="asymptotic" if ties else "exact")
    tau = _within(float(found.statistic))
    p, method = float(found.pvalue), "normal" if ties else "exact"
    if ties and len(x) <= _ENUMERATED:
        p, method = _enumerated(x, y), "exact"
    weighted = _within(float(weightedtau(x, y).statistic))
    return {**empty, "tau": tau, "weighted_tau": weighted, "p": p, "p_method": method}


def agreement_over_sets(
    sets: Mapping[str, tuple[Values, Values]], *, resamples: int = 2000, seed: int = 0, level: float = LEVEL
) -> Json:
    """Mean agreement over data sets, with intervals from data sets drawn with replacement.

    The data sets are the sample: the interval speaks of other data sets like these with the same candidates, and is
    only as good as their number; below about ten it is too narrow.

    Args:
        sets: name -> (predicted, measured), as `rank_agreement`. resamples: B >= 1.

    Returns:
        ``sets``: name -> `rank_agreement`. ``tau`` and ``weighted_tau``: ``value`` (mean over the data sets where it is
        defined, None where there is none), ``low`` and ``high`` (None with fewer than three of them), ``sets``: how
        many were averaged.

    Raises:
        DataError: as `rank_agreement`; resamples below 1; level outside (0, 1).
    """
    if resamples < 1:
        raise wrong("resamples", f"{resamples}", "1 or more")
    each = {name: rank_agreement(*pair) for name, pair in sets.items()}
    return {
        "sets": each,
        **{
            key: _mean([entry[key] for entry in each.values() if entry[key] is not None], resamples, seed, level)
            for key in ("tau", "weighted_tau")
        },
    }


def _mean(values: list[float], resamples: int, seed: int, level: float) -> Json:
    known = np.array(values)
    if known.size == 0:
        return {"value": None, "low": None, "high": None, "sets": 0}
    drawn = np.full(resamples, math.nan)
    if known.size >= LEAST_SETS:
        rng = np.random.default_rng(seed)
        drawn = known[rng.integers(known.size, size=(resamples, known.size))].mean(axis=1)
    return {**summary(float(known.mean()), drawn, level=level), "sets": int(known.size)}


def _pairs(predicted: Values, measured: Values) -> tuple[Floats, Floats]:
    x, y = (np.array([math.nan if v is None else v for v in side], dtype=np.float64) for side in (predicted, measured))
    if x.ndim != 1 or x.shape != y.shape:
        raise wrong("measured", f"shape {y.shape}", f"one value for each of the predicted, {x.shape}")
    if np.isinf(x).any() or np.isinf(y).any():
        raise wrong("predicted or measured", "infinite values", "finite numbers, None or nan")
    kept = ~(np.isnan(x) | np.isnan(y))
    return x[kept], y[kept]


def _enumerated(x: Floats, y: Floats) -> float:
    """Share of all orders of y whose concordance with x is at least as far from 0."""
    upper = np.triu_indices(len(x), 1)
    signs = np.sign(np.subtract.outer(x, x))[upper]
    orders = y[np.array(list(permutations(range(len(y)))))]
    concordance = np.abs(np.sign(orders[:, upper[0]] - orders[:, upper[1]]) @ signs)
    return float((concordance >= concordance[0] - 0.5).mean())  # whole numbers; the first order is the observed one


def _within(tau: float) -> float:
    return min(1.0, max(-1.0, tau))
