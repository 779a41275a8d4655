"""Several findings an image: as one text for a table's cell (``Effusion|?Mass``), and as an array of 1, 0 and -1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import LabelError, printable

MISSING = -1
"""Value of a label that nobody gave, or that its source calls uncertain."""

_BETWEEN = "|"
_UNKNOWN = "?"


def check_names(names: Sequence[str]) -> None:
    """Whether names can stand in such a text.

    Raises:
        LabelError: one is empty, repeated, holds ``|`` or begins with ``?``.
    """
    for name in names:
        if not name or _BETWEEN in name or name.startswith(_UNKNOWN):
            raise LabelError(
                f"finding {printable(name)!r}: a name has a character, no '{_BETWEEN}', and does not begin with "
                f"'{_UNKNOWN}'; rename it",
                code="E-LABEL-24",
            )
    if repeated := [name for name in dict.fromkeys(names) if list(names).count(name) > 1]:
        raise LabelError(f"finding {printable(repeated[0])!r} is named twice; name each once", code="E-LABEL-24")


def encode(values: Iterable[int], names: Sequence[str]) -> str:
    """Present findings joined by ``|``, unknown ones behind ``?``; an empty text is "none of them".

    Args:
        values: one of 1, 0, `MISSING` for each name.
    """
    marks = {1: "", MISSING: _UNKNOWN}
    return _BETWEEN.join(marks[int(v)] + name for v, name in zip(values, names, strict=True) if v)


def decode(texts: Iterable[str], names: Sequence[str]) -> NDArray[np.int64]:
    """(N, L) findings of N texts, each 1, 0 or `MISSING`.

    Raises:
        LabelError: a text names what is not among the names.
    """
    index = {name: k for k, name in enumerate(names)}
    rows: dict[str, NDArray[np.int64]] = {}
    found = []
    for text in texts:
        if text not in rows:
            rows[text] = _row(text, index)
        found.append(rows[text])
    return np.array(found, dtype=np.int64).reshape(-1, len(names))


def _row(text: str, index: dict[str, int]) -> NDArray[np.int64]:
    row = np.zeros(len(index), dtype=np.int64)
    for part in text.split(_BETWEEN) if text else ():
        name = part.removeprefix(_UNKNOWN)
        if name not in index:
            raise LabelError(
                f"label {printable(text)!r} names {printable(name)!r}, which is none of the findings", code="E-LABEL-24"
            )
        row[index[name]] = 1 if name == part else MISSING
    return row
