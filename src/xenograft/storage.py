"""Everything that touches disk safely: atomic writes, contained paths, hashes, locks."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xenograft.errors import DataError, LabelError, ProcessError, UsageError, printable

_CHUNK = 1 << 20


@contextmanager
def atomic_path(target: Path, *, needs: int = 0) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it replaces `target`, on any error it is removed.

    The data is synced before the rename and the folder after it, so that a crash leaves the old file or the new one,
    never a half (faults P3, P4).

    Args:
        needs: bytes that will be written, where known, for the message when they do not fit.

    Raises:
        ProcessError: the disk is full or the folder cannot be written.
    """
    target = Path(target)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _publish(temporary, target)
    except OSError as error:
        raise ProcessError(
            f"cannot write {printable(target)}: {error.strerror or error}; free space or choose another folder"
            + (f" ({needs} bytes are needed)" if needs else ""),
            code="E-PROC-05",
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _publish(temporary: Path, target: Path) -> None:
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; results are the user's ordinary files
    temporary.replace(target)
    with suppress(OSError):  # folders cannot be opened for syncing on every platform
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def atomic_write(target: Path, data: bytes | str) -> Path:
    """Write a whole file or nothing. Text is UTF-8. Returns `target`."""
    encoded = data.encode("utf-8") if isinstance(data, str) else data
    with atomic_path(target, needs=len(encoded)) as temporary:
        temporary.write_bytes(encoded)
    return Path(target)


def write_json(target: Path, value: Any) -> Path:
    """Write JSON atomically, keys in the given order, NaN refused."""
    return atomic_write(target, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)} cannot be read as JSON: {error}", code="E-DATA-02") from error


def write_csv(target: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV atomically; cells that a spreadsheet would run as a formula are neutralised (fault L9)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([plain_cell(name) for name in header])
    for row in rows:
        writer.writerow([plain_cell(cell) for cell in row])
    return atomic_write(target, text.getvalue())


def plain_cell(cell: object) -> object:
    """A cell that no spreadsheet runs: text that starts like a formula gets a leading apostrophe."""
    if isinstance(cell, str | os.PathLike):
        cell = printable(cell)
        if cell.startswith(("=", "+", "-", "@")):
            return "'" + cell
    return cell


def safe_join(root: Path, relative: str | Path) -> Path:
    """`root / relative`, refused when it leaves `root`, also through links (faults L4, F16).

    Raises:
        LabelError: the path is absolute or leaves the folder.
    """
    base = Path(root).resolve()
    joined = base / relative
    try:
        inside = not Path(relative).is_absolute() and joined.resolve().is_relative_to(base)
    except (OSError, ValueError, RuntimeError):  # a NUL byte, or links that go round in a circle
        inside = False
    if not inside:
        raise LabelError(f'path "{printable(relative)}" leaves the data folder; use paths below it', code="E-LABEL-04")
    return joined


def sha256_bytes(data: bytes | memoryview) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(value: Any) -> str:
    """Hexadecimal SHA-256 of a JSON-able value in canonical form (sorted keys)."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def check_output(folder: Path, what: str, *marks: str) -> None:
    """Refuse a folder that holds something else than what is to be written.

    Args:
        what: ``a bundle``. marks: files below it, one of which shows that the same verb has written there before.

    Raises:
        UsageError: it is a file, or neither new nor empty nor marked.
    """
    known = any((folder / mark).is_file() for mark in marks)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not known):
        raise UsageError(
            f"{printable(folder)} exists and is not {what}; choose a new or empty folder", code="E-USAGE-13"
        )
