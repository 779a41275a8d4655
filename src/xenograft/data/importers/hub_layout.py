"""The folder of a downloaded data set -> Listing: where in it the images, tables or archives are that can be read.

In this order: Parquet shards that hold pictures; ``metadata.csv`` or ``.jsonl`` beside images (the layout of Hugging
Face); folders of splits or classes, however deep; one table of labels; one NPZ file; ZIP archives of any of these.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from xenograft.data.importers import (
    SPLIT_NAMES,
    Listing,
    RawRow,
    hf_parquet,
    hub_archives,
    hub_card,
    read_listing,
)
from xenograft.data.importers import table as tables
from xenograft.data.importers.unpacked import Progress
from xenograft.data.importers.volumes import ENDINGS, SliceRule
from xenograft.data.readers.photo import SUFFIXES
from xenograft.errors import DataError, LabelError, UsageError, listed, printable

_HIDDEN = (".", "__MACOSX")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.tsv")
_TABLES = (".csv", ".tsv", ".jsonl", ".xlsx", ".json")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".zst", ".xz", ".bz2")


@dataclass(frozen=True, slots=True)
class _Search:
    """What stays the same wherever the images are found."""

    origin: str
    config: str
    cache: Path | None
    label_column: str | None
    patient_column: str | None
    slices: SliceRule | None
    progress: Progress | None


def read(
    folder: Path,
    *,
    origin: str,
    config: str = "",
    cache: Path | None = None,
    label_column: str | None = None,
    patient_column: str | None = None,
    slices: SliceRule | None = None,
    progress: Progress | None = None,
) -> Listing:
    """List the images of a downloaded data set.

    Args:
        origin: host, name and revision: what decides the files; names what is unpacked in the cache.
        config: the subset. label_column, patient_column: of Parquet shards and metadata tables.

    Raises:
        DataError: nothing that can be read, or several data sets side by side (E-DATA-35).
        LabelError, UsageError: as the importers.
    """
    search = _Search(origin, config, cache, label_column, patient_column, slices, progress)
    return _search(folder, search, unpack=True)


def _search(folder: Path, search: _Search, *, unpack: bool) -> Listing:
    names = list(_files(folder))
    shards = [name for name in names if name.endswith(".parquet")]
    if shards:
        listing = hf_parquet.read(
            folder,
            shards,
            origin=search.origin,
            config=search.config,
            card=hub_card.read(folder),
            cache=search.cache,
            label_column=search.label_column,
            patient_column=search.patient_column,
        )
        if listing is not None:
            return listing
    places = _places(_folders(names))
    metadata = [name for name in names if PurePosixPath(name).name in _METADATA]
    if metadata and (search.label_column or not places or _has_labels(folder, metadata)):
        return _from_metadata(folder, metadata, search)
    if search.label_column or search.patient_column:
        raise UsageError(
            f"{search.origin} has neither Parquet with pictures nor metadata.csv; --label-column and --patient-column "
            "speak of these",
            code="E-USAGE-08",
        )
    if places:
        return read_listing(
            folder / _one(places, folder, search), cache=search.cache, slices=search.slices, progress=search.progress
        )
    if (only := _only_table(folder, names)) is not None:
        return only
    if len(archive := [name for name in names if name.lower().endswith(".npz")]) == 1:
        return read_listing(folder / archive[0], cache=search.cache)
    zips = [name for name in names if name.lower().endswith(".zip")]
    if unpack and zips:
        made = hub_archives.unpack(folder, zips, origin=search.origin, cache=search.cache)
        listing = _search(made.root, search, unpack=False)
        return replace(listing, notices=(*listing.notices, *made.notices))
    raise _nothing(folder, names, search)


def _files(folder: Path) -> Iterator[str]:
    """Relative POSIX paths of all files, without hidden ones, in a fixed order; links to folders are not followed."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith(_HIDDEN))
        for name in sorted(names):
            if not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _folders(names: Sequence[str]) -> dict[str, set[str]]:
    """``{folder: its folders}``, of those with an image or volume somewhere below."""
    inner: dict[str, set[str]] = {}
    for name in names:
        if name.lower().endswith((*SUFFIXES, *ENDINGS)):
            parts = PurePosixPath(name).parts[:-1]
            for depth, part in enumerate(parts):
                inner.setdefault("/".join(parts[:depth]), set()).add(part)
    return inner


def _places(inner: dict[str, set[str]], place: str = "") -> list[str]:
    """Folders that hold splits or classes; several where data sets lie side by side."""
    found = sorted(inner.get(place, ()))
    below = {name: f"{place}/{name}" if place else name for name in found}
    splits = [name for name in found if name.lower() in SPLIT_NAMES]
    others = [name for name in found if name not in splits]
    if any(SPLIT_NAMES[name.lower()] == "train" for name in splits):
        if not any(inner.get(below[name]) for name in splits):
            return []  # images in splits, with no classes below: a table must say what they are
        # the well-known archive of chest X-rays holds itself once more, beside its splits
        whole = [found for name in others for found in _places(inner, below[name]) if _has_train(inner, found)]
        return whole or [place]
    if len(found) == 1:
        return _places(inner, below[found[0]])
    if found and all(_has_train(inner, below[name]) for name in found):
        return [deeper for name in found for deeper in _places(inner, below[name])]
    return [place] if found else []


def _has_train(inner: dict[str, set[str]], place: str) -> bool:
    return any(SPLIT_NAMES.get(name.lower()) == "train" for name in inner.get(place, ()))


def _one(places: Sequence[str], folder: Path, search: _Search) -> str:
    if len(places) == 1:
        return places[0]
    named = [place for place in places if search.config and search.config in {place, place.split("/")[-1]}]
    if len(named) == 1:
        return named[0]
    raise DataError(
        f"{search.origin} holds several data sets side by side: {listed(places, most=8)}; give one of these folders "
        f"below {printable(folder)} as DATA",
        code="E-DATA-35",
    )


def _has_labels(folder: Path, metadata: Sequence[str]) -> bool:
    try:
        tables.read(folder / metadata[0])
    except LabelError as error:
        return error.code != "E-LABEL-07"  # no column with labels: the folders' names are
    return True


def _from_metadata(folder: Path, metadata: Sequence[str], search: _Search) -> Listing:
    """The rows of all metadata tables; a table's paths are relative to its folder, which may be a split."""
    found: list[tuple[str, Listing]] = []
    for name in metadata:
        place = PurePosixPath(name).parent.as_posix()
        listing = tables.read(folder / name, label_column=search.label_column, patient_column=search.patient_column)
        found.append(("" if place == "." else f"{place}/", listing))
    rows = [replace(row, path=place + row.path, id=place + row.id) for place, listing in found for row in listing.rows]
    if all(_split_of(row.path) for row in rows) and not any(row.split for row in rows):
        rows = [replace(row, split=_split_of(row.path)) for row in rows]
    _once(rows)
    return Listing(
        folder,
        tuple(rows),
        tuple(notice for _, listing in found for notice in listing.notices),
        tuple(replace(s, path=place + s.path) for place, listing in found for s in listing.skipped),
        declared_splits=frozenset(row.split for row in rows if row.split),
        declared_labels=frozenset(label for _, listing in found for label in listing.declared_labels),
        findings=found[0][1].findings,
    )


def _only_table(folder: Path, names: Sequence[str]) -> Listing | None:
    """The one table that labels images that are there; None where there is none or a choice."""
    found: list[Listing] = []
    for name in names:
        if name.lower().endswith((".csv", ".tsv")):
            with suppress(LabelError, DataError):
                listing = tables.read(folder / name)
                found += [listing] if len(listing.rows) > len(listing.skipped) else []
    return found[0] if len(found) == 1 else None


def _split_of(path: str) -> str:
    """The split that the outermost folder of that name says, or ""."""
    parts = PurePosixPath(path).parts[:-1]
    return next((SPLIT_NAMES[part.lower()] for part in parts if part.lower() in SPLIT_NAMES), "")


def _once(rows: Sequence[RawRow]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.path in seen:
            raise LabelError(
                f"{printable(row.path)} is in two metadata tables of the data set; its owner must keep one",
                code="E-LABEL-03",
            )
        seen.add(row.path)


def _nothing(folder: Path, names: Sequence[str], search: _Search) -> DataError:
    script = f"{search.origin.partition('@')[0].rpartition('/')[2]}.py"
    archives = [name for name in names if name.lower().endswith(_ARCHIVES)]
    found = [name for name in names if name.lower().endswith(_TABLES)]
    images = [name for name in names if name.lower().endswith(tuple(SUFFIXES))]
    if images:
        what = f"images without class folders or metadata.csv ({listed(images, most=2)})"
        advice = (
            f"give a table of it ({listed(found, most=4)}) as DATA with --images, below {printable(folder)}"
            if found
            else f"sort them into class folders, from {printable(folder)}"
        )
    elif archives:
        what, advice = f"archives ({listed(archives)})", f"unpack them from {printable(folder)} and give that folder"
    else:
        what = listed(names, most=4) or f"nothing but, perhaps, a program such as {script}"
        advice = (
            f"programs of a data set are never run; {search.origin.partition('@')[0]}@refs/convert/parquet may have it "
            "as Parquet"
            if search.origin.startswith("hf:")
            else f"look into {printable(folder)}"
        )
    return DataError(f"{search.origin} holds {what}, which cannot be read as it is; {advice}", code="E-DATA-35")
