"""(manifest, repeats) -> the nested subsets of a learning curve: which patients train and choose at each size.

The validation set grows with the training set, in the share that they have when all patients are used: somebody with
20 labelled patients has no 500 others to choose with.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xenograft.data.manifest import Manifest
from xenograft.data.nested import NestedOrder, nested_order
from xenograft.errors import UsageError

Array = NDArray[np.int64]

ENOUGH = 10
"""Patients of every class that the smallest size has, where sizes are not given."""
NEEDED = 2
"""Patients of every class without which nothing is trained, and that validation has at least, if there are so many."""
_SHARE = 8  # where classes are rare, the smallest size is this part of all patients instead
_MOST, _FEWEST = 10, 5  # sizes
_KEY = 20260701  # of the random orders; changing it changes every subset


class SplitOrders:
    """The images of one split, and their nested orders.

    Args:
        manifest: of the split. repeats: how many orders. salt: tells the orders of splits apart.
    """

    def __init__(self, manifest: Manifest, *, repeats: int, salt: int) -> None:
        self.manifest = manifest
        self._patients = np.unique(manifest.patients, return_inverse=True)[1]
        self._strata = np.unique(manifest.strata, return_inverse=True)[1]
        groups = np.array(manifest.column("group"), dtype=np.int64)
        self.orders: list[NestedOrder] = [
            nested_order(manifest.strata, groups, self._patients, rng=np.random.default_rng([_KEY, salt, repeat]))
            for repeat in range(repeats)
        ]

    @cached_property
    def patients(self) -> int:
        """How many there are."""
        return int(self._patients.max()) + 1

    def usable(self, least: int) -> int:
        """The smallest size that has `least` patients of every class, or all of a class that has fewer, in any order.

        Of several findings, classes are strata, and at least one finding must be both present and absent.
        """
        every = np.arange(len(self._strata))
        wanted = np.minimum(least, self._counts(every))

        def enough(order: NestedOrder, size: int) -> bool:
            inside = order.prefix(size)
            return bool((self._counts(inside) >= wanted).all()) and self._both(inside)

        sizes = range(1, self.patients + 1)
        found = [bisect_left(sizes, True, key=lambda n, order=order: enough(order, n)) for order in self.orders]  # type: ignore[misc]
        return min(self.patients, 1 + max(found))

    def _counts(self, inside: Array) -> Array:
        """(S,) patients of each stratum."""
        pairs = np.unique(np.stack([self._strata[inside], self._patients[inside]]), axis=1)
        return np.bincount(pairs[0], minlength=int(self._strata.max()) + 1)

    def _both(self, inside: Array) -> bool:
        if not self.manifest.multi_label:
            return True
        labels = self.manifest.labels[inside]
        return bool(((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any())


@dataclass(frozen=True, slots=True)
class Subset:
    """The patients of one size in one repeat: training and validation images as manifests."""

    size: int
    repeat: int
    train: Manifest
    val: Manifest


@dataclass(frozen=True, slots=True)
class Subsets:
    """Every subset of a curve, nested within a repeat.

    Args:
        sizes: patients for training, increasing. whole: all patients of train.
        least_val: patients of the smallest validation set.
    """

    train: SplitOrders
    val: SplitOrders
    sizes: tuple[int, ...]
    least_val: int

    @property
    def whole(self) -> int:
        """All patients of train."""
        return self.train.patients

    def at(self, size: int, repeat: int) -> Subset:
        """The subset of one size in one repeat."""
        share = round(self.val.patients * size / self.whole)
        held = max(self.least_val, share)
        return Subset(
            size,
            repeat,
            self.train.manifest.take(self.train.orders[repeat].prefix(size)),
            self.val.manifest.take(self.val.orders[repeat].prefix(held)),
        )


def make_subsets(manifest: Manifest, *, sizes: Sequence[int] = (), repeats: int) -> Subsets:
    """Nested subsets of train and validation; test is not looked at.

    Args:
        sizes: patients for training; by default about doubling from the smallest usable size to all.

    Raises:
        UsageError: a size is more than there are, or too small to have two patients of every class.
    """
    train = SplitOrders(manifest.subset("train"), repeats=repeats, salt=0)
    val = SplitOrders(manifest.subset("val"), repeats=repeats, salt=1)
    chosen = _checked(sizes, train, manifest) if sizes else default_sizes(_start(train), train.patients)
    return Subsets(train, val, chosen, val.usable(NEEDED))


def default_sizes(start: int, whole: int) -> tuple[int, ...]:
    """From `start` to `whole`, each about twice the one before, 5 to 10 of them, two digits each.

    >>> default_sizes(30, 3133)
    (30, 58, 110, 220, 430, 830, 1600, 3133)
    """
    if start >= whole:
        return (whole,)
    count = min(_MOST, max(_FEWEST, 1 + round(math.log2(whole / start))))
    between = (float(f"{n:.2g}") for n in np.geomspace(start, whole, count)[1:-1])
    return tuple(sorted({start, whole, *(int(n) for n in between if start < n < whole)}))


def _start(train: SplitOrders) -> int:
    needed, enough = train.usable(NEEDED), train.usable(ENOUGH)
    return max(needed, min(enough, math.ceil(train.patients / _SHARE)))


def _checked(sizes: Sequence[int], train: SplitOrders, manifest: Manifest) -> tuple[int, ...]:
    unit = "patients" if manifest.patients_known else "images, as patients are not known"
    least = train.usable(NEEDED)
    for size in sizes:
        if size > train.patients:
            raise UsageError(
                f"size {size} is more than the {train.patients} training {unit}; give sizes up to {train.patients}",
                code="E-USAGE-11",
            )
        if size < least:
            raise UsageError(
                f"size {size} is too small to have {NEEDED} of every class in every repeat; {least} {unit} are the "
                "smallest size here",
                code="E-USAGE-11",
            )
    return tuple(sorted(set(sizes)))
