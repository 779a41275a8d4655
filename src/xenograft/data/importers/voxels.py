"""The stored numbers of a volume and where they lie -> slices as 16-bit pictures, turned as radiologists look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import FileError, require

BYTES_LIMIT = 4 << 30
"""Most bytes of one volume's values as stored."""

TOP = 65535


@dataclass(frozen=True, slots=True, eq=False)
class Voxels:
    """A volume in canonical orientation; `voxels` makes it.

    Args:
        values: (X, Y, Z) as stored; indices grow to the patient's right, front and head (RAS+).
        slope, inter: what the file says a stored number means is ``slope * number + inter``.
        low, high: the least and the greatest of these in all of the volume.
    """

    values: NDArray[Any]
    slope: float
    inter: float
    low: float
    high: float

    def picture(self, axis: int, index: int) -> NDArray[np.uint16]:
        """One slice across `axis`, (H, W); `low` becomes 0 and `high` 65535, in between linear and rounded.

        Turned by radiological convention: across axis 2 (axial) the patient's front is up and the patient's right is
        at the left; across axis 1 (coronal) the head is up, right at the left; across axis 0 (sagittal) the head is
        up, the front at the left. Pixels are voxels, their spacing is not equalised.
        """
        across = self.values[(slice(None),) * axis + (index,)]  # a view, where np.take would copy the volume
        plane = across.T[::-1, ::-1].astype(np.float64) * self.slope + self.inter
        if self.high == self.low:
            return np.zeros(plane.shape, dtype=np.uint16)
        share = np.clip((plane - self.low) / (self.high - self.low), 0, 1)
        picture: NDArray[np.uint16] = np.rint(share * TOP).astype(np.uint16)
        return picture


def spatial(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of length one after the third; one more axis is left where there is a fourth dimension."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def check_declared(shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes of the values of a declared shape, before anything is allocated.

    Raises:
        FileError: no volume, or more than `BYTES_LIMIT`.
    """
    if not 2 <= len(shape) <= 7 or min(shape) < 1:
        raise FileError(f"declares a shape of {shape}; two or three positive numbers are needed", code="S-FILE-02")
    size = math.prod(shape) * itemsize
    if size > BYTES_LIMIT:
        raise FileError(
            f"declares {size} bytes {shape}, more than the {BYTES_LIMIT} that are read; export it smaller",
            code="S-FILE-26",
        )
    return size


def voxels(values: NDArray[Any], affine: NDArray[np.float64], *, slope: float = 1.0, inter: float = 0.0) -> Voxels:
    """Turn a volume to RAS+ (as nibabel's `as_closest_canonical`: flips and swapped axes, no interpolation).

    Args:
        values: (X, Y) or (X, Y, Z), real numbers; a view of them is kept.
        affine: (4, 4) from indices to millimetres in RAS+.

    Raises:
        FileError: NaN or infinity, or an affine that does not tell the axes.
    """
    nibabel = require("nibabel", extra="nifti")
    values = values.reshape(*values.shape, *(1,) * (3 - values.ndim))
    with np.errstate(all="ignore"):  # hostile numbers; what comes out is looked at below
        turn = nibabel.io_orientation(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
        if np.isnan(turn).any():
            raise FileError("does not say how it lies (its affine is singular); export it again", code="S-FILE-02")
        values = nibabel.apply_orientation(values, turn)
        ends = [float(values.min()) * slope + inter, float(values.max()) * slope + inter]
        low, high = min(ends), max(ends)
        if not math.isfinite(high - low) or not all(map(math.isfinite, ends)):
            raise FileError("holds NaN or infinity; replace them and export it again", code="S-FILE-13")
    return Voxels(values, slope, inter, low, high)
