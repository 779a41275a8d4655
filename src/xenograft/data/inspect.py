"""Paths below a folder -> facts per readable file, skips per unreadable one; one pass, on all cores, cached."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from xenograft.data.decoding import Decoder, Keeper, look_at
from xenograft.data.facts import Facts, Skip
from xenograft.data.preprocess import FIRST_WINDOW, DicomReading
from xenograft.data.readers import check_inside
from xenograft.errors import DataError, FileError, ProcessError, listed, printable
from xenograft.storage import atomic_path, sha256_bytes

_CHUNK = 64
_LOCK_SECONDS = 10.0
_MARK = b"xenograft.facts"
_VERSION = b"3"
"""Raise it when the readers give other pixels or facts: older caches are then ignored."""

Stamp = tuple[int, int]
"""(size, time of the last change in ns): what a cached row is valid for."""

Known = tuple[Stamp, Facts]


@dataclass(slots=True)
class _Stamper:
    """Looks at sizes and times below a folder; `inside` are the folders found to be below it."""

    root: Path
    inside: set[str] = field(default_factory=set)

    def stamp(self, path: str) -> Stamp | FileError:
        """Of one file; (-1, -1) where reading it will tell what is wrong."""
        full = self.root / path
        try:
            found = full.lstat()
            linked = stat.S_ISLNK(found.st_mode)
            folder = os.path.dirname(full)  # noqa: PTH120 - four times as fast as full.parent, for every file
            if linked or folder not in self.inside:
                check_inside(full, self.root)
                found = full.stat()
            if not linked:
                self.inside.add(folder)
        except FileError as error:
            return error
        except (OSError, ValueError):
            try:
                check_inside(full, self.root)
            except FileError as error:
                return error
            return -1, -1
        # either clock: a copy may keep the old modification time, but never the old change time
        return found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)


def inspect(
    root: Path,
    paths: Sequence[str],
    *,
    threads: int | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    min_side: int = 16,
    keepers: Sequence[Keeper] = (),
    dicom: DicomReading = FIRST_WINDOW,
    salt: bytes | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[dict[str, Facts], list[Skip]]:
    """Decode every file once and say what is in it.

    Args:
        root: data folder; files that lead outside it are skipped.
        paths: relative POSIX paths below `root`.
        threads: decoding threads, or processes for many files; by default one per core, at most 4.
        cache: folder for results; a file is decoded again when its size or modification time changes. A damaged or
            unwritable cache only costs the time to decode again.
        progress: called in the calling thread as ``progress(done, total)``.
        min_side: smallest accepted width and height in pixels.
        keepers: get every picture that had to be decoded, so that nobody decodes it a second time.
        dicom, salt: see `xenograft.data.decoding.Decoder`.
        meanwhile: called once while other processes decode; not at all where they are not needed.

    Returns:
        Facts by path and skips, both in the order of `paths`.

    Raises:
        DataError: files with several frames (E-FILE-12, E-DICOM-04) or without their decoder (E-DICOM-05), after the
            whole pass.
    """
    base = Path(os.path.realpath(root))
    store = Path(cache) / "facts" / f"{_store_name(base, dicom, salt)}.parquet" if cache is not None else None
    known = _load(store) if store else {}
    workers = threads or min(4, os.cpu_count() or 1)
    # taken before reading: a file that changes in between gets a stamp that no longer fits, and is read again
    stamps = _stamps(base, paths, workers)
    faults = {path: stamp for path, stamp in stamps.items() if isinstance(stamp, FileError)}
    found = {path: known[path] for path in stamps if _holds(known.get(path), stamps[path], min_side)}
    unknown = [path for path in stamps if path not in found and path not in faults]
    done, kept = len(stamps) - len(unknown), len(found)
    if progress and done:
        progress(done, len(stamps))
    decoder = Decoder(base, min_side, tuple(keepers), dicom, salt)
    for part, looked in look_at(decoder, unknown, workers=workers, meanwhile=meanwhile):
        for path, result in zip(part, looked, strict=True):
            if isinstance(result, FileError):
                faults[path] = result
            else:
                found[path] = stamps[path], result  # type: ignore[assignment]  # faulty stamps are not looked at
        done += len(part)
        if progress:
            progress(done, len(stamps))
    if store and len(found) > kept:
        _save(store, found)
    skips = [Skip(printable(p), faults[p].code, str(faults[p].args[0])) for p in paths if p in faults]
    _refuse(skips)
    return {path: found[path][1] for path in stamps if path in found}, skips


def _store_name(root: Path, dicom: DicomReading, salt: bytes | None) -> str:
    """One cache for each folder and each way to read it."""
    reading = b"" if (dicom, salt) == (FIRST_WINDOW, None) else f"\0{dicom} ".encode() + (salt or b"")
    return sha256_bytes(os.fsencode(root) + reading)


def _stamps(root: Path, paths: Sequence[str], threads: int) -> dict[str, Stamp | FileError]:
    """Of every path, in order; by threads, because a network drive answers slowly."""
    stamper = _Stamper(root)
    parts = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(threads, thread_name_prefix="inspect") as pool:
        stamped = pool.map(lambda part: [(path, stamper.stamp(path)) for path in part], parts)
        return dict(chain.from_iterable(stamped))


def _holds(row: Known | None, stamp: Stamp | FileError, min_side: int) -> bool:
    """Whether a cached row still says what is in a file."""
    return row is not None and row[0] == stamp and min(row[1].width, row[1].height) >= min_side


_STOPS = {
    "E-FILE-12": "files hold several frames; export the frame you want of each as a single image, or take them out",
    "E-DICOM-04": "DICOM files hold several frames; choose with --frame first, middle, a number, or all as images",
    "E-DICOM-05": "DICOM files need what is not installed",
}


def _refuse(skips: Sequence[Skip]) -> None:
    """Stop for what the user can mend for all files at once."""
    for code, what in _STOPS.items():
        if found := [skip for skip in skips if skip.code == code]:
            reason = f" (the first {found[0].reason})" if code == "E-DICOM-05" else ""
            raise DataError(f"{len(found)} {what}{reason}: {listed([skip.path for skip in found])}", code=code)


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
        ("acquisition", pa.list_(pa.list_(pa.string()))),
    ],
    metadata={_MARK: _VERSION},
)


def _load(store: Path) -> dict[str, Known]:
    """Rows of the cache; none when it is missing, damaged or of another version."""
    try:
        table = pq.ParquetFile(store, memory_map=False, page_checksum_verification=True).read()
        if not table.schema.equals(_SCHEMA) or (table.schema.metadata or {}).get(_MARK) != _VERSION:
            return {}
        return {path: ((row.size, mtime), row) for path, mtime, row in map(_row, table.to_pylist())}
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError):
        return {}


def _row(row: dict[str, object]) -> tuple[str, int, Facts]:
    path, mtime = row.pop("path"), row.pop("mtime_ns")
    if not isinstance(path, bytes) or not isinstance(mtime, int) or not isinstance(row["notes"], list):
        raise TypeError("missing value")
    row["notes"] = tuple(row["notes"])
    row["acquisition"] = tuple(map(tuple, row["acquisition"]))  # type: ignore[call-overload]
    return os.fsdecode(path), mtime, Facts(**row)  # type: ignore[arg-type]


def _save(store: Path, found: Mapping[str, Known]) -> None:
    """Add rows to the cache; where that is impossible, nothing happens."""
    with suppress(ProcessError, OSError, Timeout, NotImplementedError, pa.ArrowException), _locked(store):
        rows = {**_load(store), **found}  # read again: another process may have added its own
        names = [name for name in _SCHEMA.names if name not in {"path", "mtime_ns"}]
        columns: dict[str, list[object]] = {
            "path": [os.fsencode(path) for path in rows],
            "mtime_ns": [stamp[1] for stamp, _ in rows.values()],
            **{name: [getattr(row, name) for _, row in rows.values()] for name in names},
        }
        with atomic_path(store) as temporary:
            pq.write_table(pa.table(columns, schema=_SCHEMA), temporary, compression="zstd", write_page_checksum=True)


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    store.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(store.with_suffix(".lock"), timeout=_LOCK_SECONDS):
        yield
