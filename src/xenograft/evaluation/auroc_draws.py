"""(labels, scores of many models of one test set) -> the AUROC of each, on all patients and on the same resamples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import Floats, Labels, check_labels, check_unit, ranking_metrics, wrong
from xenograft.evaluation.multilabel import check_findings
from xenograft.evaluation.uncertainty import weight_chunks


def measurable(labels: Labels, classes: int) -> list[int]:
    """Classes, or findings, of which a test set has images with and without: those whose AUROC is defined.

    Args:
        labels: (N,) classes, or (N, L) findings in {1, 0, -1}. classes: how many there are.
    """
    truth = _truth(labels, classes)
    return [k for k in range(classes) if (truth[:, k] == 1).any() and (truth[:, k] == 0).any()]


def auroc_draws(
    labels: Labels,
    probabilities: Sequence[NDArray[np.floating[Any]]],
    patients: NDArray[Any],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """AUROC of M models: of two classes the second's, of more the mean over classes (each against the rest), of
    findings their mean, each where it is known. Those that are not `measurable` are left out.

    Args:
        labels: (N,), or (N, L) in {1, 0, -1}. probabilities: M arrays (N, C) or (N, L) in [0, 1].
        patients: (N,) keys. resamples: B. rng: see `cluster_weights`.

    Returns:
        (M,) on all patients, and (M, B) on resamples, the same for every model; nan where a resample leaves a class or
        a finding without positives or negatives.

    Raises:
        DataError: wrong shapes, values out of range, or nothing measurable.
    """
    tables = [check_unit(table, "probabilities") for table in probabilities]
    shapes = {table.shape for table in tables}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[0] != len(labels):
        raise wrong("probabilities", f"shapes {[table.shape for table in tables]}", f"(N, C) with N = {len(labels)}")
    truth = _truth(labels, shape[1])
    columns = measurable(labels, shape[1])
    if not columns:
        raise DataError("AUROC: no class of the test set has images both with it and without", code="E-DATA-05")
    if np.ndim(labels) == 1 and shape[1] == 2:
        columns = [1]

    def areas(weights: Floats) -> Floats:
        """(b, N) -> (M, b)."""
        total = np.zeros((len(tables), len(weights)))
        for k in columns:
            known = truth[:, k] >= 0
            inside = weights if known.all() else weights[:, known]
            for m, table in enumerate(tables):
                total[m] += ranking_metrics(truth[known, k] == 1, table[known, k], inside)["auroc"]
        return total / len(columns)

    parts = [areas(w.astype(np.float64)) for w in weight_chunks(labels, patients, resamples=resamples, rng=rng)]
    return areas(np.ones((1, len(labels))))[:, 0], np.concatenate(parts, axis=1)


def _truth(labels: Labels, classes: int) -> NDArray[np.int64]:
    """(N, C) in {1, 0, -1}."""
    if np.ndim(labels) == 2:
        return check_findings(labels)
    one_of: NDArray[np.bool_] = check_labels(labels, classes=classes)[:, None] == np.arange(classes)
    return one_of.astype(np.int64)
