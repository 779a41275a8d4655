"""A CSV of published results -> rows of printed numbers, each with the digits it was printed with.

Nothing is computed from numbers here: what counts is the text. "93.1" says less than "93.10", and a spreadsheet that
dropped the zero of "93.0" has not changed how many digits the paper printed, so a column is read with the most digits
of any of its cells.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from xenograft.errors import DataError, UsageError, listed, printable
from xenograft.evaluation.recovered import RECOVERABLE, Printed

_ALIASES = {
    "accuracy": ("acc",),
    "precision": ("ppv", "positive predictive value"),
    "recall": ("sensitivity", "sens", "tpr", "true positive rate"),
    "specificity": ("spec", "tnr", "true negative rate"),
    "npv": ("negative predictive value",),
    "f1": ("f1 score", "f score", "f measure", "dice"),
    "g_mean": ("gmean", "geometric mean"),
    "balanced_accuracy": ("bacc", "balanced acc"),
    "mcc": ("matthews correlation coefficient",),
}
_METRIC = {alias: name for name, others in _ALIASES.items() for alias in (name.replace("_", " "), *others)}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_BLANK = frozenset({"", "-", "–", "—", "na", "n/a", "nan", "nr"})
_MOST_DIGITS = 6
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """One row of a table.

    Args:
        name: what tells it from the others. labels: column -> cell of all that is no metric.
        printed: metric -> number. texts: metric -> as it was printed.
    """

    name: str
    labels: dict[str, str]
    printed: dict[str, Printed]
    texts: dict[str, str]


@dataclass(frozen=True, slots=True)
class PrintedTable:
    """Rows in their order, and the columns of numbers that are none of the metrics."""

    rows: tuple[PrintedRow, ...]
    ignored: tuple[str, ...]


def read_cells(source: Path) -> list[dict[str, str]]:
    """Rows of a CSV with a header; commas, semicolons (then with decimal commas) or tabs between its columns.

    Raises:
        DataError: it cannot be opened, is not UTF-8, has no rows or more than 200, or rows of another length
            than its header.
    """
    name = printable(source)
    try:
        text = Path(source).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{name} cannot be opened: {error.strerror}; name a CSV file", code="E-DATA-41") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 (byte at offset {error.start}); save it as CSV in UTF-8", code="E-DATA-41"
        ) from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter, strict=True) if any(line)]
    except csv.Error as error:
        raise DataError(f"{name} cannot be read as CSV: {error}", code="E-DATA-41") from error
    columns = [column.strip() for column in lines[0]] if lines else []
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(columns):
            raise DataError(
                f"{name} row {number} has {len(line)} cells; its header has {len(columns)}", code="E-DATA-41"
            )
    cells = [dict(zip(columns, (cell.strip() for cell in line), strict=True)) for line in lines[1:]]
    if len(set(columns)) != len(columns):
        raise DataError(f"{name} has two columns of one name: {listed(columns, most=12)}", code="E-DATA-41")
    if not 1 <= len(cells) <= MOST_ROWS:
        raise DataError(f"{name} has {len(cells)} rows below its header; allowed: 1 to {MOST_ROWS}", code="E-DATA-41")
    if delimiter == ";":
        return [{c: re.sub(r"(\d),(\d)", r"\1.\2", cell) for c, cell in row.items()} for row in cells]
    return cells


def read_rows(
    cells: Sequence[Mapping[str, object]],
    *,
    digits: int | Mapping[str, int] | None = None,
    ignore: Sequence[str] = (),
) -> PrintedTable:
    """Numbers with their digits, from cells in text.

    A column is in per cent where its header or a cell says so, or where a number in it is above 1; otherwise it holds
    fractions. Columns of text or whole numbers that are no metric name the rows; other columns of numbers are ignored.

    Args:
        cells: column -> cell, for each row; blank or "-" where nothing was printed.
        digits: decimals as printed, of every column or by metric; by default the most of any cell of the column.
        ignore: metrics that are not looked at.

    Raises:
        DataError: no metric among the columns, a metric twice, a cell that is no number or out of range, or a row
            without numbers.
        UsageError: digits out of range, or digits or `ignore` of a metric that is not there.
    """
    columns = list(dict.fromkeys(column for row in cells for column in row))
    texts = {column: [_text(row.get(column)) for row in cells] for column in columns}
    every = _metrics(columns)
    metrics = _kept(every, ignore)
    wanted = _digits(digits, metrics)
    numbers = {name: _column(name, column, texts[column], wanted.get(name)) for name, column in metrics.items()}
    naming = [column for column in columns if column not in every.values() and not _decimals(texts[column])]
    names = _names([[texts[column][i] for column in naming] for i in range(len(cells))])
    rows = []
    for i, name in enumerate(names):
        printed = {metric: number for metric, values in numbers.items() if (number := values[i]) is not None}
        if not printed:
            raise DataError(f"row {i + 1} ({printable(name)}) has no number; leave it out", code="E-DATA-42")
        labels = {column: texts[column][i] for column in naming}
        rows.append(PrintedRow(name, labels, printed, {metric: texts[metrics[metric]][i] for metric in printed}))
    ignored = [column for column in columns if column not in metrics.values() and column not in naming]
    return PrintedTable(tuple(rows), tuple(ignored))


def _metrics(columns: Sequence[str]) -> dict[str, str]:
    """Metric -> column, in the order of `RECOVERABLE`."""
    found: dict[str, str] = {}
    for column in columns:
        name = _metric(column)
        if name is None:
            continue
        if name in found:
            raise DataError(
                f"columns {found[name]!r} and {printable(column)!r} are both {name}; keep one", code="E-DATA-41"
            )
        found[name] = column
    if not found:
        raise DataError(
            f"no column is a metric: got {listed(columns, most=8)}; known are {', '.join(RECOVERABLE)}",
            code="E-DATA-41",
        )
    return {name: found[name] for name in RECOVERABLE if name in found}


def _metric(text: str) -> str | None:
    """Its name here, whatever a paper calls it: "Test F1-score (%)" is f1."""
    words = re.sub(r"\b(pct|percent|test)\b", " ", re.sub(r"[_\W]+", " ", text.lower()))
    return _METRIC.get(" ".join(words.split()))


def _kept(metrics: Mapping[str, str], ignore: Sequence[str]) -> dict[str, str]:
    without = {name: _metric(name) for name in ignore}
    unknown = [name for name, metric in without.items() if metric not in metrics]
    kept = {name: column for name, column in metrics.items() if name not in without.values()}
    if unknown or not kept:
        raise UsageError(
            f"cannot ignore {listed(unknown or ignore)}: the metrics are {', '.join(metrics)}, and one must remain",
            code="E-USAGE-23",
        )
    return kept


def _digits(digits: int | Mapping[str, int] | None, metrics: Mapping[str, str]) -> dict[str, int]:
    named = {_metric(name) or name: number for name, number in digits.items()} if isinstance(digits, Mapping) else {}
    given = dict.fromkeys(metrics, digits) if isinstance(digits, int) else named
    for name, number in given.items():
        if name not in metrics:
            raise UsageError(
                f"digits of {name!r}: the table has no such metric; it has {', '.join(metrics)}", code="E-USAGE-23"
            )
        if not 0 <= number <= _MOST_DIGITS:
            raise UsageError(f"digits: got {number}; allowed: 0 to {_MOST_DIGITS}", code="E-USAGE-23")
    return given


def _column(name: str, column: str, texts: Sequence[str], digits: int | None) -> list[Printed | None]:
    """Numbers of one metric, None where nothing was printed."""
    values: list[Decimal | None] = []
    for number, text in enumerate(texts, start=1):
        plain = text.removesuffix("%").strip()
        if plain.lower() in _BLANK:
            values.append(None)
        elif _NUMBER.fullmatch(plain):
            values.append(Decimal(plain))
        else:
            raise DataError(
                f"row {number}, {printable(column)}: {printable(text)!r} is no number; write 93.1, 93.1% or 0.931",
                code="E-DATA-42",
            )
    known = [value for value in values if value is not None]
    percent = any(abs(value) > 1 for value in known) or any("%" in text for text in (column, *texts))
    percent = percent or re.search(r"pct|percent", column.lower()) is not None
    shown = digits if digits is not None else max((_places(value) for value in known), default=0)
    if not percent and known and shown == 0:
        raise DataError(
            f"{printable(column)}: {known[0]} has no decimals, so how it was rounded cannot be told; "
            "write 1.000 or 100.0 as printed, or give --digits",
            code="E-DATA-42",
        )
    found = [None if value is None else _number(name, value, shown, percent=percent) for value in values]
    for number, (text, one) in enumerate(zip(texts, found, strict=True), start=1):
        least = -1 if name == "mcc" else 0
        if one is not None and not least <= one.value <= 1:
            raise DataError(
                f"row {number}, {printable(column)}: {printable(text)} is out of range; allowed: {least * 100} to 100 "
                f"in per cent, {least} to 1 as a fraction",
                code="E-DATA-42",
            )
    return found


def _number(name: str, value: Decimal, digits: int, *, percent: bool) -> Printed:
    if _places(value) > digits:
        raise UsageError(f"digits of {name}: {digits}, but {value} has more", code="E-USAGE-23")
    if digits > _MOST_DIGITS - 2 * percent:
        raise DataError(
            f"{name}: {value} has more digits than a proportion of images can use; round it to six as a fraction",
            code="E-DATA-42",
        )
    shift = -2 if percent else 0
    return Printed(float(value.scaleb(shift)), float(Decimal(1).scaleb(shift - digits)))


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _decimals(texts: Sequence[str]) -> bool:
    """All of a column are numbers, and some have decimals: a measurement, not a name."""
    known = [text for text in texts if text.lower() not in _BLANK]
    numbers = all(_NUMBER.fullmatch(text.removesuffix("%").strip()) for text in known)
    return bool(known) and numbers and any("." in text for text in known)


def _names(parts: Sequence[Sequence[str]]) -> list[str]:
    names = [" ".join(filter(None, part)) or f"row {i}" for i, part in enumerate(parts, start=1)]
    return [f"{name} (row {i})" if names.count(name) > 1 else name for i, name in enumerate(names, start=1)]


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
