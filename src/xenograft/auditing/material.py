"""What every check looks at: the manifest, what its pixels look like, and features where they are at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xenograft.data.glance import Glances
from xenograft.data.manifest import Manifest


@dataclass(frozen=True)
class Material:
    """One data set, in the order of its manifest.

    Args:
        manifest: labelled, split and inspected images; leaks are allowed in it, they are what is looked for.
        glances: thumbnails, histograms and statistics of the N images.
        features: (N, D) of a frozen backbone, or None. features_name: which, for a person.
    """

    manifest: Manifest
    glances: Glances
    features: NDArray[np.float32] | None = None
    features_name: str = ""

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def declared_splits(self) -> bool:
        """The source named the splits; else they were made by patient, and some checks would be idle."""
        return self.manifest.splits_given

    @property
    def has_patients(self) -> bool:
        """Patient keys are known; else every image counts as its own patient."""
        return self.manifest.patients_known

    @cached_property
    def paths(self) -> list[str]:
        """Relative paths."""
        return self.manifest.column("path")

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) class indices."""
        return self.manifest.labels

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        """(N,) ``train``, ``val`` or ``test``."""
        return np.array(self.manifest.column("split"), dtype=np.str_)

    @cached_property
    def patients(self) -> NDArray[np.str_]:
        """(N,) patient keys."""
        return self.manifest.patients

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """(N,) images of one patient, or with identical pixels, share a group: no cross-validation may cut one."""
        return np.array(self.manifest.column("group"), dtype=np.int64)

    @cached_property
    def acquisition(self) -> list[dict[str, str]]:
        """What each file tells about how it was made; empty where it tells nothing."""
        return [json.loads(text) for text in self.manifest.column("acquisition")]

    def numbers(self, column: str) -> NDArray[np.float64]:
        """(N,) one numeric column of the manifest: bytes, width, height, bits."""
        return np.array(self.manifest.column(column), dtype=np.float64)
