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
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, percentile_interval

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
    """(S, K) images and patients of every split and class; of L findings, K = 2 L: absent, present, absent, ..."""
    names, owner = np.unique(material.patients, return_inverse=True)
    images, patients = (np.zeros((len(SPLITS), len(_names(material))), np.int64) for _ in range(2))
    split = _split_codes(material)
    for k, chosen in enumerate(_columns(material)):
        images[:, k] = np.bincount(split[chosen], minlength=len(SPLITS))
        once = np.unique(split[chosen] * len(names) + owner[chosen]) // len(names)
        patients[:, k] = np.bincount(once, minlength=len(SPLITS))
    return images, patients


def _columns(material: Material) -> list[NDArray[np.bool_]]:
    if material.multi_label:
        return [column == value for column in material.labels.T for value in (0, 1)]
    return list(material.members.values())


def _split_codes(material: Material) -> Counts:
    """(N,) place of each image's split in `SPLITS`."""
    return np.array([SPLITS.index(str(split)) for split in material.splits], dtype=np.int64)


def _names(material: Material) -> list[str]:
    """Of the columns of `_tables`."""
    names = [printable(name) for name in material.manifest.classes]
    return [side for name in names for side in (f"no {name}", name)] if material.multi_label else names


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
        "warning" if material.multi_label else "error",  # other findings can still be learned and measured
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
    columns = np.stack([column[chosen] for column in _columns(material)], axis=1)
    side = in_other[chosen].astype(np.int64)
    table = np.stack([columns[side == s].sum(axis=0) for s in (0, 1)])
    if material.multi_label:
        table = table.reshape(2, -1, 2).transpose(1, 0, 2)  # L tables of two sides and two answers
        asked = [k for k, each in enumerate(table) if each.any(axis=1).all()]
        if not asked:
            return Finding(code, "not_applicable", title, "No finding is known on both sides.", total=total)
    rows = _differences(columns, side, material.patients[chosen], _names(material), multi_label=material.multi_label)
    clear = [row for row in rows if row["low"] is not None and (row["low"] > 0 or row["high"] < 0)]
    worst = max(clear or rows, key=lambda row: abs(row["difference"]))
    names = (" and ".join(split for split in base if (material.splits == split).any()), *other)
    severity: Severity = "passed" if not clear else "note"
    if clear and abs(worst["difference"]) >= _CLOSE:
        severity = "warning"
    sizes = table[worst["column"]].sum(axis=1) if material.multi_label else table.sum(axis=1)
    several = f" Found for {len(clear)} of {len(rows)} findings." if material.multi_label and clear else ""
    interval = (
        "" if worst["low"] is None else f" (95 % interval {100 * worst['low']:+.1f} to {100 * worst['high']:+.1f})"
    )
    return Finding(
        code,
        severity,
        title,
        f"{worst['class']}: {worst['base']:.1%} of {sizes[0]:,} images in {names[0]}, {worst['other']:.1%} of "
        f"{sizes[1]:,} in {names[1]}; a difference of {100 * worst['difference']:+.1f} points{interval}"
        + (f".{several}" if clear else ", as chance would make it."),
        "Say so beside every result: predictive values, accuracy and calibration change with prevalence, AUROC, "
        "sensitivity and specificity do not by themselves; find out whether other things differ too."
        if clear
        else "",
        total if clear else 0,
        total,
        numbers={
            "classes": [{key: value for key, value in row.items() if key != "column"} for row in rows],
            "images": table.tolist(),
            "p_value": min(1.0, len(asked) * min(_p_value(table[k]) for k in asked))  # Bonferroni
            if material.multi_label
            else _p_value(table),
            "level": LEVEL,
        },
    )


def _differences(
    columns: NDArray[np.bool_], side: Counts, patients: NDArray[np.str_], names: list[str], *, multi_label: bool
) -> list[dict[str, Any]]:
    """Share of each class on both sides, and the difference with its interval; one row for two classes.

    Patients are drawn within each side, since how many each side has is given. All classes, or findings, share the same
    resamples, and their intervals hold together (Bonferroni). A finding that is unknown on a whole side has no row.

    Args:
        columns: (n, K) of `_columns`; of findings, each pair of columns makes up a whole, else all do.
    """
    width = columns.shape[1]
    group = 2 if multi_label else width
    split = [columns[side == s].astype(np.float64) for s in (0, 1)]

    def shares(weights: Floats) -> dict[str, Floats]:
        base, other = (_parts(weights[:, side == s] @ split[s], group) for s in (0, 1))
        return {"difference": other - base}

    rng = np.random.default_rng(_SEED)
    drawn = bootstrap(shares, side, patients, resamples=_RESAMPLES, rng=rng)["difference"]
    base, other = (_parts(of.sum(axis=0)[None], group)[0] for of in split)
    wanted = [k for k in range(1 if group == 2 else 0, width, 2 if group == 2 else 1) if not np.isnan(other - base)[k]]
    level = 1 - (1 - LEVEL) / len(wanted)
    rows = []
    for k in wanted:
        low, high = (None if math.isnan(end) else end for end in percentile_interval(drawn[:, k], level))
        row: dict[str, Any] = {"class": names[k], "base": float(base[k]), "other": float(other[k])}
        rows.append(row | {"difference": row["other"] - row["base"], "low": low, "high": high, "column": k // group})
    return rows


def _parts(sums: Floats, group: int) -> Floats:
    """(B, K) sums as shares of the `group` neighbours that make up a whole; nan where that is nothing."""
    parts = sums.reshape(len(sums), -1, group)
    whole = parts.sum(axis=2, keepdims=True)
    shares: Floats = np.divide(parts, whole, out=np.full_like(parts, np.nan), where=whole > 0)
    return shares.reshape(sums.shape)


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
    if material.multi_label:
        return _prevalences(material, images)
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


def _prevalences(material: Material, images: Counts) -> Finding:
    code, title, names = "A-SPLIT-06", "Class balance", [printable(name) for name in material.manifest.classes]
    absent, present = images.sum(axis=0).reshape(-1, 2).T
    share = present / np.maximum(1, absent + present)
    rare = share < 1 / (1 + _UNBALANCED)
    order = np.argsort(-share, kind="stable")
    said = [f"{names[k]} {present[k]:,} of {absent[k] + present[k]:,} ({share[k]:.1%})" for k in order]
    unknown = len(material) - absent - present
    return Finding(
        code,
        "note" if rare.any() else "passed",
        title,
        f"{listed(said)}, of images where it is known"
        + (
            f"; {int(rare.sum())} of {len(names)} findings are present in under {1 / (1 + _UNBALANCED):.0%}."
            if rare.any()
            else "."
        ),
        "Judge by AUROC, average precision, sensitivity and specificity: accuracy is high for whoever always says no."
        if rare.any()
        else "",
        int(rare.sum()),
        len(names),
        numbers={"counts": material.manifest.counts(), "unknown": dict(zip(names, unknown.tolist(), strict=True))},
    )


def _per_patient(material: Material) -> Finding:
    code, title = "A-SPLIT-07", "Images per patient"
    if not material.has_patients:
        return Finding(code, "not_applicable", title, "The data set gives no patient keys.", total=len(material))
    keys, owner, each = np.unique(material.patients, return_inverse=True, return_counts=True)
    by_class = {
        printable(name): _spread(np.unique(owner[chosen], return_counts=True)[1])
        for name, chosen in material.members.items()
        if chosen.any()
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
        f"{len(keys):,} patients; images of each: {np.median(each):g} in the median, {each.max()} at most "
        f"(by class: {said})" + (f"; one patient makes up {heavy:.0%} of a split." if severity == "warning" else "."),
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
    if material.multi_label:
        reason = "Images have several findings, and so have patients."
        return Finding(code, "not_applicable", title, reason, total=len(material))
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
