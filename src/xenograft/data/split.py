"""Labels and groups -> splits and folds. A group (one patient, or identical pixels) is never cut."""

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


def folds(labels: Array, groups: Array, *, k: int, seed: int, classes: Sequence[str] | None = None) -> Array:
    """(N,) fold of each image, 0 to k-1, stratified by class and grouped; `classes` are names for messages.

    Raises:
        LabelError: a class has fewer groups (patients) than folds.
    """
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
        k = min(_FINE, *(len(np.unique(groups[labels == label])) for label in np.unique(labels)))
    chosen = min(max(1, round(fraction * k)), k - 1)
    return np.asarray(folds(labels, groups, k=k, seed=seed, classes=classes) < chosen)


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
        labels, groups: (N,). given: split of each image, empty where the source is silent.
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
            said.append(f"{label}: {len(chosen) / len(pool):.0%} of {whole}, by patient, stratified by class")
    return splits.tolist(), "; ".join(said) + f" (seed {seed})"
