"""Paths below a folder -> facts per readable file, skips per unreadable one; one pass, in threads, cached."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from xenograft.data.preprocess import WORKING
from xenograft.data.readers import Picture, check_inside, decode_picture, read_bytes
from xenograft.errors import DataError, FileError, ProcessError, listed, printable
from xenograft.storage import atomic_path, sha256_bytes

_CHUNK = 16
_LOCK_SECONDS = 10.0
_MARK = b"xenograft.facts"
_VERSION = b"2"
"""Raise it when the readers give other pixels or facts: older caches are then ignored."""

Key = tuple[str, int, int]
"""(relative path, size, time of the last change in ns): what a cached row is valid for."""

OnPicture = Callable[[str, Picture], None]
"""Called with the hash of a file's bytes and its picture, by several threads at once."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one readable image.

    Args:
        sha256: of the file's bytes.
        pixels_sha256: of shape, dtype and decoded pixels: equal for the same picture in another format. A large JPEG
            is decoded at a reduced scale and hashed as such; see `xenograft.data.identity`.
        reduced: whether it was.
        size: bytes of the file.
        width: pixels, upright.
        height: pixels, upright.
        bits: 8 or 16.
        mode: as stored, see `xenograft.data.readers.Picture`.
        notes: codes of what was done to it.
        mean: of the pixels, black 0 to white 1.
        colour: three channels remained.
    """

    sha256: str
    pixels_sha256: str
    size: int
    width: int
    height: int
    bits: int
    mode: str
    notes: tuple[str, ...]
    mean: float
    colour: bool
    reduced: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """One file that is left out: its relative path (safe to display), a stable code and the reason."""

    path: str
    code: str
    reason: str


@dataclass(slots=True)
class _Pass:
    """One run over a folder; `known` holds the rows of the cache by path, `inside` the folders found to be below it."""

    root: Path
    min_side: int
    known: Mapping[str, tuple[Key, Facts]] = field(default_factory=dict)
    on_picture: OnPicture | None = None
    inside: set[str] = field(default_factory=set)

    def look(self, path: str) -> tuple[Key, Facts] | FileError:
        """Facts of one file, from the cache when size and time are unchanged."""
        full = self.root / path
        try:
            key = self._key(path, full)
            row = self.known.get(path)
            if row and row[0] == key and min(row[1].width, row[1].height) >= self.min_side:
                return row
            data = read_bytes(full)
            picture = decode_picture(data, suffix=full.suffix, min_side=self.min_side, working=WORKING)
        except FileError as error:
            return error
        found = facts(data, picture)
        if self.on_picture is not None:
            self.on_picture(found.sha256, picture)
        return key, found

    def look_all(self, paths: Sequence[str]) -> list[tuple[Key, Facts] | FileError]:
        """`look` for each path of one task."""
        return [self.look(path) for path in paths]

    def _key(self, path: str, full: Path) -> Key:
        # taken before reading: a file that changes in between gets a key that no longer fits, and is read again
        try:
            found = full.lstat()
            linked = stat.S_ISLNK(found.st_mode)
            folder = os.path.dirname(full)  # noqa: PTH120 - four times as fast as full.parent, for every file
            if linked or folder not in self.inside:
                check_inside(full, self.root)
                found = full.stat()
            if not linked:
                self.inside.add(folder)
        except (OSError, ValueError) as error:
            if isinstance(error, FileError):
                raise
            check_inside(full, self.root)
            return path, -1, -1  # reading it tells why
        # either clock: a copy may keep the old modification time, but never the old change time
        return path, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)


def inspect(
    root: Path,
    paths: Sequence[str],
    *,
    threads: int | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    min_side: int = 16,
    on_picture: OnPicture | None = None,
) -> tuple[dict[str, Facts], list[Skip]]:
    """Decode every file once and say what is in it.

    Args:
        root: data folder; files that lead outside it are skipped.
        paths: relative POSIX paths below `root`.
        threads: decoding threads; by default one per core, at most 4.
        cache: folder for results; a file is decoded again when its size or modification time changes. A damaged or
            unwritable cache only costs the time to decode again.
        progress: called in the calling thread as ``progress(done, total)``.
        min_side: smallest accepted width and height in pixels.
        on_picture: gets every picture that had to be decoded, so that nobody decodes it a second time.

    Returns:
        Facts by path and skips, both in the order of `paths`.

    Raises:
        DataError: files with several frames (E-FILE-12), after the whole pass.
    """
    base = Path(os.path.realpath(root))
    store = Path(cache) / "facts" / f"{sha256_bytes(os.fsencode(base))}.parquet" if cache is not None else None
    run = _Pass(base, min_side, _load(store) if store else {}, on_picture)
    found: dict[str, tuple[Key, Facts]] = {}
    skips: list[Skip] = []
    done = 0
    for part, results in _in_threads(run, paths, threads or min(4, os.cpu_count() or 1)):
        for path, result in zip(part, results, strict=True):
            if isinstance(result, FileError):
                skips.append(Skip(printable(path), result.code, str(result.args[0])))
            else:
                found[path] = result
        done += len(part)
        if progress:
            progress(done, len(paths))
    if store and any(run.known.get(path) != row for path, row in found.items()):
        _save(store, found)
    _refuse_frames(skips)
    return {path: row[1] for path, row in found.items()}, skips


def facts(data: bytes, picture: Picture) -> Facts:
    """Facts of one file from its bytes and its decoded picture."""
    pixels = picture.pixels
    reduced = pixels.shape[:2] != (picture.height, picture.width)
    top = int(np.iinfo(pixels.dtype).max)
    of = f" of {picture.height} x {picture.width}" if reduced else ""
    digest = hashlib.sha256(f"{pixels.shape}{of} {pixels.dtype.name} ".encode())
    digest.update(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).data)
    return Facts(
        sha256=sha256_bytes(data),
        pixels_sha256=digest.hexdigest(),
        size=len(data),
        width=picture.width,
        height=picture.height,
        bits=picture.bits,
        mode=picture.mode,
        notes=picture.notes,
        mean=int(pixels.sum(dtype=np.uint64)) / (pixels.size * top),
        colour=pixels.ndim == 3,
        reduced=reduced,
    )


def _in_threads(
    run: _Pass, paths: Sequence[str], threads: int
) -> Iterator[tuple[Sequence[str], list[tuple[Key, Facts] | FileError]]]:
    parts = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    pool = ThreadPoolExecutor(threads, thread_name_prefix="inspect")
    try:
        yield from zip(parts, pool.map(run.look_all, parts), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the files not yet begun are dropped


def _refuse_frames(skips: Sequence[Skip]) -> None:
    if several := [skip.path for skip in skips if skip.code == "E-FILE-12"]:
        raise DataError(
            f"{len(several)} of the files hold several frames: {listed(several)}; export the frame you want of each as "
            "a single image, or take the files out",
            code="E-FILE-12",
        )


# The cache: one row per path; names are bytes because they need not be UTF-8

_SCHEMA = pa.schema(
    [
        ("path", pa.binary()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
        ("pixels_sha256", pa.string()),
        ("size", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bits", pa.int8()),
        ("mode", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("mean", pa.float64()),
        ("colour", pa.bool_()),
        ("reduced", pa.bool_()),
    ],
    metadata={_MARK: _VERSION},
)


def _load(store: Path) -> dict[str, tuple[Key, Facts]]:
    """Rows of the cache; none when it is missing, damaged or of another version."""
    try:
        table = pq.ParquetFile(store, memory_map=False, page_checksum_verification=True).read()
        if not table.schema.equals(_SCHEMA) or (table.schema.metadata or {}).get(_MARK) != _VERSION:
            return {}
        return {path: ((path, row.size, mtime), row) for path, mtime, row in map(_row, table.to_pylist())}
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError):
        return {}


def _row(row: dict[str, object]) -> tuple[str, int, Facts]:
    path, mtime = row.pop("path"), row.pop("mtime_ns")
    if not isinstance(path, bytes) or not isinstance(mtime, int) or not isinstance(row["notes"], list):
        raise TypeError("missing value")
    row["notes"] = tuple(row["notes"])
    return os.fsdecode(path), mtime, Facts(**row)  # type: ignore[arg-type]


def _save(store: Path, found: Mapping[str, tuple[Key, Facts]]) -> None:
    """Add rows to the cache; where that is impossible, nothing happens."""
    with suppress(ProcessError, OSError, Timeout, NotImplementedError, pa.ArrowException), _locked(store):
        rows = {**_load(store), **found}  # read again: another process may have added its own
        names = [name for name in _SCHEMA.names if name not in {"path", "mtime_ns"}]
        columns: dict[str, list[object]] = {
            "path": [os.fsencode(path) for path in rows],
            "mtime_ns": [key[2] for key, _ in rows.values()],
            **{name: [getattr(row, name) for _, row in rows.values()] for name in names},
        }
        with atomic_path(store) as temporary:
            pq.write_table(pa.table(columns, schema=_SCHEMA), temporary, compression="zstd", write_page_checksum=True)


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    store.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(store.with_suffix(".lock"), timeout=_LOCK_SECONDS):
        yield
