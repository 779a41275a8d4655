"""Stored gray values and their data set -> (H, W) uint16 as a radiologist's screen would show them, black at 0.

The grayscale pipeline of DICOM PS3.3 C.11 and PS3.4 N.2: modality LUT or rescale, then VOI LUT or window, then
MONOCHROME1 turned round. All of it works value by value, so for images of up to 16 bits it is computed once for every
possible value and looked up; wider ones go through in bands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xenograft.data.readers.dicom_elements import Dataset, count, items, likely_numbers, numbers, text, texts
from xenograft.errors import FileError, printable

Window = tuple[float, float] | str
"""Centre and width in modality units, or the name of a window."""

PRESETS: dict[str, tuple[float, float]] = {
    "abdomen": (50, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (30, 150),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "soft tissue": (40, 400),
    "stroke": (40, 40),
}
"""Windows of CT images in HU that viewers usually offer, centre and width. The standard defines none; these are
customary in radiology's textbooks, where they vary by a few tens of HU."""

Values = NDArray[np.float64]
Curve = Callable[[Values], Values]
T = TypeVar("T", np.uint8, np.uint16)

_TOP = 65535
_BAND = 1 << 20


@dataclass(frozen=True, slots=True)
class Table:
    """A lookup table (PS3.3 C.11.1.1): values below `first` give the first entry, those beyond the end the last.

    Args:
        first: the input value of the first entry. entries: (N,) outputs in 0..`top`.
    """

    first: int
    entries: Values
    top: int

    def __call__(self, values: Values) -> Values:
        """Entries for values, which are cut to whole numbers."""
        at = np.clip(values - self.first, 0, len(self.entries) - 1).astype(np.intp)
        found: Values = self.entries[at]
        return found


def gray(
    frame: NDArray[Any], dataset: Dataset, *, little: bool = True, window: Window | None = None
) -> tuple[NDArray[np.uint16], list[str]]:
    """What to show of one gray frame, and the codes of what was decided for it.

    0..65535 spans the output of the VOI LUT or the window; with neither, the values that the file could hold
    (W-DICOM-14), or those it does hold when they have more than 16 bits (W-FILE-13).

    Args:
        frame: (H, W) stored values, integer or float.
        dataset: attributes that hold for this frame. little: byte order of its tables.
        window: instead of what the file asks for first: centre and width, in modality units such as HU; or a name: that
            of the file's own VOI LUT or window with this explanation, else one of the `PRESETS` for CT in HU
            (W-DICOM-16). Case and spaces of names do not count.

    Raises:
        FileError: NaN or infinite pixels; no window of that name (S-DICOM-15). ValueError: attributes that cannot be
            used.
    """
    if frame.dtype.kind == "f" and not np.isfinite([frame.min(), frame.max()]).all():
        raise FileError("holds NaN or infinite pixels; replace them and export it again", code="S-FILE-13")
    modality, low, high = _modality(dataset, frame, little)
    shown, notes = _shown(dataset, window, little)
    if shown is None:
        notes.append("W-FILE-13" if _own_range(dataset, frame) else "W-DICOM-14")
        shown = _between(low, high)
    turned = text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    if turned:
        notes.append("W-DICOM-03")

    def levels(values: Values) -> NDArray[np.uint16]:
        level = np.rint(np.clip(shown(modality(values)), 0, 1) * _TOP).astype(np.uint16)
        return np.uint16(_TOP) - level if turned else level

    return mapped(frame, levels), notes


def mapped(frame: NDArray[Any], function: Callable[[Values], NDArray[T]]) -> NDArray[T]:
    """`function` of every value of an integer or float array, without a float64 copy of it."""
    size = frame.dtype.itemsize
    if frame.dtype.kind in "iu" and size <= 2:
        unsigned = np.dtype(f"u{size}")
        every = np.arange(256**size, dtype=unsigned).view(frame.dtype)
        known: NDArray[T] = function(every.astype(np.float64))
        chosen: NDArray[T] = known[frame.view(unsigned)]
        return chosen
    step = max(1, _BAND // max(1, frame[0].size))
    bands = (frame[row : row + step] for row in range(0, len(frame), step))
    return np.concatenate([function(band.astype(np.float64)) for band in bands])


def table(descriptor: tuple[float, ...], data: Any, *, little: bool, signed: bool) -> Table:
    """A lookup table from its descriptor (entries, first input, bits) and its data, bytes or numbers.

    Args:
        little: byte order of 16-bit entries. signed: whether the input values are.

    Raises:
        ValueError: they do not belong together.
    """
    length, first, depth = (int(one) for one in descriptor)
    length = length % 65536 or 65536  # 65536 does not fit the attribute and is stored as 0
    if signed and first > 32767:  # written as unsigned
        first -= 65536
    if not 1 <= depth <= 16:
        raise ValueError("bits of a lookup table")
    if isinstance(data, bytes):
        narrow = depth <= 8 and len(data) in {length, length + 1}
        kind = "u1" if narrow else "<u2" if little else ">u2"
        entries = np.frombuffer(data[: length if narrow else 2 * length], kind).astype(np.float64)
    else:
        words = np.atleast_1d(np.asarray(data, dtype=np.int64))[:length] & 0xFFFF
        entries = words.astype(np.float64)
    if len(entries) != length:
        raise ValueError("length of a lookup table")
    return Table(first, entries, 2**depth - 1)


def _modality(dataset: Dataset, frame: NDArray[Any], little: bool) -> tuple[Curve, float, float]:
    """From stored values to modality units, and the lowest and highest of those (PS3.3 C.11.1)."""
    if tables := items(dataset, "ModalityLUTSequence"):
        found = table(
            numbers(tables[0], "LUTDescriptor"), tables[0].LUTData, little=little, signed=frame.dtype.kind == "i"
        )
        return found, 0.0, float(found.top)
    slope, intercept = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    if not (slope and intercept):
        slope, intercept = (1.0,), (0.0,)
    if slope[0] == 0:
        raise ValueError("a slope of zero")

    def rescale(values: Values) -> Values:
        return values * slope[0] + intercept[0]

    ends = rescale(np.array(_stored_range(dataset, frame)))
    if not np.isfinite(ends).all():
        raise ValueError("a slope without bounds")
    return rescale, float(ends.min()), float(ends.max())


def _own_range(dataset: Dataset, frame: NDArray[Any]) -> bool:
    """Whether what could be stored says nothing about what is: 32-bit and float images use a sliver of it."""
    return frame.dtype.kind == "f" or count(dataset, "BitsStored", 8 * frame.dtype.itemsize) > 16


def _stored_range(dataset: Dataset, frame: NDArray[Any]) -> tuple[float, float]:
    if _own_range(dataset, frame):
        return float(frame.min()), float(frame.max())
    bits = count(dataset, "BitsStored", 8 * frame.dtype.itemsize)
    if frame.dtype.kind == "i":
        return -float(1 << bits - 1), float((1 << bits - 1) - 1)
    return 0.0, float((1 << bits) - 1)


def _shown(dataset: Dataset, window: Window | None, little: bool) -> tuple[Curve | None, list[str]]:
    """From modality units to 0..1 by what the caller or the file asks for (PS3.3 C.11.2); None: by nothing."""
    if isinstance(window, tuple):
        return _windowed(*window, "LINEAR" if window[1] >= 1 else "LINEAR_EXACT"), []
    if window is not None:
        return _named(dataset, window, little)
    tables, windows = items(dataset, "VOILUTSequence"), offered_windows(dataset)
    notes = ["W-DICOM-08"] if len(tables) + len(windows) > 1 else []
    if tables:
        return _voi_table(tables[0], dataset, little), notes
    return _own_window(dataset, *windows[0]) if windows else None, notes


def _named(dataset: Dataset, name: str, little: bool) -> tuple[Curve, list[str]]:
    wanted = folded(name)
    for item in items(dataset, "VOILUTSequence"):
        if folded(text(item, "LUTExplanation")) == wanted:
            return _voi_table(item, dataset, little), []
    for window, explanation in zip(
        offered_windows(dataset), texts(dataset, "WindowCenterWidthExplanation"), strict=False
    ):
        if folded(explanation) == wanted and (own := _own_window(dataset, *window)) is not None:
            return own, []
    if wanted in PRESETS and _hounsfield(dataset):
        return _windowed(*PRESETS[wanted], "LINEAR"), ["W-DICOM-16"]
    why = ", and a preset is for CT in HU only" if wanted in PRESETS else ""
    raise FileError(  # the names that it has are free text, which can tell of a person
        f"has no window named {printable(name)}{why}; give --window centre,width or leave it out", code="S-DICOM-15"
    )


def folded(name: str) -> str:
    """The name of a window without case and superfluous spaces."""
    return " ".join(name.split()).casefold()


def _hounsfield(dataset: Dataset) -> bool:
    """Whether modality units are HU: the default of CT images that are rescaled (PS3.3 C.11.1.1.2)."""
    rescaled = numbers(dataset, "RescaleSlope") and numbers(dataset, "RescaleIntercept")
    linear = bool(rescaled) and not items(dataset, "ModalityLUTSequence")
    return linear and text(dataset, "Modality") == "CT" and text(dataset, "RescaleType").upper() in {"", "HU"}


def offered_windows(dataset: Dataset) -> list[tuple[float, float]]:
    """(centre, width) of those that the file offers."""
    return list(zip(likely_numbers(dataset, "WindowCenter"), likely_numbers(dataset, "WindowWidth"), strict=False))


def _own_window(dataset: Dataset, centre: float, width: float) -> Curve | None:
    """A window of the file, or None where it cannot be used."""
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if function not in _LEAST_WIDTH or width < _LEAST_WIDTH[function]:
        return None
    return _windowed(centre, width, function)


def _voi_table(item: Dataset, dataset: Dataset, little: bool) -> Curve:
    found = table(numbers(item, "LUTDescriptor"), item.LUTData, little=little, signed=signed_units(dataset))
    return lambda values: found(values) / found.top


_LEAST_WIDTH = {"LINEAR": 1.0, "LINEAR_EXACT": 1e-9, "SIGMOID": 1e-9}


def _windowed(centre: float, width: float, function: str) -> Curve:
    """PS3.3 C.11.2.1.2.1 (linear), C.11.2.1.3.1 (sigmoid) and C.11.2.1.3.2 (exactly linear), in 0..1."""
    if function == "SIGMOID":
        return lambda values: 0.5 + 0.5 * np.tanh(2 * (values - centre) / width)  # the same, and cannot overflow
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return lambda values: (values > centre).astype(np.float64)
    return lambda values: (values - centre) / width + 0.5


def _between(low: float, high: float) -> Curve:
    half = high / 2 - low / 2 or 1.0  # halves: the difference of two large floats may overflow
    return lambda values: (values / 2 - low / 2) / half


def signed_units(dataset: Dataset) -> bool:
    """Whether modality units may be negative: then so is the first input of a VOI LUT (PS3.3 C.11.2.1.1)."""
    intercept = numbers(dataset, "RescaleIntercept")
    return count(dataset, "PixelRepresentation", 0) == 1 or bool(intercept and intercept[0] < 0)
