"""Material -> findings on splits: patients in two of them, classes missing or rare, balance and its drift."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.finding import Finding, Severity
from xenograft.auditing.material import Material
from xenograft.data.manifest import SPLITS
from xenograft.errors import listed, printable
from xenograft.evaluate.uncertainty import LEVEL, bootstrap, percentile_interval

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST = 20
_FEW = 10
_RESAMPLES = 1000
_SEED = 20240229  # of the resamples: the same data give the same interval
_CLOSE = 0.05  # a difference of prevalence that is worth a warning
_RARE_CELL = 5  # expected images below which the chi-squared approximation is poor (Cochran 1954)
_UNBALANCED = 4.0
_MANY, _HEAVY, _APART = 10, 0.1, 1.5


def check(material: Material) -> list[Finding]:
    """Checks on splits, ``A-SPLIT-01`` to ``A-SPLIT-08``, in order; each is listed whatever it found."""
    images, patients = _tables(material)
    return [
        _crossing(material),
        _missing(material, images),
        _few(material, images, patients),
        _drift(material, "A-SPLIT-04", "Class balance of test beside training", ("train", "val"), ("test",)),
        _drift(material, "A-SPLIT-05", "Class balance of validation beside training", ("train",), ("val",)),
        _balance(material, images, patients),
        _per_patient(material),
        _several_labels(material),
    ]


def _tables(material: Material) -> tuple[Counts, Counts]:
    """(S, C) images and patients of every split and class."""
    classes = len(material.manifest.classes)
    cell = _split_codes(material) * classes + material.labels
    people = np.unique(material.patients, return_inverse=True)[1].astype(np.int64)
    once = np.unique(cell * (len(material) + 1) + people) // (len(material) + 1)
    size = len(SPLITS) * classes
    images, patients = (np.bincount(cells, minlength=size).reshape(-1, classes) for cells in (cell, once))
    return images, patients


def _split_codes(material: Material) -> Counts:
    """(N,) place of each image's split in `SPLITS`."""
    return np.array([SPLITS.index(str(split)) for split in material.splits], dtype=np.int64)


def _names(material: Material) -> list[str]:
    return [printable(name) for name in material.manifest.classes]


def _crossing(material: Material) -> Finding:
    code, title, total = "A-SPLIT-01", "Patients in several splits", len(np.unique(material.patients))
    if not material.has_patients:
        reason = "The data set gives no patient keys, so images of one patient may lie in two splits unseen."
        return Finding(code, "not_applicable", title, reason, total=len(material))
    seen = np.unique(np.stack([material.patients, material.splits], axis=1), axis=0)
    keys, splits_of = np.unique(seen[:, 0], return_counts=True)
    crossing = keys[splits_of > 1]
    if not len(crossing):
        how = "" if material.declared_splits else "; the splits were made here, by patient"
        return Finding(code, "passed", title, f"Each of {total:,} patients lies in one split only{how}.", total=total)
    inside = np.isin(material.patients, crossing)
    between = listed(sorted({str(split) for split in material.splits[inside]}))
    leaked = int((inside & (material.splits == "test")).sum())
    items = tuple(_one_per_split(material, key) for key in crossing[:_MOST])
    return Finding(
        code,
        "error",
        title,
        f"{len(crossing):,} of {total:,} patients have images in more than one split ({between}): {listed(crossing)}; "
        f"{leaked:,} test images are of such patients.",
        "Split by patient: a network recognises people, so results on those it has seen carry over to nobody.",
        len(crossing),
        total,
        items,
        {"patients": [printable(key) for key in crossing[:_MOST]], "images": int(inside.sum()), "test_images": leaked},
    )


def _one_per_split(material: Material, patient: str) -> tuple[str, ...]:
    mine = np.flatnonzero(material.patients == patient)
    firsts = mine[np.unique(material.splits[mine], return_index=True)[1]]
    return tuple(printable(material.paths[k]) for k in firsts)


def _missing(material: Material, images: Counts) -> Finding:
    code, title, names = "A-SPLIT-02", "Classes missing from a split", _names(material)
    used = [s for s in range(len(SPLITS)) if images[s].any()]
    gone = [f"{names[c]} in {SPLITS[s]}" for s in used for c in np.flatnonzero(images[s] == 0)]
    total = len(used) * len(names)
    if not gone:
        message = f"Every class has images in {listed([SPLITS[s] for s in used])}."
        return Finding(code, "passed", title, message, total=total)
    return Finding(
        code,
        "error",
        title,
        f"{len(gone)} of {total} pairs of class and split have no image: {listed(gone)}.",
        "Split again, stratified by class: what is not there can neither be learned nor measured.",
        len(gone),
        total,
        numbers={"missing": gone},
    )


def _few(material: Material, images: Counts, patients: Counts) -> Finding:
    code, title, names = "A-SPLIT-03", "Small classes in a split", _names(material)
    people = patients if material.has_patients else images
    small = [
        f"{names[c]} in {SPLITS[s]}: {images[s, c]} images"
        + (f" of {people[s, c]} patients" if material.has_patients else "")
        for s, c in np.argwhere((images > 0) & (np.minimum(images, people) < _FEW))
    ]
    total = int((images > 0).sum())
    if not small:
        what = "images and patients" if material.has_patients else "images"
        return Finding(code, "passed", title, f"Every class has {_FEW} {what} or more in each split.", total=total)
    return Finding(
        code,
        "warning",
        title,
        f"{len(small)} of {total} pairs of class and split have under {_FEW} images or patients ({listed(small)}).",
        "Expect very wide intervals, and no threshold that can be trusted; collect more, or join rare classes.",
        len(small),
        total,
        numbers={"small": small},
    )


def _drift(material: Material, code: str, title: str, base: tuple[str, ...], other: tuple[str, ...]) -> Finding:
    """How far the share of each class differs between two sides, with intervals over patients."""
    in_other = np.isin(material.splits, other)
    chosen = np.flatnonzero(np.isin(material.splits, base) | in_other)
    total = len(chosen)
    if in_other.sum() in {0, total}:
        return Finding(code, "not_applicable", title, "One of the two sides has no images.", total=total)
    if not material.declared_splits:
        reason = "The splits were made here, stratified by class; a difference would say nothing about the data."
        return Finding(code, "not_applicable", title, reason, total=total)
    side, labels = in_other[chosen].astype(np.int64), material.labels[chosen]
    table = np.zeros((2, len(material.manifest.classes)), dtype=np.int64)
    np.add.at(table, (side, labels), 1)
    rows = _differences(table, side, labels, material.patients[chosen], _names(material))
    clear = [row for row in rows if row["low"] is not None and (row["low"] > 0 or row["high"] < 0)]
    worst = max(clear or rows, key=lambda row: abs(row["difference"]))
    names = (" and ".join(split for split in base if (material.splits == split).any()), *other)
    severity: Severity = "passed" if not clear else "note"
    if clear and abs(worst["difference"]) >= _CLOSE:
        severity = "warning"
    interval = (
        "" if worst["low"] is None else f" (95 % interval {100 * worst['low']:+.1f} to {100 * worst['high']:+.1f})"
    )
    return Finding(
        code,
        severity,
        title,
        f"{worst['class']}: {worst['base']:.1%} of {table[0].sum():,} images in {names[0]}, {worst['other']:.1%} of "
        f"{table[1].sum():,} in {names[1]}; a difference of {100 * worst['difference']:+.1f} points{interval}"
        + ("." if clear else ", as chance would make it."),
        "Say so beside every result: predictive values, accuracy and calibration change with prevalence, AUROC, "
        "sensitivity and specificity do not by themselves; find out whether other things differ too."
        if clear
        else "",
        total if clear else 0,
        total,
        numbers={"classes": rows, "images": table.tolist(), "p_value": _p_value(table), "level": LEVEL},
    )


def _differences(
    table: Counts, side: Counts, labels: Counts, patients: NDArray[np.str_], names: list[str]
) -> list[dict[str, Any]]:
    """Share of each class on both sides, and the difference with its interval; one row for two classes.

    Patients are drawn within each side, since how many each side has is given. With several classes, the intervals hold
    together (Bonferroni).
    """
    classes = table.shape[1]
    cell = side * classes + labels
    order = np.argsort(cell, kind="stable")
    present, starts = np.unique(cell[order], return_index=True)

    def shares(weights: Floats) -> dict[str, Floats]:
        sums = np.zeros((len(weights), 2 * classes))
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
        both = sums.reshape(-1, 2, classes)
        both /= both.sum(axis=2, keepdims=True)
        return {"difference": both[:, 1] - both[:, 0]}

    rng = np.random.default_rng(_SEED)
    drawn = bootstrap(shares, side, patients, resamples=_RESAMPLES, rng=rng)["difference"]
    share = table / table.sum(axis=1, keepdims=True)
    wanted = range(1, 2) if classes == 2 else range(classes)
    level = 1 - (1 - LEVEL) / len(wanted)
    rows = []
    for k in wanted:
        low, high = (None if math.isnan(end) else end for end in percentile_interval(drawn[:, k], level))
        base, other = float(share[0, k]), float(share[1, k])
        rows.append(
            {"class": names[k], "base": base, "other": other, "difference": other - base, "low": low, "high": high}
        )
    return rows


def _p_value(table: Counts) -> float:
    """That both sides were drawn alike, every image for itself: Fisher's exact test for small 2 x 2, else Pearson's."""
    from scipy.stats import chi2_contingency, fisher_exact

    table = table[:, table.any(axis=0)]
    expected = table.sum(axis=0) * table.sum(axis=1, keepdims=True) / table.sum()
    if table.shape == (2, 2) and expected.min() < _RARE_CELL:
        return float(fisher_exact(table).pvalue)
    return float(chi2_contingency(table, correction=False).pvalue)


def _balance(material: Material, images: Counts, patients: Counts) -> Finding:
    code, title, names = "A-SPLIT-06", "Class balance", _names(material)
    whole = images.sum(axis=0)
    ratio = float(whole.max() / max(1, whole.min()))
    apart = ratio >= _UNBALANCED
    shares = [f"{name} {n:,} ({n / whole.sum():.1%})" for name, n in zip(names, whole, strict=True)]
    counts = {
        split: {
            n: {"images": int(i), "patients": int(p)} for n, i, p in zip(names, images[s], patients[s], strict=True)
        }
        for s, split in enumerate(SPLITS)
    }
    return Finding(
        code,
        "note" if apart else "passed",
        title,
        f"{listed(shares)}" + (f": the largest class is {ratio:.1f} times the smallest." if apart else "."),
        "Judge by AUROC, sensitivity and specificity: accuracy is high for whoever always says the largest class."
        if apart
        else "",
        int(whole.min()) if apart else 0,
        len(material),
        numbers={"counts": counts, "ratio": ratio},
    )


def _per_patient(material: Material) -> Finding:
    code, title = "A-SPLIT-07", "Images per patient"
    if not material.has_patients:
        return Finding(code, "not_applicable", title, "The data set gives no patient keys.", total=len(material))
    keys, owner, each = np.unique(material.patients, return_inverse=True, return_counts=True)
    by_class = {
        name: _spread(np.unique(owner[material.labels == k], return_counts=True)[1])
        for k, name in enumerate(_names(material))
        if (material.labels == k).any()
    }
    means = [one["mean"] for one in by_class.values()]
    heavy = _heaviest_share(material, owner)
    uneven = len(means) > 1 and max(means) > _APART * min(means)
    severity: Severity = "warning" if heavy > _HEAVY else "note" if uneven or each.max() >= _MANY else "passed"
    said = listed([f"{name} {one['median']:g} ({one['most']})" for name, one in by_class.items()])
    worst = np.argsort(-each, kind="stable")[:_MOST]
    items = tuple((printable(material.paths[int(np.flatnonzero(owner == k)[0])]),) for k in worst)
    return Finding(
        code,
        severity,
        title,
        f"{len(keys):,} patients have {np.median(each):g} images in the median, {each.max()} at most (by class: {said})"
        + (f"; one patient makes up {heavy:.0%} of a split." if severity == "warning" else "."),
        "Results lean on the patients with most images; intervals here draw patients, not images. Consider a limit per "
        "patient."
        if severity != "passed"
        else "",
        int((each > 1).sum()),
        len(keys),
        items if severity != "passed" else (),
        {"all": _spread(each), "by_class": by_class, "largest_share_of_a_split": heavy},
    )


def _spread(counts: Counts) -> dict[str, float]:
    return {"median": float(np.median(counts)), "mean": float(counts.mean()), "most": int(counts.max())}


def _heaviest_share(material: Material, owner: Counts) -> float:
    """Largest share of a split's images that one patient has; splits too small to matter are left out."""
    shares = [0.0]
    for split in np.unique(material.splits):
        mine = np.bincount(owner[material.splits == split])
        if mine.sum() >= 2 * _FEW:
            shares.append(float(mine.max() / mine.sum()))
    return max(shares)


def _several_labels(material: Material) -> Finding:
    code, title = "A-SPLIT-08", "Patients with several labels"
    if not material.has_patients:
        return Finding(code, "not_applicable", title, "The data set gives no patient keys.", total=len(material))
    keys, owner = np.unique(material.patients, return_inverse=True)
    pairs = np.unique(np.stack([owner, material.labels], axis=1), axis=0)
    several = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    if not len(several):
        message = f"Each of {len(keys):,} patients has images of one class only."
        return Finding(code, "passed", title, message, total=len(keys))
    items = []
    for patient in several[:_MOST]:
        mine = np.flatnonzero(owner == patient)
        firsts = mine[np.unique(material.labels[mine], return_index=True)[1]]
        items.append(tuple(printable(material.paths[k]) for k in firsts))
    return Finding(
        code,
        "note",
        title,
        f"{len(several):,} of {len(keys):,} patients have images of more than one class.",
        "Expected where labels belong to an image or a visit; else keys join different people, or labels are wrong.",
        len(several),
        len(keys),
        tuple(items),
    )
