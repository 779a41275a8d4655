"""Parquet shards with embedded pictures, as Hugging Face hosts them -> Listing of the very same bytes as files.

A shard has a column of ``struct<bytes: binary, path: string>`` and one of labels: text, or an index whose names are in
the schema's metadata (key ``huggingface``) or in the README. Splits are those of the README, else of the file names
(``train-00000-of-00002.parquet``, ``data/train-*.parquet``, ``train/0000.parquet``).
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xenograft.data.facts import Skip
from xenograft.data.importers import SPLIT_NAMES, Listing, RawRow, hub_card
from xenograft.data.importers.findings import of_cells
from xenograft.data.importers.unpacked import Unpacked, unpacked
from xenograft.data.readers.photo import SUFFIXES
from xenograft.errors import DataError, LabelError, Notice, listed, printable

_NONE = "no finding"  # an empty list: `of_cells` reads it as none of them
_RULE = "parquet 1"  # raise it when other files come out
_BATCH = 32  # rows in memory at once
_LABELS = ("label", "labels", "class", "diagnosis", "target", "category", "dx")
_PATIENTS = ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid")
_NUMBERED = re.compile(r"[-_.]?\d+(-of-\d+)?(-[0-9a-f]{16})?$")
_MAGIC = (
    ((0, b"\xff\xd8\xff"), ".jpg"),
    ((0, b"\x89PNG"), ".png"),
    ((0, b"II*\0"), ".tif"),
    ((0, b"MM\0*"), ".tif"),
    ((0, b"GIF8"), ".gif"),
    ((0, b"BM"), ".bmp"),
    ((8, b"WEBP"), ".webp"),
    ((128, b"DICM"), ".dcm"),
)


@dataclass(frozen=True, slots=True)
class _Shard:
    """One file: its name below the folder, the columns that are read, and the split that its place says."""

    name: str
    image: str
    label: str
    names: tuple[str, ...]
    patient: str
    split: str


def read(
    folder: Path,
    shards: Sequence[str],
    *,
    origin: str,
    config: str = "",
    card: Mapping[str, Any],
    cache: Path | None,
    label_column: str | None = None,
    patient_column: str | None = None,
) -> Listing | None:
    """Write the pictures of all shards of a subset once, unchanged, and list them; None where no shard holds any.

    Args:
        shards: names below `folder`. origin: host, name and revision: with the files' sizes, it names what is written.
        card: head of the README. label_column, patient_column: instead of the usual names.

    Raises:
        DataError: a damaged file (E-DATA-10). LabelError: no column with labels (E-LABEL-07), or of no kind that can be
            read (E-LABEL-24). UsageError: several subsets, none chosen (E-USAGE-22).
    """
    with_pictures = {name: schema for name in shards if _picture(schema := _schema(folder, name))}
    if not with_pictures:
        return None
    chosen, notices = _chosen(with_pictures, card, config, origin)
    found = [
        _columns(
            name,
            with_pictures[name],
            card,
            config,
            label=label_column,
            patient=patient_column,
            split=split,
        )
        for name, split in chosen
    ]
    rule = {
        "source": origin,
        "how": _RULE,
        "shards": [[*_key(shard), (folder / shard.name).stat().st_size] for shard in found],
    }
    made = unpacked(cache, rule, partial(_write, source=folder, shards=found))
    return _listing(made, found, notices)


def _schema(folder: Path, name: str) -> pa.Schema:
    try:
        return pq.read_schema(folder / name)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{printable(name)} is not a readable Parquet file; download it again", code="E-DATA-10"
        ) from error


def _key(shard: _Shard) -> list[Any]:
    return [shard.name, shard.image, shard.label, list(shard.names), shard.patient, shard.split]


def _picture(schema: pa.Schema) -> str:
    """The column with pictures, or ""."""
    told = _features(schema)
    for field in schema:
        kind = field.type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            inner = kind.field("bytes").type
            if pa.types.is_binary(inner) or pa.types.is_large_binary(inner):
                return str(field.name)
        plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        if plain and (
            field.name.lower() in {"image", "img", "picture"} or told.get(field.name, {}).get("_type") == "Image"
        ):
            return str(field.name)
    return ""


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What Hugging Face's library noted of each column."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (LookupError, ValueError, TypeError, RecursionError):
        return {}
    return {k: v for k, v in told.items() if isinstance(v, dict)} if isinstance(told, dict) else {}


def _chosen(
    schemas: Mapping[str, pa.Schema], card: Mapping[str, Any], config: str, origin: str
) -> tuple[list[tuple[str, str]], tuple[Notice, ...]]:
    """((name, split) of the subset's shards; what was left out). No split is an empty one."""
    patterns = hub_card.subset(card, config, where=origin)
    named: list[tuple[str, str]] = []
    if patterns:
        for name in schemas:
            split = next((split for split, pattern in patterns if fnmatch.fnmatch(name, pattern)), None)
            if split is not None:
                named.append((name, split or _told_split(name)))
    if not named:
        subsets = {name: _told_subset(name) for name in schemas}
        several = sorted(set(subsets.values()))
        if config and config not in several:
            raise hub_card.unknown_subset(origin, config, filter(None, several))
        if not config and len(several) > 1:
            raise hub_card.several_subsets(origin, several)
        named = [(name, _told_split(name)) for name in schemas if not config or subsets[name] == config]
    known = [(name, SPLIT_NAMES.get(split.lower(), "")) for name, split in named]
    if not any(split for _, split in known):
        return known, ()
    others = sorted({split or PurePosixPath(name).name for name, split in named if split.lower() not in SPLIT_NAMES})
    kept = [(name, split) for name, split in known if split]
    if not others:
        return kept, ()
    message = f"splits that are none of train, validation and test were left out: {listed(others)}"
    return kept, (Notice("W-DATA-36", message, len(others), tuple(map(printable, others[:5]))),)


def _told_split(name: str) -> str:
    """``data/train-00000-of-00002.parquet`` -> ``train``; a name that is no split as it is; nothing as ""."""
    stem = _NUMBERED.sub("", PurePosixPath(name).stem).lower()
    parts = [*re.split(r"[-_.]", stem), PurePosixPath(name).parent.name.lower()]
    return next((part for part in parts if part in SPLIT_NAMES), stem)


def _told_subset(name: str) -> str:
    """The folder of a shard, without those that only say ``data`` or a split."""
    parts = PurePosixPath(name).parts[:-1]
    return "/".join(part for part in parts if part != "data" and part.lower() not in SPLIT_NAMES)


def _columns(
    name: str,
    schema: pa.Schema,
    card: Mapping[str, Any],
    config: str,
    *,
    label: str | None,
    patient: str | None,
    split: str,
) -> _Shard:
    told = _features(schema)
    marked = [column for column, feature in told.items() if feature.get("_type") == "ClassLabel"]
    column = _column(schema, label, (*(marked if len(marked) == 1 else ()), *_LABELS))
    if not column:
        raise LabelError(
            f"{printable(name)} has no column {label or 'label'!r}; columns found: {listed(schema.names, most=12)}; "
            "name one with --label-column",
            code="E-LABEL-07",
        )
    kind = schema.field(column).type
    several = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    inner = kind.value_type if several else kind
    if pa.types.is_nested(inner) or pa.types.is_binary(inner):
        raise LabelError(
            f"{printable(name)}: column {printable(column)} is {printable(kind)[:60]}; labels are text, numbers or "
            "lists of these; name another with --label-column",
            code="E-LABEL-24",
        )
    who = _column(schema, patient, _PATIENTS)
    if patient and not who:
        raise LabelError(
            f"{printable(name)} has no column {patient!r}; columns found: {listed(schema.names, most=12)}",
            code="E-LABEL-07",
        )
    names: tuple[str, ...] = ()
    if pa.types.is_integer(inner):
        names = _class_names(told.get(column, {})) or hub_card.class_names(card, column, config)
    return _Shard(name, _picture(schema), column, names, who, split)


def _class_names(feature: dict[str, Any]) -> tuple[str, ...]:
    """Of a ClassLabel, or of a list of them."""
    inner = feature.get("feature")
    return hub_card.ordered((inner if isinstance(inner, dict) else feature).get("names"))


def _column(schema: pa.Schema, asked: str | None, usual: Sequence[str]) -> str:
    plain = {column.strip().casefold(): column for column in reversed(schema.names)}
    wanted = (asked,) if asked else usual
    return next((plain[name.strip().casefold()] for name in wanted if name.strip().casefold() in plain), "")


def _write(folder: Path, *, source: Path, shards: Sequence[_Shard]) -> list[list[Any]]:
    """Write the pictures; ``[shard, row, path below the folder or "", label, patient]`` of each row."""
    rows: list[list[Any]] = []
    taken: set[str] = set()
    for number, shard in enumerate(shards):
        place = shard.split or "all"
        (folder / place).mkdir(exist_ok=True)
        for row, (data, called, label, who) in enumerate(_cells(source, shard)):
            path = ""
            if data:
                path = f"{place}/{_file_name(data, called, len(rows))}"
                if path.lower() in taken:  # some file systems do not tell case apart
                    stem, dot, ending = path.rpartition(".")
                    path = f"{stem}-{len(rows)}{dot}{ending}"
                taken.add(path.lower())
                (folder / path).write_bytes(data)
            rows.append([number, row, path, _label(label, shard.names), "" if who is None else str(who)])
    return rows


def _cells(source: Path, shard: _Shard) -> Iterator[tuple[bytes | None, str, Any, Any]]:
    """(bytes, name in the data, label, patient) of each row."""
    columns = list(dict.fromkeys(filter(None, (shard.image, shard.label, shard.patient))))
    try:
        with pq.ParquetFile(source / shard.name) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                for line in batch.to_pylist():
                    cell = line[shard.image]
                    cell = cell if isinstance(cell, dict) else {"bytes": cell}
                    who = line[shard.patient] if shard.patient else None
                    yield cell.get("bytes"), str(cell.get("path") or ""), line[shard.label], who
    except Exception as error:  # hostile bytes make Arrow raise much, OSError and UnicodeDecodeError among it
        raise DataError(
            f"{printable(shard.name)} is damaged ({printable(error)[:100]}); download it again", code="E-DATA-10"
        ) from error


def _file_name(data: bytes, called: str, number: int) -> str:
    """A harmless name: letters, digits and ``._-`` of what the data call it, because names may tell patients apart."""
    last = re.split(r"[\\/]", called)[-1]
    stem, dot, ending = last.rpartition(".")
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", stem if dot else last).strip("._-")[:100] or f"{number:07d}"
    said = f".{ending.lower()}"
    kept = said if said in SUFFIXES else ""
    found = next((suffix for (at, magic), suffix in _MAGIC if data.startswith(magic, at)), "")
    same = kept and SUFFIXES[kept] == SUFFIXES.get(found)
    return f"{stem}{kept if same or not found else found}"


def _label(value: Any, names: tuple[str, ...]) -> str:
    if isinstance(value, list):
        return "|".join(_label(one, names) for one in value) or _NONE
    if value is None or value != value:  # noqa: PLR0124 - NaN, which is a missing value
        return ""
    if names and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ("" if value == -1 else str(value))
    return str(value)


def _listing(made: Unpacked, shards: Sequence[_Shard], notices: tuple[Notice, ...]) -> Listing:
    labelled = {shards[number].split for number, _, _, label, _ in made.facts if label.strip()}
    blind = sorted({shard.split for shard in shards} - labelled) if labelled else []
    if blind:
        message = f"splits without any label, as of a competition, were left out: {listed(blind)}"
        notices = (*notices, Notice("W-DATA-36", message, len(blind), tuple(blind[:5])))
    rows: list[RawRow] = []
    skipped: list[Skip] = []
    kept = [fact for fact in made.facts if shards[fact[0]].split not in blind]
    places = [f"{printable(shards[number].name)} row {row + 1}" for number, row, *_ in kept]
    lines = [(place, {"label": fact[3]}) for place, fact in zip(places, kept, strict=True)]
    labels = of_cells(lines, "label", "Parquet")
    for where, label, (number, _, path, _, who) in zip(places, labels.texts, kept, strict=True):
        shard = shards[number]
        if label is None:
            skipped.append(Skip(where, "S-LABEL-01", f"{where}: no label"))
        elif not path:
            skipped.append(Skip(where, "S-LABEL-02", f"{where}: no picture"))
        else:
            rows.append(RawRow(path, path, label, shard.split, who, where))
    patient = next((shard.patient for shard in shards if shard.patient), "")
    listing = Listing(
        made.root,
        tuple(rows),
        (*notices, *labels.notices, *made.notices),
        tuple(skipped),
        frozenset(shard.split for shard in shards if shard.split and shard.split not in blind),
        findings=labels.findings,
    )
    return replace(listing, patient_rule=f"patient key from the column {printable(patient)}") if patient else listing
