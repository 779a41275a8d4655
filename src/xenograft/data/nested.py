"""Strata, groups and patients of images -> an order of the groups every prefix of which is a stratified sample.

Prefixes of one order are nested: a larger one holds every image of a smaller one. A group (one patient, or patients
that share identical pixels) is never cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NestedOrder:
    """Images in an order that keeps groups together, with the ends of its groups.

    Args:
        images: (N,) places of the images. ends: (G,) how many images the first groups hold together.
        patients: (G,) how many patients they hold.
    """

    images: Array
    ends: Array
    patients: Array

    def prefix(self, size: int) -> Array:
        """Sorted places of the images of the first `size` patients; more where the last group holds several.

        Raises:
            ValueError: `size` is not 1 to all patients.
        """
        if not 1 <= size <= int(self.patients[-1]):
            raise ValueError(f"size is {size}; 1 to {int(self.patients[-1])} patients are there")
        group = int(np.searchsorted(self.patients, size))
        return np.sort(self.images[: self.ends[group]])


def nested_order(strata: Array, groups: Array, patients: NDArray[Any], *, rng: np.random.Generator) -> NestedOrder:
    """A random order of groups, dealt evenly.

    A group belongs to the rarest stratum that any of its images is in. The k-th of the m groups of a stratum, in random
    order, stands at (k + u) / m, u being drawn once for each stratum: of any prefix, each stratum has its share to
    within one group (systematic sampling; Madow & Madow 1944, doi:10.1214/aoms/1177731312).

    Args:
        strata: (N,) class or stratum of each image. groups: (N,). patients: (N,) patient keys.
        rng: draws the order.
    """
    _, member = np.unique(groups, return_inverse=True)
    _, stratum = np.unique(strata, return_inverse=True)
    count = int(member.max()) + 1
    rarity = np.argsort(np.argsort(np.bincount(stratum), kind="stable"), kind="stable")  # 0: the rarest
    of_group = np.full(count, len(rarity), dtype=np.int64)
    np.minimum.at(of_group, member, rarity[stratum])
    place = np.empty(count)
    for rank in np.unique(of_group):
        mine = np.flatnonzero(of_group == rank)
        place[rng.permutation(mine)] = (np.arange(len(mine)) + rng.random()) / len(mine)
    order = np.argsort(place, kind="stable")
    position = np.empty(count, dtype=np.int64)
    position[order] = np.arange(count)
    images = np.argsort(position[member], kind="stable")
    ends = np.cumsum(np.bincount(member, minlength=count)[order])
    return NestedOrder(images, ends, _patients_so_far(patients, images, ends))


def _patients_so_far(patients: NDArray[Any], images: Array, ends: Array) -> Array:
    """(G,) distinct patients up to the end of each group; a patient's images may lie in one group only."""
    _, key = np.unique(patients, return_inverse=True)
    _, first = np.unique(key[images], return_index=True)
    return np.searchsorted(np.sort(first), ends, side="left").astype(np.int64)
