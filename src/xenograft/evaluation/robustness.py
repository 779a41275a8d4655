"""(labels, clean probabilities, probabilities of the same images changed) -> what each change costs, with intervals.

Every changed set is compared with the clean one on the same images and the same resamples of patients, so what makes
the images hard for both cancels out, and levels can be compared with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xenograft.evaluation.metrics import (
    Floats,
    Labels,
    Scores,
    binary_log_loss,
    check_probabilities,
    check_threshold,
    decision_metrics,
    wrong,
)
from xenograft.evaluation.multilabel import Finding, check_multilabel, check_thresholds, finding_tables, prepare
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

MEASURED = ("auroc", "accuracy", "recall", "specificity", "loss")
JUDGED = ("auroc", "accuracy")
"""Metrics of which the first level is sought at which too much is lost."""

AMOUNT = 0.02
"""Loss of a judged metric that is too much, unless another is stated."""

Json = dict[str, Any]
Key = tuple[str, int]
Kernel = Callable[[Floats], dict[str, Floats]]
Threshold = float | Sequence[float] | None

_CLEAN: Key = ("", 0)
_FLIPS, _MOVED = "flips", "moved"


def robustness_card(
    labels: Labels,
    clean: Scores,
    changed: Mapping[Key, Scores],
    patients: NDArray[Any],
    *,
    threshold: Threshold = None,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
    amount: float = AMOUNT,
) -> Json:
    """Metrics, paired losses and flipped answers of every changed set.

    Two classes are decided by `threshold`, more than two by the highest probability, findings by a threshold each. Of
    more than two classes and of findings, metrics are plain means (`multiclass_metrics`, `multilabel_metrics`).

    Args:
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        clean: (N, C), rows summing to one, for two classes the second is the positive one; or (N, L).
        changed: (name of the change, level from 1 on) -> probabilities of the same images, as `clean`.
        patients: (N,) patient keys.
        threshold: chosen before, on other images: one number for two classes, one or one each for findings, None for
            more than two classes.
        resamples, level, rng: of the bootstrap, see `cluster_weights`.
        amount: loss of a metric of `JUDGED`, above 0, that is too much.

    Returns:
        ``images``, ``patients``, ``resamples``, ``level``, ``amount``, ``threshold``; ``clean``: metric of `MEASURED`
        -> ``value``, ``low``, ``high``; ``changes``: for each name, in the order of `changed`, ``name``, ``levels``
        (rising: ``level``, ``metrics`` as in ``clean``, ``differences``: metric -> ``difference`` (changed minus
        clean), ``low``, ``high``; ``flips``: share of answers that are another, ``moved``: mean absolute change of
        probability, for several classes half the sum over them, each with ``value``, ``low``, ``high``) and ``first``:
        metric of `JUDGED` -> the lowest level at which more than `amount` is lost and the interval of the difference
        lies below 0, or None. None stands for undefined. Intervals are pointwise: not adjusted for their number.

    Raises:
        DataError: unusable arrays, levels, threshold or amount.
    """
    _check_settings(changed, amount)
    kernels, decide = _kernels(labels, {_CLEAN: clean, **changed}, threshold)
    exclusive = np.ndim(labels) == 1
    apart = {key: _apart(clean, table, decide, exclusive=exclusive) for key, table in changed.items()}

    def statistic(weights: Floats) -> dict[tuple[Key, str], Floats]:
        base = kernels[_CLEAN](weights)
        found = {(_CLEAN, m): base[m] for m in MEASURED}
        for key in changed:
            values = kernels[key](weights)
            found |= {(key, m): values[m] for m in MEASURED}
            found |= {(key, f"{m} lost"): values[m] - base[m] for m in MEASURED}
            found |= dict(zip(((key, _FLIPS), (key, _MOVED)), _means(apart[key], weights), strict=True))
        return found

    drawn = bootstrap(statistic, labels, patients, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, len(labels))))

    def told(key: Key, what: str, name: str = "value") -> dict[str, float | None]:
        return summary(float(whole[key, what][0]), drawn[key, what], level=level, key=name)

    def entry(key: Key) -> Json:
        return {
            "level": key[1],
            "metrics": {m: told(key, m) for m in MEASURED},
            "differences": {m: told(key, f"{m} lost", "difference") for m in MEASURED},
            _FLIPS: told(key, _FLIPS),
            _MOVED: told(key, _MOVED),
        }

    names = dict.fromkeys(name for name, _ in changed)
    levels = {name: [entry((name, at)) for at in sorted(at for n, at in changed if n == name)] for name in names}
    return {
        "images": len(labels),
        "patients": int(np.unique(patients).size),
        "resamples": int(resamples),
        "level": float(level),
        "amount": float(amount),
        "threshold": list(threshold) if isinstance(threshold, Sequence) else threshold,
        "clean": {m: told(_CLEAN, m) for m in MEASURED},
        "changes": [
            {"name": name, "levels": rows, "first": {m: first_loss(rows, m, amount) for m in JUDGED}}
            for name, rows in levels.items()
        ],
    }


def first_loss(levels: Sequence[Mapping[str, Any]], metric: str, amount: float) -> int | None:
    """The first of rising levels at which `metric` lost more than `amount`, its interval wholly below 0."""
    for row in levels:
        found = row["differences"][metric]
        if found["high"] is not None and found["high"] < 0 and found["difference"] < -amount:
            return int(row["level"])
    return None


def check_amount(amount: float) -> None:
    """DataError unless it is above 0 and below 1."""
    if not 0 < amount < 1:
        raise wrong("amount", f"{amount}", "above 0 and below 1")


# Kernels: what all resamples share is prepared once for each set; weights (B, N) float64, values (B,).


@dataclass(frozen=True, slots=True)
class _Classes:
    """C > 2 classes: rankings of each against the rest, and the decisions."""

    truth: NDArray[np.int64]
    predicted: NDArray[np.intp]
    rankings: list[Finding]
    sums: csr_array

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        loss, accuracy = _means(self.sums, weights)
        each = [
            decision_metrics(self.truth == k, self.predicted == k, weights) for k in range(len(self.rankings))
        ]  # of one class against the rest
        return {
            "auroc": finding_tables(self.rankings, weights)[""][0]["auroc"],
            "accuracy": accuracy,
            "recall": np.mean([row["recall"] for row in each], axis=0),
            "specificity": np.mean([row["specificity"] for row in each], axis=0),
            "loss": loss,
        }


def _kernels(
    labels: Labels, tables: Mapping[Key, Scores], threshold: Threshold
) -> tuple[dict[Key, Kernel], Callable[[Floats], NDArray[Any]]]:
    """The kernel of each set, and what decides: probabilities -> (N, columns) answers."""
    if np.ndim(labels) == 2:
        findings = {key: check_multilabel(labels, table, name=_called(key)) for key, table in tables.items()}
        count = np.shape(labels)[1]
        cuts = check_thresholds(0.5 if threshold is None else threshold, findings=count)
        return (
            {key: _ranked(truth, table, cuts) for key, (truth, table) in findings.items()},
            lambda table: table >= np.asarray(cuts),
        )
    checked = {key: check_probabilities(labels, table, name=_called(key)) for key, table in tables.items()}
    shapes = {table.shape for _, table in checked.values()}
    if len(shapes) > 1:
        raise wrong("probabilities", f"shapes {sorted(shapes)}", "the same classes in every set")
    if checked[_CLEAN][1].shape[1] > 2:
        if threshold is not None:
            raise wrong("threshold", f"{threshold} for more than two classes", "None: the highest probability decides")
        return (
            {key: _several(truth, table) for key, (truth, table) in checked.items()},
            lambda table: table.argmax(axis=1)[:, None],
        )
    if threshold is None or isinstance(threshold, Sequence):
        raise wrong("threshold", f"{threshold}", "one number in [0, 1] for two classes")
    check_threshold(threshold)
    return (
        {key: _ranked(truth[:, None], table[:, 1:], [threshold]) for key, (truth, table) in checked.items()},
        lambda table: table[:, 1:] >= threshold,
    )


def _ranked(truth: NDArray[np.int64], table: Floats, cuts: Sequence[float]) -> Kernel:
    """Two classes are one finding that is known of every image."""
    findings = prepare(truth, table, {"": cuts})
    return lambda weights: finding_tables(findings, weights)[""][0]


def _several(truth: NDArray[np.int64], table: Floats) -> Kernel:
    each = np.arange(table.shape[1])
    predicted = table.argmax(axis=1)
    of_truth = table[np.arange(truth.size), truth]
    loss = binary_log_loss(np.ones(truth.size, dtype=np.bool_), of_truth)
    rankings = prepare((truth[:, None] == each).astype(np.int64), table, {"": [0.5] * each.size})
    return _Classes(truth, predicted, rankings, csr_array(np.stack([loss, predicted == truth])))


def _apart(clean: Scores, table: Scores, decide: Callable[[Floats], NDArray[Any]], *, exclusive: bool) -> csr_array:
    """(2, N): the share of an image's answers that flipped, and how far its probabilities moved."""
    before, after = np.asarray(clean, dtype=np.float64), np.asarray(table, dtype=np.float64)
    flipped = (decide(before) != decide(after)).mean(axis=1)
    # in rows that sum to one, what one class gains the others lose: half, so that it is not counted twice
    moved = np.abs(after - before).sum(axis=1) / 2 if exclusive else np.abs(after - before).mean(axis=1)
    return csr_array(np.stack([flipped, moved]))


def _means(sums: csr_array, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted means (B,) of two quantities (2, N) of each image."""
    first, second = (sums @ weights.T) / weights.sum(axis=1)
    return first, second


def _called(key: Key) -> str:
    return "clean probabilities" if key == _CLEAN else f"probabilities of {key[0]} {key[1]}"


def _check_settings(changed: Mapping[Key, Scores], amount: float) -> None:
    if not changed:
        raise wrong("changed", "no change", "one or more")
    for name, at in changed:
        if not name or at < 1:
            raise wrong("changed", f"{name!r} at level {at}", "a name and a level from 1 on")
    check_amount(amount)
