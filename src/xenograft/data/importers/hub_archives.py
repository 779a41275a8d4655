"""ZIP archives of a downloaded data set -> the images, volumes and tables in them as files below the cache."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from xenograft.data.importers.unpacked import Unpacked, unpacked
from xenograft.data.importers.volumes import ENDINGS
from xenograft.data.readers.photo import SUFFIXES
from xenograft.errors import DataError, LabelError, XenograftError, printable
from xenograft.storage import safe_join

SIZE_LIMIT = 512 << 30
"""Most bytes that the archives of one data set may become."""
COUNT_LIMIT = 5_000_000

_KEPT = (*SUFFIXES, *ENDINGS, ".csv", ".tsv", ".jsonl", ".parquet", ".npz", ".md")
_EXPANSION = 1040  # deflate makes at most 1,032 bytes of one (zlib's technical details)
_SMALL = 1 << 16
_RULE = "zip 1"  # raise it when other files come out


def unpack(folder: Path, names: Sequence[str], *, origin: str, cache: Path | None) -> Unpacked:
    """Unpack archives once; of several, each into a folder of its name (``train.zip``, ``test.zip``).

    Args:
        names: of the archives, below `folder`. origin: host, name and revision, which decide the archives' bytes.

    Raises:
        DataError: damaged or encrypted (E-DATA-10), or larger than can be believed (E-FILE-22).
        LabelError: a name that leaves the folder (E-LABEL-04).
    """
    sizes = [[name, (folder / name).stat().st_size] for name in names]
    return unpacked(
        cache, {"source": origin, "archives": sizes, "how": _RULE}, partial(_unpack, source=folder, names=names)
    )


def _unpack(folder: Path, *, source: Path, names: Sequence[str]) -> int:
    count = left = 0
    left = SIZE_LIMIT
    for name in names:
        place = folder / PurePosixPath(name).with_suffix("") if len(names) > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(source / name) as archive:
                for member in archive.infolist():
                    if _wanted(member):
                        left -= _checked(member, name, left)
                        count += _extract(archive, member, place)
        except (XenograftError, OSError):
            raise
        except Exception as error:  # zipfile and zlib raise much on hostile bytes; a password is a RuntimeError
            raise DataError(
                f"{printable(name)} is damaged or encrypted ({printable(error)[:100]}); download it again",
                code="E-DATA-10",
            ) from error
        if count > COUNT_LIMIT:
            raise DataError(f"{printable(name)} holds more than {COUNT_LIMIT} files", code="E-FILE-22")
    return count


def _wanted(member: zipfile.ZipInfo) -> bool:
    """Plain files that could be read, without links (which Unix archivers mark in the mode) and what macOS adds."""
    mode = member.external_attr >> 16
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in PurePosixPath(member.filename).parts)
    return (
        not member.is_dir()
        and not hidden
        and (stat.S_IFMT(mode) in {0, stat.S_IFREG})
        and member.filename.lower().endswith(_KEPT)
    )


def _checked(member: zipfile.ZipInfo, archive: str, left: int) -> int:
    if member.file_size > _EXPANSION * member.compress_size + _SMALL or member.file_size > left:
        raise DataError(
            f"{printable(archive)}: {printable(member.filename)} claims {member.file_size} bytes, more than can be "
            "believed or than is unpacked; the archive is damaged or hostile",
            code="E-FILE-22",
        )
    return member.file_size


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> int:
    target = safe_join(place, member.filename)
    if target.exists():
        raise LabelError(f'"{printable(member.filename)}" is in the archive twice; repack it', code="E-LABEL-03")
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as stream, target.open("xb") as written:
        shutil.copyfileobj(stream, written, 1 << 20)  # zipfile stops at the declared size, and compares the checksum
    return 1
