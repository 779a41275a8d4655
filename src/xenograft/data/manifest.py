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
from xenograft.errors import Notice
from xenograft.storage import sha256_of

SPLITS = ("train", "val", "test")

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
        label: class name. split: ``train``, ``val`` or ``test``. patient: patient key.
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
        classes: class names in index order; for two classes the second is the positive one.
        patient_rule, split_rule: how patients were told apart and splits made, one sentence each.
        catalog: name of the known data set, if it is one.
        synthetic: computer-generated images; every page says so.
        leak_allowed: the user accepted a leak between splits; every page says so.
        facts: sentences that every report on this data set must carry.
        splits_given: the source named the splits; else they were made here. patients_known: the source tells patients
            apart; else every image counts as its own.
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
    patients_known: bool = True
    notices: tuple[Notice, ...] = ()
    skipped: tuple[Skip, ...] = field(default=())

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
        """(N,) class index of each image."""
        index = {name: k for k, name in enumerate(self.classes)}
        return np.array([index[label] for label in self.column("label")], dtype=np.int64)

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

    @cached_property
    def sha256(self) -> str:
        """Hash over ids, labels, splits, patients and image contents: equal data, equal hash, wherever it lies."""
        names = ("id", "label", "split", "patient", "sha256")
        return sha256_of([list(self.classes), *(self.column(name) for name in names)])

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """``{split: {class: {"images": n, "patients": n}}}``, splits without images left out."""
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
