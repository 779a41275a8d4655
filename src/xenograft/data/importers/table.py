"""A CSV, TSV or Parquet table -> Listing. Columns: path (or id), label or several, where known split and patient."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from xenograft.data.facts import Skip
from xenograft.data.importers import SPLIT_NAMES, Listing, RawRow, folded
from xenograft.data.importers.findings import Labels, of_cells, of_columns
from xenograft.data.importers.lines import lines_of
from xenograft.data.importers.whereabouts import found_below
from xenograft.data.label_sets import MISSING, encode
from xenograft.errors import LabelError, Notice, listed, printable
from xenograft.storage import safe_join

_NAMES = {
    "path": ("path", "file", "filename", "file_name", "image", "image_path", "image index"),
    "id": ("id", "image_id"),
    "label": ("label", "class", "diagnosis", "target", "finding labels"),
    "split": ("split", "subset", "fold"),
    "patient": ("patient", "patient_id", "patientid", "patient id", "subject", "subject_id"),
}

_TOLD = {  # as `xenograft.data.readers.acquisition` calls what DICOM files tell
    "age": ("age", "patient age", "age_years"),
    "sex": ("sex", "gender", "patient gender", "patient sex"),
    "view": ("view", "view position", "view_position", "viewposition", "projection", "ap/pa"),
    "manufacturer": ("manufacturer", "vendor", "scanner", "device"),
    "site": ("site", "hospital", "centre", "center", "institution"),
}
_LONGEST = 64  # characters of such a cell


def read(
    source: Path,
    *,
    images: Path | None = None,
    patient_column: str | None = None,
    label_column: str | None = None,
    unlabelled: str | None = None,
) -> Listing:
    """List a table; image paths are relative to `images`, or to the table's own folder (see also `found_below`).

    Args:
        label_column: name of the column with the class; or several with commas between them, one finding each.
        unlabelled: class of rows without a label, where labels are not needed; None: they are, and such rows are
            skipped.

    Raises:
        LabelError: not UTF-8 (L6), columns missing (L7), a path outside the folder (L4), conflicting labels (L3),
            cells that are no findings (L24).
    """
    found, lines = lines_of(source)
    several = _several(found, label_column)
    columns = _columns(source, found, patient=patient_column, label=several[0] if several else label_column)
    name = printable(source.name)
    if "label" not in columns and unlabelled is None:
        _missing(source, "a column label", found)
    if several:
        labelled = of_columns(lines, [_columns(source, found, label=one)["label"] for one in several], name)
    elif "label" in columns:
        labelled = of_cells(lines, columns["label"], name)
    else:
        labelled = Labels((None,) * len(lines))
    if unlabelled is not None:
        rest = encode([MISSING] * len(labelled.findings), labelled.findings) or unlabelled
        labelled = replace(labelled, texts=tuple(rest if text is None else text for text in labelled.texts))
    root = images if images is not None else source.parent
    told = _told(found, columns)
    named = [_row(root, line, columns, told, f"{name} {place}") for place, line in lines]
    lie = found_below(root, [row.path for row in named])
    known = [(row, label) for row, label in zip(named, labelled.texts, strict=True) if label is not None]
    silent = [row for row, label in zip(named, labelled.texts, strict=True) if label is None]
    rows, skipped, merged = _gathered(root, [replace(row, label=label) for row, label in known], lie)
    notices = labelled.notices
    if several:
        notices = (*notices, *_silent(name, silent))  # a table of findings may well be silent about an image
    else:
        skipped += [Skip(printable(row.path), "S-LABEL-01", f"{row.where}: no label") for row in silent]
    if not lines:
        raise LabelError(f"{printable(source.name)} has a header and no rows; add one per image", code="E-LABEL-02")
    _unique(rows)
    if merged:
        message = f"{source.name}: {len(merged)} repeated rows were merged: {listed(merged)}"
        notices = (*notices, Notice("W-LABEL-03", message, len(merged), tuple(map(printable, merged[:5]))))
    return Listing(
        root,
        tuple(rows.values()),
        notices,
        tuple(skipped),
        frozenset({row.split for row in named} - {""}),
        frozenset(() if labelled.findings else {label for _, label in known}),
        findings=labelled.findings,
    )


def _gathered(
    root: Path, named: Sequence[RawRow], lie: Mapping[str, Sequence[str]]
) -> tuple[dict[str, RawRow], list[Skip], list[str]]:
    """Rows by path, what is skipped, and the paths of rows that were merged.

    Args:
        lie: where files were found that are not where their row says.

    Raises:
        LabelError: two rows of one image do not agree (L3).
    """
    rows: dict[str, RawRow] = {}
    skipped: list[Skip] = []
    merged: list[str] = []
    for given in named:
        places = lie.get(given.path, [given.path])
        row = replace(given, path=places[0])
        if row.path != given.path:
            _contained(root, row.path, row.where)  # what was found may be a link
        if len(places) > 1:
            reason = f"{row.where}: {len(places)} files below {printable(root)} have this name: {listed(places)}"
            skipped.append(Skip(printable(row.path), "S-LABEL-02", reason))
        elif not os.path.exists(root / row.path):  # noqa: PTH110 - Path.exists raises for names that are too long
            reason = f"{row.where}: no such file below {printable(root)}"
            skipped.append(Skip(printable(row.path), "S-LABEL-02", reason))
        elif row.path in rows:
            _same(rows[row.path], row)
            merged.append(row.path)
        else:
            rows[row.path] = row
    return rows, skipped, merged


def _silent(name: str, silent: Sequence[RawRow]) -> list[Notice]:
    if not silent:
        return []
    message = f"{name}: {len(silent)} rows name an image and no finding that is known (all cells blank or uncertain); "
    message += "these images were left out"
    return [Notice("W-LABEL-28", message, len(silent), tuple(printable(row.path) for row in silent[:5]))]


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
    return columns


def _several(found: Sequence[str], asked: str | None) -> tuple[str, ...]:
    """The columns of ``A,B,C``, unless one column is called just that."""
    if asked is None or asked.strip().casefold() in {name.strip().casefold() for name in found}:
        return ()
    names = tuple(name.strip() for name in asked.split(",") if name.strip())
    return names if len(names) > 1 else ()


def _missing(source: Path, what: str, found: Sequence[str]) -> None:
    raise LabelError(
        f"{source.name} has no {what.removeprefix('a ')}; columns found: {listed(found, most=12) or 'none'}; "
        "the delimiter must be a comma (a tab in .tsv)",
        code="E-LABEL-07",
    )


def _told(found: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Which columns tell how and of whom an image was made; those that play another part do not."""
    plain = {name.strip().casefold(): name for name in reversed(found) if name not in columns.values()}
    chosen = {part: next((plain[name] for name in names if name in plain), None) for part, names in _TOLD.items()}
    return {part: name for part, name in chosen.items() if name is not None}


def _row(
    root: Path, line: Mapping[str, str], columns: Mapping[str, str], told: Mapping[str, str], where: str
) -> RawRow:
    cells = {part: line[name].strip() for part, name in columns.items()}
    path = cells.get("path") or cells.get("id", "")
    if not path:
        raise LabelError(f"{where} names no file; fill the path", code="E-LABEL-02")
    split = cells.get("split", "")
    if split and split.casefold() not in SPLIT_NAMES:
        raise LabelError(f"{where}: split {split!r} is not one of train, val, test", code="E-LABEL-20")
    plain = PurePosixPath(path).as_posix()  # a//b and ./a/b are one file
    _contained(root, plain, where)
    return RawRow(
        id=cells.get("id") or path,
        path=plain,
        label="",
        split=SPLIT_NAMES.get(split.casefold(), ""),
        patient=cells.get("patient", ""),
        where=where,
        acquisition=tuple((part, value) for part, name in told.items() if (value := _fact(part, line[name]))),
    )


def _fact(part: str, text: str) -> str:
    """A cell as files would tell it."""
    value = printable(text.strip())[:_LONGEST]
    return {"female": "F", "f": "F", "male": "M", "m": "M"}.get(value.casefold(), value) if part == "sex" else value


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
    same_label = set(map(folded, first.label.split("|"))) == set(map(folded, second.label.split("|")))
    if not same_label or (first.split, first.patient) != (second.split, second.patient):
        raise LabelError(
            f"{second.where}: {printable(second.path)} was {first.label!r} {first.split} {first.patient} in "
            f"{first.where} and is {second.label!r} {second.split} {second.patient} here; keep one",
            code="E-LABEL-03",
        )
