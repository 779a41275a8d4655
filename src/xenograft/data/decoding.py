"""Paths -> facts and kept pixels, on all cores: threads for a few files, processes of their own for many.

Decoding lets other threads run, the Python around it does not: two threads read small files hardly faster than one.
"""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from xenograft.data.facts import Facts, facts
from xenograft.data.preprocess import FIRST_WINDOW, WORKING, DicomReading
from xenograft.data.readers import Picture, decode_picture, read_bytes
from xenograft.errors import FileError, Notice

WORTH_PROCESSES = 1500
"""Files from which on starting other processes, about a second, costs less than it saves."""

_CHUNK = 16
_MOST = 256  # files per message: what a process writes to a cache at once
_IDLE = 20.0  # seconds after which a process that gets no work ends, also when nobody is left to stop it

Looked = list[Facts | FileError]


class Keeper(Protocol):
    """Something that keeps decoded pixels, `xenograft.data.batches.PixelSource`."""

    notices: list[Notice]
    written: int

    def offer(self, content: str, picture: Picture) -> None:
        """Take one picture; called by several threads at once."""
        ...

    def flush(self) -> None:
        """Write what was taken."""
        ...

    def elsewhere(self, workers: int) -> Callable[[], Keeper]:
        """How each of some processes opens the same; can be sent to them."""
        ...

    def credit(self, written: int, notices: Sequence[Notice]) -> None:
        """Learn what others have written."""
        ...


@dataclass(frozen=True, slots=True)
class Decoder:
    """Looks at files below a folder.

    Args:
        min_side: smallest accepted width and height in pixels. keepers: get every picture.
        dicom: how DICOM files are read. salt: with which their patients' identifiers are hashed; None leaves them out.
    """

    root: Path
    min_side: int
    keepers: tuple[Keeper, ...] = ()
    dicom: DicomReading = FIRST_WINDOW
    salt: bytes | None = None

    def look(self, paths: Sequence[str]) -> Looked:
        """Facts of each file, or what is wrong with it."""
        return [self._look(self.root / path) for path in paths]

    def _look(self, path: Path) -> Facts | FileError:
        try:
            data = read_bytes(path)
            picture = decode_picture(
                data,
                suffix=path.suffix,
                min_side=self.min_side,
                working=WORKING,
                salt=self.salt,
                **self.dicom.as_arguments(),
            )
        except FileError as error:
            return error.with_traceback(None)  # it would hold the file's bytes
        found = facts(data, picture)
        for keeper in self.keepers:
            keeper.offer(found.sha256, picture)
        return found


def look_at(
    decoder: Decoder, paths: Sequence[str], *, workers: int, meanwhile: Callable[[], None] | None = None
) -> Iterator[tuple[Sequence[str], Looked]]:
    """(paths, what was found) in order, part by part.

    Args:
        workers: threads or processes. meanwhile: called once, where other processes work and this one would wait.
    """
    done = 0
    if len(paths) >= WORTH_PROCESSES and workers > 1:
        for part, looked in _in_processes(decoder, paths, workers, meanwhile):
            done += len(part)
            yield part, looked
    # all of them, or what is left by processes that could not be started or were killed
    yield from _in_threads(decoder, paths[done:], workers)
    for keeper in decoder.keepers:
        keeper.flush()


def _in_threads(decoder: Decoder, paths: Sequence[str], threads: int) -> Iterator[tuple[Sequence[str], Looked]]:
    parts = _parts(paths, _CHUNK)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="inspect")
    try:
        yield from zip(parts, pool.map(decoder.look, parts), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the files not yet begun are dropped


def _in_processes(
    decoder: Decoder, paths: Sequence[str], workers: int, meanwhile: Callable[[], None] | None
) -> Iterator[tuple[Sequence[str], Looked]]:
    # joblib's pool: unlike the standard library's it never runs the caller's script again in the new processes
    from joblib.externals.loky import ProcessPoolExecutor

    parts = _parts(paths, max(_CHUNK, min(_MOST, len(paths) // (8 * workers))))
    opened = [keeper.elsewhere(workers) for keeper in decoder.keepers]
    pool = None
    try:
        pool = ProcessPoolExecutor(
            workers, timeout=_IDLE, initializer=_begin, initargs=(replace(decoder, keepers=()), opened)
        )
        answers = [pool.submit(_look_apart, part) for part in parts]
        if meanwhile is not None:
            meanwhile()
        for part, answer in zip(parts, answers, strict=True):
            looked, kept = answer.result()
            for keeper, (written, notices) in zip(decoder.keepers, kept, strict=True):
                keeper.credit(written, notices)
            yield part, looked
    except (BrokenProcessPool, ImportError, OSError):
        return  # no semaphores here, or a process was killed: threads do what is left
    finally:
        if pool is not None:
            _drop_waiting(pool)
            pool.shutdown(kill_workers=True)


def _drop_waiting(pool: Any) -> None:
    """What no process has begun: loky's own thread forgets it on shutdown, then looks for it and prints a traceback."""
    with suppress(queue.Empty, AttributeError):
        while True:
            pool._work_ids.get_nowait()


def _parts(paths: Sequence[str], size: int) -> list[Sequence[str]]:
    return [paths[start : start + size] for start in range(0, len(paths), size)]


# what runs in another process

_decoder: Decoder | None = None


def _begin(decoder: Decoder, opened: Sequence[Callable[[], Keeper]]) -> None:
    global _decoder  # noqa: PLW0603 - a process's own, set once before its first work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process of a terminal; the first one decides
    _decoder = replace(decoder, keepers=tuple(make() for make in opened))


def _look_apart(paths: Sequence[str]) -> tuple[Looked, list[tuple[int, list[Notice]]]]:
    decoder: Any = _decoder
    before = [keeper.written for keeper in decoder.keepers]
    looked = decoder.look(paths)
    kept = []
    for keeper, had in zip(decoder.keepers, before, strict=True):
        keeper.flush()
        kept.append((keeper.written - had, keeper.notices))
        keeper.notices = []
    return looked, kept
