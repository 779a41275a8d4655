"""(labels, calibrated scores, threshold probabilities) -> decision curve: net benefit of the model, of all, of none.

A threshold probability p says how many needless treatments one found case is worth: (1 - p) / p. At p the model treats
where its score is at or above p, so the score must be a probability that means what it says. A score that is not
calibrated is compared with the wrong p and its curve says little about the model: calibrate on validation first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, Labels, Scores, check_binary, check_weights, ratio, wrong
from xenograft.evaluation.predictive_values import check_prevalence
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

GRID = tuple(round(0.01 * percent, 2) for percent in range(1, 100))
CURVES = ("model", "all", "none", "model_over_default", "avoided_per_100")
Json = dict[str, Any]


def net_benefit(
    labels: Labels,
    scores: Scores,
    *,
    grid: Sequence[float] | Floats = GRID,
    prevalence: float | None = None,
    weights: Scores | None = None,
) -> dict[str, Floats]:
    """Net benefit over a grid of threshold probabilities (Vickers and Elkin 2006, doi:10.1177/0272989X06295361).

    Net benefit is TP / n - FP / n * p / (1 - p): found cases per image, less the needless treatments in the same unit.
    The scores must be calibrated probabilities (see the module). At a stated prevalence they must be calibrated at that
    prevalence; only the shares of the classes are restated here, not the scores.

    Args:
        labels: (N,) in {0, 1}.
        scores: (N,) in [0, 1], calibrated probability of class 1.
        grid: (G,) threshold probabilities, from 0 up to but without 1, where no benefit outweighs the odds.
        prevalence: above 0 and below 1; by default that of the images, or of the resample.
        weights: (N,) or (B, N), not negative; None counts every image once.

    Returns:
        `CURVES`, each (G,), or (B, G) for (B, N) weights: ``model``; ``all`` and ``none``, who treat everybody and
        nobody; ``model_over_default``, the model minus the better of these two; ``avoided_per_100``, the treatments
        avoided per 100 images against treating all, at no loss of found cases (nan at p = 0). nan where undefined.

    Raises:
        DataError: unusable arrays, grid or prevalence.
    """
    truth, probability = check_binary(labels, scores)
    curves = _kernel(truth, probability, grid, prevalence)(check_weights(weights, truth.size))
    resampled = () if weights is None else np.shape(weights)[:-1]
    return {name: values.reshape(*resampled, -1) for name, values in curves.items()}


def decision_curve(
    labels: Labels,
    scores: Scores,
    patients: NDArray[Any],
    *,
    grid: Sequence[float] | Floats = GRID,
    prevalence: float | None = None,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """`net_benefit` with bands from the patient-cluster bootstrap. The scores must be calibrated probabilities.

    The bands hold at each threshold probability by itself, not over the whole curve at once. Resamples keep the number
    of patients of each class, so the prevalence counts as known; state one where that of the images is not meant.

    Args:
        patients: (N,) patient keys.
        resamples: number of bootstrap resamples.
        rng: see `cluster_weights`.
        level: of the bands.

    Returns:
        ``grid``, ``prevalence`` (None if that of the images), ``resamples``, ``level``, and `CURVES` -> ``value``,
        ``low``, ``high``, lists of G numbers; None where undefined.

    Raises:
        DataError: as `net_benefit`.
    """
    truth, probability = check_binary(labels, scores)
    curves = _kernel(truth, probability, grid, prevalence)
    drawn = bootstrap(curves, truth, patients, resamples=resamples, rng=rng)
    whole = curves(np.ones((1, truth.size)))
    return _head(grid, prevalence, resamples, level) | {
        name: _band(whole[name][0], drawn[name], level, "value") for name in CURVES
    }


def paired_net_benefit(
    labels: Labels,
    scores_a: Scores,
    scores_b: Scores,
    patients: NDArray[Any],
    *,
    grid: Sequence[float] | Floats = GRID,
    prevalence: float | None = None,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """Net benefit of model a minus that of model b, both on the same resamples of patients.

    Args:
        scores_a: (N,) calibrated probabilities; `scores_b` alike. The rest as in `decision_curve`.

    Returns:
        ``grid``, ``prevalence``, ``resamples``, ``level``, and ``difference``, ``low``, ``high``, lists of G numbers;
        None where undefined.

    Raises:
        DataError: as `net_benefit`.
    """
    truth, first = check_binary(labels, scores_a, name="scores_a")
    _, second = check_binary(labels, scores_b, name="scores_b")
    a, b = (_kernel(truth, probability, grid, prevalence) for probability in (first, second))

    def statistic(weights: Floats) -> dict[str, Floats]:
        return {"difference": a(weights)["model"] - b(weights)["model"]}

    drawn = bootstrap(statistic, truth, patients, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, truth.size)))["difference"][0]
    return _head(grid, prevalence, resamples, level) | _band(whole, drawn["difference"], level, "difference")


def _kernel(
    truth: NDArray[np.int64], scores: Floats, grid: Sequence[float] | Floats, prevalence: float | None
) -> Callable[[Floats], dict[str, Floats]]:
    """The function from weights (B, N) to `CURVES`, each (B, G)."""
    points = _check_grid(grid)
    if prevalence is not None:
        check_prevalence(prevalence)
    odds = points / (1 - points)
    order = np.argsort(scores, kind="stable")
    below = np.searchsorted(scores[order], points, side="left")  # images below each point
    positive = truth[order] == 1

    def curves(weights: Floats) -> dict[str, Floats]:
        ranked = weights[:, order]
        tp, cases = _at_or_above(ranked * positive, below)
        fp, others = _at_or_above(ranked * ~positive, below)
        if prevalence is None:
            n = cases + others
            return _curves(_share(tp, n), _share(fp, n), _share(cases, n), _share(others, n), odds)
        hit, alarm = prevalence * _share(tp, cases), (1 - prevalence) * _share(fp, others)
        return _curves(hit, alarm, np.full_like(cases, prevalence), np.full_like(cases, 1 - prevalence), odds)

    return curves


def _at_or_above(ranked: Floats, below: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Sums (B, G) of weights (B, N), lowest score first, without the first `below` of them, and of all (B, 1)."""
    sums = np.cumsum(ranked, axis=1)
    total = sums[:, -1:]
    return total - np.where(below > 0, sums[:, np.maximum(below - 1, 0)], 0.0), total


def _share(part: Floats, whole: Floats) -> Floats:
    return ratio(part, np.broadcast_to(whole, part.shape))


def _curves(tp: Floats, fp: Floats, cases: Floats, others: Floats, odds: Floats) -> dict[str, Floats]:
    """`CURVES` from shares of all images: tp and fp (B, G), cases and others (B, 1)."""
    model = tp - fp * odds
    everybody = cases - others * odds
    nobody = np.zeros_like(everybody)
    return {
        "model": model,
        "all": everybody,
        "none": nobody,
        "model_over_default": model - np.maximum(everybody, nobody),
        "avoided_per_100": 100 * _share(model - everybody, odds),
    }


def _head(grid: Sequence[float] | Floats, prevalence: float | None, resamples: int, level: float) -> Json:
    return {
        "grid": [float(point) for point in grid],
        "prevalence": prevalence,
        "resamples": int(resamples),
        "level": float(level),
    }


def _band(values: Floats, resampled: Floats, level: float, key: str) -> Json:
    """Lists over the grid from values (G,) and resampled ones (B, G)."""
    pairs = zip(values, resampled.T, strict=True)
    points = [summary(float(value), column, level=level, key=key) for value, column in pairs]
    return {name: [point[name] for point in points] for name in (key, "low", "high")}


def _check_grid(grid: Sequence[float] | Floats) -> Floats:
    points = np.asarray(grid, dtype=np.float64)
    if points.ndim != 1 or points.size == 0:
        raise wrong("grid", f"shape {points.shape}", "(G,) with G > 0")
    if not (points.min() >= 0 and points.max() < 1):  # nan fails both
        raise wrong("grid", f"values {points.min():g} to {points.max():g}", "from 0 up to, not including, 1")
    return points
