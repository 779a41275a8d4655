"""(AUROC of repeats at each size, and of their resamples) -> what a learning curve shows, as plain facts for JSON.

Two kinds of uncertainty are kept apart in a curve's points: the interval speaks of other test patients, the spread of
other training patients and seeds. What is concluded from the whole curve (its law, patients to a target) must bear
both: each refit draws test patients and repeats anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.power_law import FEWEST_SIZES, PowerLaw, fit_power_law
from xenograft.evaluation.reach import FARTHEST, Reach, reach, reach_interval
from xenograft.evaluation.uncertainty import LEVEL, summary

Floats = NDArray[np.float64]
Json = dict[str, Any]

_DRAWN = 41  # sizes at which a law is drawn


@dataclass(frozen=True, slots=True)
class Curve:
    """A learning curve with its resamples.

    Args:
        sizes: (K,) patients, increasing. values: K arrays (R_k,), one value for each repeat.
        drawn: K arrays (R_k, B), the same resamples of test patients at every size and in every curve.
    """

    sizes: Floats
    values: Sequence[Floats]
    drawn: Sequence[Floats]


@dataclass(frozen=True, slots=True)
class Refits:
    """Mean curves under resampled test patients and repeats, and the law of each.

    Args:
        means: (B, K). laws: B laws, None where there are too few sizes.
    """

    means: Floats
    laws: Sequence[PowerLaw | None]


def point_facts(values: Floats, drawn: Floats) -> Json:
    """One size: ``values`` of repeats, ``value`` (mean) with ``low`` and ``high``, and the repeats' ``sd``.

    Args:
        values: (R,). drawn: (R, B).
    """
    return {
        "values": [float(v) for v in values],
        **summary(float(values.mean()), drawn.mean(axis=0), level=LEVEL),
        "sd": float(values.std(ddof=1)) if values.size > 1 else None,
    }


def refitted(curve: Curve, *, refits: int, rng: np.random.Generator) -> Refits:
    """Draws of a whole curve.

    Args:
        refits: how many; the first ones of the curve's resamples are used. rng: draws repeats; curves that are given
            equal generators draw the same repeats, so that they can be compared.
    """
    most = max(len(v) for v in curve.values)
    uniform = rng.random((refits, most))
    columns = []
    for drawn in curve.drawn:
        repeats, count = len(drawn), min(refits, drawn.shape[1])
        chosen = (uniform[:count, :repeats] * repeats).astype(np.int64)  # (b, R_k)
        columns.append(drawn[chosen, np.arange(count)[:, None]].mean(axis=1))
    means = np.stack(columns, axis=1)
    means = means[np.isfinite(means).all(axis=1)]
    return Refits(means, [law_of(curve.sizes, row) for row in means])


def mean_values(curve: Curve) -> Floats:
    """(K,) means over repeats."""
    return np.array([values.mean() for values in curve.values])


def law_of(sizes: Floats, values: Floats) -> PowerLaw | None:
    """The power law of 1 - value; None for fewer than four sizes."""
    return fit_power_law(sizes, 1 - values) if sizes.size >= FEWEST_SIZES else None


def law_facts(curve: Curve, refits: Refits) -> Json | None:
    """The fitted law with intervals, what it says of twice the patients, and how it would have done at the last size.

    Returns:
        None for fewer than four sizes. ``drawn``: sizes up to four times the largest, with the law's value and
        pointwise interval.
    """
    values = mean_values(curve)
    law = law_of(curve.sizes, values)
    if law is None:
        return None
    laws = [each for each in refits.laws if each is not None]
    largest = float(curve.sizes[-1])
    grid = np.geomspace(curve.sizes[0], FARTHEST * largest, _DRAWN)
    at = 1 - law.error(grid)
    of_draws = np.array([1 - each.error(grid) for each in laws]).reshape(-1, grid.size)
    bands = [summary(float(v), column, level=LEVEL) for v, column in zip(at, of_draws.T, strict=True)]
    gains = np.array([float(each.error(largest) - each.error(2 * largest)) for each in laws])

    def parameter(name: str) -> Json:
        return summary(getattr(law, name), np.array([getattr(each, name) for each in laws]), level=LEVEL)

    return {
        "floor": parameter("floor"),
        "scale": parameter("scale"),
        "exponent": parameter("exponent"),
        "residual": law.residual,
        "doubling": {
            "from": largest,
            "to": 2 * largest,
            "predicted": float(1 - law.error(2 * largest)),
            **summary(float(law.error(largest) - law.error(2 * largest)), gains, level=LEVEL, key="gain"),
        },
        "checked": _checked(curve.sizes, values),
        "drawn": {
            "sizes": [float(n) for n in grid],
            **{key: [band[key] for band in bands] for key in ("value", "low", "high")},
        },
    }


def _checked(sizes: Floats, values: Floats) -> Json | None:
    """What the law of all sizes but the largest says of the largest; None where too few would be left."""
    before = law_of(sizes[:-1], values[:-1])
    if before is None:
        return None
    predicted = float(1 - before.error(float(sizes[-1])))
    return {"size": float(sizes[-1]), "predicted": predicted, "measured": float(values[-1])}


def target_facts(curve: Curve, refits: Refits, target: float) -> Json:
    """Patients to reach a fixed value, see `reach_interval`."""
    return {"target": target, **_reached(curve, refits, target, np.full(len(refits.means), target))}


def catch_up_facts(curve: Curve, refits: Refits, ahead: Curve, ahead_refits: Refits) -> list[Json]:
    """Patients that a curve needs to equal each point of another one, paired over test patients and repeats.

    Args:
        curve: e.g. training from scratch. ahead: e.g. the probe. Their refits were drawn alike.
    """
    both = min(len(refits.means), len(ahead_refits.means))
    mine = Refits(refits.means[:both], refits.laws[:both])
    return [
        {"size": float(size), "target": float(value), **_reached(curve, mine, float(value), drawn)}
        for size, value, drawn in zip(ahead.sizes, mean_values(ahead), ahead_refits.means[:both].T, strict=True)
    ]


def _reached(curve: Curve, refits: Refits, target: float, targets: Floats) -> Json:
    values = mean_values(curve)
    found = reach(curve.sizes, values, target, law_of(curve.sizes, values))
    drawn: list[Reach] = [
        reach(curve.sizes, row, float(wanted), law)
        for row, wanted, law in zip(refits.means, targets, refits.laws, strict=True)
    ]
    return reach_interval(found, drawn)
