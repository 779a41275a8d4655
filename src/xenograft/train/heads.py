"""(features, labels) -> Head: a linear layer on cached features, by the paper's recipe or at the convex optimum."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from xenograft.train.head_data import Array, Head, HeadData, Standard, Views, standard_of
from xenograft.train.head_stack import Job, fit_stack
from xenograft.train.objective import Binary, balanced
from xenograft.train.recipes import Recipe
from xenograft.train.validation import Measure

__all__ = ["STRENGTHS", "Head", "HeadData", "fit_linear", "fit_logistic"]

STRENGTHS = tuple(10.0**k for k in (-5, -4, -3, -2, -1, 0))
_WORTH_SHARING = 1 << 28  # bytes of features; with fewer, BLAS's threads wait for each other longer than they work


def fit_linear(data: HeadData, *, recipe: Recipe, seed: int, measure: Measure) -> Head:
    """One head by the paper's recipe; see `fit_stack`.

    Raises:
        ProcessError: the loss is not finite before any epoch was finished (P15).
    """
    return fit_stack(data, [Job(recipe, seed)], measure=measure)[0].usable()


def fit_logistic(data: HeadData, *, seed: int) -> Head:
    """Class-balanced logistic regression, its strength chosen by patient-grouped cross-validation on train alone.

    All views are one training set: it holds V x N x D x 4 bytes, and a fold's copy of most of them. Each of several
    findings is fitted by itself, on the images of which it is known.

    Args:
        seed: of the folds.
    """
    return _fit_findings(data, seed=seed) if data.objective.multi_label else _fit_classes(data, seed=seed)


def _fit_findings(data: HeadData, *, seed: int) -> Head:
    """A row of the layer for each finding; ``chosen`` names the strength of the k-th as ``C_k``."""
    rows = [_fit_finding(data, k, seed=seed) for k in range(data.objective.outputs)]
    chosen = {f"C_{k}": row.chosen["C"] for k, row in enumerate(rows) if row.chosen}
    if chosen:
        chosen["folds"] = min(row.chosen["folds"] for row in rows if row.chosen)
    weight, bias = np.concatenate([row.weight for row in rows]), np.concatenate([row.bias for row in rows])
    return Head(weight, bias, data.objective, chosen=chosen)


def _fit_finding(data: HeadData, k: int, *, seed: int) -> Head:
    """One row; a finding that is always the same in training gets that answer, whatever the image."""
    labels = data.train_labels[:, k]
    absent, present = (labels == 0).sum(), (labels == 1).sum()
    if not (absent and present):
        bias = np.array([np.log((present + 1) / (absent + 1))], dtype=np.float32)  # Laplace's rule: never certain
        return Head(np.zeros((1, data.val.shape[1]), dtype=np.float32), bias, Binary())
    known = labels >= 0
    train = data.train if known.all() else _Chosen(data.train, np.flatnonzero(known))
    alone = HeadData(train, labels[known], data.groups[known], data.val, data.val_labels[:, k], Binary())
    return _fit_classes(alone, seed=seed)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Some images of each view, by their places (M,)."""

    views: Views
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int, /) -> Array:
        return self.views[index][self.places]


def _fit_classes(data: HeadData, *, seed: int) -> Head:
    """All classes at once."""
    standard = standard_of(data.train)
    features = _stacked(data, standard)
    labels, groups = np.tile(data.train_labels, len(data.train)), np.tile(data.groups, len(data.train))
    folds = _folds(features, labels, groups, seed=seed)
    losses = np.zeros(len(STRENGTHS))
    with threadpool_limits(1 if features.nbytes < _WORTH_SHARING else None, user_api="blas"):
        for inside, outside in folds:
            losses += _path_losses(features[inside], labels[inside], features[outside], labels[outside])
        # a mild default where there are too few patients to choose from
        best = int(losses.argmin()) if folds else STRENGTHS.index(1e-2)
        model = _logistic(STRENGTHS[best]).fit(features, labels)
    weight, bias = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    chosen = {"C": STRENGTHS[best], "folds": float(len(folds) or 1)}
    return Head(*standard.folded(weight, bias), data.objective, chosen=chosen)


def _folds(
    features: Array, labels: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places (inside, outside) of five folds or fewer that keep patients whole; none where a fold leaves a class out.

    That happens to classes of two patients or three: stratifying by patient may put them into one fold.
    """
    classes = np.unique(labels)
    count = min(5, *(len(np.unique(groups[labels == c])) for c in classes))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    folds = list(splitter.split(features, labels, groups))
    return folds if all(len(np.unique(labels[inside])) == len(classes) for inside, _ in folds) else []


def _stacked(data: HeadData, standard: Standard) -> Array:
    """(V * N, D) standardised features, one view after the other."""
    count = len(data.train_labels)
    stacked = np.empty((len(data.train) * count, data.val.shape[1]), dtype=np.float32)
    for view in range(len(data.train)):
        standard.apply(data.train[view], out=stacked[view * count : (view + 1) * count])
    return stacked


def _path_losses(
    inside: Array, inside_labels: NDArray[np.int64], outside: Array, outside_labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(S,) class-balanced log-loss outside, from strong to weak regularisation, each starting at the last solution."""
    weights = balanced(torch.from_numpy(outside_labels), int(outside_labels.max()) + 1).numpy()[outside_labels]
    losses = []
    model = _logistic(STRENGTHS[0])
    for strength in STRENGTHS:
        model.set_params(C=strength).fit(inside, inside_labels)
        scores = np.clip(model.predict_proba(outside), 1e-7, 1.0)
        losses.append(float(np.average(-np.log(scores[np.arange(len(outside)), outside_labels]), weights=weights)))
        if losses[-1] > 1.5 * min(losses):  # the optimum is behind; weaker ones only overfit more, and slowly
            losses += [losses[-1]] * (len(STRENGTHS) - len(losses))
            break
    return np.array(losses)


class _QuietLogistic(LogisticRegression):  # type: ignore[misc]
    """Logistic regression whose weak, unselected strengths may stop before they converge."""

    def fit(self, features: Array, labels: NDArray[np.int64]) -> _QuietLogistic:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(features, labels)
        return self


def _logistic(strength: float) -> _QuietLogistic:
    return _QuietLogistic(C=strength, class_weight="balanced", max_iter=300, warm_start=True)
