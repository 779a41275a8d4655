"""Cells of a table of predictions -> classes in order, labels as indices, probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xenograft.data.importers import folded
from xenograft.data.label_names import is_negative
from xenograft.errors import DataError, LabelError, Notice, UsageError, listed, printable

Rows = list[tuple[str, Mapping[str, str]]]
"""Place of each row in its table, and its cells by column."""

_SUM_TOLERANCE = 0.01  # six decimals of a hundred classes


def two_classes(truth: Sequence[str], positive: str | None, where: str) -> tuple[str, ...]:
    """The two classes of a table with one score, "nothing found" or the one that is not `positive` first.

    Raises:
        LabelError: there are not two (E-LABEL-10). UsageError: `positive` is neither.
    """
    names = sorted(set(truth), key=lambda name: (not is_negative(name), name))
    if len(names) != 2:
        raise LabelError(
            f"{where} has one score an image and the classes {listed(names)}; two classes are needed, or a column "
            "p_CLASS for each",
            code="E-LABEL-10",
        )
    if positive is None:
        return tuple(names)
    if positive not in names:
        raise UsageError(f"--positive {positive!r}: the classes are {listed(names)}", code="E-USAGE-07")
    return (next(name for name in names if name != positive), positive)


def positive_last(
    classes: tuple[str, ...], scores: NDArray[np.float64], positive: str | None, where: str
) -> tuple[tuple[str, ...], NDArray[np.float64], list[Notice]]:
    """Two classes with the positive one last: as asked for, or the one that does not say "nothing found"."""
    if positive is not None and positive not in classes:
        raise UsageError(f"--positive {positive!r}: the classes of {where} are {listed(classes)}", code="E-USAGE-07")
    negative = [is_negative(name) for name in classes]
    notices = []
    if positive is None and negative[0] == negative[1]:
        message = f"{where}: positive class: {printable(classes[1])}, the later one; name another with --positive"
        notices.append(Notice("W-LABEL-23", message))
    if positive == classes[0] or (positive is None and negative == [False, True]):
        return classes[::-1], np.ascontiguousarray(scores[:, ::-1]), notices
    return classes, scores, notices


def scores(rows: Rows, names: Sequence[str], where: str, *, exclusive: bool = True) -> NDArray[np.float64]:
    """(N, C) probabilities, or (N, 1) of the positive class, or (N, L) of findings, which do not exclude each other.

    Raises:
        DataError: a cell is no number from 0 to 1, or those of a row do not sum to one (E-DATA-37).
    """
    table = np.empty((len(rows), len(names)))
    for k, (place, line) in enumerate(rows):
        for c, name in enumerate(names):
            table[k, c] = _probability(line[name], f"{where} {place}, column {printable(name)}")
        if exclusive and len(names) > 1 and abs(table[k].sum() - 1) > _SUM_TOLERANCE:
            raise DataError(
                f"{where} {place}: the probabilities of its classes sum to {table[k].sum():.3f}, not to 1; findings "
                "need a column label_NAME or NAME for each p_NAME, or labels such as Effusion|Mass",
                code="E-DATA-37",
            )
    return table / table.sum(axis=1, keepdims=True) if exclusive and len(names) > 1 else table


def _probability(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise DataError(
            f"{where}: {printable(text)!r} is no probability; a number from 0 to 1 is needed (not a logit)",
            code="E-DATA-37",
        )
    return value


def indices(truth: Sequence[str], classes: Sequence[str], where: str) -> NDArray[np.int64]:
    """(N,) class index of each label, by name or by number.

    Raises:
        LabelError: a label is none of the classes (L18).
    """
    index = {folded(name): k for k, name in enumerate(classes)}
    strange = sorted({label for label in truth if folded(label) not in index})
    if strange and all(label.isdecimal() and int(label) < len(classes) for label in set(truth)):
        return np.array([int(label) for label in truth], dtype=np.int64)  # numbers of classes, as our own records hold
    if strange:
        raise LabelError(
            f"{where}: true classes {listed(strange)} are none of those with a score: {listed(classes)}",
            code="E-LABEL-18",
        )
    return np.array([index[folded(label)] for label in truth], dtype=np.int64)
