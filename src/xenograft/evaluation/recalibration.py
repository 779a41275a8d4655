"""(validation labels, probabilities) -> a map from probabilities to calibrated ones; kept as JSON, applied with numpy.

Fit on validation, never on the images that are then measured. Temperature and Platt keep the order of the images, so
AUROC does not change; isotonic regression makes ties. With a few hundred images prefer those two: an isotonic fit has
as many parameters as steps, and mostly says 0 and 1 at its ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from xenograft.evaluation.metrics import (
    CLIP,
    Floats,
    Labels,
    Scores,
    check_binary,
    check_probabilities,
    check_unit,
    wrong,
)
from xenograft.evaluation.threshold import MIN_PER_CLASS

COLDEST, HOTTEST = 0.05, 20.0
_TINY = 1e-300  # so that the smallest scores keep their order
_NEAREST = 2.0**-54  # stands for 1 - score where the score is 1; the float below has 2**-53
_MOST_STEPS = 50  # of Newton; near separation a step moves the log-odds by about one
_LONGEST_STEP = 2.0
_TOLERANCE = 1e-9
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Temperature:
    """Log-probabilities divided by one number (Guo et al. 2017, arXiv:1706.04599): above 1 it takes back confidence.

    Args:
        temperature: from `COLDEST` to `HOTTEST`.
        n: images it was fitted on.
    """

    temperature: float
    n: int

    @classmethod
    def fit(cls, labels: Labels, probabilities: Scores) -> Self:
        """The temperature of the lowest log-loss; at a bound where the classes are separated, or told by chance.

        Args:
            labels: (N,) class index.
            probabilities: (N,) of class 1, or (N, C) rows summing to one; clipped to 1e-7 from below (and, of class 1
                alone, to 1 - 1e-7 from above).

        Raises:
            DataError: unusable arrays, or fewer than 10 images of a class.
        """
        from scipy.optimize import brentq

        truth, table = _checked(labels, probabilities)
        log_p = np.log(np.maximum(table, CLIP))
        of_truth = log_p[np.arange(truth.size), truth]

        def slope(log_temperature: float) -> float:
            """Derivative of the log-loss by 1 / temperature, in which it is convex."""
            return float((_softmax(log_p * np.exp(-log_temperature)) * log_p).sum(axis=1).mean() - of_truth.mean())

        low, high = np.log(COLDEST), np.log(HOTTEST)
        if slope(low) <= 0:  # colder still would be better
            return cls(COLDEST, truth.size)
        if slope(high) >= 0:
            return cls(HOTTEST, truth.size)
        return cls(float(np.exp(brentq(slope, low, high, xtol=1e-12))), truth.size)

    def apply(self, probabilities: Scores) -> Floats:
        """Probabilities of the same shape: (N,) of class 1, or (N, C).

        Raises:
            DataError: not numbers in [0, 1], or neither (N,) nor (N, C) with C > 1.
        """
        table = _shaped(probabilities)
        if table.ndim == 2 and table.shape[1] > 2:
            return _softmax(np.log(np.maximum(table, _TINY)) / self.temperature)
        return _logistic(_log_odds(table) / self.temperature, table.ndim)

    def as_json(self) -> Json:
        """For `from_json`."""
        return {"method": "temperature", "temperature": self.temperature, "n": self.n}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The same map again.

        Raises:
            DataError: not such a record.
        """
        (temperature,) = _numbers(record, "temperature", ("temperature",))
        if not COLDEST <= temperature <= HOTTEST:
            raise wrong("temperature", f"{temperature}", f"{COLDEST:g} to {HOTTEST:g}")
        return cls(temperature, _count(record))


@dataclass(frozen=True, slots=True)
class Platt:
    """Logistic regression on the log-odds of class 1: slope times log-odds plus intercept (Platt 1999).

    Args:
        slope: above 0.
        intercept: in log-odds.
        n: images it was fitted on.
    """

    slope: float
    intercept: float
    n: int

    @classmethod
    def fit(cls, labels: Labels, probabilities: Scores) -> Self:
        """Maximum likelihood with Platt's smoothed targets, (P + 1) / (P + 2) for the P positives and 1 / (Q + 2) for
        the Q negatives, by Newton's method (Lin et al. 2007, doi:10.1007/s10994-007-5018-6).

        Args:
            labels: (N,) in {0, 1}.
            probabilities: (N,) of class 1, or (N, 2); clipped to [1e-7, 1 - 1e-7].

        Raises:
            DataError: unusable arrays, fewer than 10 images of a class, all probabilities equal, or a slope that is not
                above 0 (the probabilities rank the classes the wrong way round).
        """
        truth, table = _checked(labels, probabilities, classes=2)
        clipped = np.clip(table[:, 1], CLIP, 1 - CLIP)
        if clipped.min() == clipped.max():
            raise wrong("probabilities", f"{clipped[0]:g} for every image", "at least two different ones")
        negatives, positives = np.bincount(truth)
        targets = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        (slope,), (intercept,) = logistic_fit(
            np.log(clipped) - np.log(1 - clipped), targets, np.full((1, truth.size), 1 / truth.size)
        )
        if not slope > 0:  # nan too
            raise wrong("probabilities", f"a slope of {slope:.3g} on these labels", "a slope above 0")
        return cls(float(slope), float(intercept), truth.size)

    def apply(self, probabilities: Scores) -> Floats:
        """Probabilities of the same shape: (N,) of class 1, or (N, 2).

        Raises:
            DataError: not numbers in [0, 1], or neither (N,) nor (N, 2).
        """
        table = _shaped(probabilities, classes=2)
        return _logistic(self.slope * _log_odds(table) + self.intercept, table.ndim)

    def as_json(self) -> Json:
        """For `from_json`."""
        return {"method": "platt", "slope": self.slope, "intercept": self.intercept, "n": self.n}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The same map again.

        Raises:
            DataError: not such a record.
        """
        slope, intercept = _numbers(record, "platt", ("slope", "intercept"))
        if slope <= 0:
            raise wrong("slope", f"{slope}", "above 0")
        return cls(slope, intercept, _count(record))


@dataclass(frozen=True, slots=True)
class Isotonic:
    """The increasing step-like map of the lowest squared error (Zadrozny & Elkan 2002, doi:10.1145/775047.775151).

    Args:
        scores: (K,) knots, increasing; the map is straight between them and level outside.
        shares: (K,) calibrated probability at each knot, not decreasing.
        n: images it was fitted on.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]
    n: int

    @classmethod
    def fit(cls, labels: Labels, probabilities: Scores) -> Self:
        """Pool adjacent violators, of scikit-learn.

        Args:
            labels: (N,) in {0, 1}.
            probabilities: (N,) of class 1, or (N, 2).

        Raises:
            DataError: unusable arrays, or fewer than 10 images of a class.
        """
        from sklearn.isotonic import IsotonicRegression

        truth, table = _checked(labels, probabilities, classes=2)
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(table[:, 1], truth)
        return cls(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()), truth.size)

    def apply(self, probabilities: Scores) -> Floats:
        """Probabilities of the same shape: (N,) of class 1, or (N, 2).

        Raises:
            DataError: not numbers in [0, 1], or neither (N,) nor (N, 2).
        """
        table = _shaped(probabilities, classes=2)
        share: Floats = np.interp(table if table.ndim == 1 else table[:, 1], self.scores, self.shares)
        return share if table.ndim == 1 else np.stack([1 - share, share], axis=1)

    def as_json(self) -> Json:
        """For `from_json`."""
        return {"method": "isotonic", "scores": list(self.scores), "shares": list(self.shares), "n": self.n}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The same map again.

        Raises:
            DataError: not such a record.
        """
        _check_method(record, "isotonic")
        columns = [record.get(name) for name in ("scores", "shares")]
        for name, column in zip(("scores", "shares"), columns, strict=True):
            if not isinstance(column, Sequence) or isinstance(column, str) or not column:
                raise wrong(name, f"{column!r}", "a list of numbers")
            for number in column:
                _check_number(name, number)
        scores, shares = (np.array(column, dtype=np.float64) for column in columns)
        if scores.size != shares.size or (np.diff(scores) <= 0).any() or (np.diff(shares) < 0).any():
            raise wrong("scores and shares", f"{scores.size} and {shares.size} knots", "as many of both, increasing")
        for name, column in (("scores", scores), ("shares", shares)):
            check_unit(column, name)
        return cls(tuple(scores.tolist()), tuple(shares.tolist()), _count(record))


Recalibration: TypeAlias = Temperature | Platt | Isotonic
METHODS: dict[str, type[Recalibration]] = {"temperature": Temperature, "platt": Platt, "isotonic": Isotonic}


def from_json(record: Mapping[str, Any]) -> Recalibration:
    """The map that any of the three wrote with ``as_json``.

    Raises:
        DataError: not such a record.
    """
    method = record.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise wrong("method", f"{method!r}", " | ".join(METHODS))
    return METHODS[method].from_json(record)


def logistic_fit(values: Floats, targets: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Slope and intercept (B,) of the logistic regression of targets on values; nan where Newton does not settle.

    Args:
        values: (N,), not all equal.
        targets: (N,) in [0, 1].
        shares: (B, N), rows summing to one.
    """
    centre, spread = float(values.mean()), float(values.std())
    design = np.stack([np.ones(values.size), (values - centre) / spread])
    coefficients = _from_all(design, targets, shares)
    slope = coefficients[:, 1] / spread
    return slope, coefficients[:, 0] - slope * centre


def logistic_shift(log_odds: Floats, targets: Floats, shares: Floats) -> Floats:
    """Intercept (B,) of the logistic regression of targets on log-odds whose slope is held at 1.

    Args and undefined values: as in `logistic_fit`.
    """
    return _from_all(np.ones((1, log_odds.size)), targets, shares, offset=log_odds)[:, 0]


def _from_all(design: Floats, targets: Floats, shares: Floats, *, offset: Floats | float = 0.0) -> Floats:
    """`_newton`, every resample starting where all images, counted once, end: a few steps are then enough."""
    everything = np.full((1, targets.size), 1 / targets.size)
    (start,) = _newton(design, targets, everything, offset=offset)
    return _newton(design, targets, shares, offset=offset, start=None if np.isnan(start).any() else start)


def _newton(
    design: Floats,
    targets: Floats,
    shares: Floats,
    *,
    offset: Floats | float = 0.0,
    start: Floats | None = None,
) -> Floats:
    """Coefficients (B, P) of the rows of design (P, N) in a logistic regression with a fixed offset.

    A resample leaves the loop when it has settled.
    """
    fitted = np.tile(np.zeros(len(design)) if start is None else start, (len(shares), 1))
    active = np.arange(len(shares))
    for _ in range(_MOST_STEPS):
        mass = shares[active]
        probability = expit(offset + sum(c[:, None] * row for c, row in zip(fitted[active].T, design, strict=True)))
        slack = mass * (targets - probability)
        gradient = np.stack([(slack * row).sum(axis=1) for row in design], axis=1)
        mass *= probability * (1 - probability)
        curvature = np.stack([[(mass * (a * b)).sum(axis=1) for a in design] for b in design]).transpose(2, 0, 1)
        curvature += 1e-12 * np.eye(len(design))  # keeps a flat place solvable; does not move the solution
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        length = np.abs(step).max(axis=1)
        fitted[active] += step * np.minimum(1, _LONGEST_STEP / np.maximum(length, _TOLERANCE))[:, None]
        active = active[length > _TOLERANCE]
        if not active.size:
            break
    fitted[active] = np.nan
    return fitted


def _checked(labels: Labels, probabilities: Scores, *, classes: int | None = None) -> tuple[NDArray[np.int64], Floats]:
    """Labels (N,) and probabilities (N, C) with enough images of each class, or DataError."""
    if np.ndim(probabilities) == 1:
        truth, score = check_binary(labels, probabilities, name="probabilities")
        table = np.stack([1 - score, score], axis=1)
    else:
        truth, table = check_probabilities(labels, probabilities)
    if classes is not None and table.shape[1] != classes:
        raise wrong("probabilities", f"shape {table.shape}", f"(N,) or (N, {classes})")
    counts = np.bincount(truth, minlength=table.shape[1])
    if counts.min() < MIN_PER_CLASS:
        raise wrong(
            "labels", f"{counts.min()} images of class {counts.argmin()}", f"{MIN_PER_CLASS} or more of each class"
        )
    return truth, table


def _shaped(probabilities: Scores, *, classes: int | None = None) -> Floats:
    table = check_unit(probabilities, "probabilities")
    if table.ndim == 1 or (table.ndim == 2 and table.shape[1] > 1 and classes in (None, table.shape[1])):
        return table
    raise wrong("probabilities", f"shape {table.shape}", f"(N,) or (N, {classes or 'C'})")


def _log_odds(table: Floats) -> Floats:
    """Log-odds (N,) of class 1, of (N,) or (N, 2); increasing over all floats, finite at 0 and 1."""
    above, below, least = (table, 1 - table, _NEAREST) if table.ndim == 1 else (table[:, 1], table[:, 0], _TINY)
    odds: Floats = np.log(np.maximum(above, _TINY)) - np.log(np.maximum(below, least))
    return odds


def _logistic(log_odds: Floats, dimensions: int) -> Floats:
    """Probability (N,) of class 1, or (N, 2) of both. In this form rounding cannot change the order of two images."""
    bounded = np.clip(log_odds, -700, 700)
    share: Floats = 1 / (1 + np.exp(-bounded))
    return share if dimensions == 1 else np.stack([1 / (1 + np.exp(bounded)), share], axis=1)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: Floats = powers / powers.sum(axis=1, keepdims=True)
    return share


def _numbers(record: Mapping[str, Any], method: str, names: Sequence[str]) -> list[float]:
    _check_method(record, method)
    return [_check_number(name, record.get(name)) for name in names]


def _check_method(record: Mapping[str, Any], method: str) -> None:
    if record.get("method") != method:
        raise wrong("method", f"{record.get('method')!r}", method)


def _check_number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise wrong(name, f"{value!r}", "a finite number")
    return float(value)


def _count(record: Mapping[str, Any]) -> int:
    count = record.get("n")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise wrong("n", f"{count!r}", "a whole number above 0")
    return count
