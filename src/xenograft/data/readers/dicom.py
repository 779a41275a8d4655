"""Bytes of a DICOM file -> one picture at full depth, with facts on how it was made; no name, date or UID leaves.

pydicom (extra ``dicom``) parses and decompresses; sizes are checked as declared before it does. What it says in
warnings, log records and exceptions can quote the file, so none of it gets out (fault D13).
"""

from __future__ import annotations

import logging
import math
import warnings
import zlib
from dataclasses import replace
from io import BytesIO
from threading import Lock
from types import TracebackType

from xenograft.data.readers import acquisition
from xenograft.data.readers.dicom_elements import Dataset, text
from xenograft.data.readers.dicom_gray import gray
from xenograft.data.readers.dicom_pixels import DEFLATED, Layout, for_frame, frame_of, layout, rgb
from xenograft.data.readers.photo import SUFFIXES
from xenograft.data.readers.picture import Array, Picture, Stored, finish
from xenograft.errors import FileError, MissingPackage, UsageError, XenograftError, require

__all__ = ["decode", "sniff"]

_PREAMBLE = 128
_INFLATED_LIMIT = 1 << 30
_FIRST_ELEMENTS = (0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0016, 0x0018)
_FIRST_VRS = {b"UL", b"OB", b"CS", b"DA", b"UI", b"SH"}


def sniff(data: bytes) -> bool:
    """Whether this is DICOM: with its preamble, or beginning as a DICOM data set does."""
    if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return True
    if len(data) < 16 or data[:2] not in {b"\2\0", b"\x08\0"}:
        return False
    if int.from_bytes(data[2:4], "little") not in _FIRST_ELEMENTS:
        return False
    length = int.from_bytes(data[4:8], "little")  # without a VR: an even length within the file follows at once
    return data[4:6] in _FIRST_VRS or (length % 2 == 0 and 2 <= length <= min(64, len(data) - 8))


def decode(
    data: bytes,
    *,
    suffix: str = "",
    min_side: int = 16,
    frame: str | int | None = None,
    window: tuple[float, float] | None = None,
    salt: bytes | None = None,
) -> Picture:
    """Decode one frame of a DICOM file completely.

    Gray images become (H, W) uint16, black at 0, after modality LUT or rescale and the first VOI LUT or window (the
    grayscale pipeline of PS3.3 C.11); see `xenograft.data.readers.dicom_gray.gray` for the range. Colour becomes
    (H, W, 3) uint8 RGB; three channels that say the same become one, as for photographs.

    Args:
        data: the file's bytes.
        suffix: the file name's ending; a note is made when it promises another format.
        min_side: smallest accepted width and height, in pixels.
        frame: ``first``, ``middle`` or a number from 1 on, for files of several frames; others are read whatever it is.
        window: centre and width for gray images, in modality units such as HU, instead of what the file asks for.
        salt: secret that turns the patient's id into the fact ``patient``; without one that fact is left out.

    Raises:
        FileError: the file cannot be used; nothing else is raised on account of its bytes.
        UsageError: `frame` or `window` make no sense.
    """
    _check_options(frame, window)
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise FileError("is DICOM without its preamble; export it again as a DICOM file", code="S-DICOM-01")
    try:
        require("pydicom", extra="dicom")
        with _QUIET:
            picture = _decode(data, min_side, frame, window, salt)
    except MissingPackage:
        problem = FileError(
            "is DICOM, and pydicom is not installed; run: uv pip install 'xenograft[dicom]'", code="E-DICOM-05"
        )
    except XenograftError:
        raise
    except MemoryError:
        problem = FileError("needs more memory than there is; export it smaller", code="S-FILE-10")
    except Exception as error:  # pydicom and its codecs may raise anything on hostile bytes
        problem = FileError(
            f"the DICOM data are damaged or cut ({type(error).__name__}); copy or export the file again",
            code="S-FILE-02",
        )
    else:
        promised = SUFFIXES.get(suffix.lower(), "dicom")
        return picture if promised == "dicom" else replace(picture, notes=("W-FILE-03", *picture.notes))
    raise problem  # outside of the handlers: what they caught can quote the file, and would travel along


def _check_options(frame: str | int | None, window: tuple[float, float] | None) -> None:
    if window is not None and not (all(math.isfinite(one) for one in window) and window[1] > 0):
        raise UsageError(f"window {window}: finite centre and width, the width above 0", code="E-USAGE-05")
    if frame is None or frame in {"first", "middle", "all"}:
        return
    if not (str(frame).isdecimal() and int(frame) > 0):
        raise UsageError(f"frame {frame!r}; first, middle or a number from 1 on", code="E-USAGE-05")


def _decode(
    data: bytes, min_side: int, frame: str | int | None, window: tuple[float, float] | None, salt: bytes | None
) -> Picture:
    dataset = _read(data)
    declared = layout(dataset, min_side)
    index = _chosen(declared.frames, frame)
    for_frame(dataset, index)
    pixels, photometric = frame_of(dataset, declared, index)
    if declared.photometric.startswith("MONOCHROME"):
        shown, notes = gray(pixels, dataset, little=declared.little, window=window)
        stored = Stored(shown, "gray", notes)
    else:
        stored = _colour(rgb(pixels, dataset, declared, photometric), declared)
    picture = finish(stored, "dicom")
    found = acquisition.facts(dataset, salt=salt)
    notes = [*picture.notes, *_identity_notes(dataset, dict(found))]
    return replace(picture, notes=tuple(sorted(notes)), acquisition=found)


def _colour(pixels: Array, declared: Layout) -> Stored:
    mode = "palette" if declared.photometric == "PALETTE COLOR" else "rgb"
    notes = [] if declared.photometric == "RGB" else ["W-DICOM-10"]
    return Stored(pixels, mode, notes, lossy=declared.lossy)


def _identity_notes(dataset: Dataset, found: dict[str, str]) -> list[str]:
    notes = [] if text(dataset, "PatientID") else ["W-DICOM-11"]
    return [*notes, "W-DICOM-13"] if found.get("burned_in") == "yes" else notes


def _chosen(frames: int, frame: str | int | None) -> int:
    """Index of the frame to read, from 0 on (fault D4)."""
    if frames == 1:
        return 0
    if frame is None or frame == "all":
        raise FileError(
            f"holds {frames} frames, and one picture per file is read; choose one with --frame first, middle or a "
            "number",
            code="E-DICOM-04",
        )
    if frame in {"first", "middle"}:
        return 0 if frame == "first" else frames // 2
    if int(frame) > frames:
        raise FileError(
            f"holds {frames} frames, none of them number {int(frame)}; choose a lower number or middle",
            code="E-DICOM-04",
        )
    return int(frame) - 1


def _read(data: bytes) -> Dataset:
    """Parse the file; a deflated one is inflated here, because pydicom would do it without a limit."""
    from pydicom import dcmread

    try:
        return dcmread(_Stream(data))
    except _ReadToTheEndError as found:
        at = found.at
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(data[at:], _INFLATED_LIMIT)
    if inflater.unconsumed_tail:
        raise FileError("inflates to more than is read; export it uncompressed", code="S-FILE-10")
    if not inflater.eof:
        raise ValueError("a deflated data set without its end")
    uid = DEFLATED.encode()
    head = data[:at].replace(uid, DEFLATED.removesuffix(".99").encode().ljust(len(uid), b"\0"))
    return dcmread(_Stream(head + plain))


class _ReadToTheEndError(Exception):
    """Everything that is left was asked for, which pydicom does in order to inflate it."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at


class _Stream(BytesIO):
    """Bytes of a file that are only given out in a stated number."""

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or fewer at the end."""
        if size is None or size < 0:
            raise _ReadToTheEndError(self.tell())
        return super().read(size)


class _Quiet:
    """Nothing is warned about or logged while any thread is inside; afterwards all is as it was."""

    _LOGGERS = ("pydicom", "pylibjpeg", "openjpeg")

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._levels: dict[str, int] = {}
        self._catcher = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._catcher = warnings.catch_warnings()
                self._catcher.__enter__()
                warnings.simplefilter("ignore")
                self._levels = {name: logging.getLogger(name).level for name in self._LOGGERS}
                for name in self._LOGGERS:
                    logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for name, level in self._levels.items():
                    logging.getLogger(name).setLevel(level)
                self._catcher.__exit__(kind, error, trace)


_QUIET = _Quiet()
