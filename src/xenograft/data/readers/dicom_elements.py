"""DICOM data set and the name of an attribute -> its value as text, numbers, a count or an item, whoever wrote it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Dataset = Any
"""``pydicom.Dataset``; pydicom is optional and never imported here."""


def numbers(dataset: Dataset, name: str) -> tuple[float, ...]:
    """Values of a numeric attribute; none when it is absent or empty.

    Raises:
        ValueError: it holds something else than finite numbers.
    """
    value = dataset.get(name)
    if value is None or value == "":
        return ()
    many = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)
    found = tuple(float(one) for one in many)
    if not all(math.isfinite(one) for one in found):
        raise ValueError("not a finite number")
    return found


def likely_numbers(dataset: Dataset, name: str) -> tuple[float, ...]:
    """As `numbers`, and none as well when they cannot be read: for what an image can do without."""
    try:
        return numbers(dataset, name)
    except Exception:  # pydicom converts on access, and may raise anything on hostile values
        return ()


def count(dataset: Dataset, name: str, default: int | None = None) -> int:
    """The one whole number of an attribute.

    Raises:
        ValueError: it is no whole number, or absent without a default.
    """
    found = numbers(dataset, name)
    if not found and default is not None:
        return default
    if len(found) != 1 or found[0] != int(found[0]):
        raise ValueError("not a whole number")
    return int(found[0])


def text(dataset: Dataset, name: str) -> str:
    """First value of a textual attribute without padding; empty when it is absent or cannot be read."""
    try:
        value = dataset.get(name)
    except Exception:  # as in `likely_numbers`
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = value[0] if len(value) else ""
    return value.strip(" \0") if isinstance(value, str) else ""


def texts(dataset: Dataset, name: str) -> tuple[str, ...]:
    """All values of a textual attribute, as `text` gives the first."""
    try:
        value = dataset.get(name)
    except Exception:  # as in `likely_numbers`
        return ()
    many = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)
    return tuple(one.strip(" \0") if isinstance(one, str) else "" for one in many)


def items(dataset: Dataset, name: str) -> Sequence[Dataset]:
    """Items of a sequence; none when it is absent or empty.

    Raises:
        ValueError: it is no sequence of data sets.
    """
    value = dataset.get(name)
    if value is None or value in ("", b""):
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError("not a sequence")
    return value
