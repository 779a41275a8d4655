"""(printed metrics, class counts of the test set) -> the confusion counts that can have been printed so.

With P positive and N negative images a row of a published table comes from one TP in 0..P and one FP in 0..N. Every
metric here falls (or stays) while FP grows at a fixed TP, so the values of FP that one printed number allows are one
interval for each TP, and several numbers allow what their intervals share. Nothing is approximated: a row without any
such counts cannot come from one such confusion matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, cell_metrics, ratio, wrong
from xenograft.evaluation.uncertainty import LEVEL, percentile_interval, wilson

Ints = NDArray[np.int64]

RECOVERABLE = ("accuracy", "precision", "recall", "specificity", "npv", "f1", "g_mean", "balanced_accuracy", "mcc")
CONVENTIONS = ("positive", "other", "macro", "weighted")
RULES = ("rounded", "cut", "mixed")
MOST_IMAGES = 200_000
DRAWS = 20_000
_TINY = 1e-12  # below any distance of two fractions that these sizes and six decimals can make


@dataclass(frozen=True, slots=True)
class Printed:
    """One number as it was printed.

    Args:
        value: as a fraction: 0.931 for 93.1 %. step: one unit of its last digit, as a fraction: 0.001 for 93.1 %.
    """

    value: float
    step: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts that agree with a row, or with what remains of it.

    Args:
        left_out: metrics that were not looked at. rules: how numbers became printed digits: ``rounded`` (to the
            nearest), ``cut`` (truncated), or ``mixed`` where only some of each explains the row.
        counts: (K, 4) TP, FP, FN, TN.
    """

    left_out: tuple[str, ...]
    rules: tuple[str, ...]
    counts: Ints


@dataclass(frozen=True, slots=True)
class Recovery:
    """What can be said about one row.

    Args:
        possible: one confusion matrix can have all of the printed numbers.
        readings: where possible, one, with nothing left out; otherwise one for each smallest set of numbers (one or
            two) without which the others are possible; none where that does not help either.
        conventions: where impossible, those of ``other``, ``macro`` and ``weighted`` under which all numbers are
            possible, see `count_metrics`.
    """

    possible: bool
    readings: tuple[Reading, ...]
    conventions: tuple[str, ...]

    @property
    def counts(self) -> Ints:
        """(K, 4) distinct counts of all readings."""
        empty = np.empty((0, 4), dtype=np.int64)
        return np.unique(np.concatenate([empty, *(reading.counts for reading in self.readings)]), axis=0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric over all counts of a row: its lowest and highest value, and the interval around both."""

    least: float
    most: float
    low: float
    high: float


def recover(printed: Mapping[str, Printed], *, positives: int, negatives: int) -> Recovery:
    """Find every (TP, FP, FN, TN) that agrees with the digits of a row.

    First all numbers are taken as rounded, and all as cut; only where neither explains the row, each as either. A
    number exactly between two roundings may have gone both ways.

    Args:
        printed: metric of `RECOVERABLE` -> number, at least one.
        positives: images of the positive class in the test set; `negatives`: of the other.

    Raises:
        DataError: no number, an unknown metric, a value or step out of range, or a class without images or with more
            than 200,000.
    """
    _check_printed(printed)
    _check_sizes(positives, negatives)
    windows = _windows(printed, positives, negatives, "positive")
    whole = _reading(windows, (), positives, negatives)
    if whole is not None:
        return Recovery(possible=True, readings=(whole,), conventions=())
    others = tuple(
        name
        for name in CONVENTIONS[1:]
        if _reading(_windows(printed, positives, negatives, name), (), positives, negatives) is not None
    )
    return Recovery(possible=False, readings=_without(windows, positives, negatives), conventions=others)


def count_metrics(counts: Floats | Ints, *, convention: str = "positive") -> dict[str, Floats]:
    """`RECOVERABLE` of confusion counts (K, 4) TP, FP, FN, TN: values (K,), 0 where precision, NPV or MCC is 0/0.

    ``balanced_accuracy`` is the mean of sensitivity and specificity, ``mcc`` the correlation of Matthews (1975), the
    others are those of `binary_metrics`.

    Args:
        convention: ``positive``: of the positive class; ``other``: of the other class; ``macro``: their mean;
            ``weighted``: their mean weighted by class size, as scikit-learn's ``average`` means it.
    """
    tp, fp, fn, tn = np.asarray(counts, dtype=np.float64).reshape(-1, 4).T
    own = _of_class(tp, fp, fn, tn)
    if convention == "positive":
        return own
    other = _of_class(tn, fn, fp, tp)
    share = {"other": np.zeros(tp.shape), "macro": np.full(tp.shape, 0.5), "weighted": (tp + fn) / (tp + fp + fn + tn)}
    weight = share[convention]
    return {name: weight * own[name] + (1 - weight) * other[name] for name in own}


def count_intervals(
    counts: Sequence[int] | Ints, *, level: float = LEVEL, draws: int = DRAWS, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Interval of every metric of one confusion matrix, as if every image were of another patient.

    Proportions have Wilson's, which is somewhat wide for precision and NPV where class sizes are fixed. F1, G-mean,
    balanced accuracy and MCC have the central interval of their values at sensitivities and specificities drawn from
    their Jeffreys posteriors, Beta(x + 1/2, n - x + 1/2), at the class sizes given (Brown, Cai & DasGupta 2001 for one
    proportion): unlike resampled counts these also vary where a count is 0.

    Args:
        counts: TP, FP, FN, TN, each class with at least one image.
        draws: of sensitivity and specificity.

    Raises:
        DataError: negative counts, a class without images, or level outside (0, 1).
    """
    cells = np.asarray(counts, dtype=np.int64)
    if cells.shape != (4,) or cells.min() < 0:
        raise wrong("counts", f"{cells.tolist()}", "four numbers, none negative")
    tp, fp, fn, tn = cells.tolist()
    _check_sizes(tp + fn, fp + tn)
    known = {name: float(values[0]) for name, values in count_metrics(cells).items()}
    sensitivity = rng.beta(tp + 0.5, fn + 0.5, draws)
    specificity = rng.beta(tn + 0.5, fp + 0.5, draws)
    p, n = float(tp + fn), float(fp + tn)
    drawn = count_metrics(
        np.stack([p * sensitivity, n * (1 - specificity), p * (1 - sensitivity), n * specificity], axis=1)
    )
    proportions = {
        "accuracy": (tp + tn, tp + fp + fn + tn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "npv": (tn, tn + fn),
    }
    found = {}
    for name in RECOVERABLE:
        if name in proportions:
            found[name] = wilson(*proportions[name], level)
        else:
            low, high = percentile_interval(drawn[name], level)
            found[name] = (min(low, known[name]), max(high, known[name]))  # a perfect row lies at the end of its draws
    return found


def estimates(
    counts: Ints, *, level: float = LEVEL, draws: int = DRAWS, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Range and interval of every metric over (K, 4) possible counts, K > 0.

    The interval goes from the lower end of that of the counts with the lowest value to the upper end of that of the
    counts with the highest. Args and errors: as in `count_intervals`.
    """
    if counts.ndim != 2 or counts.shape[0] == 0 or counts.shape[1] != 4:
        raise wrong("counts", f"shape {counts.shape}", "(K, 4) with K > 0")
    values = count_metrics(counts)
    ends = {name: (int(v.argmin()), int(v.argmax())) for name, v in values.items()}
    chosen = sorted({k for pair in ends.values() for k in pair})
    intervals = {k: count_intervals(counts[k], level=level, draws=draws, rng=rng) for k in chosen}
    return {
        name: Estimate(
            least=float(values[name][a]),
            most=float(values[name][b]),
            low=intervals[a][name][0],
            high=intervals[b][name][1],
        )
        for name, (a, b) in ends.items()
    }


# Windows: of one metric and one rule, the smallest and the largest allowed FP for each TP, (P + 1,) each.

_Window = dict[str, tuple[Ints, Ints]]


def _windows(printed: Mapping[str, Printed], positives: int, negatives: int, convention: str) -> dict[str, _Window]:
    def above(name: str, limit: float) -> Ints:
        """For each TP the number of FP in 0..N whose metric is above the limit, by bisection."""
        tp = np.arange(positives + 1)
        low, high = np.zeros_like(tp), np.full_like(tp, negatives + 1)
        while (open_ := low < high).any():
            middle = np.minimum((low + high) // 2, negatives)
            cells = np.stack([tp, middle, positives - tp, negatives - middle], axis=1)
            greater = count_metrics(cells, convention=convention)[name] > limit
            low = np.where(open_ & greater, middle + 1, low)
            high = np.where(open_ & ~greater, middle, high)
        return low

    found: dict[str, _Window] = {}
    for name, number in printed.items():
        ends = {rule: (above(name, high), above(name, low) - 1) for rule, (low, high) in _limits(number).items()}
        (first, last), (first_cut, last_cut) = ends["rounded"], ends["cut"]
        ends["mixed"] = (np.minimum(first, first_cut), np.maximum(last, last_cut))
        found[name] = ends
    return found


def _limits(number: Printed) -> dict[str, tuple[float, float]]:
    """Values that print as this number, both ends allowed."""
    value, step = number.value, number.step
    return {
        "rounded": (value - step / 2 - _TINY, value + step / 2 + _TINY),
        "cut": (
            value - _TINY if value > 0 else value - step + _TINY,
            value + step - _TINY if value >= 0 else value + _TINY,
        ),
    }


def _reading(windows: dict[str, _Window], left_out: tuple[str, ...], positives: int, negatives: int) -> Reading | None:
    """Counts that agree with all numbers but those left out, or None."""
    names = [name for name in windows if name not in left_out]
    exact = {rule: _counts(windows, names, rule, positives, negatives) for rule in RULES[:2]}
    rules = tuple(rule for rule, counts in exact.items() if len(counts))
    if rules:
        return Reading(left_out, rules, np.unique(np.concatenate([exact[rule] for rule in rules]), axis=0))
    mixed = _counts(windows, names, "mixed", positives, negatives)
    return Reading(left_out, ("mixed",), mixed) if len(mixed) else None


def _counts(windows: dict[str, _Window], names: Iterable[str], rule: str, positives: int, negatives: int) -> Ints:
    """(K, 4) counts in the windows of all these metrics."""
    ends = [windows[name][rule] for name in names]
    first = np.max([first for first, _ in ends], axis=0)
    last = np.min([last for _, last in ends], axis=0)
    sizes = np.maximum(last - first + 1, 0)
    tp = np.repeat(np.arange(positives + 1), sizes)
    fp = np.arange(sizes.sum()) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)
    return np.stack([tp, fp, positives - tp, negatives - fp], axis=1)


def _without(windows: dict[str, _Window], positives: int, negatives: int) -> tuple[Reading, ...]:
    """Readings of the row without one number, or where none helps, without two; at least as many must remain."""
    for size in (1, 2):
        if len(windows) < 2 * size:
            break
        tried = (_reading(windows, names, positives, negatives) for names in combinations(windows, size))
        if found := tuple(reading for reading in tried if reading is not None):
            return found
    return ()


def _of_class(tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> dict[str, Floats]:
    found = cell_metrics(tp, fp, fn, tn)
    balanced = (found["recall"] + found["specificity"]) / 2
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    found |= {
        "npv": ratio(tn, tn + fn, empty=0.0),
        "balanced_accuracy": balanced,
        "mcc": ratio(tp * tn - fp * fn, spread, empty=0.0),
    }
    return {name: found[name] for name in RECOVERABLE}


def _check_printed(printed: Mapping[str, Printed]) -> None:
    if not printed:
        raise wrong("printed", "no number", f"one or more of {', '.join(RECOVERABLE)}")
    for name, number in printed.items():
        if name not in RECOVERABLE:
            raise wrong("printed", f"{name!r}", ", ".join(RECOVERABLE))
        least = -1 if name == "mcc" else 0
        if not least <= number.value <= 1:
            raise wrong(name, f"{number.value}", f"a number in [{least}, 1]")
        if not 1e-6 * (1 - 1e-9) <= number.step <= 1:
            raise wrong(f"step of {name}", f"{number.step}", "1e-6 to 1, a unit of the last printed digit")


def _check_sizes(positives: int, negatives: int) -> None:
    for name, size in (("positives", positives), ("negatives", negatives)):
        if not 1 <= size <= MOST_IMAGES:
            raise wrong(name, f"{size}", f"1 to {MOST_IMAGES} images")
