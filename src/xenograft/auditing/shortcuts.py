"""Material -> how well file size, dimensions, intensity, border, metadata or a tiny thumbnail alone predict the label.

Two measurements of each family: cross-validated by patient on the whole set, and fitted on train and val and tested on
test. Two images are compared only where one fit scored both. The lower end of the 95 % interval of the AUROC decides:
above 0.70 a warning, above 0.60 a note. Where the source named the splits, it is test's; a family that only the
cross-validation finds above 0.70 is still a note, because a model may learn it and then fail on test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.by_finding import for_each_finding
from xenograft.auditing.finding import Finding, Severity
from xenograft.auditing.material import Material
from xenograft.auditing.trivial import (
    ACQUISITION,
    MOST,
    Floats,
    Positions,
    Summary,
    aurocs,
    grouped_folds,
    one_thread,
    out_of_fold,
    predicted,
    sampled,
    trivial_features,
)
from xenograft.data.label_sets import MISSING
from xenograft.evaluation.metrics import ranking_metrics

_WARNING, _NOTE = 0.70, 0.60
_RESAMPLES = 400
_FEWEST = 10  # patients of each class; the bootstrap of fewer is too sure of itself
_SEED = 0
_SHARED, _LEAST = 2 * MOST, 2_000  # images, shared by all findings; for each

_STORED = (
    "store all images alike (size, depth, colour, compression) and see where classes come from different sources; "
    "keep this number beside the model's"
)
_PIXELS = "the finding itself may cause this, or the device: look at both classes; a model has to beat this number"
_MARGIN = "look at the margins of both classes; crop or mask them and see whether the model's result holds"
_TINY = "no proof of a shortcut, so few pixels may show the finding itself; a model has to beat this number"
_TOLD = "match or stratify the classes by it, and report results within its levels"


class _Effort(NamedTuple):
    most: int  # images that are looked at
    resamples: int


_WHOLE = _Effort(MOST, _RESAMPLES)


class _Kind(NamedTuple):
    code: str
    what: str
    advice: str


_KINDS = {
    "file size": _Kind("A-SHORT-01", "File size", _STORED),
    "dimensions": _Kind("A-SHORT-02", "Width, height and aspect", _STORED),
    "depth and colour": _Kind("A-SHORT-03", "Depth and colour layout", _STORED),
    "file type": _Kind("A-SHORT-04", "File type", _STORED),
    "intensity": _Kind("A-SHORT-05", "Intensity statistics", _PIXELS),
    "histogram": _Kind("A-SHORT-06", "The histogram", _PIXELS),
    "border": _Kind("A-SHORT-07", "Mean and spread of the border", _MARGIN),
    "border only": _Kind("A-SHORT-08", "The border's pixels", _MARGIN),
    "thumbnail": _Kind("A-SHORT-09", "A thumbnail of 8 x 8 pixels", _TINY),
    ACQUISITION + "age": _Kind("A-SHORT-10", "Age", _TOLD),
    ACQUISITION + "sex": _Kind("A-SHORT-11", "Sex", _TOLD),
    ACQUISITION + "view": _Kind("A-SHORT-12", "View", _TOLD),
    ACQUISITION + "manufacturer": _Kind("A-SHORT-13", "Manufacturer", _TOLD),
    ACQUISITION + "modality": _Kind("A-SHORT-14", "Modality", _TOLD),
}


def check(material: Material) -> list[Finding]:
    """One finding per family, A-SHORT-01 to 14; facts beyond the usual five share A-SHORT-15.

    With several findings, each is predicted from up to 20,000 images divided among them (2,000 at least), half of the
    resamples, and the one that is predicted best speaks.
    """
    sources = _sources(material)
    if not material.multi_label:
        return _each_family(material, sources, _WHOLE)
    share = _Effort(max(_LEAST, _SHARED // len(material.manifest.classes)), _RESAMPLES // 2)

    def of_one(two_classes: Material, k: int) -> list[Finding]:
        known = np.flatnonzero(material.labels[:, k] != MISSING)
        return _each_family(two_classes, {family: values[known] for family, values in sources.items()}, share)

    return for_each_finding(material, of_one, size=_strength)


def _strength(finding: Finding) -> float:
    """Lower end of the interval of the AUROC that decides."""
    measured = finding.numbers.get("test") or finding.numbers.get("pooled") or {}
    return float(measured.get("low") or 0.0)


def _each_family(material: Material, sources: dict[str, Floats], effort: _Effort) -> list[Finding]:
    varied = {family: values for family, values in sources.items() if np.ptp(values, axis=0).any()}
    with one_thread():
        pooled, tested = _cross_validated(material, varied, effort), _on_test(material, varied, effort)
    findings = []
    for family in dict.fromkeys([*_KINDS, *sources]):
        kind = _KINDS.get(family) or _Kind("A-SHORT-15", family.removeprefix(ACQUISITION).capitalize(), _TOLD)
        if family not in sources:
            findings.append(_idle(kind, "the files do not tell it", len(material)))
        elif family not in varied:
            findings.append(_idle(kind, "it is the same for all images", len(material)))
        else:
            findings.append(_judged(kind, material, pooled.get(family), tested.get(family)))
    return findings


def _sources(material: Material) -> dict[str, Floats]:
    """Family -> (N, k)."""
    table = trivial_features(material)
    thumbnails = material.glances.thumbnails
    ring = np.ones((16, 16), dtype=np.bool_)
    ring[1:-1, 1:-1] = False  # of 16 x 16 pixels: means of 2 x 2, so the outer two rows of the 32 x 32
    return {
        **{family: table.of(family) for family in dict.fromkeys(table.families)},
        "border only": _shrunk(thumbnails, 16)[:, ring],
        "thumbnail": _shrunk(thumbnails, 8).reshape(len(thumbnails), -1),
    }


def _shrunk(thumbnails: NDArray[np.float32], side: int) -> Floats:
    """(N, side, side) means of blocks."""
    block = thumbnails.shape[1] // side
    return np.asarray(thumbnails.reshape(-1, side, block, side, block).mean(axis=(2, 4), dtype=np.float64))


@dataclass(frozen=True, slots=True)
class _Measured:
    auroc: Summary
    images: int


def _cross_validated(material: Material, sources: dict[str, Floats], effort: _Effort) -> dict[str, _Measured]:
    chosen = sampled(material.labels, material.groups, most=effort.most, seed=_SEED)
    labels = material.labels[chosen]
    folds = grouped_folds(labels, material.groups[chosen], seed=_SEED)
    if folds is None or not _enough(material, chosen):
        return {}
    scores = {family: _held_out(values[chosen], labels, folds) for family, values in sources.items()}
    found = aurocs(labels, scores, material.patients[chosen], strata=folds, resamples=effort.resamples, seed=_SEED)
    return {family: _Measured(auroc, len(chosen)) for family, auroc in found.items()}


def _on_test(material: Material, sources: dict[str, Floats], effort: _Effort) -> dict[str, _Measured]:
    fit, test = (
        _some_of(material, which, effort.most) for which in (material.splits != "test", material.splits == "test")
    )
    labels = material.labels
    if not (_enough(material, fit) and _enough(material, test)):
        return {}
    classes = len(material.manifest.classes)
    scores = {f: _scores(values[fit], labels[fit], values[test], classes) for f, values in sources.items()}
    found = aurocs(labels[test], scores, material.patients[test], resamples=effort.resamples, seed=_SEED)
    return {family: _Measured(auroc, len(test)) for family, auroc in found.items()}


def _enough(material: Material, positions: Positions) -> bool:
    """Two classes or more, and patients of each for an interval that means something."""
    labels, groups = material.labels[positions], material.groups[positions]
    patients = [len(np.unique(groups[labels == label])) for label in np.unique(labels)]
    return len(patients) > 1 and min(patients) >= _FEWEST


def _some_of(material: Material, which: NDArray[np.bool_], most: int) -> Positions:
    positions = np.flatnonzero(which)
    return positions[sampled(material.labels[positions], material.groups[positions], most=most, seed=_SEED)]


def _held_out(values: Floats, labels: Positions, folds: Positions) -> Floats:
    classes = int(labels.max()) + 1
    if not _needs_only_a_direction(values, classes):
        return out_of_fold(values, labels, folds)[0]
    scores = np.empty(len(labels))
    for fold in np.unique(folds):
        outside = folds == fold
        scores[outside] = _scores(values[~outside], labels[~outside], values[outside], classes)
    return scores


def _scores(values: Floats, labels: Positions, unseen: Floats, classes: int) -> Floats:
    """(n,) or (n, C) of unseen rows."""
    if not _needs_only_a_direction(values, classes):
        return predicted(values, labels, unseen, classes=classes)
    auroc = ranking_metrics(labels == 1, values[:, 0], np.ones((1, len(labels))))["auroc"][0]
    return np.asarray(np.sign(np.nan_to_num(auroc, nan=0.5) - 0.5) * unseen[:, 0])


def _needs_only_a_direction(values: Floats, classes: int) -> bool:
    return values.shape[1] == 1 and classes == 2


def _idle(kind: _Kind, reason: str, total: int) -> Finding:
    return Finding(kind.code, "not_applicable", _title(kind), f"{kind.what}: {reason}", total=total)


def _title(kind: _Kind) -> str:
    return f"{kind.what} alone predicts the label"


def _judged(kind: _Kind, material: Material, pooled: _Measured | None, tested: _Measured | None) -> Finding:
    usable = [m for m in (tested if material.declared_splits else None, pooled) if m and m.auroc["low"] is not None]
    if not usable:
        return _idle(kind, f"fewer than {_FEWEST} patients in some class", len(material))
    severity = _capped(kind, max((_level(m, first=m is usable[0]) for m in usable), key=_weight))
    flagged = severity != "passed"
    said = [
        _said(pooled, f"cross-validated by {_unit(material)}"),
        _said(tested, "fitted on train and val, tested on test"),
    ]
    return Finding(
        kind.code,
        severity,
        _title(kind),
        f"{kind.what} alone: {_name(material)} {'; '.join(filter(None, said))}",
        kind.advice if flagged else "",
        count=len(material) if flagged else 0,
        total=len(material),
        numbers={"pooled": pooled and pooled.auroc, "test": tested and tested.auroc},
    )


def _level(measured: _Measured, *, first: bool) -> Severity:
    """By the measurement that decides, or by the other, which can only add a note."""
    low = measured.auroc["low"] or 0.0
    if first:
        return "warning" if low > _WARNING else "note" if low > _NOTE else "passed"
    return "note" if low > _WARNING else "passed"


def _weight(severity: Severity) -> int:
    return ("passed", "note", "warning").index(severity)


def _capped(kind: _Kind, severity: Severity) -> Severity:
    """A thumbnail may show what the label means, so it never warns."""
    return "note" if kind.advice == _TINY and severity == "warning" else severity


def _said(measured: _Measured | None, how: str) -> str:
    if measured is None or measured.auroc["value"] is None:
        return ""
    value, low, high = (measured.auroc[key] for key in ("value", "low", "high"))
    interval = f" ({low:.2f} to {high:.2f})" if low is not None else ""
    return f"{value:.2f}{interval} {how}, {measured.images} images"


def _unit(material: Material) -> str:
    return "patient" if material.has_patients else "image, patients not being known"


def _name(material: Material) -> str:
    return "AUROC" if len(material.manifest.classes) == 2 else "mean one-against-rest AUROC"
