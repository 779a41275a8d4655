"""Rows of numbers on disk by image content, addressed by what made them: decoded pixels and features alike."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from xenograft.errors import DataError, Notice, ProcessError, printable
from xenograft.storage import atomic_write, read_json, sha256_bytes, sha256_file, sha256_of, write_json

Rows = NDArray[Any]
Say = Callable[[str], None]

KEY_FILE = "key.json"
SHARDS = "*.safetensors"
DAMAGED = ".damaged"
_OPEN = 4  # shards mapped at a time: a mapped page counts as resident memory
_ROW = 1 << 32


class RowStore:
    """Rows by image content, for one key.

    A key is a folder of immutable shards. A shard's name is the hash of its bytes, so a flipped bit is found before the
    shard is first read (P9) and a half-written one never has a name (P4). Rows stay on disk and are mapped when they
    are read. Without a folder, or where it cannot be written (P8), new rows are kept in memory.

    Args:
        folder: the cache's folder for this kind of rows, or None.
        facts: everything the rows depend on besides the image; their hash is the key (P10).
    """

    def __init__(self, folder: Path | None, facts: Mapping[str, Any]) -> None:
        self.key = sha256_of(facts)
        self.notices: list[Notice] = []
        self.writable = folder is not None
        self._memory: dict[bytes, Rows] = {}
        self._index: dict[bytes, int] = {}
        self._shards: list[Path] = []
        self._verified: set[int] = set()
        self._mapped: OrderedDict[int, Any] = OrderedDict()
        self._facts = dict(facts)
        self._damaged: set[Path] = set()
        self.folder = folder / self.key[:40] if folder is not None else None
        self.refresh()

    def refresh(self) -> None:
        """Take in shards that were written meanwhile, also by another process, and say that the key is in use."""
        if self.folder is None:
            return
        if self.writable:
            self._claim(self.folder)
        known = {*self._shards, *self._damaged}
        for shard in sorted(self.folder.glob(SHARDS)):
            if shard not in known:
                self._take_in(shard)

    def missing(self, hashes: Sequence[str]) -> list[int]:
        """Positions whose rows are not here; each content once, at its first position.

        What is not listed can be read: every shard is verified before it counts.
        """
        for shard in self._shards_of(hashes):
            self._verify(shard)
        seen: set[bytes] = set()
        positions = []
        for position, content in enumerate(map(bytes.fromhex, hashes)):
            if content not in self._index and content not in self._memory and content not in seen:
                seen.add(content)
                positions.append(position)
        return positions

    def has(self, content: str) -> bool:
        """Whether a row is here, without looking at its shard."""
        key = bytes.fromhex(content)
        return key in self._index or key in self._memory

    def rows(self, hashes: Sequence[str]) -> Rows:
        """(N, ...) rows of these contents, none of which may be missing.

        Raises:
            ProcessError: the cache was emptied while it was in use.
        """
        contents = [bytes.fromhex(content) for content in hashes]
        first = self._row(contents[0])
        whole = np.empty((len(contents), *first.shape), dtype=first.dtype)
        for start, stop, shard, row in self._runs(contents):
            if shard < 0:
                whole[start] = self._memory[contents[start]]
            else:
                whole[start:stop] = self._slice(shard, row, row + stop - start)
        return whole

    def add(self, hashes: Sequence[str], rows: Rows) -> None:
        """Keep (n, ...) rows of n contents, as one shard where the folder can be written.

        Raises:
            ProcessError: the disk is full (P5); earlier shards stay.
        """
        contents = bytes.fromhex("".join(hashes))
        if self.folder is None or not self.writable:
            self._memory.update((bytes.fromhex(h), row.copy()) for h, row in zip(hashes, rows, strict=True))
            return
        table = np.frombuffer(contents, dtype=np.uint8).reshape(len(hashes), 32)
        data = save({"contents": table, "rows": np.ascontiguousarray(rows)})
        shard = atomic_write(self.folder / f"{sha256_bytes(data)[:40]}.safetensors", data)
        if shard not in self._shards:
            self._verified.add(len(self._shards))
            self._enter(shard, table)

    @contextmanager
    def alone(self, say: Say) -> Iterator[None]:
        """One process at a time computes a key; a second one says whom it waits for (P6).

        The system frees the lock of a process that died (P7).
        """
        if self.folder is None or not self.writable:
            yield
            return
        lock = FileLock(str(self.folder / ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{_holder(self.folder)} is computing the same; waiting for it")
            lock.acquire()
        except (NotImplementedError, OSError):  # no locks here: shards are whole and named by content all the same
            yield
            return
        try:
            with suppress(ProcessError):
                write_json(self.folder / ".holder", {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()})
            self.refresh()
            yield
        finally:
            lock.release()

    def _claim(self, folder: Path) -> None:
        """Leave the key's facts and the time of last use, by which a full cache chooses what to drop."""
        try:
            if (folder / KEY_FILE).is_file():
                os.utime(folder / KEY_FILE)
            else:
                write_json(folder / KEY_FILE, self._facts)
            if not os.access(folder, os.W_OK):  # its files may be touched all the same by their owner
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        except (ProcessError, OSError) as error:
            reason = error.args[0] if isinstance(error, ProcessError) else printable(error)
            self.notices.append(Notice("W-PROC-08", f"the cache is only read, new rows stay in memory: {reason}"))
            self.writable = False

    def _take_in(self, shard: Path) -> None:
        try:
            with safe_open(shard, framework="numpy") as stored:
                self._enter(shard, stored.get_tensor("contents"))
        except (SafetensorError, OSError, KeyError, ValueError):
            self._set_aside(shard)

    def _enter(self, shard: Path, contents: NDArray[np.uint8]) -> None:
        number = len(self._shards)
        self._shards.append(shard)
        self._index.update((row.tobytes(), number * _ROW + place) for place, row in enumerate(contents))

    def _shards_of(self, hashes: Sequence[str]) -> list[int]:
        found = (self._index.get(bytes.fromhex(content)) for content in hashes)
        return sorted({place // _ROW for place in found if place is not None} - self._verified)

    def _verify(self, number: int) -> None:
        shard = self._shards[number]
        if intact(shard):
            self._verified.add(number)
            return
        self._index = {content: place for content, place in self._index.items() if place // _ROW != number}
        self._shards[number] = shard.with_suffix(DAMAGED)  # the same rows computed again may take the old name
        self._set_aside(shard)

    def _set_aside(self, shard: Path) -> None:
        if not shard.exists():  # somebody emptied the cache: nothing is wrong, it is computed again
            return
        try:
            shard.replace(shard.with_suffix(DAMAGED))
        except OSError:
            self._damaged.add(shard)  # it has to stay where it is; not to be taken in again
        message = f"shard {printable(shard.name)} of the cache is damaged; set aside and computed again"
        self.notices.append(Notice("W-PROC-09", message))

    def _row(self, content: bytes) -> Rows:
        place = self._index.get(content)
        if place is None:
            return self._memory[content]
        row: Rows = self._slice(place // _ROW, place % _ROW, place % _ROW + 1)[0]
        return row

    def _runs(self, contents: Sequence[bytes]) -> Iterator[tuple[int, int, int, int]]:
        """(start, stop, shard, row): neighbours in the list that are neighbours in a shard; shard -1 is memory."""
        places = [self._index.get(content, -1) for content in contents]
        start = 0
        for stop in range(1, len(places) + 1):
            if stop == len(places) or places[start] < 0 or places[stop] != places[stop - 1] + 1:
                yield start, stop, places[start] // _ROW, places[start] % _ROW
                start = stop

    def _slice(self, number: int, start: int, stop: int) -> Rows:
        if number not in self._mapped:
            try:
                self._mapped[number] = safe_open(self._shards[number], framework="numpy").get_slice("rows")  # type: ignore[no-untyped-call]
            except (OSError, SafetensorError) as error:
                raise ProcessError(
                    f"{printable(self._shards[number])} went away while it was in use; run the same command again",
                    code="E-PROC-10",
                ) from error
            while len(self._mapped) > _OPEN:
                self._mapped.popitem(last=False)
        self._mapped.move_to_end(number)
        sliced: Rows = self._mapped[number][start:stop]
        return sliced


class ShardWriter:
    """Collects rows into shards, so that a killed process loses seconds of work and a fast one writes few files."""

    SECONDS = 5.0
    ROWS = 512

    def __init__(self, store: RowStore) -> None:
        self._store = store
        self._hashes: list[str] = []
        self._rows: list[Rows] = []
        self._last = time.monotonic()  # not the clock of the day, which may be set back (P14)

    def put(self, hashes: Sequence[str], rows: Rows) -> None:
        """Take (n, ...) rows; writes a shard when enough rows or time have gathered."""
        self._hashes += hashes
        self._rows.append(rows)
        if len(self._hashes) >= self.ROWS or time.monotonic() - self._last > self.SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered, each content once."""
        first = {content: k for k, content in enumerate(self._hashes) if not self._store.has(content)}
        if first:
            rows = np.concatenate(self._rows)
            self._store.add(list(first), rows if len(first) == len(rows) else rows[list(first.values())])
        self._hashes, self._rows, self._last = [], [], time.monotonic()


def intact(shard: Path) -> bool:
    """Whether a shard's bytes are those it was named after."""
    try:
        return sha256_file(shard).startswith(shard.stem)
    except OSError:
        return False


def _holder(folder: Path) -> str:
    try:
        facts = read_json(folder / ".holder")
        return f"process {facts['pid']} on {printable(facts['host'])} (since {facts['since']})"
    except (DataError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
