"""(feature arrays of any real type) -> the same, checked; read in float64 blocks of rows, so that no copy is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.metrics import Floats, wrong

Features = NDArray[Any]
Transform = Callable[[Floats], Floats]

BLOCK = 1024  # rows of a block: two of them meet in a tile of 4 MB in float32, which the caches of most machines hold
LARGEST = 1e100  # beyond it squares leave the range of a double


@dataclass(frozen=True, slots=True)
class Extent:
    """Mean, smallest and largest number of each column: (D',) each."""

    mean: Floats
    least: Floats
    most: Floats

    def reach(self, centre: Floats) -> float:
        """Largest number among the rows less the centre, in size."""
        return float(max((self.most - centre).max(), (centre - self.least).max()))


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Checked features (N, D), read block by block.

    Args:
        array: (N, D) of any real type; kept as it is.
        transform: float64 (n, D) -> (n, D'), row by row; None leaves the rows as they are.
    """

    array: Features
    transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.array)

    def rows(self, part: slice | NDArray[np.integer[Any]] = slice(None)) -> Floats:
        """Rows as float64, transformed."""
        block: Floats = np.asarray(self.array[part], dtype=np.float64)
        return block if self.transform is None else self.transform(block)

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Every `BLOCK` rows with their place."""
        for part in parts(len(self)):
            yield part, self.rows(part)

    def then(self, transform: Transform) -> FeatureSet:
        """The same rows with one more transform behind."""
        before = self.transform
        return FeatureSet(self.array, transform if before is None else lambda block: transform(before(block)))

    def mean(self) -> Floats:
        """(D',) mean of the transformed rows."""
        total = np.add.reduce([block.sum(axis=0) for _, block in self.blocks()])
        average: Floats = total / len(self)
        return average

    def extent(self) -> Extent:
        """Of the transformed rows, in one pass."""
        found = [(block.sum(axis=0), block.min(axis=0), block.max(axis=0)) for _, block in self.blocks()]
        sums, least, most = zip(*found, strict=True)
        return Extent(np.add.reduce(sums) / len(self), np.minimum.reduce(least), np.maximum.reduce(most))


def parts(count: int) -> list[slice]:
    """0 to count in slices of `BLOCK`."""
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def check_features(features: Features, name: str = "features", *, least: int = 2) -> FeatureSet:
    """A `FeatureSet` of features (N, D) with N >= least and D >= 1.

    Raises:
        DataError: another shape or type, too few rows, nan, infinite, or beyond 1e100 in size.
    """
    array = np.asarray(features)
    if array.ndim != 2 or len(array) < least or array.shape[1] < 1:
        raise wrong(name, f"shape {array.shape}", f"(N, D) with N >= {least} and D >= 1")
    if array.dtype.kind not in "fiub":
        raise wrong(name, f"type {array.dtype}", "real numbers")
    for part in parts(len(array)):
        block = np.asarray(array[part], dtype=np.float64)
        if not (block.min() >= -LARGEST and block.max() <= LARGEST):  # nan fails both
            first = block[~(np.abs(block) <= LARGEST)][0]
            raise wrong(name, f"{first:g} among rows {part.start} to {part.stop - 1}", "finite numbers up to 1e100")
    return FeatureSet(array)


def check_pair(a: Features, b: Features, *, least: int = 2) -> tuple[FeatureSet, FeatureSet]:
    """Two sets of the same width D; see `check_features`.

    Raises:
        DataError: as `check_features`, or another number of columns.
    """
    first, second = check_features(a, "a", least=least), check_features(b, "b", least=least)
    if first.array.shape[1] != second.array.shape[1]:
        raise wrong("b", f"{second.array.shape[1]} columns", f"as many as a has, {first.array.shape[1]}")
    return first, second


def check_row_weights(weights: NDArray[Any] | None, count: int, name: str) -> Floats:
    """Row weights as float64 (R, N), ones (1, N) for None.

    Raises:
        DataError: another shape, negative or not finite, or a line of zeros.
    """
    if weights is None:
        return np.ones((1, count))
    table = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if table.ndim != 2 or table.shape[1] != count or len(table) == 0:
        raise wrong(name, f"shape {np.shape(weights)}", f"({count},) or (R, {count})")
    if not (table.min() >= 0 and table.max() < np.inf):  # nan fails both
        raise wrong(name, f"values {table.min():g} to {table.max():g}", "finite and not negative")
    if not table.any(axis=1).all():
        raise wrong(name, "a line of zeros", "a row above zero in each")
    return table


def check_groups(groups: NDArray[Any] | None, count: int, name: str) -> NDArray[np.intp]:
    """(N,) number of each row's group (patient) from 0; every row is its own for None.

    Raises:
        DataError: another shape.
    """
    if groups is None:
        return np.arange(count)
    keys = np.asarray(groups)
    if keys.shape != (count,):
        raise wrong(name, f"shape {keys.shape}", f"({count},), a key for each row")
    owner: NDArray[np.intp] = np.unique(keys, return_inverse=True)[1]
    return owner


def check_joint_groups(a: NDArray[Any] | None, b: NDArray[Any] | None, sizes: tuple[int, int]) -> NDArray[np.intp]:
    """(N_a + N_b,) group of each row of a, then of b: the same key is the same group in both where both have keys.

    Rows of a set without keys are groups of one, and share none with the other set.

    Raises:
        DataError: another shape.
    """
    if a is not None and b is not None:
        for keys, size, name in ((a, sizes[0], "groups_a"), (b, sizes[1], "groups_b")):
            check_groups(keys, size, name)
        return check_groups(np.concatenate([np.asarray(a), np.asarray(b)]), sum(sizes), "groups")
    first = check_groups(a, sizes[0], "groups_a")
    return np.concatenate([first, first.max() + 1 + check_groups(b, sizes[1], "groups_b")])
