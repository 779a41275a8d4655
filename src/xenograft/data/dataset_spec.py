"""What is known of one public data set: its classes, its naming rule, and what every report on it must say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from xenograft.errors import DataError, listed

Task = Literal["binary", "multi-class", "multi-label", "ordinal"]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """One known data set.

    Args:
        name: key for ``--catalog``.
        title: as a heading. source: citation and identifier. licence: its name, or where its terms are.
        address: where to get it.
        classes: the class names that identify it (compared without case); empty if any are allowed.
        patient_pattern: its groups, joined, are the patient key; None where no name tells patients apart.
        patient_rule: the same in words, for the report; without a pattern the reason, and what to give instead.
        over: the patterns are matched from the start of the file ``name``, or found anywhere in the relative ``path``.
        file_pattern: the naming rule of a set whose names do not tell patients apart.
        not_images: found in the paths of masks and the like, which must not be read as images.
        absence: a label that stands for none of the classes; a table may hold it or not.
        task: what a label is.
        indexed: it is distributed as one archive, with labels that are indices into `classes`.
        sizes: images in train, val and test, one triple for each published version of an archive.
        marker: a file in the data folder that identifies the set, if there is one.
        merge_validation: the distributed validation split is too small to use; it is put back into train, as is any
            other of its size, while a larger one is the user's own and stays.
        facts: sentences every report must print beside its headline.
    """

    name: str
    title: str
    source: str
    licence: str
    address: str
    classes: tuple[str, ...]
    patient_pattern: str | None
    patient_rule: str
    over: Literal["name", "path"] = "name"
    file_pattern: str | None = None
    not_images: str | None = None
    absence: str | None = None
    task: Task = "multi-class"
    indexed: bool = False
    sizes: tuple[tuple[int, int, int], ...] = ()
    marker: str | None = None
    merge_validation: bool = False
    facts: tuple[str, ...] = ()

    def patient(self, path: str) -> str | None:
        """The patient key of a file, or None where its name does not follow the rule or there is none."""
        found = self._matched(self.patient_pattern, path)
        return "".join(g for g in found.groups() if g) if found else None

    def follows(self, path: str) -> bool:
        """Whether a file is named as this set names its files; never where it has no rule."""
        return self._matched(self.file_pattern or self.patient_pattern, path) is not None

    def has_classes(self, classes: Iterable[str], *, some: bool = False) -> bool:
        """Whether these are its classes and no other: all of them, or at least `some`."""
        names, own = _folded(classes) - _folded([self.absence or ""]), _folded(self.classes)
        return bool(own) and (bool(names) and names <= own if some else names == own)

    @property
    def label_names(self) -> dict[str, str]:
        """``{"0": first class, ...}`` for a set that is distributed with indices for labels; empty for the others."""
        return {str(k): name for k, name in enumerate(self.classes)} if self.indexed else {}

    def check(self, classes: Iterable[str], paths: Iterable[str]) -> None:
        """Whether data can be this set, as its user said; some of its classes may be missing.

        Raises:
            DataError: a class that it has not (E-DATA-14), or files that are masks, not images (E-DATA-15).
        """
        unnamed = [f"label {k}" for k in self.label_names]  # findings of an archive of another name or size
        known = _folded([*self.classes, *self.label_names, *unnamed, self.absence or ""])
        foreign = sorted(name for name in classes if name.casefold() not in known)
        if self.classes and foreign:
            raise DataError(
                f"{self.name} has no class {listed(foreign)}; its classes are {listed(self.classes, most=20)}; name "
                "yours so, or give --catalog none",
                code="E-DATA-14",
            )
        masks = [path for path in paths if self.not_images and re.search(self.not_images, path)]
        if masks:
            raise DataError(
                f"{len(masks)} files are masks that {self.name} keeps beside its images, not images: {listed(masks)}; "
                "move them elsewhere",
                code="E-DATA-15",
            )

    def _matched(self, pattern: str | None, path: str) -> re.Match[str] | None:
        if pattern is None:
            return None
        return re.match(pattern, PurePosixPath(path).name) if self.over == "name" else re.search(pattern, path)


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}
