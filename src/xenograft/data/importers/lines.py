"""A CSV, TSV, JSON-lines or Parquet file -> its columns and rows as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow.lib import ArrowException

from xenograft.errors import DataError, LabelError, printable

SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})

Lines = tuple[list[str], list[tuple[str, Mapping[str, str]]]]
"""Column names; and of each row its place in the table, for messages, and its cells by column."""


def lines_of(source: Path) -> Lines:
    """All rows, every cell as text, empty where it is missing.

    Raises:
        LabelError: not UTF-8 (L6), or rows that do not fit the header (L7). DataError: it cannot be opened.
    """
    return {".parquet": _parquet, ".jsonl": _jsonl}.get(source.suffix.lower(), _csv)(source)


def _csv(source: Path) -> Lines:
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(source)} cannot be opened: {error.strerror}", code="E-DATA-10") from error
    try:
        text = raw.decode("utf-8-sig")  # a byte-order mark is accepted (L5)
    except UnicodeDecodeError as error:
        raise LabelError(
            f"{source.name} is not UTF-8: byte {raw[error.start]:#04x} at offset {error.start}; save it as UTF-8",
            code="E-LABEL-06",
        ) from error
    delimiter = "\t" if source.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, restkey="_more", restval="", strict=True
    )
    lines: list[tuple[str, Mapping[str, str]]] = []
    try:
        for line in reader:
            lines.append((f"line {reader.line_num}", line))
            if "_more" in line:
                raise LabelError(
                    f"{printable(source.name)} line {reader.line_num} has more cells than the header; quote cells that "
                    "hold a comma",
                    code="E-LABEL-07",
                )
    except csv.Error as error:  # strict: an unclosed quote would swallow the rest of the table
        raise LabelError(
            f"{printable(source.name)} after line {reader.line_num}: {error}; look for an open quote", code="E-LABEL-07"
        ) from error
    return list(reader.fieldnames or ()), lines


def _parquet(source: Path) -> Lines:
    try:
        table = pq.read_table(source)
        lines = table.to_pylist()
    except (ArrowException, OSError) as error:
        raise DataError(f"{printable(source)} is not a readable Parquet file", code="E-DATA-10") from error
    plain = [{k: _cell(v) for k, v in line.items()} for line in lines]
    return list(table.column_names), [(f"row {number}", line) for number, line in enumerate(plain, start=1)]


def _jsonl(source: Path) -> Lines:
    """One JSON object a line, as ``metadata.jsonl`` of Hugging Face."""
    try:
        texts = source.read_text(encoding="utf-8-sig").splitlines()
        cells = [(number, json.loads(text)) for number, text in enumerate(texts, start=1) if text.strip()]
        plain = [(number, {str(k): _cell(v) for k, v in line.items()}) for number, line in cells]
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{printable(source)} is not readable as one JSON object a line: {printable(error)}", code="E-DATA-10"
        ) from error
    names = list(dict.fromkeys(key for _, line in plain for key in line))
    return names, [(f"line {number}", {name: line.get(name, "") for name in names}) for number, line in plain]


def _cell(value: Any) -> str:
    return "" if value is None or value != value else str(value)  # noqa: PLR0124 - NaN, which is a missing value
