"""(features, labels, patients) -> accuracy and AUROC of a simple classifier on patients it has not seen."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.transferability.task import Array, Index, check_groups, check_task, spread, undefined

FOLDS = 5
NEIGHBOURS = 20
STRENGTH = 0.01  # C of scikit-learn: about a thousand standardised features need a strong penalty
_STEPS = 200
_DRAWS = 10
_WORTH_SHARING = 4 << 20  # bytes of features below which threads cost more than they bring

Model = Literal["knn", "logistic"]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Validated:
    """Means over the folds: accuracy in [0, 1] and AUROC in [0, 1] (macro, one against rest, for several classes)."""

    accuracy: float
    auroc: float
    folds: int


def cross_validated(
    features: Array, labels: Array, groups: Array, *, model: Model, seed: int = 0, folds: list[Fold] | None = None
) -> Validated:
    """Cross-validation by patient, stratified by class, of a classifier on standardised features.

    "knn": the share of each class among the 20 nearest images by cosine (fewer where the training images are fewer than
    400: the root of their number). "logistic": L2-penalised logistic regression, C = 0.01, classes unweighted. Nothing
    is tuned, so the numbers rank backbones; they are not the best that a probe can do. Each fold is measured by itself
    and the folds are averaged, as scores of different fits do not compare.

    Args:
        features: (N, D). labels: (N,) class index. groups: (N,) patient keys.
        seed: of the folds. There are five, or fewer where a class has fewer patients or a fold would miss a class.
        folds: those of `grouped_folds` where they are known already; making them takes as long as a fit.

    Raises:
        DataError: `check_task`; groups of another length; another model.
        Undefined: one class; equal features; no two folds that both hold every class.
    """
    if model not in ("knn", "logistic"):
        raise wrong("model", repr(model), "knn or logistic")
    table, truth = check_task(features, labels)
    owner = check_groups(groups, size=len(truth))
    spread(table)
    folds = folds or grouped_folds(truth, owner, seed=seed)
    with threadpool_limits(1 if table.nbytes < _WORTH_SHARING else None):
        results = [_measured(table, truth, fold, model) for fold in folds]
    accuracy, auroc = np.mean(results, axis=0)
    return Validated(float(accuracy), float(auroc), len(folds))


def grouped_folds(labels: Index, groups: Index, *, seed: int) -> list[Fold]:
    """Positions (training, held out) of at most five folds that keep patients whole and hold every class on both sides.

    Args:
        labels: (N,) in 0..C-1. groups: (N,) in 0..P-1.

    Raises:
        Undefined: there are no two such folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes = range(int(labels.max()) + 1)
    most = min(FOLDS, *(len(np.unique(groups[labels == c])) for c in classes))
    for count in range(most, 1, -1):
        for draw in range(_DRAWS):  # a rare class of few patients may need another deal
            splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed + draw)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a class rarer than the folds is checked below
                folds = list(splitter.split(labels, labels, groups))
            if all(len(np.unique(labels[side])) == len(classes) for fold in folds for side in fold):
                return folds
    raise undefined("no two folds of whole patients hold every class: a class needs two patients, better five")


def _measured(features: Floats, labels: Index, fold: Fold, model: Model) -> tuple[float, float]:
    from sklearn.exceptions import ConvergenceWarning

    inside, outside = fold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that is still creeping ranks as well
        scores = _pipeline(model, len(inside)).fit(features[inside], labels[inside]).predict_proba(features[outside])
    return float((scores.argmax(axis=1) == labels[outside]).mean()), _macro_auroc(labels[outside], scores)


def _pipeline(model: Model, images: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    if model == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=_STEPS, tol=1e-3))
    # Euclidean distance between unit vectors orders images as their cosine does.
    neighbours = KNeighborsClassifier(min(NEIGHBOURS, math.isqrt(images)), algorithm="brute")
    return make_pipeline(StandardScaler(), Normalizer(), neighbours)


def _macro_auroc(labels: Index, scores: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    if scores.shape[1] == 2:
        return float(roc_auc_score(labels, scores[:, 1]))
    return float(roc_auc_score(labels, scores, multi_class="ovr", average="macro"))
