"""A folder that one process at a time works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from xenograft.errors import ProcessError, printable


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock; it is gone again if nothing was written.

    Raises:
        ProcessError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(folder / ".lock"), timeout=0):
            yield
    except Timeout as error:
        raise ProcessError(
            f"another process is working on {printable(folder)}; wait for it, or choose another folder",
            code="E-PROC-06",
        ) from error
    finally:
        if [entry.name for entry in folder.iterdir()] == [".lock"]:  # refused before anything was written
            (folder / ".lock").unlink()
            folder.rmdir()
