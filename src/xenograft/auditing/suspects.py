"""Material -> images whose label is likely wrong (confident learning), and images unlike all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.by_finding import for_each_finding
from xenograft.auditing.finding import Finding, Severity
from xenograft.auditing.material import Material
from xenograft.auditing.shift import reduced
from xenograft.auditing.trivial import Floats, Positions, aurocs, grouped_folds, one_thread, out_of_fold
from xenograft.data.label_sets import MISSING

_SEED = 0
_SHOWN = 20
_COMPONENTS = 100
_STRENGTHS = (1e-3, 1e-2, 1e-1)
_MANY = 0.05  # share of suspected labels; ten well-known test sets average 3.3 % (Northcutt, Athalye & Mueller 2021)

_READABLE = 0.70  # with a fifth of the labels of perfectly separable classes wrong it is about 0.80
_RESAMPLES = 200

_NEIGHBOURS = 5
_REFERENCE = 3_000  # images that every image is compared with: comparing all with all would be quadratic
_CHUNK = 256
_FAR = 5.0  # robust standard deviations of the logarithm of distances
_FEWEST = 30

_LABELS = "Labels that are likely wrong"
_OUTLIERS = "Images unlike all others"


def check(material: Material) -> list[Finding]:
    """Two findings, A-LABEL-01 for suspected labels and A-LABEL-02 for outliers.

    Labels: confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70, doi:10.1613/jair.1.12125) on probabilities of
    a logistic regression on features, cross-validated by patient. `items` are (path, given label, suggested label),
    the lowest normalised margin first; of several findings each is looked at, with the middle one of three strengths.
    Outliers: distance to the fifth nearest image of other patients, by the cosine of features, else by thumbnail and
    statistics; beyond five robust standard deviations of its logarithm. `items` are (path,), the farthest first.
    """
    if material.features is None or not material.multi_label:
        suspected = [_wrong_labels(material)]
    else:
        columns = reduced(material.features, most=_COMPONENTS)

        def of_one(two_classes: Material, k: int) -> list[Finding]:
            known = np.flatnonzero(material.labels[:, k] != MISSING)
            return [_wrong_labels(two_classes, columns[known], strengths=_STRENGTHS[1:2])]

        suspected = for_each_finding(material, of_one, size=lambda finding: finding.count)
    return [*suspected, _outliers(material)]


def _wrong_labels(
    material: Material, columns: Floats | None = None, *, strengths: tuple[float, ...] = _STRENGTHS
) -> Finding:
    """Suspected labels; of `columns` (N, K) where the features were reduced before."""
    if material.features is None:
        return _idle("A-LABEL-01", _LABELS, "needs features of a backbone: run with --backbone", len(material))
    labels = material.labels
    folds = grouped_folds(labels, material.groups, seed=_SEED)
    if folds is None or len(np.unique(labels)) < 2:
        return _idle("A-LABEL-01", _LABELS, "a class has too few patients for a cross-validation", len(material))
    columns = reduced(material.features, most=_COMPONENTS) if columns is None else columns
    with one_thread():
        probabilities, _ = out_of_fold(columns, labels, folds, strengths=strengths)
    known = aurocs(labels, {"": probabilities}, material.patients, strata=folds, resamples=_RESAMPLES, seed=_SEED)[""]
    if known["value"] is None or known["value"] < _READABLE:
        reason = (
            f"the features hardly tell the classes apart (AUROC {known['value'] or 0.5:.2f}), so they judge no label"
        )
        return _idle("A-LABEL-01", _LABELS, reason, len(material))
    suggested = _confident(labels, probabilities)
    suspects = np.flatnonzero(suggested != labels)
    share = len(suspects) / len(labels)
    severity: Severity = "passed" if not len(suspects) else "warning" if share > _MANY else "note"
    margin = _margins(labels, probabilities)
    classes = material.manifest.classes
    worst = suspects[np.argsort(margin[suspects], kind="stable")][:_SHOWN]
    return Finding(
        "A-LABEL-01",
        severity,
        _LABELS,
        f"{len(suspects)} of {len(labels)} labels ({share:.1%}) disagree with what a model that did not see the "
        "patient is confident of; hard cases are among them",
        "show these to a reader who does not know the label; correct or keep, never drop them from test alone"
        if len(suspects)
        else "",
        count=len(suspects),
        total=len(labels),
        items=tuple((material.paths[k], classes[labels[k]], classes[suggested[k]]) for k in worst),
        numbers={"share": share, "auroc": known, "margins": [round(float(margin[k]), 4) for k in worst]},
    )


def _confident(labels: Positions, probabilities: Floats) -> Positions:
    """(N,) the given label, or a more likely one: confident joint, calibrated, pruned by noise rate.

    A class is confident of an image that is at least as probable as the class's own images are on average; the counts
    of (given, confident) classes, scaled to the given classes' sizes, say how many labels of each kind are wrong. Those
    are taken where the other class is ahead by most, and never where it is behind.
    """
    classes, sizes = probabilities.shape[1], np.bincount(labels)
    thresholds = [probabilities[labels == k, k].mean() if sizes[k] else np.inf for k in range(classes)]
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    sure = confident.max(axis=1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[sure], confident[sure].argmax(axis=1)), 1)
    wrong = np.rint(joint / np.maximum(joint.sum(axis=1), 1)[:, None] * sizes[:, None]).astype(np.int64)
    ahead = probabilities - probabilities[np.arange(len(labels)), labels][:, None]
    suggested, lead = labels.copy(), np.zeros(len(labels))
    for given, other in zip(*np.nonzero(wrong), strict=True):
        members = np.flatnonzero(labels == given)
        first = members[np.argsort(-ahead[members, other], kind="stable")][: wrong[given, other]]
        better = first[ahead[first, other] > lead[first]]  # the given class itself is never ahead
        suggested[better], lead[better] = other, ahead[better, other]
    return suggested


def _margins(labels: Positions, probabilities: Floats) -> Floats:
    """(N,) probability of the given label minus that of the most probable other one."""
    every = np.arange(len(labels))
    others = probabilities.copy()
    others[every, labels] = -1
    return np.asarray(probabilities[every, labels] - others.max(axis=1))


def _outliers(material: Material) -> Finding:
    if len(material) < _FEWEST or len(np.unique(material.groups)) <= _NEIGHBOURS:
        return _idle("A-LABEL-02", _OUTLIERS, f"fewer than {_FEWEST} images, or too few patients", len(material))
    by_features = material.features is not None
    logs = np.log(_distances(_directions(material) if by_features else _appearances(material), material.groups))
    middle = np.median(logs)
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    if spread == 0:
        return _idle("A-LABEL-02", _OUTLIERS, "most images are equally far from each other", len(material))
    far = (logs - middle) / spread
    found = np.flatnonzero(far > _FAR)
    worst = found[np.argsort(-far[found], kind="stable")][:_SHOWN]
    how = f"features of {material.features_name or 'the backbone'}" if by_features else "thumbnail and statistics"
    return Finding(
        "A-LABEL-02",
        "note" if len(found) else "passed",
        _OUTLIERS,
        f"{len(found)} of {len(material)} images are far from all others by {how}",
        "look at them: another body part, a cover sheet, a failed exposure or an inverted image?" if len(found) else "",
        count=len(found),
        total=len(material),
        items=tuple((material.paths[k],) for k in worst),
        numbers={"cutoff": _FAR, "deviations": [round(float(far[k]), 2) for k in worst]},
    )


def _directions(material: Material) -> NDArray[np.float32]:
    """(N, D) features of length 1: the distance of two is monotone in the angle between them."""
    features = np.asarray(material.features, dtype=np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)


def _appearances(material: Material) -> NDArray[np.float32]:
    """(N, D) thumbnails of 16 x 16 and statistics, standardised; both blocks weigh alike."""
    thumbnails = material.glances.thumbnails.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))
    blocks = [_standard(block) for block in (thumbnails.reshape(len(thumbnails), -1), material.glances.statistics)]
    return np.concatenate([block / np.sqrt(block.shape[1]) for block in blocks], axis=1, dtype=np.float32)


def _standard(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    deviation = columns.std(axis=0)
    standard: NDArray[np.float32] = (columns - columns.mean(axis=0)) / np.where(deviation > 1e-6, deviation, np.inf)
    return standard


def _distances(points: NDArray[np.float32], groups: Positions) -> Floats:
    """(N,) distance to the fifth nearest of at most `_REFERENCE` images of other groups, above 0."""
    rng = np.random.default_rng(_SEED)
    reference = np.sort(rng.permutation(len(points))[:_REFERENCE])
    others, owners = points[reference], groups[reference]
    turned, lengths = -2 * others.T, (others**2).sum(axis=1)
    squares = np.empty(len(points))
    nearest = min(_NEIGHBOURS, len(reference)) - 1
    for start in range(0, len(points), _CHUNK):
        some = slice(start, start + _CHUNK)
        found = points[some] @ turned
        found += lengths
        found[groups[some, None] == owners] = np.inf
        found.partition(nearest, axis=1)
        squares[some] = found[:, nearest] + (points[some] ** 2).sum(axis=1)
    known = squares[np.isfinite(squares)]
    squares = np.where(np.isfinite(squares), squares, np.median(known))  # no image of another patient was drawn
    return np.sqrt(np.maximum(squares, 1e-12 * max(1e-12, float(known.max()))))


def _idle(code: str, title: str, reason: str, total: int) -> Finding:
    return Finding(code, "not_applicable", title, reason, total=total)
