"""A CSV, TSV or Parquet table -> Listing. Columns: path (or id), label, and where known split and patient."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq
from pyarrow.lib import ArrowException

from xenograft.data.facts import Skip
from xenograft.data.importers import SPLIT_NAMES, Listing, RawRow, folded
from xenograft.errors import DataError, LabelError, Notice, listed, printable
from xenograft.storage import safe_join

SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})

_NAMES = {
    "path": ("path", "file", "filename", "file_name", "image", "image_path"),
    "id": ("id", "image_id"),
    "label": ("label", "class", "diagnosis", "target"),
    "split": ("split", "subset", "fold"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id"),
}


def read(
    source: Path, *, images: Path | None = None, patient_column: str | None = None, label_column: str | None = None
) -> Listing:
    """List a table; image paths are relative to `images`, or to the table's own folder.

    Raises:
        LabelError: not UTF-8 (L6), columns missing (L7), a path outside the folder (L4), conflicting labels (L3).
    """
    found, lines = _parquet(source) if source.suffix.lower() == ".parquet" else _csv(source)
    columns = _columns(source, found, patient=patient_column, label=label_column)
    root = images if images is not None else source.parent
    rows: dict[str, RawRow] = {}
    skipped: list[Skip] = []
    merged: list[str] = []
    labels: set[str] = set()
    splits: set[str] = set()
    for place, line in lines:
        where = f"{printable(source.name)} {place}"
        row = _row(line, columns, where)
        _contained(root, row.path, where)
        labels.add(row.label)
        splits.add(row.split)
        if not row.label.strip():
            skipped.append(Skip(printable(row.path), "S-LABEL-01", f"{where}: no label"))
        elif not os.path.exists(root / row.path):  # noqa: PTH110 - Path.exists raises for names that are too long
            skipped.append(Skip(printable(row.path), "S-LABEL-02", f"{where}: no such file below {printable(root)}"))
        elif row.path in rows:
            _same(rows[row.path], row)
            merged.append(row.path)
        else:
            rows[row.path] = row
    if not lines:
        raise LabelError(f"{printable(source.name)} has a header and no rows; add one per image", code="E-LABEL-02")
    _unique(rows)
    notices: tuple[Notice, ...] = ()
    if merged:
        message = f"{source.name}: {len(merged)} repeated rows were merged: {listed(merged)}"
        notices = (Notice("W-LABEL-03", message, len(merged), tuple(map(printable, merged[:5]))),)
    return Listing(root, tuple(rows.values()), notices, tuple(skipped), frozenset(splits - {""}), frozenset(labels))


_Lines = tuple[list[str], list[tuple[str, Mapping[str, str]]]]  # column names; (place in the table, cells)


def _csv(source: Path) -> _Lines:
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


def _parquet(source: Path) -> _Lines:
    try:
        table = pq.read_table(source)
        lines = table.to_pylist()
    except (ArrowException, OSError) as error:
        raise DataError(f"{printable(source)} is not a readable Parquet file", code="E-DATA-10") from error
    plain = [{k: _cell(v) for k, v in line.items()} for line in lines]
    return list(table.column_names), [(f"row {number}", line) for number, line in enumerate(plain, start=1)]


def _cell(value: Any) -> str:
    return "" if value is None or value != value else str(value)  # noqa: PLR0124 - NaN, which is a missing value


def _columns(source: Path, found: Sequence[str], **wanted: str | None) -> dict[str, str]:
    """Which column of the table plays which part; names are compared without case and outer spaces."""
    plain = {name.strip().casefold(): name for name in reversed(found)}
    columns = {}
    for part, usual in _NAMES.items():
        asked = wanted.get(part)
        names = (asked.strip().casefold(),) if asked else usual
        chosen = next((plain[name] for name in names if name in plain), None)
        if chosen is not None:
            columns[part] = chosen
        elif asked:
            _missing(source, f"column {asked!r}", found)
    if "path" not in columns and "id" not in columns:
        _missing(source, "a column path or id", found)
    if "label" not in columns:
        _missing(source, "a column label", found)
    return columns


def _missing(source: Path, what: str, found: Sequence[str]) -> None:
    raise LabelError(
        f"{source.name} has no {what.removeprefix('a ')}; columns found: {listed(found, most=12) or 'none'}; "
        "the delimiter must be a comma (a tab in .tsv)",
        code="E-LABEL-07",
    )


def _row(line: Mapping[str, str], columns: Mapping[str, str], where: str) -> RawRow:
    label = line[columns["label"]]  # as written: that spaces were dropped is said (L8)
    cells = {part: line[name].strip() for part, name in columns.items()}
    path = cells.get("path") or cells.get("id", "")
    if not path:
        raise LabelError(f"{where} names no file; fill the path", code="E-LABEL-02")
    split = cells.get("split", "")
    if split and split.casefold() not in SPLIT_NAMES:
        raise LabelError(f"{where}: split {split!r} is not one of train, val, test", code="E-LABEL-20")
    return RawRow(
        id=cells.get("id") or path,
        path=PurePosixPath(path).as_posix(),  # a//b and ./a/b are one file
        label=label,
        split=SPLIT_NAMES.get(split.casefold(), ""),
        patient=cells.get("patient", ""),
        where=where,
    )


def _contained(root: Path, path: str, where: str) -> None:
    try:
        safe_join(root, path)
    except LabelError as error:
        raise LabelError(f"{where}: {error.args[0]}", code=error.code) from error


def _unique(rows: Mapping[str, RawRow]) -> None:
    first: dict[str, RawRow] = {}
    for row in rows.values():
        if (other := first.setdefault(row.id, row)) is not row:
            raise LabelError(
                f"{row.where}: id {printable(row.id)} names {printable(row.path)}, and {printable(other.path)} in "
                f"{other.where}; give every image its own id",
                code="E-LABEL-03",
            )


def _same(first: RawRow, second: RawRow) -> None:
    same_label = folded(first.label) == folded(second.label)
    if not same_label or (first.split, first.patient) != (second.split, second.patient):
        raise LabelError(
            f"{second.where}: {printable(second.path)} was {first.label!r} {first.split} {first.patient} in "
            f"{first.where} and is {second.label!r} {second.split} {second.patient} here; keep one",
            code="E-LABEL-03",
        )
