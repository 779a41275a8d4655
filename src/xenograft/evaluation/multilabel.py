"""(labels of several findings, probabilities) -> `METRICS` of each finding where it is known, and their plain means.

An image may show any number of findings, or leave some unknown. What is unknown counts for nothing: each finding is a
two-class task on the images where its label is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xenograft.evaluation.metrics import (
    METRICS,
    Floats,
    Labels,
    Scores,
    binary_log_loss,
    cell_metrics,
    check_threshold,
    check_unit,
    check_weights,
    group_metrics,
    ordered,
    ratio,
    shaped,
    wrong,
)


@overload
def multilabel_metrics(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: None = None
) -> dict[str, float]: ...
@overload
def multilabel_metrics(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: Scores
) -> dict[str, Floats]: ...
def multilabel_metrics(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: Scores | None = None
) -> dict[str, float] | dict[str, Floats]:
    """All of `METRICS` as plain means over L findings; nan if that of any finding is undefined.

    ``accuracy`` is the mean of the findings' accuracies, which MedMNIST calls ACC of a multi-label task (Yang et al.
    2023, Scientific Data 10:41), and ``g_mean`` the mean of the findings' own.

    Args:
        labels: (N, L): 1 present, 0 absent, -1 unknown.
        probabilities: (N, L) in [0, 1], one for each finding; rows need not sum to one. Those of unknown labels do not
            matter.
        thresholds: a probability at or above it is positive; one for all findings, or one for each.
        weights: as in `binary_metrics`.

    Raises:
        DataError: wrong shapes, values out of range, nan, or no image.
    """
    overall, _ = _tables(labels, probabilities, thresholds, weights)
    return shaped(overall, weights)


@overload
def per_label_metrics(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: None = None
) -> list[dict[str, float]]: ...
@overload
def per_label_metrics(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: Scores
) -> list[dict[str, Floats]]: ...
def per_label_metrics(
    labels: Labels, probabilities: Scores, *, thresholds: float | Sequence[float] = 0.5, weights: Scores | None = None
) -> list[dict[str, float]] | list[dict[str, Floats]]:
    """`binary_metrics` of each finding on the images where it is known, in their order; all nan where none is.

    Args and errors: as in `multilabel_metrics`.
    """
    _, per_label = _tables(labels, probabilities, thresholds, weights)
    return [shaped(row, weights) for row in per_label]  # type: ignore[return-value]


# Kernels: no checks, weights always (B, N) float64, values always (B,).


@dataclass(frozen=True, slots=True)
class Finding:
    """The sums over images that the metrics of one finding are made of, for `finding_tables`.

    Args:
        sums: (2 G + 1 + 4 P, N) weights of images in each sum: all of each of G groups of scores, the positives of each
            group, the log-loss, and for each of P policies the four cells tp, fp, fn, tn. Unknown labels are in none.
        groups: G, of `groups_of`.
        policies: names of the P policies.
    """

    sums: csr_array
    groups: int
    policies: tuple[str, ...]


Tables = tuple[dict[str, Floats], list[dict[str, Floats]]]


def multilabel_tables(
    labels: NDArray[np.int64], probabilities: Floats, thresholds: Sequence[float], weights: Floats
) -> Tables:
    """Overall `METRICS`, means over findings, and those of each finding at its threshold."""
    return finding_tables(prepare(labels, probabilities, {"": thresholds}), weights)[""]


def prepare(labels: NDArray[np.int64], probabilities: Floats, policies: Mapping[str, Sequence[float]]) -> list[Finding]:
    """What all resamples share: one sparse product a finding then sums only what there is.

    That is several times faster than sorting and cutting the weights anew for each finding, as `binary_tables` does.
    """
    return [
        _finding(labels[:, k], probabilities[:, k], {name: cuts[k] for name, cuts in policies.items()})
        for k in range(labels.shape[1])
    ]


def finding_tables(findings: Sequence[Finding], weights: Floats) -> dict[str, Tables]:
    """`multilabel_tables` under every policy the findings were prepared for."""
    found = [_policy_tables(finding, weights) for finding in findings]
    return {
        name: (_means([tables[name] for tables in found]), [tables[name] for tables in found])
        for name in findings[0].policies
    }


def groups_of(truth: NDArray[np.bool_], scores: Floats) -> NDArray[np.intp]:
    """Group (n,) of each score, 0 the highest; equal scores share one, and neighbouring ones that no positive has.

    The order of negatives among themselves changes neither auroc nor average precision, and findings are rare: few
    groups remain.
    """
    values, place = np.unique(-scores, return_inverse=True)
    positive = np.bincount(place, weights=truth, minlength=values.size) > 0
    starts = positive.copy()
    starts[1:] |= positive[:-1]
    starts[:1] = True
    groups: NDArray[np.intp] = np.cumsum(starts)[place] - 1
    return groups


def _finding(labels: NDArray[np.int64], scores: Floats, thresholds: dict[str, float]) -> Finding:
    known = np.flatnonzero(labels >= 0)
    truth, score = labels[known] == 1, scores[known]
    group = groups_of(truth, score)
    count = int(group.max(initial=-1)) + 1
    everything = np.ones(known.size)
    parts = [(group, known, everything), (count + group[truth], known[truth], everything[truth])]
    parts.append((np.full(known.size, 2 * count), known, binary_log_loss(truth, score)))
    for number, cut in enumerate(thresholds.values()):
        cell = np.where(score >= cut, np.where(truth, 0, 1), np.where(truth, 2, 3))
        parts.append((2 * count + 1 + 4 * number + cell, known, everything))
    row, image, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    shape = (2 * count + 1 + 4 * len(thresholds), labels.size)
    return Finding(csr_array((value, (row, image)), shape=shape), count, tuple(thresholds))


def _policy_tables(finding: Finding, weights: Floats) -> dict[str, dict[str, Floats]]:
    sums: Floats = finding.sums @ weights.T  # (sums, B)
    total, positive, loss, cells = np.split(sums, [finding.groups, 2 * finding.groups, 2 * finding.groups + 1])
    shared = {"loss": ratio(loss[0], total.sum(axis=0))}
    unknown = np.isnan(shared["loss"])  # no image drawn whose label is known
    shared |= group_metrics(total.T, positive.T)
    tables = {}
    for name, cell in zip(finding.policies, cells.reshape(len(finding.policies), 4, -1), strict=True):
        table = ordered(shared | cell_metrics(*cell))
        tables[name] = {m: np.where(unknown, np.nan, values) for m, values in table.items()}
    return tables


def _means(rows: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.mean([row[name] for row in rows], axis=0) for name in METRICS}


# Checks: foreign arrays in, int64 and float64 arrays out.


def check_findings(labels: Labels) -> NDArray[np.int64]:
    """Labels as int64 (N, L), N and L > 0, in {1, 0, -1}, or DataError."""
    array = np.asarray(labels)
    if array.ndim != 2 or array.size == 0:
        raise wrong("labels", f"shape {array.shape}", "(N, L) with N > 0 and L > 0")
    if array.dtype.kind not in "iub":
        raise wrong("labels", f"type {array.dtype}", "integers")
    if array.min() < -1 or array.max() > 1:
        raise wrong("labels", f"values {array.min()} to {array.max()}", "1 (present), 0 (absent), -1 (unknown)")
    return array.astype(np.int64)


def check_multilabel(
    labels: Labels, probabilities: Scores, *, name: str = "probabilities"
) -> tuple[NDArray[np.int64], Floats]:
    """Labels (N, L) in {1, 0, -1} and probabilities (N, L) in [0, 1], or DataError."""
    truth, table = check_findings(labels), check_unit(probabilities, name)
    if table.shape != truth.shape:
        raise wrong(name, f"shape {table.shape}", f"the shape of labels {truth.shape}")
    return truth, table


def check_thresholds(thresholds: float | Sequence[float], *, findings: int) -> list[float]:
    """One threshold in [0, 1] for each finding, or DataError."""
    if np.shape(thresholds) not in ((), (findings,)):
        raise wrong("thresholds", f"shape {np.shape(thresholds)}", f"one, or one for each of {findings} findings")
    cuts = [float(cut) for cut in np.broadcast_to(thresholds, findings)]
    for cut in cuts:
        check_threshold(cut)
    return cuts


def _tables(
    labels: Labels, probabilities: Scores, thresholds: float | Sequence[float], weights: Scores | None
) -> Tables:
    truth, table = check_multilabel(labels, probabilities)
    cuts = check_thresholds(thresholds, findings=truth.shape[1])
    return multilabel_tables(truth, table, cuts, check_weights(weights, truth.shape[0]))
