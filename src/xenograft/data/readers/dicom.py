"""Bytes of a DICOM file -> one picture at full depth, with facts on how it was made; no name, date or UID leaves.

pydicom (extra ``dicom``) parses and decompresses; sizes are checked as declared before it does.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from xenograft.data.readers import acquisition
from xenograft.data.readers.dicom_elements import Dataset, text
from xenograft.data.readers.dicom_gray import Window, gray
from xenograft.data.readers.dicom_parsing import parsed, safely, sniff
from xenograft.data.readers.dicom_pixels import Layout, for_frame, frame_of, layout, rgb
from xenograft.data.readers.photo import SUFFIXES
from xenograft.data.readers.picture import Array, Picture, Stored, finish
from xenograft.errors import FileError, UsageError

__all__ = ["decode", "sniff"]


def decode(
    data: bytes,
    *,
    suffix: str = "",
    min_side: int = 16,
    frame: str | int | None = None,
    window: Window | None = None,
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
            ``all`` refuses them: see `xenograft.data.importers.frames`.
        window: for gray images, instead of what the file asks for: centre and width in modality units such as HU, or
            the name of a window, see `xenograft.data.readers.dicom_gray.gray`.
        salt: secret that turns the patient's id into the fact ``patient``; without one that fact is left out.

    Raises:
        FileError: the file cannot be used; nothing else is raised on account of its bytes.
        UsageError: `frame` or `window` make no sense.
    """
    _check_options(frame, window)
    dataset = parsed(data)
    picture = safely(partial(_picture, dataset, min_side, frame, window, salt))
    promised = SUFFIXES.get(suffix.lower(), "dicom")
    return picture if promised == "dicom" else replace(picture, notes=("W-FILE-03", *picture.notes))


def _check_options(frame: str | int | None, window: Window | None) -> None:
    if isinstance(window, tuple) and not (all(math.isfinite(one) for one in window) and window[1] > 0):
        raise UsageError(f"window {window}: finite centre and width, the width above 0", code="E-USAGE-05")
    if frame is None or frame in {"first", "middle", "all"}:
        return
    if not (str(frame).isdecimal() and int(frame) > 0):
        raise UsageError(f"frame {frame!r}; first, middle or a number from 1 on", code="E-USAGE-05")


def _picture(
    dataset: Dataset, min_side: int, frame: str | int | None, window: Window | None, salt: bytes | None
) -> Picture:
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
    if frame == "all":  # a study unpacks such files before; whoever reads one as it is can only get one picture
        raise FileError(
            f"holds {frames} frames, and one picture per file is read; export each frame as a file", code="E-DICOM-04"
        )
    if frame is None:
        raise FileError(
            f"holds {frames} frames, and one picture per file is read; choose with --frame first, middle, all or a "
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
