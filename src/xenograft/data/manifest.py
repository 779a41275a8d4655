"""Rows of labelled images and where they came from: what every later stage reads instead of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xenograft.data.facts import Skip
from xenograft.data.label_sets import MISSING, decode
from xenograft.data.split import strata_of
from xenograft.errors import Notice
from xenograft.storage import sha256_of

SPLITS = ("train", "val", "test")
_ENOUGH = 10  # patients that a stratum of several findings needs: as many as the finest folds that are made of it

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("patient", pa.string()),
        ("group", pa.int64()),
        ("sha256", pa.string()),
        ("pixels_sha256", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("bits", pa.int64()),
        ("mode", pa.string()),
        ("notes", pa.string()),
        ("colour", pa.bool_()),
        ("acquisition", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Row:
    """One image.

    Args:
        id: unique in the manifest; the path below the data folder unless the table gave ids.
        path: POSIX path below the manifest's root.
        label: class name; of a multi-label set the findings, as `label_sets.encode` writes them.
        split: ``train``, ``val`` or ``test``. patient: patient key.
        group: images of one patient, or with identical pixels, share a group; no split ever cuts one.
        sha256, pixels_sha256: hashes of the file and of the decoded pixels. bytes: file size.
        width, height: in pixels. bits: stored depth, 8 or 16. mode: stored colour layout.
        notes: codes of what was done to it, with spaces between. colour: whether three channels remained.
        acquisition: JSON mapping of what the file tells about how it was made: no name, date or UID.
    """

    id: str
    path: str
    label: str
    split: str
    patient: str
    group: int
    sha256: str
    pixels_sha256: str
    bytes: int
    width: int
    height: int
    bits: int
    mode: str
    notes: str = ""
    colour: bool = False
    acquisition: str = "{}"


@dataclass(frozen=True)
class Manifest:
    """Labelled, split and inspected images over a pyarrow table with the columns of `Row`.

    Args:
        root: folder that every path is below.
        name: short name of the data set for headings.
        classes: class names in index order; for two classes the second is the positive one. Of a multi-label set the
            findings, any number of which an image may have.
        patient_rule, split_rule: how patients were told apart and splits made, one sentence each.
        catalog: name of the known data set, if it is one.
        synthetic: computer-generated images; every page says so.
        leak_allowed: the user accepted a leak between splits; every page says so.
        facts: sentences that every report on this data set must carry.
        splits_given: the source named splits; else they were made here. test_given: a test split is among them.
        patients_known: the source tells patients apart; else every image counts as its own.
        multi_label: an image may have several of the classes, or none, and some may be unknown.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    table: pa.Table
    patient_rule: str
    split_rule: str
    catalog: str | None = None
    synthetic: bool = False
    leak_allowed: bool = False
    facts: tuple[str, ...] = ()
    splits_given: bool = False
    test_given: bool = False
    patients_known: bool = True
    notices: tuple[Notice, ...] = ()
    skipped: tuple[Skip, ...] = field(default=())
    multi_label: bool = False

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows(self) -> Iterator[Row]:
        """The images in order."""
        for part in self.table.to_batches(max_chunksize=1024):  # a Python object per cell, for a part at a time
            for values in part.to_pylist():
                yield Row(**values)

    def column(self, name: str) -> list[Any]:
        """One column as a list."""
        values: list[Any] = self.table[name].to_pylist()
        return values

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) class index of each image; of a multi-label set (N, L) in {1, 0, -1 = unknown}."""
        if self.multi_label:
            return decode(self.column("label"), self.classes)
        index = {name: k for k, name in enumerate(self.classes)}
        return np.array([index[label] for label in self.column("label")], dtype=np.int64)

    @cached_property
    def strata(self) -> NDArray[np.int64]:
        """(N,) one class an image, to deal and to sample by; of a multi-label set see `strata_of`."""
        return strata_of(self.labels, np.array(self.column("group"), dtype=np.int64), least=_ENOUGH)

    @cached_property
    def patients(self) -> NDArray[np.str_]:
        """(N,) patient key of each image."""
        return np.array(self.column("patient"), dtype=np.str_)

    def where(self, split: str) -> NDArray[np.int64]:
        """Positions of the images of one split."""
        return np.flatnonzero(np.array(self.column("split")) == split)

    def take(self, positions: NDArray[np.int64] | Sequence[int]) -> Manifest:
        """The images at `positions`, in that order."""
        return replace(self, table=self.table.take(pa.array(np.asarray(positions, dtype=np.int64))))

    def subset(self, split: str) -> Manifest:
        """The images of one split."""
        return self.take(self.where(split))

    def for_label(self, k: int) -> Manifest:
        """The images of which finding `k` is known, in two classes: ``("no NAME", NAME)``."""
        classes = (f"no {self.classes[k]}", self.classes[k])
        known = np.flatnonzero(self.labels[:, k] != MISSING)
        texts = pa.array([classes[value] for value in self.labels[known, k]], pa.string())
        at = SCHEMA.get_field_index("label")
        table = self.take(known).table.set_column(at, SCHEMA.field(at), texts)
        return replace(self, table=table, classes=classes, multi_label=False)

    @cached_property
    def sha256(self) -> str:
        """Hash over ids, labels, splits, patients and image contents: equal data, equal hash, wherever it lies."""
        names = ("id", "label", "split", "patient", "sha256")
        return sha256_of([list(self.classes), *(self.column(name) for name in names)])

    def sizes(self) -> dict[str, dict[str, int]]:
        """``{split: {"images": n, "patients": n}}``, splits without images left out."""
        found = {split: self.where(split) for split in SPLITS}
        return {
            split: {"images": len(at), "patients": len(np.unique(self.patients[at]))}
            for split, at in found.items()
            if len(at)
        }

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """``{split: {class: {"images": n, "patients": n}}}``, splits without images left out.

        Of a multi-label set the images and patients that have the finding, and ``"of"``: images where it is known.
        """
        if self.multi_label:
            return {split: self._findings(self.where(split)) for split in self.sizes()}
        table = list(zip(self.column("split"), self.column("label"), self.column("patient"), strict=True))
        return {
            split: {
                label: {
                    "images": sum(s == split and c == label for s, c, _ in table),
                    "patients": len({p for s, c, p in table if s == split and c == label}),
                }
                for label in self.classes
            }
            for split in SPLITS
            if any(s == split for s, _, _ in table)
        }

    def _findings(self, at: NDArray[np.int64]) -> dict[str, dict[str, int]]:
        labels, patients = self.labels[at], self.patients[at]
        return {
            name: {
                "images": int((labels[:, k] == 1).sum()),
                "patients": len(np.unique(patients[labels[:, k] == 1])),
                "of": int((labels[:, k] != MISSING).sum()),
            }
            for k, name in enumerate(self.classes)
        }
