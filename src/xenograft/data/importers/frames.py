"""A Listing with DICOM files of several frames -> one with an image for every frame, as files below the cache.

Made for ``--frame all``. Every file of the listing is put into one unpacked folder, because a listing has one root: the
frames and the DICOM files of one frame without anything that identifies, other images as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from xenograft.data.dicom_patients import salt_for
from xenograft.data.facts import Skip
from xenograft.data.importers import Listing, RawRow
from xenograft.data.importers.unpacked import MARK, Progress, counting, unpacked
from xenograft.data.readers import dicom, read_bytes
from xenograft.data.readers.dicom_frames import Frames
from xenograft.errors import DataError, FileError, Notice, listed, printable
from xenograft.storage import sha256_bytes

PATIENT_RULE = (
    "patient key: PatientID of the DICOM file, hashed with a salt that is kept beside the data; a file without one is "
    "the patient of its frames"
)

_RULE = "frames 1"  # raise it when other files come out
_LIMIT = 32 << 30
"""Most bytes that the frames of one file may unpack to."""
_MOST = 100_000
"""Most frames that one file may have."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One file that can be used.

    Args:
        digest: of its bytes. frames: how many; 0 for what is not DICOM. patient: its key, if it names one.
        converted: whether its colours are.
    """

    row: RawRow
    digest: str
    frames: int = 0
    patient: str = ""
    converted: bool = False


@dataclass(frozen=True, slots=True)
class _Reader:
    """How the files of a listing are read."""

    root: Path
    salt: bytes | None
    window: str | None

    def load(self, path: str) -> tuple[bytes, Frames | None]:
        """(the file's bytes, its frames if it is DICOM)."""
        data = read_bytes(self.root / path, self.root)
        return data, Frames(data, salt=self.salt, window=self.window) if dicom.sniff(data) else None

    def probe(self, row: RawRow) -> _Found | FileError:
        """What is in a file, or why it cannot be used."""
        try:
            row.path.encode()
            data, frames = self.load(row.path)
            if frames is None:
                return _Found(row, sha256_bytes(data))
            if frames.nbytes > _LIMIT or len(frames) > _MOST:
                raise FileError(
                    f"unpacks to {len(frames)} frames of {frames.nbytes} bytes, at most {_MOST} and {_LIMIT} are read; "
                    "export fewer",
                    code="S-FILE-10",
                )
            return _Found(row, sha256_bytes(data), len(frames), frames.patient, frames.colour_converted)
        except UnicodeEncodeError:
            return FileError("its name is not UTF-8; rename it", code="S-FILE-18")
        except FileError as error:
            return error.with_traceback(None)  # it would hold the file's bytes

    def write(self, target: Path, found: _Found) -> list[int | tuple[str, str, str]]:
        """Write one file's frames: the number of each, from 1 on, or why it cannot be used; 0 for a file as it is."""
        path = found.row.path
        try:
            data, frames = self.load(path)
            if sha256_bytes(data) != found.digest:
                raise FileError("changed while it was read; run again when it is complete", code="S-FILE-19")
        except FileError as error:
            return [(printable(path), error.code, str(error.args[0]))]
        place = target / path
        if frames is None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            return [0]
        done: list[int | tuple[str, str, str]] = []
        for index in range(len(frames)):
            file = _path(path, index + 1, len(frames))
            try:
                made = frames[index]
            except FileError as error:
                done.append((printable(file), error.code, str(error.args[0])))
                continue
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes(made)
            done.append(index + 1)
        return done


def every_frame(
    listing: Listing, *, cache: Path | None = None, window: str | None = None, progress: Progress | None = None
) -> Listing:
    """The listing with every frame of its DICOM files as a row of its own, ``scan.dcm/0001`` and so on.

    The pixels, their lookup tables and windows stay as stored, so that everything is read and windowed as it would be
    from the original; the patient's id becomes its salted key, and nothing else that names or dates anyone is kept.
    Frames of a file share its patient; a file without PatientID is the patient of its frames. A listing without such
    files is returned as it is.

    Args:
        listing: of images as they are; one that was unpacked has no such files.
        cache: folder below which the files are kept; None for a temporary one.
        window: name of the window that will be asked for, which must be kept.
        progress: called as ``progress(done, total)`` with frames.

    Raises:
        DataError: pydicom or a codec is missing (E-DICOM-05). ProcessError: the disk is full.
    """
    if (listing.root / MARK).is_file():
        return listing
    paths = [row.path for row in listing.rows]
    reader = _Reader(listing.root, salt_for(listing.root, paths, cache), window)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="frames") as pool:
        probed = list(zip(listing.rows, pool.map(reader.probe, listing.rows), strict=True))
    faults = [(row, found) for row, found in probed if isinstance(found, FileError)]
    _refuse(faults)
    files = [found for _, found in probed if isinstance(found, _Found)]
    if not any(found.frames > 1 for found in files):
        return listing
    made = unpacked(
        cache,
        {
            "source": [[found.row.path, found.digest] for found in files],
            "how": _RULE,
            "salt": sha256_bytes(reader.salt or b""),
            "window": window,
        },
        partial(_write, reader=reader, files=files, progress=progress),
    )
    taken: dict[str, list[int]] = made.facts["taken"]
    skipped = [Skip(printable(row.path), error.code, str(error.args[0])) for row, error in faults]
    skipped += [Skip(*entry) for entry in made.facts["skipped"]]
    rows = [row for found in files for row in _rows(found, taken.get(found.row.path, []))]
    given = any(row.patient for row in listing.rows)
    if not given:
        rows = [replace(row, patient=patient) for row, patient in zip(rows, _patients(files, taken), strict=True)]
    return replace(
        listing,
        root=made.root,
        rows=tuple(rows),
        notices=(*listing.notices, *_notices(files, taken), *made.notices),
        skipped=(*listing.skipped, *skipped),
        declared_splits=listing.declared_splits | {row.split for row in listing.rows if row.split},
        declared_labels=listing.declared_labels | {row.label for row in listing.rows},
        patient_rule=listing.patient_rule if given else PATIENT_RULE,
    )


def _refuse(faults: Sequence[tuple[RawRow, FileError]]) -> None:
    """Stop for what the user can mend for all files at once."""
    if missing := [(row, error) for row, error in faults if error.code == "E-DICOM-05"]:
        raise DataError(
            f"{len(missing)} DICOM files need what is not installed (the first {missing[0][1].args[0]}): "
            f"{listed(row.path for row, _ in missing)}",
            code="E-DICOM-05",
        )


def _write(target: Path, *, reader: _Reader, files: Sequence[_Found], progress: Progress | None) -> dict[str, Any]:
    """Write all files; which frames there are, and which could not be read."""
    taken: dict[str, list[int]] = {}
    skipped: list[tuple[str, str, str]] = []
    written = counting(progress, sum(max(1, found.frames) for found in files))
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="frames") as pool:
        for found, done in zip(files, pool.map(partial(reader.write, target), files), strict=True):
            if numbers := [one for one in done if isinstance(one, int)]:
                taken[found.row.path] = numbers
            skipped += [one for one in done if not isinstance(one, int)]
            written(max(1, found.frames))
    return {"taken": taken, "skipped": skipped}


def _path(path: str, number: int, frames: int) -> str:
    return f"{path}/{number:04d}" if frames > 1 else path


def _rows(found: _Found, numbers: Sequence[int]) -> list[RawRow]:
    row = found.row
    if found.frames <= 1:
        return [row for _ in numbers]
    return [
        replace(
            row,
            id=f"{row.id}/{number:04d}",
            path=_path(row.path, number, found.frames),
            where=f"{row.where} frame {number}",
        )
        for number in numbers
    ]


def _patients(files: Sequence[_Found], taken: dict[str, list[int]]) -> Iterator[str]:
    """Of every row in order; what names no patient is one of its own."""
    for found in files:
        for _ in taken.get(found.row.path, []):
            yield found.patient or found.row.id


def _notices(files: Sequence[_Found], taken: dict[str, list[int]]) -> Iterator[Notice]:
    many = [found.row.path for found in files if found.frames > 1 and found.row.path in taken]
    count = sum(len(taken[path]) for path in many)
    message = (
        f"{len(many)} DICOM files gave {count} frames, each an image of its own; frames of a file share its patient"
    )
    yield Notice("W-DICOM-17", message, len(many), tuple(map(printable, many[:5])))
    if converted := [found.row.path for found in files if found.converted and found.row.path in taken]:
        message = f"{len(converted)} files: palette or YBR colours converted to RGB; look at one ({listed(converted)})"
        yield Notice("W-DICOM-10", message, len(converted), tuple(map(printable, converted[:5])))
