"""Bytes and decoded picture of one file -> what is known about it; or why it is left out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from xenograft.data.readers import Picture
from xenograft.storage import sha256_bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one readable image.

    Args:
        sha256: of the file's bytes.
        pixels_sha256: of shape, dtype and decoded pixels: equal for the same picture in another format. A large JPEG
            is decoded at a reduced scale and hashed as such; see `xenograft.data.identity`.
        acquisition: as `xenograft.data.readers.Picture` has it.
        reduced: whether the pixels were.
        size: bytes of the file.
        width: pixels, upright.
        height: pixels, upright.
        bits: 8 or 16.
        mode: as stored, see `xenograft.data.readers.Picture`.
        notes: codes of what was done to it.
        mean: of the pixels, black 0 to white 1.
        colour: three channels remained.
    """

    sha256: str
    pixels_sha256: str
    size: int
    width: int
    height: int
    bits: int
    mode: str
    notes: tuple[str, ...]
    mean: float
    colour: bool
    reduced: bool = False
    acquisition: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """One file that is left out: its relative path (safe to display), a stable code and the reason."""

    path: str
    code: str
    reason: str


def facts(data: bytes, picture: Picture) -> Facts:
    """Facts of one file from its bytes and its decoded picture."""
    pixels = picture.pixels
    reduced = pixels.shape[:2] != (picture.height, picture.width)
    top = int(np.iinfo(pixels.dtype).max)
    of = f" of {picture.height} x {picture.width}" if reduced else ""
    digest = hashlib.sha256(f"{pixels.shape}{of} {pixels.dtype.name} ".encode())
    digest.update(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).data)
    return Facts(
        sha256=sha256_bytes(data),
        pixels_sha256=digest.hexdigest(),
        size=len(data),
        width=picture.width,
        height=picture.height,
        bits=picture.bits,
        mode=picture.mode,
        notes=picture.notes,
        mean=int(pixels.sum(dtype=np.uint64)) / (pixels.size * top),
        colour=pixels.ndim == 3,
        reduced=reduced,
        acquisition=picture.acquisition,
    )
