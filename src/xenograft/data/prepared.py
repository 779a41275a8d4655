"""One image file -> the prepared uint8 pixels of one Preprocess: the same for studies, caches and bundles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.manifest import Manifest, Row
from xenograft.data.preprocess import WORKING, Preprocess, prepare, working_side
from xenograft.data.readers import Picture, decode_picture, read_bytes, read_picture
from xenograft.data.readers.dicom_parsing import sniff
from xenograft.errors import DataError, FileError, printable
from xenograft.storage import sha256_bytes

if TYPE_CHECKING:
    from xenograft.data.readers.dicom_frames import Frames

Prepared = NDArray[np.uint8]

_LIBRARIES = ("numpy", "opencv-python-headless", "pillow")
_FORMAT = 2  # raise it when the readers or `prepare` give other pixels


def read_prepared(manifest: Manifest, row: Row, preprocess: Preprocess) -> Prepared:
    """One image of a manifest as (C, S, S), from the same bytes that were inspected.

    Raises:
        DataError: the file is gone or has changed (F19).
    """
    path = manifest.root / row.path
    try:
        data = read_bytes(path)  # read once: what is compared is what is decoded
    except FileError:
        data = None
    if data is None or sha256_bytes(data) != row.sha256:
        raise DataError(
            f"{printable(row.path)} changed since this run inspected it; run again when the folder is at rest",
            code="E-FILE-19",
        )
    try:
        picture = decode_picture(
            data,
            suffix=path.suffix,
            min_side=1,
            working=working_side(preprocess),
            **preprocess.dicom.as_arguments(),
        )
    except FileError as error:
        raise DataError(f"{printable(row.path)}: {error.args[0]}", code=error.code) from error
    return prepare(picture.pixels, preprocess)


def file_prepared(path: Path, preprocess: Preprocess) -> Prepared:
    """One file as (C, S, S).

    Raises:
        FileError: it cannot be read as an image.
    """
    picture = read_picture(path, working=working_side(preprocess), **preprocess.dicom.as_arguments())
    return prepare(picture.pixels, preprocess)


def pictures_of(path: Path, preprocess: Preprocess) -> Iterator[tuple[str, Prepared | FileError]]:
    """The pictures of one file: what each is called, and (C, S, S) pixels or why there are none.

    It is one of the file's name, or where every frame of DICOM counts, ``name/0001`` and so on.
    """
    try:
        frames = _frames(path, preprocess)
        if frames is None or len(frames) == 1:
            yield printable(path), file_prepared(path, preprocess)
            return
    except FileError as error:
        yield printable(path), error
        return
    options: dict[str, Any] = {"working": working_side(preprocess), **preprocess.dicom.as_arguments()}
    for index in range(len(frames)):
        try:
            found = prepare(decode_picture(frames[index], suffix=".dcm", **options).pixels, preprocess)
        except FileError as error:
            yield f"{printable(path)}/{index + 1:04}", error
        else:
            yield f"{printable(path)}/{index + 1:04}", found


def _frames(path: Path, preprocess: Preprocess) -> Frames | None:
    """Of a DICOM file, where every frame is a picture."""
    if preprocess.dicom.frame != "all":
        return None
    from xenograft.data.readers.dicom_frames import Frames  # late: few need it

    data = read_bytes(path)
    return Frames(data, window=preprocess.dicom.window) if sniff(data) else None


def serves(picture: Picture, preprocess: Preprocess) -> bool:
    """Whether a picture inspected at `WORKING` holds the very pixels that `read_prepared` would start from."""
    full = picture.pixels.shape[:2] == (picture.height, picture.width)
    return full or working_side(preprocess) == WORKING


def pixel_facts(preprocess: Preprocess) -> dict[str, Any]:
    """Everything that prepared pixels depend on besides the file's bytes; normalisation comes later, in the graph."""
    geometry = {k: v for k, v in preprocess.as_json().items() if k not in {"mean", "std"}}
    return {"pixels": geometry, "versions": {name: version(name) for name in _LIBRARIES}, "format": _FORMAT}


def distinct(preprocesses: Sequence[Preprocess]) -> list[Preprocess]:
    """One for each different set of prepared pixels."""
    return list({str(pixel_facts(p)["pixels"]): p for p in preprocesses}.values())
