"""Material -> can train be told from test (and from val) by its pictures, and which single statistic moved most.

A classifier two-sample test (Lopez-Paz & Oquab 2017, arXiv:1610.06545) within classes. Columns and memberships are
centred by class and only images of one class are compared, so that another prevalence is not taken for another kind
of image; of several findings, an image's class is the rarest that it has. The classifier is linear, fitted by ridge
least squares (the first Newton step of logistic regression), because the p-value refits it for every permutation:
memberships of whole patients are permuted within folds and sets of classes, which keeps the test exact. Scores are
cross-validated by patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.finding import Finding, Severity
from xenograft.auditing.material import Material
from xenograft.auditing.trivial import (
    Floats,
    Positions,
    Summary,
    aurocs,
    grouped_folds,
    one_thread,
    sampled,
    trivial_features,
)
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

_MOST = 5_000  # images of each split; of larger ones whole patients are drawn
_FEWEST = 10  # patients of each split; with fewer, nothing but a gross shift would be seen
_PERMUTATIONS = 199
_RESAMPLES = 400
_SEED = 0
_RIDGE = 0.01
_COMPONENTS = 64
_ALPHA = 0.01
_APART = 0.70
_SMALL, _MEDIUM = 0.2, 0.5  # standard deviations (Cohen 1988)

_ADVICE = (
    "look at images of one class from both: device, site, year or export may differ; results on {other} then speak of "
    "the change too"
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Images of train and of another split, of the classes that both have, without patients that are in both.

    Args:
        at: (n,) positions in the material. member: (n,) in the other split. labels, groups, folds: (n,).
    """

    other: str
    at: Positions
    member: NDArray[np.bool_]
    labels: Positions
    groups: Positions
    folds: Positions
    patients: NDArray[np.str_]

    @property
    def who(self) -> str:
        return f"train ({int((~self.member).sum())} images) and {self.other} ({int(self.member.sum())})"


def check(material: Material) -> list[Finding]:
    """Three findings for test (A-SHIFT-01 pictures, 02 features, 03 one statistic) and for val (04, 05, 06)."""
    return [finding for other, first in (("test", 1), ("val", 4)) for finding in _compared(material, other, first)]


def reduced(features: NDArray[np.float32], *, most: int = _COMPONENTS) -> Floats:
    """(N, at most `most`) principal components of standardised features (N, D); one of zeros if all are constant."""
    from sklearn.decomposition import PCA

    deviation = features.std(axis=0)
    varied = deviation > 1e-6 * np.abs(features).max(initial=0)
    if not varied.any():
        return np.zeros((len(features), 1))
    standard = (features[:, varied] - features[:, varied].mean(axis=0)) / deviation[varied]
    count = min(most, *standard.shape)
    learned = standard[sampled(np.zeros(len(standard), np.int64), np.arange(len(standard)), seed=_SEED)]
    pca = PCA(min(count, len(learned)), svd_solver="randomized", iterated_power=2, random_state=_SEED)
    return np.asarray(pca.fit(learned).transform(standard), dtype=np.float64)


def _compared(material: Material, other: str, first: int) -> list[Finding]:
    codes = [f"A-SHIFT-{first + k:02}" for k in range(3)]
    titles = [f"{what} of train and {other} differ" for what in ("Pictures", "Features", "Statistics")]
    pair = _pair(material, other)
    if isinstance(pair, str):
        return [
            Finding(code, "not_applicable", title, pair, total=len(material))
            for code, title in zip(codes, titles, strict=True)
        ]
    glances = material.glances
    pictures = np.concatenate([np.sqrt(glances.histograms[pair.at]), glances.statistics[pair.at]], axis=1)
    members = _memberships(pair)
    what = "histograms and statistics"
    told = [_told_apart(codes[0], titles[0], pair, pictures.astype(np.float64), members, what)]
    if material.features is None:
        reason = "needs features of a backbone: run with --backbone"
        told.append(Finding(codes[1], "not_applicable", titles[1], reason, total=len(pair.at)))
    else:
        name = f"features of {material.features_name or 'the backbone'}"
        told.append(_told_apart(codes[1], titles[1], pair, reduced(material.features[pair.at]), members, name))
    return [*told, _largest(codes[2], titles[2], pair, material, members)]


def _pair(material: Material, other: str) -> _Pair | str:
    """What can be compared, or why nothing can."""
    if not material.declared_splits:
        return "the splits were drawn here, at random by patient: a difference between them is chance"
    if not (material.splits == other).any():
        return f"there is no split {other}"
    chosen = np.isin(material.splits, ("train", other))
    moved = material.splits == other
    chosen &= ~np.isin(
        material.groups, np.intersect1d(material.groups[chosen & moved], material.groups[chosen & ~moved])
    )
    for label in np.unique(material.strata):
        cells = (chosen & (material.strata == label) & side for side in (moved, ~moved))
        if min(len(np.unique(material.groups[cell])) for cell in cells) < 2:
            chosen &= material.strata != label
    sides = [np.flatnonzero(chosen & side) for side in (~moved, moved)]
    if min(len(np.unique(material.groups[side])) for side in sides) < _FEWEST:
        return f"fewer than {_FEWEST} patients of the same classes are in one of train and {other} and not in both"
    some = [s[sampled(material.strata[s], material.groups[s], most=_MOST, seed=_SEED)] for s in sides]
    at = np.sort(np.concatenate(some))
    labels, groups, member = material.strata[at], material.groups[at], moved[at]
    folds = grouped_folds(2 * labels + member, groups, seed=_SEED)
    if folds is None:
        return f"too few patients of some class are in train or {other}"
    return _Pair(other, at, member, labels, groups, folds, material.patients[at])


# Told apart by many columns


def _told_apart(code: str, title: str, pair: _Pair, values: Floats, members: NDArray[np.bool_], what: str) -> Finding:
    with one_thread():
        auroc, p = _two_sample(pair, values, members)
    value, low, high = (auroc[key] for key in ("value", "low", "high"))
    if value is None:
        return Finding(code, "not_applicable", title, "too few patients of each class to compare", total=len(pair.at))
    interval = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
    severity: Severity = "passed" if p > _ALPHA else "warning" if (low or 0) > _APART else "note"
    return Finding(
        code,
        severity,
        title,
        f"within classes, {what} tell {pair.who} apart with AUROC {value:.2f}{interval}, p = {p:.3f} "
        f"({_PERMUTATIONS} permutations of patients; 0.5 is not at all)",
        "" if severity == "passed" else _ADVICE.format(other=pair.other),
        count=0 if severity == "passed" else int(pair.member.sum()),
        total=len(pair.at),
        numbers={"auroc": auroc, "p": p, "permutations": _PERMUTATIONS, "columns": values.shape[1]},
    )


def _two_sample(pair: _Pair, values: Floats, members: NDArray[np.bool_]) -> tuple[Summary, float]:
    scores = _held_out(_centred(values, pair.labels), members, pair)
    cells = pair.folds * (int(pair.labels.max()) + 1) + pair.labels
    reached = _concordances(scores, members, cells)
    p = float((reached >= reached[0] - 1e-9).mean())  # the observed one is among them: (1 + more extreme) / (1 + B)
    observed = {"": scores[:, 0]}
    membership = pair.member.astype(np.int64)
    auroc = aurocs(membership, observed, pair.patients, strata=cells, resamples=_RESAMPLES, seed=_SEED)[""]
    return auroc, p


def _memberships(pair: _Pair) -> NDArray[np.bool_]:
    """(n, 1 + permutations): the observed membership, then permuted ones; images of a patient move together."""
    rng = np.random.default_rng(_SEED)
    names, first, owner = np.unique(pair.groups, return_index=True, return_inverse=True)
    has = np.zeros((len(names), int(pair.labels.max()) + 2), dtype=np.int64)
    has[owner, pair.labels] = 1
    has[:, -1] = pair.folds[first]
    stratum = np.unique(has, axis=0, return_inverse=True)[1].reshape(-1)
    moved = np.repeat(pair.member[first][:, None], 1 + _PERMUTATIONS, axis=1)
    for s in range(stratum.max() + 1):
        inside = np.flatnonzero(stratum == s)
        moved[inside, 1:] = rng.permuted(moved[inside, 1:], axis=0)
    return moved[owner]


def _centred(values: Floats, labels: Positions) -> Floats:
    """Columns with mean 0 within each class and standard deviation 1; constant ones are 0."""
    centred = values.copy()
    for label in np.unique(labels):
        centred[labels == label] -= centred[labels == label].mean(axis=0)
    deviation = centred.std(axis=0)
    return np.asarray(centred / np.where(deviation > 1e-9, deviation, np.inf))


def _held_out(values: Floats, members: NDArray[np.bool_], pair: _Pair) -> Floats:
    """(n, B) scores of each image for each column of memberships, from fits on the other folds."""
    scores = np.empty(members.shape)
    for fold in np.unique(pair.folds):
        inside = pair.folds != fold
        targets, labels = members[inside].astype(np.float64), pair.labels[inside]
        for label in np.unique(labels):
            targets[labels == label] -= targets[labels == label].mean(axis=0)
        known = values[inside]
        penalty = _RIDGE * len(known) * np.eye(values.shape[1])
        scores[~inside] = values[~inside] @ np.linalg.solve(known.T @ known + penalty, known.T @ targets)
    return scores


def _concordances(scores: Floats, members: NDArray[np.bool_], cells: Positions) -> Floats:
    """(B,) share of (other, train) pairs within cells in which the other split's image has the higher score."""
    from scipy.stats import rankdata

    won, total = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    for cell in np.unique(cells):
        inside = cells == cell
        moved = members[inside]
        count = moved.sum(axis=0)
        won += (rankdata(scores[inside], axis=0) * moved).sum(axis=0) - count * (count + 1) / 2  # Mann & Whitney 1947
        total += count * (len(moved) - count)
    return np.asarray(np.divide(won, total, out=np.full(len(won), 0.5), where=total > 0))


# Moved in one statistic


def _largest(code: str, title: str, pair: _Pair, material: Material, members: NDArray[np.bool_]) -> Finding:
    table = trivial_features(material)
    wanted = np.flatnonzero(np.array(table.families) != "histogram")
    centred = _centred(table.values[pair.at][:, wanted], pair.labels)
    every = _moved(centred, pair.labels, members.T.astype(np.float64), (~members.T).astype(np.float64))
    reached, moved = np.abs(every).max(axis=1), every[0]
    p = float((reached >= reached[0] - 1e-9).mean())  # of the largest, so that looking at many costs nothing
    largest = int(np.argmax(np.abs(moved)))
    name = table.names[wanted[largest]]

    def statistic(weights: Floats) -> dict[str, Floats]:
        sides = weights * pair.member, weights * ~pair.member
        return {name: _moved(centred[:, [largest]], pair.labels, *sides)[:, 0]}

    rng = np.random.default_rng(_SEED)
    strata = 2 * pair.labels + pair.member
    drawn = bootstrap(statistic, strata, pair.patients, resamples=_RESAMPLES, rng=rng)[name]
    size = summary(float(moved[largest]), drawn, level=LEVEL)
    low, high = size["low"] or 0.0, size["high"] or 0.0
    sure = max(low, -high, 0.0)
    severity: Severity = "passed" if p > _ALPHA or sure <= _SMALL else "warning" if sure > _MEDIUM else "note"
    order = np.argsort(-np.abs(moved), kind="stable")[:5]
    first = {table.names[wanted[k]]: round(float(moved[k]), 4) for k in order}
    return Finding(
        code,
        severity,
        title,
        f"within classes, {name} moves most from train to {pair.other}: by {moved[largest]:+.2f} standard deviations "
        f"({low:+.2f} to {high:+.2f}), p = {p:.3f}",
        "" if severity == "passed" else _ADVICE.format(other=pair.other),
        count=0 if severity == "passed" else int(pair.member.sum()),
        total=len(pair.at),
        numbers={"statistic": name, **size, "p": p, "first": first},
    )


def _moved(columns: Floats, labels: Positions, other: Floats, train: Floats) -> Floats:
    """(B, K) difference of means, other minus train, within classes, which count by the precision of their difference.

    Args:
        columns: (n, K). labels: (n,). other, train: (B, n) weights of the images on each side.
    """
    total, shift = np.zeros((len(other), 1)), np.zeros((len(other), columns.shape[1]))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        counts = [side[:, rows].sum(axis=1, keepdims=True) for side in (other, train)]
        means = [side[:, rows] @ columns[rows] / n for side, n in zip((other, train), counts, strict=True)]
        precision = counts[0] * counts[1] / (counts[0] + counts[1])
        shift += precision * (means[0] - means[1])
        total += precision
    return np.asarray(shift / total)
