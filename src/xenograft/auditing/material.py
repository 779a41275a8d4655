"""What every check looks at: the manifest, what its pixels look like, and features where they are at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.telling import telling
from xenograft.data.glance import Glances
from xenograft.data.label_sets import MISSING
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
    def telling(self) -> dict[str, NDArray[np.bool_]]:
        """Code of the finding -> (N,) whose path may tell who the patient is."""
        return telling(self.paths)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) class indices, or (N, L) findings: 1 present, 0 absent, -1 unknown."""
        return self.manifest.labels

    @property
    def multi_label(self) -> bool:
        """Labels are findings, several an image."""
        return self.manifest.multi_label

    @cached_property
    def strata(self) -> NDArray[np.int64]:
        """(N,) one class an image: the labels, or of several findings the rarest that is present."""
        return self.manifest.strata

    @cached_property
    def members(self) -> dict[str, NDArray[np.bool_]]:
        """Class -> (N,) the images of it; finding -> those that have it, so an image may be in several or in none."""
        columns = (
            self.labels.T == 1 if self.multi_label else self.labels == np.arange(len(self.manifest.classes))[:, None]
        )
        return dict(zip(self.manifest.classes, columns, strict=True))

    def for_label(self, k: int) -> Material:
        """The images of which finding `k` is known, as a set of two classes."""
        known = np.flatnonzero(self.labels[:, k] != MISSING)
        features = None if self.features is None else self.features[known]
        return Material(self.manifest.for_label(k), self.glances.take(known), features, self.features_name)

    def contradict(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the labels of images at these positions contradict each other; an unknown finding does not."""
        one, other = self.labels[first], self.labels[second]
        if not self.multi_label:
            return np.asarray(one != other)
        return np.asarray(((one != other) & (one != MISSING) & (other != MISSING)).any(axis=-1))

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
