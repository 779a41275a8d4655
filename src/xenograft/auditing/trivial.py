"""Material -> columns that need no look at anatomy, and how well a logistic regression reads the label from columns."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.material import Material
from xenograft.data.glance import STATISTICS
from xenograft.data.label_sets import MISSING
from xenograft.errors import DataError, printable
from xenograft.evaluation.metrics import ranking_metrics
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
Summary = dict[str, float | None]
"""``value``, ``low``, ``high``; None where undefined."""

MOST = 10_000
"""Images that a cross-validation looks at; of larger sets it draws whole patients."""
MILD = 0.1
"""Inverse strength C of a ridge penalty that needs no choice: on standardised columns it matters below 100 images."""
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_FEW_STRENGTHS = (1e-2, 1e-1, 1.0)  # of each of several findings
_LEAST = 2_000  # images that each of several findings is read from, where it has as many

ACQUISITION = "acquisition: "
"""What the names of the families that come from the files' own description begin with."""

_FOLDS = 5
_ITERATIONS = 100
_BORDER = ("border_mean", "border_sd")
_LEVELS = 20  # most levels of one fact; numbers with more distinct values are taken as numbers
_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)([DWMY]?)", re.IGNORECASE)
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "": 1.0}  # DICOM ages: 034Y, 006M
_MISSING, _OTHER = "(missing)", "(other)"


@dataclass(frozen=True, slots=True)
class TrivialTable:
    """Columns that can be had without looking at anatomy.

    Args:
        values: (N, K) float64, finite.
        names: of the K columns.
        families: of the K columns, ``file size``, ``dimensions``, ``depth and colour``, ``file type``, ``intensity``,
            ``histogram``, ``border``, and ``acquisition: <fact>`` for every fact that the files tell.
    """

    values: Floats
    names: tuple[str, ...]
    families: tuple[str, ...]

    def of(self, family: str) -> Floats:
        """(N, k) columns of one family."""
        return self.values[:, [name == family for name in self.families]]


def trivial_features(material: Material) -> TrivialTable:
    """Table of N images.

    Sizes are logarithms, histogram shares square roots (which evens out their variances). Words become one column per
    level except the most frequent; rare levels are pooled, missing is a level. Labels are not looked at.
    """
    manifest, glances = material.manifest, material.glances
    width, height = material.numbers("width"), material.numbers("height")
    suffixes = [PurePosixPath(path).suffix.lower() for path in material.paths]
    statistics = dict(zip(STATISTICS, glances.statistics.T, strict=True))
    families: dict[str, Mapping[str, NDArray[Any]]] = {
        "file size": {"log bytes": np.log(np.maximum(material.numbers("bytes"), 1))},
        "dimensions": {"log width": np.log(width), "log height": np.log(height), "aspect": width / height},
        "depth and colour": {
            "bits": material.numbers("bits"),
            "colour": material.numbers("colour"),
            **_levels("mode", manifest.column("mode")),
        },
        "file type": _levels("suffix", suffixes),
        "intensity": {k: v for k, v in statistics.items() if k not in {*_BORDER, "colour"}},
        "histogram": {f"share {k}": np.sqrt(share) for k, share in enumerate(glances.histograms.T)},
        "border": {k: statistics[k] for k in _BORDER},
        **_acquisition(material.acquisition),
    }
    return TrivialTable(
        np.stack([column for columns in families.values() for column in columns.values()], axis=1, dtype=np.float64),
        tuple(name for columns in families.values() for name in columns),
        tuple(family for family, columns in families.items() for _ in columns),
    )


def trivial_baseline(
    material: Material, train: Positions, test: Positions, *, resamples: int, seed: int
) -> dict[str, Any]:
    """What trivial columns alone reach on test: the row above every model's.

    Class-balanced logistic regression on standardised columns; its strength is chosen by patient-grouped
    cross-validation on `train` alone.

    Args:
        train: positions to fit on, of at least two classes. test: positions to predict.
        resamples: of the patient-cluster bootstrap. seed: of folds and bootstrap.

    Returns:
        ``auroc`` (``value``, ``low``, ``high``; macro one-against-rest for more than two classes), ``probabilities``
        (n_test, C) with rows summing to one, ``columns`` (names), ``strength`` (the chosen C), ``train`` and ``test``
        (numbers of images). Of L findings: a fit for each on the images where it is known; ``probabilities`` (n_test,
        L) that it is present, ``auroc`` and ``strength`` by finding. Where train knows only one answer, or none, that
        is the probability: 1, 0, or 0.5.

    Raises:
        DataError: `train` holds fewer than two classes, or one of the two is empty.
    """
    if material.multi_label:
        return _several(material, train, test, resamples=resamples, seed=seed)
    table, labels, groups = trivial_features(material), material.labels, material.groups
    if not len(test) or len(np.unique(labels[train])) < 2:
        raise DataError(
            f"trivial baseline: got {len(np.unique(labels[train]))} classes to fit on and {len(test)} images to test;"
            " allowed: two classes or more, and an image",
            code="E-DATA-05",
        )
    some = train[sampled(labels[train], groups[train], seed=seed)]
    folds = grouped_folds(labels[some], groups[some], seed=seed)
    strength = MILD
    with one_thread():
        if folds is not None:
            _, strength = out_of_fold(table.values[some], labels[some], folds, strengths=STRENGTHS)
        known, classes = table.values[train], len(material.manifest.classes)
        probabilities = predicted(known, labels[train], table.values[test], classes=classes, strength=strength)
    auroc = aurocs(labels[test], {"": probabilities}, material.patients[test], resamples=resamples, seed=seed)[""]
    return {
        "auroc": auroc,
        "probabilities": probabilities,
        "columns": list(table.names),
        "strength": strength,
        "train": len(train),
        "test": len(test),
    }


def _several(material: Material, train: Positions, test: Positions, *, resamples: int, seed: int) -> dict[str, Any]:
    table, labels, groups = trivial_features(material), material.labels, material.groups
    if not len(test) or not len(train):
        raise DataError(
            f"trivial baseline: got {len(train)} images to fit on and {len(test)} to test; allowed: one or more",
            code="E-DATA-05",
        )
    most = max(_LEAST, 2 * MOST // labels.shape[1])
    probabilities = np.full((len(test), labels.shape[1]), 0.5)
    strength: dict[str, float | None] = {}
    auroc: dict[str, Summary] = {}
    for k, name in enumerate(material.manifest.classes):
        known = train[labels[train, k] != MISSING]
        answers = labels[known, k]
        strength[name] = None
        if len(np.unique(answers)) < 2:
            probabilities[:, k] = answers[0] if len(answers) else 0.5
        else:
            some = known[sampled(answers, groups[known], most=most, seed=seed)]
            folds = grouped_folds(labels[some, k], groups[some], seed=seed)
            chosen = MILD
            with one_thread():
                if folds is not None:
                    _, chosen = out_of_fold(table.values[some], labels[some, k], folds, strengths=_FEW_STRENGTHS)
                fitted = predicted(table.values[some], labels[some, k], table.values[test], classes=2, strength=chosen)
            probabilities[:, k], strength[name] = fitted[:, 1], chosen
        told = labels[test, k] != MISSING
        if told.any():
            scores, patients = {"": probabilities[told, k]}, material.patients[test[told]]
            auroc[name] = aurocs(labels[test[told], k], scores, patients, resamples=resamples, seed=seed)[""]
    return {
        "auroc": auroc,
        "probabilities": probabilities,
        "columns": list(table.names),
        "strength": strength,
        "train": len(train),
        "test": len(test),
    }


# Reading a label from columns


def sampled(labels: Positions, groups: Positions, *, most: int = MOST, seed: int) -> Positions:
    """Sorted positions of about `most` images, or of all: whole groups at random, rare classes as far as they reach."""
    if len(labels) <= most:
        return np.arange(len(labels))
    names, owner = np.unique(groups, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[owner]
    classes, sizes = np.unique(labels, return_counts=True)
    kept = np.zeros(len(names), dtype=np.bool_)
    left = most
    for done, label in enumerate(classes[np.argsort(sizes, kind="stable")]):
        members = np.flatnonzero(labels == label)
        quota = left // (len(classes) - done)
        kept[owner[members[np.argsort(place[members], kind="stable")[:quota]]]] = True
        left -= min(quota, len(members))
    return np.flatnonzero(kept[owner])


def grouped_folds(labels: Positions, groups: Positions, *, seed: int) -> Positions | None:
    """(N,) fold of each image, up to five: whole groups dealt like cards, by class, large ones first.

    None where a class has a single group. Does what `StratifiedGroupKFold` does, which weighs every group against every
    fold in Python and takes longer than all fits of an audit.
    """
    names, owner = np.unique(groups, return_inverse=True)
    classes, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    pairs = np.unique(np.stack([owner, index]), axis=1)
    k = min(_FOLDS, int(np.bincount(pairs[1], minlength=len(classes)).min()))
    if k < 2:
        return None
    rarity = np.argsort(np.argsort(sizes, kind="stable"), kind="stable")[index]
    stratum = np.full(len(names), len(classes))
    np.minimum.at(stratum, owner, rarity)  # a patient with several classes counts for the rarest
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = np.lexsort((-np.bincount(owner)[shuffled], stratum[shuffled]))
    fold = np.empty(len(names), dtype=np.int64)
    fold[shuffled[order]] = np.arange(len(names)) % k
    return fold[owner]


def predicted(values: Floats, labels: Positions, unseen: Floats, *, classes: int, strength: float = MILD) -> Floats:
    """(n, classes) probabilities of unseen rows by class-balanced logistic regression; 0 for an unseen class."""
    table = np.zeros((len(unseen), classes))
    present = np.unique(labels)
    if len(present) == 1:
        table[:, present[0]] = 1
        return table
    from sklearn.exceptions import ConvergenceWarning  # late: a second that `compare` need not wait for
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    logistic = LogisticRegression(C=strength, class_weight="balanced", max_iter=_ITERATIONS, tol=1e-3)
    model = make_pipeline(StandardScaler(), logistic)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a weak penalty's optimum do not matter
        model.fit(values, labels)
    table[:, model.classes_] = model.predict_proba(unseen)
    return table


def out_of_fold(
    values: Floats, labels: Positions, folds: Positions, *, strengths: Sequence[float] = (MILD,)
) -> tuple[Floats, float]:
    """(N, C) probabilities of each image by a fit on the other folds, and the strength of the lowest balanced loss."""
    sizes = np.bincount(labels)[labels]
    tables = {strength: _held_out(values, labels, folds, strength) for strength in strengths}

    def loss(strength: float) -> float:
        of_truth = tables[strength][np.arange(len(labels)), labels]
        return float(np.average(-np.log(np.clip(of_truth, 1e-7, 1)), weights=1 / sizes))

    best = min(strengths, key=loss)
    return tables[best], best


def aurocs(
    labels: Positions,
    scores: Mapping[str, Floats],
    patients: NDArray[Any],
    *,
    strata: Positions | None = None,
    resamples: int,
    seed: int,
) -> dict[str, Summary]:
    """AUROC of each of several sets of scores with intervals, all on the same resamples of patients.

    Args:
        labels: (N,) class index. patients: (N,) keys.
        scores: name -> (N,) for class 1 of two, or (N, C): macro one-against-rest over the classes that occur.
        strata: (N,); images are compared where these are equal: scores of different folds have no common scale.
    """
    if strata is None:
        strata = np.zeros(len(labels), dtype=np.int64)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]

    def statistic(weights: Floats) -> dict[str, Floats]:
        return {name: _macro(labels, table, members, weights) for name, table in scores.items()}

    drawn = bootstrap(statistic, labels, patients, resamples=resamples, rng=np.random.default_rng(seed))
    whole = statistic(np.ones((1, len(labels))))
    return {name: summary(float(whole[name][0]), drawn[name], level=LEVEL) for name in scores}


def one_thread() -> Any:
    """A context in which BLAS has one thread: for matrices this narrow, threads wait longer than they work."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _held_out(values: Floats, labels: Positions, folds: Positions, strength: float) -> Floats:
    classes = int(labels.max()) + 1
    table = np.zeros((len(labels), classes))
    for fold in np.unique(folds):
        outside = folds == fold
        seen, unseen = values[~outside], values[outside]
        table[outside] = predicted(seen, labels[~outside], unseen, classes=classes, strength=strength)
    return table


def _macro(labels: Positions, scores: Floats, members: Sequence[Positions], weights: Floats) -> Floats:
    if scores.ndim == 1:
        return _concordance(labels == 1, scores, members, weights)
    if scores.shape[1] == 2:
        return _concordance(labels == 1, scores[:, 1], members, weights)
    each = [_concordance(labels == k, scores[:, k], members, weights) for k in np.unique(labels)]
    return np.asarray(np.mean(each, axis=0))


def _concordance(truth: NDArray[np.bool_], scores: Floats, members: Sequence[Positions], weights: Floats) -> Floats:
    """(B,) share of won pairs over all strata; nan where there is no pair."""
    won, total = np.zeros(len(weights)), np.zeros(len(weights))
    for inside in members:
        drawn = weights if len(members) == 1 else weights[:, inside]
        positives = drawn @ truth[inside]
        pairs = positives * (drawn.sum(axis=1) - positives)
        if pairs.any():
            won += pairs * np.nan_to_num(ranking_metrics(truth[inside], scores[inside], drawn)["auroc"])
            total += pairs
    return np.asarray(np.divide(won, total, out=np.full(len(weights), np.nan), where=total > 0))


# What files tell about themselves


def _acquisition(facts: Sequence[Mapping[str, str]]) -> dict[str, dict[str, NDArray[Any]]]:
    keys = sorted({key for told in facts for key in told})
    texts = {key: [str(told.get(key, "")).strip() for told in facts] for key in keys}
    return {
        ACQUISITION + printable(key): _numbers(printable(key), column) or _levels(printable(key), column)
        for key, column in texts.items()
    }


def _numbers(name: str, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The fact as a number, the median where it is missing, and whether it is; nothing if it is no number."""
    values = np.array([_number(text) for text in texts])
    known = ~np.isnan(values)
    told = sum(bool(text) for text in texts)
    if len(np.unique(values[known])) <= _LEVELS or known.sum() < 0.9 * told:
        return {}
    columns: dict[str, NDArray[Any]] = {name: np.where(known, values, np.median(values[known]))}
    return columns if known.all() else {**columns, f"{name} = {_MISSING}": ~known}


def _number(text: str) -> float:
    match = _NUMBER.fullmatch(text)
    value = float(match[1]) * _YEARS[match[2].upper()] if match else np.nan
    return value if abs(value) < 1e9 else np.nan  # beyond any age, spacing or dose: squares would overflow


def _levels(name: str, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """A column for each level but the most frequent; a constant one where there is only one level."""
    counts = Counter(text or _MISSING for text in texts)
    least = max(5, len(texts) // 200)
    common = [level for level, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= least]
    kept = {*common[:_LEVELS], _MISSING}
    values = np.array([level if level in kept else _OTHER for level in (text or _MISSING for text in texts)])
    levels = sorted(set(values.tolist()), key=lambda level: (-int((values == level).sum()), level))
    return {f"{name} = {printable(level)}": values == level for level in (levels[1:] or levels)}
