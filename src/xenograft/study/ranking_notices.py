"""What a ranking warns of: notices about its data that name no test image, and differences without an interval."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xenograft.data.manifest import Manifest
from xenograft.errors import Notice, listed, printable

NO_INTERVAL = "W-DATA-51"
_INSTEAD = "a test image"


def outside_test(manifest: Manifest) -> tuple[Notice, ...]:
    """The manifest's notices, with every name of a test image replaced."""
    test = manifest.subset("test")
    names = {printable(name) for column in ("id", "path") for name in test.column(column)}
    return tuple(
        replace(
            notice,
            message=_hidden(notice.message, names),
            items=tuple(_hidden(item, names) for item in notice.items),
        )
        for notice in manifest.notices
    )


def without_interval(ranked: Sequence[Mapping[str, Any]], images: Manifest) -> Iterator[Notice]:
    """A notice where the difference of some candidates to the best has no interval, and the likely cause.

    Args:
        ranked: rows of a ranking, best first. images: that were looked at.
    """
    lacking = [printable(row["title"]) for row in ranked if row["tied"] is None]
    if not lacking:
        return
    patients = [len(np.unique(images.patients[images.labels == k])) for k in range(len(images.classes))]
    rarest = int(np.argmin(patients))
    best = printable(ranked[0]["title"])
    yield Notice(
        NO_INTERVAL,
        f"no interval could be computed for the difference of {listed(lacking)} to the best, {best}: more than 5 % of "
        "the halves of the patients leave the score undefined (fewest patients: "
        f"{printable(images.classes[rarest])}, {patients[rarest]})",
        len(lacking),
        tuple(lacking[:5]),
    )


def _hidden(text: str, names: set[str]) -> str:
    for name in sorted((name for name in names if name in text), key=len, reverse=True):
        text = re.sub(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])", _INSTEAD, text)
    return text
