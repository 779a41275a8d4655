"""Labels and groups -> splits and folds. A group (one patient, or identical pixels) is never cut.

Labels are (N,) class indices, or (N, L) findings in {1, 0, -1 = unknown}. Several findings make too many combinations
to deal each of them evenly: an image is then dealt by its rarest finding (`strata_of`), so that the rare ones, which a
careless deal would lose, are spread over all splits; the common ones are spread by their number.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import LabelError, printable

Array = NDArray[np.int64]


def linked_groups(*keys: Sequence[Hashable]) -> Array:
    """(N,) group of each image: images that share any key, directly or through others, share a group.

    Patients and pixel hashes are the keys: one image stored under two patient keys ties both patients together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(keys[0])
    edges_from: list[int] = []
    edges_to: list[int] = []
    for values in keys:
        first: dict[Hashable, int] = {}
        for position, value in enumerate(values):
            edges_from.append(position)
            edges_to.append(first.setdefault(value, position))
    links = coo_array((np.ones(len(edges_from), dtype=np.int8), (edges_from, edges_to)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def strata_of(labels: Array, groups: Array, *, least: int) -> Array:
    """(N,) stratum of each image: its class; of several findings 1 + the rarest one present, 0 where there is none.

    From the rarest finding to the commonest, the images that have it and are in no stratum yet become one, if they are
    of at least `least` groups; else the next finding that they have decides. What is left at the end is stratum 0; it
    joins the largest other one if it has fewer groups than that.

    Args:
        labels: (N,) classes, returned as they are, or (N, L) findings; unknown counts as absent. groups: (N,).
    """
    if labels.ndim == 1:
        return labels
    present = labels == 1
    strata = np.zeros(len(labels), dtype=np.int64)
    for k in np.argsort(present.sum(axis=0), kind="stable"):
        mine = present[:, k] & (strata == 0)
        if len(np.unique(groups[mine])) >= least:
            strata[mine] = k + 1
    rest = strata == 0
    if rest.any() and not rest.all() and len(np.unique(groups[rest])) < least:
        strata[rest] = np.bincount(strata[~rest]).argmax()
    return strata


def folds(labels: Array, groups: Array, *, k: int, seed: int, classes: Sequence[str] | None = None) -> Array:
    """(N,) fold of each image, 0 to k-1, stratified by class and grouped; `classes` are names for messages.

    Several findings are dealt by their strata of k groups or more; one that fewer groups have is dealt with the others.

    Raises:
        LabelError: a class has fewer groups (patients) than folds; of several findings, all images together.
    """
    if labels.ndim == 2:
        if (groups_in_all := len(np.unique(groups))) < k:
            raise LabelError(
                f"{k} folds need at least {k} patients, there are {groups_in_all}; add patients, or use fewer folds "
                "(larger shares for val and test, at most 0.5)",
                code="E-LABEL-12",
            )
        labels, classes = strata_of(labels, groups, least=k), None
    for label in np.unique(labels):
        have = len(np.unique(groups[labels == label]))
        if have < k:
            name = label if classes is None else printable(classes[label])
            raise LabelError(
                f"class {name} has {have} patients, {k} folds need at least {k}; add patients, or use fewer folds "
                "(larger shares for val and test, at most 0.5)",
                code="E-LABEL-12",
            )
    result = np.full(len(labels), -1, dtype=np.int64)
    from sklearn.model_selection import StratifiedGroupKFold  # late: two seconds that a mistake in DATA need not wait

    splitter = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
        result[held_out] = fold
    return result


_CLOSE = 0.01  # a share this near to one fold of k is made by one fold
_FINE = 20  # other shares are made of twentieths


def holdout(
    labels: Array, groups: Array, *, fraction: float, seed: int, classes: Sequence[str] | None = None
) -> NDArray[np.bool_]:
    """(N,) True for about `fraction` of the images: one of round(1 / fraction) folds, or several of finer ones."""
    k = max(2, round(1 / fraction))
    if abs(1 / k - fraction) > _CLOSE:
        k = max(2, min(_FINE, _fewest(labels, groups)))
    chosen = min(max(1, round(fraction * k)), k - 1)
    return np.asarray(folds(labels, groups, k=k, seed=seed, classes=classes) < chosen)


def _fewest(labels: Array, groups: Array) -> int:
    """Groups of the class that the fewest have; of several findings, all groups."""
    if labels.ndim == 2:
        return len(np.unique(groups))
    return min(len(np.unique(groups[labels == label])) for label in np.unique(labels))


def assign(
    labels: Array,
    groups: Array,
    given: Sequence[str],
    *,
    val: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> tuple[list[str], str]:
    """Complete the splits of a data set.

    A test split is held out when none is given, then a validation split is carved out of train when none is given.

    Args:
        labels: (N,) or (N, L). groups: (N,). given: split of each image, empty where the source is silent.
        val: share of train that becomes validation. test: share of all that becomes test.
        classes: names of the classes, for messages.

    Returns:
        (N,) split names and a sentence for the report.

    Raises:
        LabelError: some images have a split and others have none; a class has too few patients.
    """
    splits = np.array(given, dtype=object)
    silent = splits == ""
    said = []
    by = "class" if labels.ndim == 1 else "the rarest finding of an image"
    if silent.any() and not silent.all():
        raise LabelError(
            f"{int(silent.sum())} of {len(splits)} images have no split and the others have one; give all or none",
            code="E-LABEL-20",
        )
    if not silent.any():
        said.append("splits as given")
    splits[silent] = "train"
    for name, fraction, whole in (("test", test, "all images"), ("val", val, "the training images")):
        if not (splits == name).any():
            pool = np.flatnonzero(splits == "train")
            if not len(pool):
                raise LabelError("split train holds no image; give it some, or give no splits", code="E-LABEL-11")
            chosen = pool[holdout(labels[pool], groups[pool], fraction=fraction, seed=seed, classes=classes)]
            splits[chosen] = name
            label = {"test": "test", "val": "validation"}[name]
            said.append(f"{label}: {len(chosen) / len(pool):.0%} of {whole}, by patient, stratified by {by}")
    return splits.tolist(), "; ".join(said) + f" (seed {seed})"
