"""(features, labels) -> Head: a linear layer on cached features, by the paper's recipe or at the convex optimum."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from xenograft.train.head_data import Array, Head, HeadData, Standard, standard_of
from xenograft.train.head_stack import Job, fit_stack
from xenograft.train.network import class_weights_of
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

    All views are one training set: it holds V x N x D x 4 bytes, and a fold's copy of most of them.

    Args:
        seed: of the folds.
    """
    standard = standard_of(data.train)
    features = _stacked(data, standard)
    labels, groups = np.tile(data.train_labels, len(data.train)), np.tile(data.groups, len(data.train))
    smallest = min(len(np.unique(data.groups[data.train_labels == c])) for c in np.unique(data.train_labels))
    losses = np.zeros(len(STRENGTHS))
    folds = min(5, smallest)
    with threadpool_limits(1 if features.nbytes < _WORTH_SHARING else None, user_api="blas"):
        if folds >= 2:
            splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
            for inside, outside in splitter.split(features, labels, groups):
                losses += _path_losses(features[inside], labels[inside], features[outside], labels[outside])
            best = int(losses.argmin())
        else:
            best = STRENGTHS.index(1e-2)  # too few patients to choose from; a mild default
        model = _logistic(STRENGTHS[best]).fit(features, labels)
    weight, bias = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    return Head(*standard.folded(weight, bias), chosen={"C": STRENGTHS[best], "folds": float(folds)})


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
    weights = class_weights_of(torch.from_numpy(outside_labels), int(outside_labels.max()) + 1).numpy()[outside_labels]
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
