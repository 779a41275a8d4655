"""The cache folder -> what is in it, whether it is intact, and less of it: by hand, or when a study has filled it."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from xenograft.errors import ProcessError, UsageError, printable
from xenograft.rowstore import DAMAGED, KEY_FILE, SHARDS, intact
from xenograft.storage import read_json

Kind = Literal["features", "pixels", "glances", "unpacked", "facts", "weights", "hub"]
KEYED: tuple[Kind, ...] = ("features", "pixels", "glances")
REMADE: tuple[Kind, ...] = (*KEYED, "unpacked", "facts")
"""What the next run makes again by itself; weights and data of hubs would have to be fetched."""
KINDS: tuple[Kind, ...] = (*REMADE, "weights", "hub")

DEFAULT_LIMIT = 20 * 2**30
"""Bytes of features and decoded pixels that a study leaves behind at most."""

RECENT = 3600.0  # seconds after its last use that a key may still be another process's

_KEY = re.compile(r"[0-9a-f]{40}")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([KMGT])(?:i?B)?|B)", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_REMOVED = ".removed-"
_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()  # file systems hold later times than Python's dates


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of features or pixels, the facts about one data folder, or one weight file.

    Args:
        key: name of its folder or file. what: the same for a person. path: the folder or file.
        images: rows it holds; 0 for weights. bytes: on disk.
        last_used: as far as the file system noted it. damaged: shards that were set aside.
    """

    kind: Kind
    key: str
    what: str
    path: Path
    images: int
    bytes: int
    last_used: datetime
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What `verify` found in one entry.

    Args:
        intact, damaged: shards; damaged ones are set aside and computed again when they are needed.
    """

    entry: Entry
    intact: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """What `clear` did.

    Args:
        bytes: freed. removed: entries. in_use: those that a running process holds; they were left.
    """

    bytes: int
    removed: tuple[Entry, ...]
    in_use: tuple[Entry, ...]


def inventory(cache: Path) -> list[Entry]:
    """Everything in a cache, most recently used first; shards are counted by their headers, not read."""
    entries = [_key_entry(kind, folder) for kind in KEYED for folder in _keys(cache / kind)]
    entries += [
        _folder_entry("unpacked", folder, "images of an archive, of Parquet or of volumes")
        for folder in _keys(cache / "unpacked")
    ]
    entries += [
        _folder_entry("hub", folder, f"hf:{folder.parent.name.replace('--', '/', 1)}")
        for owned in sorted((cache / "hub" / "hf").glob("*"))
        for folder in _keys(owned)
    ]
    entries += [_facts_entry(path) for path in _files(cache / "facts", "*.parquet")]
    entries += [_plain_entry("weights", path, path.name, 0) for path in _files(cache / "weights", "[!.]*")]
    return sorted(entries, key=lambda entry: entry.last_used, reverse=True)


def verify(cache: Path) -> list[Checked]:
    """Hash every shard of features and pixels, and set the damaged ones aside as a run would.

    Weights have hashes of their own, which ``xenograft weights verify`` compares.
    """
    checked = []
    for entry in inventory(cache):
        if entry.kind in KEYED:
            shards = sorted(entry.path.glob(SHARDS))
            damaged = [shard for shard in shards if not intact(shard) and shard.exists()]
            for shard in damaged:
                with suppress(OSError):  # a cache that is only read: a run passes over the shard all the same
                    shard.replace(shard.with_suffix(DAMAGED))
            checked.append(Checked(entry, len(shards) - len(damaged), len(damaged)))
    return checked


def clear(cache: Path, kinds: Iterable[str] = REMADE) -> Cleared:
    """Remove whole kinds; a key that a running process is filling is left.

    Raises:
        ProcessError: the folder cannot be written.
        UsageError: an unknown kind.
    """
    wanted = set(kinds)
    if unknown := wanted - set(KINDS):
        raise UsageError(
            f"the cache holds no {', '.join(map(repr, sorted(unknown)))}; it holds {', '.join(KINDS)}",
            code="E-USAGE-16",
        )
    entries = [entry for entry in inventory(cache) if entry.kind in wanted]
    try:
        removed = tuple(entry for entry in entries if _remove(entry.path))
        swept = sum(map(_sweep, (cache / kind for kind in wanted)))
    except OSError as error:
        raise ProcessError(
            f"{printable(error.filename or cache)} cannot be removed: {error.strerror or error}; the cache belongs to "
            "another user or is mounted for reading only",
            code="E-PROC-05",
        ) from error
    gone = {entry.path for entry in removed}
    return Cleared(
        swept + sum(entry.bytes for entry in removed), removed, tuple(e for e in entries if e.path not in gone)
    )


def trim(cache: Path, limit_bytes: int, keep: Iterable[str] = ()) -> int:
    """Remove the features and pixels that were not used for longest, until the rest is within the limit.

    Shards that were set aside and files that killed processes left behind go first. Nothing that is needed now goes:
    neither `keep`, nor what a process is filling, nor what was used within the hour. Weights and facts do not count.
    A cache that cannot be written stays as it is.

    Args:
        keep: keys, whole or their first 40 characters.

    Returns:
        Bytes freed.
    """
    freed = 0
    with suppress(OSError):
        freed += sum(map(_sweep, (cache / kind for kind in KINDS)))
    kept = {key[:40] for key in keep}
    keys = sorted((*_use(folder), folder) for kind in KEYED for folder in _keys(cache / kind))
    total = sum(size for _, size, _ in keys)
    for used, size, folder in keys:
        if total <= limit_bytes:
            break
        # a time far ahead of the clock is not recent: the clock was set back since (P14)
        if folder.name in kept or abs(time.time() - used) < RECENT:
            continue
        with suppress(OSError):
            if _remove(folder):
                total -= size
                freed += size
    return freed


def parse_size(given: str | int) -> int:
    """``20G``, ``500M``, ``1.5 GB`` (units of 1024) or ``0`` -> bytes; a whole number is bytes.

    Raises:
        UsageError: anything else; a text without a unit too, because 20 is not meant as twenty bytes.
    """
    if type(given) is int and given >= 0:
        return given
    text = given.strip() if isinstance(given, str) else ""
    if text == "0":
        return 0
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(
            f"cache limit {given!r} is no size; write a number with its unit, such as 20G, 500M or 1.5 GB, or 0",
            code="E-USAGE-16",
        )
    return int(Decimal(found[1]) * _UNITS[(found[2] or "").upper()])


def _keys(folder: Path) -> list[Path]:
    """Folders that this package made: anything else beside them is the user's own."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in found if _KEY.fullmatch(p.name) and p.is_dir() and not p.is_symlink())


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def _key_entry(kind: Kind, folder: Path) -> Entry:
    used, size = _use(folder)
    return Entry(
        kind,
        folder.name,
        _described(folder),
        folder,
        images=sum(map(_rows, folder.glob(SHARDS))),
        bytes=size,
        last_used=_date(used),
        damaged=len(list(folder.glob(f"*{DAMAGED}"))),
    )


def _folder_entry(kind: Kind, folder: Path, what: str) -> Entry:
    """Files of other people's data; they are used wherever they lie, so nothing of them is removed by itself."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "unpacked.json"))]
    size = sum(path.stat().st_size for path in files)
    return Entry(kind, folder.name, printable(what), folder, len(files), size, _date(folder.stat().st_mtime))


def _facts_entry(path: Path) -> Entry:
    try:
        files = int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, ValueError):
        files = 0
    return _plain_entry("facts", path, "about the files of one data folder", files)


def _plain_entry(kind: Kind, path: Path, what: str, images: int) -> Entry:
    found = path.stat()
    used = _date(max(found.st_atime, found.st_mtime))
    return Entry(kind, path.name, printable(what), path, images, found.st_size, used)


def _use(folder: Path) -> tuple[float, int]:
    """When a key was last opened or written, and its bytes."""
    used, size = 0.0, 0
    with suppress(OSError):  # gone meanwhile
        for path in folder.iterdir():
            found = path.stat()
            size += found.st_size
            if path.name == KEY_FILE or path.match(SHARDS):
                used = max(used, found.st_mtime)
    return used, size


def _rows(shard: Path) -> int:
    try:
        with safe_open(shard, framework="numpy") as stored:
            return int(stored.get_slice("contents").get_shape()[0])
    except (SafetensorError, OSError, ValueError, IndexError):
        return 0


def _described(folder: Path) -> str:
    try:
        facts = read_json(folder / KEY_FILE)
        if "glance" in facts:
            return "thumbnails and gray values, for audits"
        return printable(_features_text(facts) if "backbone" in facts else _pixels_text(facts["pixels"]))
    except (LookupError, TypeError, ValueError, AttributeError):  # also DataError, which is a ValueError
        return "unknown: its description is missing or damaged"


def _features_text(facts: Mapping[str, Any]) -> str:
    weights = str(facts["weights"])
    parts = [facts["backbone"], *([weights.replace("random:", "random weights ")] if "random:" in weights else [])]
    parts += [facts["engine"]["precision"], f"{facts['preprocess']['size']} px"]
    augment = facts["augment"]
    if "view" in augment:
        parts.append(f"view {augment['view']} of seed {augment['seed']}")
    return ", ".join(parts)


def _pixels_text(pixels: Mapping[str, Any]) -> str:
    window = pixels.get("window", "auto")
    shown = "" if window == "auto" else f", window {window[0]:g} to {window[1]:g}"
    return f"{pixels['size']} px {'gray' if pixels['channels'] == 1 else 'colour'}, {pixels['fit']}{shown}"


def _date(stamp: float) -> datetime:
    return datetime.fromtimestamp(min(max(stamp, 0.0), _LAST), UTC)


def _remove(path: Path) -> bool:
    """Remove a file, or a key unless a process holds it."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return True
    try:
        with FileLock(str(path / ".lock"), timeout=0):
            # moved first, so that a process that starts now finds the whole key or none of it
            grave = Path(tempfile.mkdtemp(dir=path.parent, prefix=_REMOVED))
            path.rename(grave / path.name)
    except Timeout:
        return False
    shutil.rmtree(grave)
    return True


def _sweep(folder: Path) -> int:
    """Remove what nobody will read: shards set aside, half-written and half-removed files of killed processes."""
    freed = 0
    for path in list(_left_over(folder)):
        with suppress(FileNotFoundError):  # another process sweeps as well
            freed += path.stat().st_size
            path.unlink()
    for grave in folder.glob(f"{_REMOVED}*"):
        shutil.rmtree(grave, ignore_errors=True)
    return freed


def _left_over(folder: Path) -> Iterator[Path]:
    for place in (folder, *_keys(folder)):
        yield from place.glob(f"*{DAMAGED}")
        for temporary in place.glob(".*.tmp"):
            with suppress(FileNotFoundError):
                if abs(time.time() - temporary.stat().st_mtime) > RECENT:  # a younger one is being written
                    yield temporary
    for grave in folder.glob(f"{_REMOVED}*"):
        yield from (path for path in grave.rglob("*") if path.is_file())
