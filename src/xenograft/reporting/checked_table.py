"""Printed rows and class counts -> what each row can mean, what it hides, and which differences exceed chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from xenograft.errors import UsageError, listed
from xenograft.evaluation.marginal_pairs import MarginalPair, marginal_pair
from xenograft.evaluation.multiplicity import holm
from xenograft.evaluation.recovered import Estimate, Ints, Recovery, estimates, recover
from xenograft.reporting.printed_table import PrintedRow, PrintedTable

Json = dict[str, Any]

CAUTION = (
    "Intervals and p take every image as a patient of its own: several images a patient make them too narrow and too "
    "small. They say nothing of other training runs, other hospitals, or choices made on the test set."
)
VERDICTS = {
    "beyond": "exceeds chance however the errors overlap",
    "depends": "depends on which images were wrong, which the table does not say",
    "within": "within chance however the errors overlap",
}
_CELLS = ("tp", "fp", "fn", "tn")
_MOST_LISTED = 1000


@dataclass(frozen=True, slots=True)
class RowCheck:
    """One row: as printed, its possible counts, and every metric over them (none where no counts were found)."""

    row: PrintedRow
    recovery: Recovery
    estimates: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class PairCheck:
    """Accuracy of row a minus that of row b (their places in the table).

    Args:
        unpaired, best, worst: p of `pair`, adjusted by Holm for all pairs of the table.
        verdict: one of `VERDICTS`, by best and worst.
    """

    a: int
    b: int
    pair: MarginalPair
    unpaired: float
    best: float
    worst: float
    verdict: str


@dataclass(frozen=True, slots=True)
class TableCheck:
    """What a table of published results can mean.

    Args:
        level: of intervals; a pair exceeds chance where its adjusted p is below 1 - level.
        within: columns that are equal in the rows of every pair. ignored: columns of numbers that are no known metric.
        not_compared: rows whose number of right answers could not be told.
    """

    positives: int
    negatives: int
    level: float
    within: tuple[str, ...]
    ignored: tuple[str, ...]
    rows: tuple[RowCheck, ...]
    pairs: tuple[PairCheck, ...]
    not_compared: tuple[str, ...]

    def as_json(self) -> Json:
        """All of it for programs; at most 1,000 of the possible counts of a row are listed."""
        return {
            "positives": self.positives,
            "negatives": self.negatives,
            "level": self.level,
            "caution": CAUTION,
            "ignored_columns": list(self.ignored),
            "rows": [_row_json(row) for row in self.rows],
            "comparisons": {
                "metric": "accuracy",
                "within": list(self.within),
                "count": len(self.pairs),
                "verdicts": VERDICTS,
                "not_compared": list(self.not_compared),
                "pairs": [self._pair_json(pair) for pair in self.pairs],
            },
        }

    def _pair_json(self, pair: PairCheck) -> Json:
        found = pair.pair
        return {
            "a": self.rows[pair.a].row.name,
            "b": self.rows[pair.b].row.name,
            "difference": _ends(found.least, found.most),
            "interval": _ends(found.low, found.high),
            "p_unpaired": found.unpaired,
            "p_mcnemar": [found.best, found.worst],
            "holm": {"p_unpaired": pair.unpaired, "p_mcnemar": [pair.best, pair.worst]},
            "verdict": pair.verdict,
        }


def check(
    table: PrintedTable, *, positives: int, negatives: int, within: Sequence[str] = (), level: float = 0.95
) -> TableCheck:
    """Recover the counts of every row and compare the accuracy of every pair.

    A row that is impossible as printed takes part with the counts that its other numbers allow, if it is surely not
    the accuracy that is wrong, and otherwise with all counts that its accuracy alone allows.

    Args:
        within: compare only rows whose cells in these columns are equal.

    Raises:
        DataError: class counts or level out of range. UsageError: a column of `within` that does not name rows.
    """
    columns = list(table.rows[0].labels)
    if unknown := [column for column in within if column not in columns]:
        raise UsageError(
            f"--within: no column {listed(unknown)} among those that name rows: {listed(columns, most=8) or 'none'}",
            code="E-USAGE-23",
        )
    rows = tuple(_row(row, positives, negatives, level) for row in table.rows)
    counts = {i: found for i, row in enumerate(rows) if (found := _comparable(row, positives, negatives)) is not None}
    places = [
        (a, b)
        for a, b in combinations(counts, 2)
        if all(rows[a].row.labels[column] == rows[b].row.labels[column] for column in within)
    ]
    return TableCheck(
        positives=positives,
        negatives=negatives,
        level=level,
        within=tuple(within),
        ignored=table.ignored,
        rows=rows,
        pairs=_pairs(counts, places, level),
        not_compared=tuple(row.row.name for i, row in enumerate(rows) if i not in counts) if len(rows) > 1 else (),
    )


def _row(row: PrintedRow, positives: int, negatives: int, level: float) -> RowCheck:
    found = recover(row.printed, positives=positives, negatives=negatives)
    counts = found.counts
    # a generator of its own, so that a row has the same interval in every table
    known = estimates(counts, level=level, rng=np.random.default_rng(0)) if len(counts) else {}
    return RowCheck(row, found, known)


def _comparable(row: RowCheck, positives: int, negatives: int) -> Ints | None:
    """Counts to compare the accuracy of a row by."""
    found = row.recovery
    if found.possible or (found.readings and all("accuracy" not in reading.left_out for reading in found.readings)):
        return found.counts
    if "accuracy" not in row.row.printed:
        return None
    alone = recover({"accuracy": row.row.printed["accuracy"]}, positives=positives, negatives=negatives)
    return alone.counts if alone.possible else None


def _pairs(counts: Mapping[int, Ints], places: Sequence[tuple[int, int]], level: float) -> tuple[PairCheck, ...]:
    found = [marginal_pair(counts[a], counts[b], level=level) for a, b in places]
    unpaired, best, worst = (
        _adjusted([getattr(pair, name) for pair in found]) for name in ("unpaired", "best", "worst")
    )
    return tuple(
        PairCheck(a, b, pair, unpaired[i], best[i], worst[i], _verdict(best[i], worst[i], 1 - level))
        for i, ((a, b), pair) in enumerate(zip(places, found, strict=True))
    )


def _adjusted(values: Sequence[float]) -> list[float]:
    adjusted = holm({str(i): value for i, value in enumerate(values)})["adjusted"]
    return [value for value in adjusted.values() if value is not None]


def _verdict(best: float, worst: float, alpha: float) -> str:
    if worst < alpha:
        return "beyond"
    return "depends" if best < alpha else "within"


def _row_json(row: RowCheck) -> Json:
    found = row.recovery
    return {
        "name": row.row.name,
        "labels": row.row.labels,
        "printed": row.row.texts,
        "possible": found.possible,
        "possible_if": list(found.conventions),
        "readings": [
            {
                "left_out": list(reading.left_out),
                "rules": list(reading.rules),
                "combinations": len(reading.counts),
                "counts": [dict(zip(_CELLS, cells, strict=True)) for cells in reading.counts[:_MOST_LISTED].tolist()],
            }
            for reading in found.readings
        ],
        "metrics": {
            name: {
                "value": _ends(one.least, one.most),
                "interval": _ends(one.low, one.high),
                "printed": row.row.texts.get(name),
            }
            for name, one in row.estimates.items()
        },
    }


def _ends(low: float, high: float) -> list[float | None]:
    """Both as JSON knows them: None for nan (a proportion of no images)."""
    return [None if math.isnan(end) else end for end in (low, high)]
