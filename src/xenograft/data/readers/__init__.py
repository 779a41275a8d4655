"""Path -> pixels at full depth and facts; the file's content chooses the family of readers."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from xenograft.data.readers import dicom, photo
from xenograft.data.readers.picture import Picture
from xenograft.errors import FileError

__all__ = ["FILE_LIMIT", "NOTE_TEXT", "Picture", "decode_picture", "read_bytes", "read_picture"]

FILE_LIMIT = 1 << 30
"""Most bytes a file may have: above the largest uncompressed image within `picture.PIXEL_LIMIT`."""

NOTE_TEXT: dict[str, str] = {
    "W-DICOM-03": "stored with white at 0 (MONOCHROME1), turned round; nothing to do",
    "W-DICOM-08": "offers several windows or lookup tables, the first was used; give a window if it is the wrong one",
    "W-DICOM-10": "palette or YBR colours converted to RGB; look at one",
    "W-DICOM-11": "names no patient (PatientID), so that a patient's images could be split; give patients in a table",
    "W-DICOM-13": "says that text is burned into the pixels: it may identify the patient and predict the label; mask",
    "W-DICOM-14": "asks for no usable window: the range that the file could hold was used; give a window if it is flat",
    "W-DICOM-16": "has no window of the name that was given: the usual one for CT was used; compare with one that has",
    "W-FILE-03": "the name's ending promises another format; read by content; rename the file",
    "W-FILE-05": "stored as CMYK (a print format), converted to RGB; export from the source as gray or RGB",
    "W-FILE-07": "palette or transparency converted, transparent parts on black; check that nothing was hidden",
    "W-FILE-08": "turned upright by its EXIF orientation; check one, and remove the tag if it is wrong",
    "W-FILE-13": "float, signed or 32-bit values mapped to unsigned 8 or 16 bits, float and 32-bit from this image's "
    "own minimum and maximum; export 16-bit if values must compare between images",
    "W-FILE-22": "EXIF tells where it was taken (GPS); remove it before the file is passed on",
    "W-FILE-23": "EXIF holds a person's name or a comment; remove it before the file is passed on",
    "W-FILE-20": "every pixel has the same value; look at the image and remove it if it is empty",
}
"""What each note means and what to do about it."""

_SIGNATURES = (
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (40, b" EMF", "EMF"),
    (344, b"n+1\0", "NIfTI"),
    (344, b"ni1\0", "NIfTI"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (4, b"ftyp", "HEIC, AVIF or video"),
    (0, b"\0\0\1\0", "icon"),
)
_MARKUP = ((b"<svg", "SVG"), (b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"))


def read_picture(
    path: Path, *, root: Path | None = None, min_side: int = 16, working: int | None = None, **dicom_only: Any
) -> Picture:
    """Read and completely decode one image file.

    Args:
        path: the file.
        root: data folder that `path` must not leave, also not through links.
        min_side: smallest accepted width and height as stored, in pixels.
        working: smallest side in pixels that the caller needs: a JPEG is then decoded at the smallest scale (1, 1/2,
            1/4 or 1/8) that leaves both sides at least this long, other formats completely. None: full resolution.
        dicom_only: ``frame``, ``window`` and ``salt`` of `decode_picture`.

    Raises:
        FileError: the file cannot be used; the message names cause and remedy, not the path.
    """
    data = read_bytes(path, root)
    return decode_picture(data, suffix=path.suffix, min_side=min_side, working=working, **dicom_only)


def decode_picture(
    data: bytes,
    *,
    suffix: str = "",
    min_side: int = 16,
    working: int | None = None,
    frame: str | int | None = None,
    window: tuple[float, float] | str | None = None,
    salt: bytes | None = None,
) -> Picture:
    """Decode the bytes of one image file with the family of readers that its content asks for.

    Args:
        data: the file's bytes.
        suffix: the file name's ending; a note is made when it promises another format.
        min_side, working: as `read_picture`.
        frame, window, salt: of DICOM only, as `xenograft.data.readers.dicom.decode`.

    Raises:
        FileError: as `read_picture`.
    """
    if not data:
        raise FileError("is empty (zero bytes); copy or export it again", code="S-FILE-01")
    if dicom.sniff(data):
        return dicom.decode(data, suffix=suffix, min_side=min_side, frame=frame, window=window, salt=salt)
    if photo.sniff(data):
        return photo.decode(data, suffix=suffix, min_side=min_side, working=working)
    if kind := _looks_like(data):
        raise FileError(f"looks like {kind}, which is not read; export it as PNG, TIFF or JPEG", code="S-FILE-14")
    what = "text" if _is_text(data[:1024]) else "no known image format"
    raise FileError(f"is {what} inside; put the image itself here or remove the file", code="S-FILE-04")


def read_bytes(path: Path, root: Path | None = None) -> bytes:
    """All bytes of a regular file; a pipe, device or socket is refused without waiting for it.

    Raises:
        FileError: it leaves `root`, is no regular file, is larger than `FILE_LIMIT`, changes while it is read, or the
            system refuses.
    """
    try:
        if root is not None:
            check_inside(path, root)
        _check_regular(path.stat())  # before opening: opening a device can already act on it
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
        with os.fdopen(os.open(path, flags), "rb") as stream:
            found = os.fstat(stream.fileno())
            _check_regular(found)
            data = stream.read(found.st_size + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"cannot be opened ({reason}); check the name and its permissions", code="S-FILE-15") from error
    except MemoryError as error:
        raise FileError("needs more memory than there is; export it smaller", code="S-FILE-10") from error
    if len(data) != found.st_size:
        raise FileError("changed while it was read; run again when it is complete", code="S-FILE-19")
    return data


def check_inside(path: Path, root: Path) -> None:
    """Refuse a path that leaves `root`, also through links (fault F16).

    Raises:
        FileError: it leaves the folder.
    """
    base, real = os.path.realpath(root), os.path.realpath(path)
    if real != base and not real.startswith(base.rstrip(os.sep) + os.sep):
        raise FileError("leads outside the data folder; copy the file into it", code="S-FILE-16")


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "folder" if stat.S_ISDIR(found.st_mode) else "pipe, socket or device"
        raise FileError(f"is a {kind}, not a file; remove it from the list", code="S-FILE-17")
    if found.st_size > FILE_LIMIT:
        raise FileError(
            f"has {found.st_size} bytes, more than the {FILE_LIMIT} that are read; export it smaller", code="S-FILE-10"
        )


def _looks_like(data: bytes) -> str | None:
    for at, signature, name in _SIGNATURES:
        if data[at : at + len(signature)] == signature:
            return name
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<"):
        return next((name for mark, name in _MARKUP if mark in head), None)
    return None


def _is_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)
