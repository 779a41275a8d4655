"""(features, labels) -> Head: a linear layer on cached features, by the paper's recipe or at the convex optimum."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from xenograft.train.loop import Machine, Measure, TrainingData, fit
from xenograft.train.network import class_weights_of, outputs, probabilities_of
from xenograft.train.recipes import Recipe

Array = NDArray[np.float32]
STRENGTHS = tuple(10.0**k for k in (-5, -4, -3, -2, -1, 0))


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer on raw pooled features.

    Args:
        weight: (K, D). bias: (K,). K = 1 for two classes.
        history, best_epoch: as in RunRecord. chosen: what cross-validation chose, e.g. the strength.
    """

    weight: Array
    bias: Array
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    chosen: dict[str, float] = field(default_factory=dict)

    def probabilities(self, features: Array) -> NDArray[np.float64]:
        """(N, D) -> (N, C)."""
        logits = features.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return probabilities_of(torch.from_numpy(logits)).numpy()


@dataclass(frozen=True, slots=True)
class HeadData:
    """Features to fit a head on.

    Args:
        train: (V, N, D), V views of each training image. train_labels: (N,). groups: (N,) patient groups.
        val: (M, D). val_labels: (M,). classes: number of classes.
    """

    train: Array
    train_labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    val: Array
    val_labels: NDArray[np.int64]
    classes: int


def fit_linear(data: HeadData, *, recipe: Recipe, seed: int, measure: Measure) -> Head:
    """The paper's head (§5.5-5.6): one linear layer, gradient descent, the epoch chosen on validation.

    Features are taken as they are, or standardised with the training images' statistics where the recipe says so; the
    layer is folded back afterwards, so that it always applies to raw features.
    """
    mean, scale = _standard(data.train) if recipe.standardise else _unchanged(data.train)
    train = torch.from_numpy((data.train - mean) / scale)
    val = torch.from_numpy((data.val - mean) / scale)
    labels, val_labels = torch.from_numpy(data.train_labels), torch.from_numpy(data.val_labels)
    layer = nn.Linear(train.shape[2], outputs(data.classes))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * 0.01)
        layer.bias.zero_()

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed * 100_003 + number))
        view = train[number % len(train)]
        for part in torch.split(order, recipe.batch_size):
            yield view[part], labels[part]

    source = TrainingData(
        epoch=epoch,
        steps=-(-len(labels) // recipe.batch_size),
        validation=lambda: iter([(val, val_labels)]),
        class_weights=class_weights_of(labels, data.classes),
    )
    fitted = fit(layer, source, recipe=recipe, measure=measure, machine=Machine())
    return _folded(
        layer.weight.detach().numpy(), layer.bias.detach().numpy(), mean, scale, fitted.history, fitted.best_epoch, {}
    )


def fit_logistic(data: HeadData, *, seed: int) -> Head:
    """Class-balanced logistic regression, its strength chosen by patient-grouped cross-validation on train alone.

    Args:
        seed: of the folds.
    """
    views, count, width = data.train.shape
    mean, scale = _standard(data.train)
    features = ((data.train - mean) / scale).reshape(views * count, width)
    labels, groups = np.tile(data.train_labels, views), np.tile(data.groups, views)
    smallest = min(len(np.unique(data.groups[data.train_labels == c])) for c in np.unique(data.train_labels))
    losses = np.zeros(len(STRENGTHS))
    folds = min(5, smallest)
    if folds >= 2:
        splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        for inside, outside in splitter.split(features, labels, groups):
            losses += _path_losses(features[inside], labels[inside], features[outside], labels[outside])
        best = int(losses.argmin())
    else:
        best = STRENGTHS.index(1e-2)  # too few patients to choose from; a mild default
    model = _logistic(STRENGTHS[best]).fit(features, labels)
    weight, bias = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    return _folded(weight, bias, mean, scale, [], 0, {"C": STRENGTHS[best], "folds": float(folds)})


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


def _standard(train: Array) -> tuple[Array, Array]:
    """(D,) mean and scale over views and images; a feature that never moves keeps scale one."""
    flat = train.reshape(-1, train.shape[-1])
    mean, scale = flat.mean(axis=0), flat.std(axis=0)
    dead = scale <= 1e-6 * scale.max()
    return mean, np.where(dead, 1.0, scale).astype(np.float32)


def _unchanged(train: Array) -> tuple[Array, Array]:
    width = train.shape[-1]
    return np.zeros(width, dtype=np.float32), np.ones(width, dtype=np.float32)


def _folded(
    weight: Array,
    bias: Array,
    mean: Array,
    scale: Array,
    history: list[dict[str, Any]],
    best_epoch: int,
    chosen: dict[str, float],
) -> Head:
    """The layer on raw features that equals this layer on standardised ones."""
    raw = weight / scale
    return Head(raw, (bias - raw @ mean).astype(np.float32), history, best_epoch, chosen)
