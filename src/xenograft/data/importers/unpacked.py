"""Pictures out of an archive or out of volumes -> a folder of PNG files below the cache, made once and as a whole."""

from __future__ import annotations

import atexit
import errno
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import Notice, ProcessError, printable
from xenograft.storage import sha256_of, write_json

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``, with pictures."""

MARK = "unpacked.json"
"""Written last: a folder without it is not whole."""

_FORMAT = 1  # raise it when pictures are written in another way
_MAKING = ".making-"
_REMOVED = ".removed-"  # what the cache's own sweep removes as well
_STALE = 86_400.0  # seconds after which a folder that is still being made was left by a killed process
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_TRIES = 3
_BATCH = 4 << 20
_LARGE = 16 << 10


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A whole folder of pictures.

    Args:
        root: the folder. facts: what `write` returned when it was made. notices: what the user should know.
    """

    root: Path
    facts: Any
    notices: tuple[Notice, ...] = ()


def unpacked(cache: Path | None, rule: Mapping[str, Any], write: Callable[[Path], Any]) -> Unpacked:
    """The folder that `rule` names, filled by `write` unless that was done before.

    The folder is filled under another name and then renamed, so that a process that is killed leaves no part of one;
    of two processes that fill it at once, the later takes the earlier one's. One that is not what its mark says
    (files missing or cut, another format, somebody else's) is made anew.

    Args:
        cache: folder below which ``unpacked/<key>`` lies; None for a folder that is removed when the process ends.
        rule: JSON-able; everything that decides the files: the hash of the source, and how it is converted.
        write: fills the empty folder that it is given, and returns JSON-able facts about it.

    Raises:
        ProcessError: the disk is full.
    """
    key = sha256_of({"unpacked": _FORMAT, **rule})[:40]
    base = (cache if cache is not None else _own()) / "unpacked"
    if (mark := _whole(base / key, key)) is not None:
        return Unpacked(base / key, mark["facts"])
    try:
        workshop = _workshop(base)
    except OSError as error:
        if cache is None or error.errno in _FULL:
            raise _unwritable(base, error) from error
        message = (
            f"{printable(base)} cannot be written ({error.strerror or error}); converted images go to a temporary "
            "folder, and the next run converts them again"
        )
        return replace(unpacked(None, rule, write), notices=(Notice("W-PROC-08", message),))
    try:
        mark = _made(workshop / key, base / key, rule, write)
    except OSError as error:
        raise _unwritable(base, error) from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return Unpacked(base / key, mark["facts"])


def counting(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Adds up what was done since the last call, and tells how much of `total` that is."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tell


def write_pictures(
    folder: Path, pictures: Iterable[tuple[str, Pixels]], *, written: Callable[[int], None] | None = None
) -> int:
    """Write PNG files below a folder, a few at once; returns how many.

    Args:
        pictures: (relative POSIX path, pixels); (H, W) or (H, W, 3) in RGB order, uint8 or uint16. Taken as they are
            written, so that only some of them are in memory.
        written: told how many more there are, now and then; see `counting`.
    """
    places: set[Path] = set()
    count = 0

    def write(picture: tuple[str, Pixels]) -> bool:
        return bool((folder / picture[0]).write_bytes(png(picture[1])))

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for some in _batches(pictures):
            for place in {(folder / name).parent for name, _ in some} - places:
                place.mkdir(parents=True, exist_ok=True)
                places.add(place)
            # compressing leaves the interpreter free; with small pictures the threads would only wait for it
            large = sum(pixels.nbytes for _, pixels in some) > _LARGE * len(some)
            done = sum(pool.map(write, some) if large else map(write, some))
            count += done
            if written is not None:
                written(done)
    return count


def _batches(pictures: Iterable[tuple[str, Pixels]]) -> Iterator[list[tuple[str, Pixels]]]:
    """Pictures in lists of about `_BATCH` bytes."""
    some: list[tuple[str, Pixels]] = []
    size = 0
    for name, pixels in pictures:
        some.append((name, pixels))
        size += pixels.nbytes
        if size >= _BATCH:
            yield some
            some, size = [], 0
    if some:
        yield some


def png(pixels: Pixels) -> bytes:
    """The bytes of a PNG, lossless at the given depth."""
    import cv2  # late: a quarter of a second that a folder which is there already need not wait

    ordered: Any = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)  # cv2 has BGR
    done, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:  # pragma: no cover - it allocates, and says no more than this
        raise ProcessError("a PNG could not be encoded; free memory and run again", code="E-PROC-11")
    return bytes(encoded)


def _unwritable(base: Path, error: OSError) -> ProcessError:
    return ProcessError(
        f"cannot write converted images to {printable(base)}: {error.strerror or error}; free space or choose another "
        "cache folder",
        code="E-PROC-05",
    )


def _whole(folder: Path, key: str) -> dict[str, Any] | None:
    """The mark of a folder that holds what it says, or None."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        said = (mark["format"], mark["key"], mark["count"], mark["bytes"])
        # sizes too: after a power failure files may be there and empty
        return dict(mark) if "facts" in mark and said == (_FORMAT, key, *_measured(folder)) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _measured(folder: Path) -> tuple[int, int]:
    """(files, their bytes) below a folder, without its mark."""
    count = size = 0
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.name != MARK:
                    count += 1
                    size += entry.stat(follow_symlinks=False).st_size
    return count, size


def _workshop(base: Path) -> Path:
    """A new folder to work in, on the file system of `base`; those of killed processes are removed."""
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob(f"{_MAKING}*"):
        with suppress(OSError):
            if abs(time.time() - left.stat().st_mtime) > _STALE:
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=base, prefix=_MAKING))


def _made(new: Path, target: Path, rule: Mapping[str, Any], write: Callable[[Path], Any]) -> dict[str, Any]:
    """Fill `new` and let it become `target`; the mark of what is there then."""
    new.mkdir()
    facts = write(new)
    count, size = _measured(new)
    mark = {"format": _FORMAT, "key": target.name, "rule": dict(rule), "count": count, "bytes": size, "facts": facts}
    write_json(new / MARK, mark)
    for tried in range(1, _TRIES + 1):
        try:
            new.rename(target)
            break
        except OSError:
            if (other := _whole(target, target.name)) is not None:
                return other  # another process was faster
            if tried == _TRIES or not os.path.lexists(target):
                raise
            _set_aside(target)
    return mark


def _set_aside(target: Path) -> None:
    """Remove a folder or file that is in the way, at once for everybody who looks."""
    grave = Path(tempfile.mkdtemp(dir=target.parent, prefix=_REMOVED))
    with suppress(FileNotFoundError):
        target.rename(grave / target.name)
    shutil.rmtree(grave, ignore_errors=True)


@functools.cache
def _own() -> Path:
    """This process's folder, where there is no cache; it goes when the process ends."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="xenograft-"))
    except OSError as error:
        raise _unwritable(Path(tempfile.gettempdir()), error) from error
    atexit.register(_remove_own, folder, os.getpid())
    return folder


def _remove_own(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)
