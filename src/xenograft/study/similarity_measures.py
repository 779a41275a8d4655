"""(features of natural, medical and noise images after one stage) -> every measure of every pair, with its interval.

Three kinds of interval, named in `KINDS`, because the measures differ in what resampling does to them:

- ``bootstrap``: distances and KID of two sets. Patients are drawn within each set; these measures do not depend on the
  size of the sets.
- ``halves``: Fréchet distance and neighbours of two sets depend on the size, so the value is the mean over halves of
  both, which is the size that the yardsticks have; the interval is Student's, about it, from the spread over halves. Of
  a larger set a random part of the smaller one's size is halved: a small share of many images would stray further from
  the whole than the whole strays from the truth.
- ``halvings``: a set against itself. The value is the mean over random halvings of its patients, low and high hold the
  level's share of them: what two samples of one and the same set give. It is a yardstick, not a confidence interval.

The AUROC of two sets has DeLong's interval, by patient, at their full size; for equal sets it is 0.5 at any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from xenograft.errors import DataError
from xenograft.evaluation.uncertainty import LEVEL, percentile_interval
from xenograft.similarity.cka import linear_cka
from xenograft.similarity.dimension import effective_rank, two_nn
from xenograft.similarity.feature_sets import Features
from xenograft.similarity.frechet import frechet
from xenograft.similarity.kernel import mmd_draws
from xenograft.similarity.neighbours import neighbours
from xenograft.similarity.pairwise import pairwise_draws
from xenograft.similarity.resampling import bootstrap
from xenograft.similarity.subsets import Rows, half_of_the_groups, halves_of_groups, part_of_groups
from xenograft.similarity.two_sample import two_sample

Json = dict[str, Any]
Floats = NDArray[np.float64]
Groups = NDArray[np.int64]
OfWeights = Callable[[Features, Features, Floats, Floats], dict[str, Floats]]

MEASURES = ("distance", "ratio", "cosine_ratio", "frechet", "kid", "two_sample_auroc", "neighbour_overlap")
PAIRS = ("natural_medical", "natural_natural", "medical_medical", "natural_noise", "medical_noise")
KINDS = {
    "natural_medical": "bootstrap by patient (distance, ratio, cosine_ratio, kid), DeLong (two_sample_auroc), halves "
    "of the patients (frechet, neighbour_overlap)",
    "natural_natural": "range of random halvings of the patients, no confidence interval",
    "cka": "halves of the patients",
}
HALVINGS, HALVES, PROBED = 200, 20, 10
"""Random halvings of a set for the measures that cost little, for those that cost more, and for probes."""
NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Halving:
    """Rows of two halves of a set that share no patient."""

    left: Rows
    right: Rows


class Ruler:
    """Measures features of the same images, always by the same resamples, so that stages and networks are paired.

    Args:
        groups: set -> (N,) patient of each image; the same number is the same patient in every set.
        resamples: of the bootstrap. seed: of every draw. level: of intervals.

    Raises:
        DataError: sets too small to be halved.
    """

    def __init__(self, groups: Mapping[str, Groups], *, resamples: int, seed: int, level: float = LEVEL) -> None:
        self.groups, self.resamples, self.seed, self.level = dict(groups), resamples, seed, level
        self._owner = {name: np.unique(keys, return_inverse=True)[1] for name, keys in groups.items()}
        self.half = min(len(keys) for keys in groups.values()) // 2
        rng = np.random.default_rng([seed, 1])
        self._halvings = {
            name: [Halving(*halves_of_groups(owner, self.half, rng)) for _ in range(HALVINGS)]
            for name, owner in self._owner.items()
        }
        least = min(len(keys) for keys in groups.values())
        rng = np.random.default_rng([seed, 4])
        self._pool: dict[str, int] = {}
        self._paired = {name: self._evened(name, least, rng) for name in groups}

    def _evened(self, name: str, rows: int, rng: np.random.Generator) -> list[Halving]:
        """Halvings for two sets: of a part of `rows` images where the set has more; `_pool` counts its patients."""
        owner = self._owner[name]
        self._pool[name] = len(np.unique(owner))
        if len(owner) == rows:
            return self._halvings[name][: max(HALVES, PROBED)]
        part = part_of_groups(owner, rows, rng)
        self._pool[name] = len(np.unique(owner[part]))
        halves = (halves_of_groups(owner[part], self.half, rng) for _ in range(max(HALVES, PROBED)))
        return [Halving(part[left], part[right]) for left, right in halves]

    def measure(self, features: Mapping[str, Features]) -> dict[str, dict[str, Json]]:
        """Every measure of every pair of `PAIRS`.

        Args:
            features: set -> (N, D), rows as in `groups`.

        Returns:
            measure -> pair -> ``{"value", "low", "high"}``, None where undefined, with ``why``.
        """
        found: dict[str, dict[str, Json]] = {name: {} for name in MEASURES}
        for pair in PAIRS:
            one, other = pair.split("_")
            measured = self._itself(features[one], one) if one == other else self._two(features, one, other)
            for name, value in measured.items():
                found[name][pair] = value
        return found

    def change(self, before: Mapping[str, Features], after: Mapping[str, Features]) -> dict[str, Json]:
        """Measures of natural against medical images before and after training, and their paired difference.

        Returns:
            measure -> ``{"before", "after", "difference": {"value", "low", "high"}}``.
        """
        found: dict[str, Json] = {}
        names = ("natural", "medical")
        owners = [self.groups[name] for name in names]
        for kinds, of in _OF_WEIGHTS:

            def both(v: Floats, w: Floats, of: OfWeights = of) -> dict[str, Floats]:
                first, last = (of(state["natural"], state["medical"], v, w) for state in (before, after))
                return {
                    **{f"before {name}": value for name, value in first.items()},
                    **{f"after {name}": value for name, value in last.items()},
                    **{name: last[name] - first[name] for name in first},
                }

            found |= _guarded_change(kinds, lambda both=both: self._bootstrapped(both, owners))  # type: ignore[misc]
        for name, statistic, count in self._of_rows():
            found |= _guarded_change(
                (name,),
                lambda n=name, s=statistic, c=count: {n: self._halved_change(s, before, after, c)},  # type: ignore[misc]
            )
        return {name: found[name] for name in MEASURES}

    def alignment(self, one: Features, other: Features, name: str) -> Json:
        """Debiased linear CKA of two representations of the images of one set."""
        return self._jackknife(lambda rows: linear_cka(one[rows], other[rows], debiased=True), name)

    def dimensions(self, features: Features, name: str) -> dict[str, Json]:
        """Intrinsic dimension (TwoNN) and effective rank of one set."""

        def intrinsic(rows: Rows) -> float:
            value = two_nn(features[rows])["value"]
            return np.nan if value is None else value

        return {
            "intrinsic_dimension": self._jackknife(intrinsic, name),
            "effective_rank": self._jackknife(lambda rows: effective_rank(features[rows]), name),
        }

    def _two(self, features: Mapping[str, Features], one: str, other: str) -> dict[str, Json]:
        """Two sets: bootstrap, halves, and DeLong for the AUROC."""
        a, b, owners = features[one], features[other], [self.groups[one], self.groups[other]]
        found: dict[str, Json] = {}
        for names, of in _OF_WEIGHTS:
            found |= _guarded(
                names,
                lambda of=of: self._bootstrapped(lambda v, w: of(a, b, v, w), owners),  # type: ignore[misc]
            )
        for name, statistic in _OF_SETS:
            found |= _guarded(
                (name,),
                lambda s=statistic, n=name: {n: self._mean_over_halves(s, features, (one, other))},  # type: ignore[misc]
            )
        return found | _guarded(("two_sample_auroc",), lambda: {"two_sample_auroc": self._probed(a, b, *owners)})

    def _itself(self, features: Features, name: str) -> dict[str, Json]:
        """One set: what its random halvings give."""
        halvings, keys = self._halvings[name], self.groups[name]
        left, right = np.zeros((2, len(halvings), len(keys)))
        for at, halving in enumerate(halvings):
            left[at, halving.left], right[at, halving.right] = 1, 1
        found: dict[str, Json] = {}
        for names, of in _OF_WEIGHTS:
            found |= _guarded(
                names,
                lambda of=of: {n: self._range(v) for n, v in of(features, features, left, right).items()},  # type: ignore[misc]
            )
        probe = ("two_sample_auroc", _auroc_of, PROBED)
        for measure, statistic, count in (*((n, s, HALVES) for n, s in _OF_SETS), probe):
            found |= _guarded(
                (measure,),
                lambda m=measure, s=statistic, c=count: {  # type: ignore[misc]
                    m: self._range(
                        [s(features[h.left], features[h.right], keys[h.left], keys[h.right]) for h in halvings[:c]]
                    )
                },
            )
        return found

    def _over_halves(
        self, statistic: OfGroups, features: Mapping[str, Features], names: tuple[str, str], count: int
    ) -> Floats:
        """(count,) values of half of one set against half of the other."""
        one, other = names
        pairs = zip(self._paired[one][:count], self._paired[other][:count], strict=True)
        values = [
            statistic(
                features[one][h.left], features[other][k.right],
                self.groups[one][h.left], self.groups[other][k.right],
            )
            for h, k in pairs
        ]  # fmt: skip
        return np.array(values)

    def _mean_over_halves(self, statistic: OfGroups, features: Mapping[str, Features], names: tuple[str, str]) -> Json:
        values = self._over_halves(statistic, features, names, HALVES)
        return self._student(float(values.mean()), values, self._scale(names, HALVES))

    def _scale(self, names: tuple[str, str], count: int) -> float:
        """Spread of a statistic of halves -> standard error of its mean over `count` of them.

        sqrt(m / (n - m)) for m of n patients, the larger of both sets; 1 / `count` is for the drawing of halves.
        """
        ratios = []
        for name, side in zip(names, ("left", "right"), strict=True):
            keys, halvings = self._owner[name], self._paired[name][:count]
            drawn = float(np.mean([len(np.unique(keys[getattr(halving, side)])) for halving in halvings]))
            ratios.append(drawn / max(1.0, self._pool[name] - drawn))
        return float(np.sqrt(max(ratios) + 1 / count))

    def _halved_change(
        self, statistic: OfGroups, before: Mapping[str, Features], after: Mapping[str, Features], count: int
    ) -> Json:
        names = ("natural", "medical")
        first, last = (self._over_halves(statistic, state, names, count) for state in (before, after))
        change = last - first
        return {
            "before": float(first.mean()),
            "after": float(last.mean()),
            "difference": self._student(float(change.mean()), change, self._scale(names, count)),
        }

    @staticmethod
    def _of_rows() -> list[tuple[str, OfGroups, int]]:
        return [*((name, statistic, HALVES) for name, statistic in _OF_SETS), ("two_sample_auroc", _auroc_of, PROBED)]

    def _bootstrapped(self, statistic: Callable[[Floats, Floats], dict[str, Floats]], owners: list[Groups]) -> Json:
        drawn = bootstrap(
            statistic, *owners, resamples=self.resamples, rng=np.random.default_rng([self.seed, 2]), level=self.level
        )
        return {name: {key: entry[key] for key in ("value", "low", "high")} for name, entry in drawn.items()}

    def _probed(self, a: Features, b: Features, groups_a: Groups, groups_b: Groups) -> Json:
        found = two_sample(a, b, groups_a=groups_a, groups_b=groups_b, seed=self.seed, level=self.level)
        return {"value": found["auroc"], "low": found["low"], "high": found["high"]}

    def _jackknife(self, statistic: Callable[[Rows], float], name: str) -> Json:
        """Value of all rows, Student's interval from random halves of the patients (see `resampling.half_sample`)."""
        owner, rng = self._owner[name], np.random.default_rng([self.seed, 3])

        def measured() -> Json:
            value = statistic(np.arange(len(owner)))
            drawn = [half_of_the_groups(owner, rng) for _ in range(HALVES)]
            values = np.array([statistic(rows) for rows, _ in drawn])
            return {name: self._student(value, values, drawn[0][1])}

        return _guarded((name,), measured)[name]

    def _student(self, middle: float, values: Floats, scale: float) -> Json:
        """An interval of t from a few drawn values, whose spread times `scale` is the standard error."""
        error = float(stdtrit(len(values) - 1, (1 + self.level) / 2)) * scale * float(values.std(ddof=1))
        return _value(middle, middle - error, middle + error)

    def _range(self, values: Floats | list[float]) -> Json:
        drawn = np.asarray(values, dtype=np.float64)
        return _value(float(drawn.mean()), *percentile_interval(drawn, self.level))


OfGroups = Callable[[Features, Features, Groups, Groups], float]


def _frechet_of(a: Features, b: Features, _ga: Groups, _gb: Groups) -> float:
    return frechet(a, b)


def _overlap_of(a: Features, b: Features, groups_a: Groups, groups_b: Groups) -> float:
    """Share of nearest neighbours from the other set, of what it would be if the sets were mixed at random.

    Of the set where it is smaller: the neighbours of a wide set are in a narrow one that lies in its middle.
    """
    found = neighbours(a, b, k=NEIGHBOURS, groups_a=groups_a, groups_b=groups_b)
    return min((1 - found["own_a"]) / (1 - found["own_a_mixed"]), (1 - found["own_b"]) / (1 - found["own_b_mixed"]))


def _auroc_of(a: Features, b: Features, groups_a: Groups, groups_b: Groups) -> float:
    return two_sample(a, b, groups_a=groups_a, groups_b=groups_b)["auroc"]


def _distances_of(a: Features, b: Features, v: Floats, w: Floats) -> dict[str, Floats]:
    found = pairwise_draws(a, b, v, w)
    return {"distance": found["between"], "ratio": found["ratio"]}


def _cosines_of(a: Features, b: Features, v: Floats, w: Floats) -> dict[str, Floats]:
    return {"cosine_ratio": pairwise_draws(a, b, v, w, distance="cosine")["ratio"]}


def _kid_of(a: Features, b: Features, v: Floats, w: Floats) -> dict[str, Floats]:
    return {"kid": mmd_draws(a, b, v, w)["mmd2"]}


_OF_WEIGHTS: tuple[tuple[tuple[str, ...], OfWeights], ...] = (
    (("distance", "ratio"), _distances_of),
    (("cosine_ratio",), _cosines_of),
    (("kid",), _kid_of),
)
_OF_SETS: tuple[tuple[str, OfGroups], ...] = (("frechet", _frechet_of), ("neighbour_overlap", _overlap_of))


def _value(value: float, low: float, high: float) -> Json:
    known = [None if np.isnan(number) else float(number) for number in (value, low, high)]
    return dict(zip(("value", "low", "high"), known, strict=True)) | _why(known[0])


def _why(value: float | None) -> Json:
    return {} if value is not None else {"why": "undefined: the features do not vary"}


def _guarded(names: tuple[str, ...], measured: Callable[[], Json]) -> dict[str, Json]:
    """What is measured, or why these features do not allow it."""
    try:
        found = measured()
    except DataError as error:
        return {name: {"value": None, "low": None, "high": None, "why": str(error.args[0])} for name in names}
    return {name: found[name] | _why(found[name]["value"]) for name in names}


def _guarded_change(names: tuple[str, ...], measured: Callable[[], Json]) -> dict[str, Json]:
    try:
        found = measured()
    except DataError as error:
        nothing = {"value": None, "low": None, "high": None, "why": str(error.args[0])}
        return {name: {"before": None, "after": None, "difference": nothing} for name in names}
    if "before" in next(iter(found.values())):
        return found
    return {
        name: {
            "before": found[f"before {name}"]["value"],
            "after": found[f"after {name}"]["value"],
            "difference": found[name] | _why(found[name]["value"]),
        }
        for name in names
    }
