"""A DICOM file of any number of frames -> files of one frame each, uncompressed, that tell of nobody (fault D13).

What decides the picture stays (stored values at full depth, modality and VOI tables, windows, photometric
interpretation), and so does what `acquisition.facts` reads. Everything else is left out: names, dates, UIDs, free text,
private attributes; the patient's id becomes its salted key.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from xenograft.data.readers import acquisition
from xenograft.data.readers.dicom_elements import Dataset, count, items, numbers, text, texts
from xenograft.data.readers.dicom_gray import folded, offered_windows, signed_units, table
from xenograft.data.readers.dicom_parsing import parsed, safely
from xenograft.data.readers.dicom_pixels import Array, Layout, check_frames, for_frame, frame_of, layout, rgb
from xenograft.data.readers.picture import Stored, finish

_UTF_8 = "ISO_IR 192"
_FLOATS = {"f4": ("FloatPixelData", "OF"), "f8": ("DoubleFloatPixelData", "OD")}


class Frames:
    """The frames of one file.

    Args:
        data: the file's bytes. salt: secret that turns the patient's id into a key; None leaves the patient out.
        window: name of the window that will be asked for; explanations of others are not kept.

    Raises:
        FileError: the file cannot be used.
    """

    def __init__(self, data: bytes, *, salt: bytes | None = None, window: str | None = None) -> None:
        self._dataset = parsed(data)
        self._layout = safely(partial(layout, self._dataset, 1))
        safely(partial(check_frames, self._dataset, self._layout))
        self._salt, self._window = salt, window

    @property
    def colour_converted(self) -> bool:
        """Whether palette or YBR became RGB (W-DICOM-10)."""
        return not self._layout.photometric.startswith(("MONOCHROME", "RGB"))

    @property
    def patient(self) -> str:
        """Key of the patient, empty where the file names none, or without a salt."""
        identity = safely(partial(text, self._dataset, "PatientID"))
        return acquisition.patient_key(identity, self._salt) if identity and self._salt is not None else ""

    @property
    def nbytes(self) -> int:
        """Of all frames, unpacked."""
        found = self._layout
        return found.frames * found.rows * found.columns * found.samples * max(1, found.allocated // 8)

    def __len__(self) -> int:
        return self._layout.frames

    def __getitem__(self, index: int) -> bytes:
        """A DICOM file with that frame, counted from 0.

        Raises:
            FileError: the frame is damaged. IndexError: there is none.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        return safely(partial(self._one, index))

    def _one(self, index: int) -> bytes:
        off = for_frame(self._dataset, index)
        try:
            return self._written(self._dataset, index)
        finally:
            off()  # what holds for one frame must not hold for the next

    def _written(self, own: Dataset, index: int) -> bytes:
        pixels, photometric = frame_of(own, self._layout, index)
        made = _Writer()
        if self._layout.photometric.startswith("MONOCHROME"):
            made.gray(pixels, own, self._layout, self._window)
        else:
            made.colour(rgb(pixels, own, self._layout, photometric), lossy=self._layout.lossy)
        made.acquired(own, dict(acquisition.facts(own, salt=self._salt)))
        return made.file()


class _Writer:
    """A data set that is filled by what is asked for only."""

    def __init__(self) -> None:
        from pydicom.dataset import Dataset as New
        from pydicom.dataset import FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian

        self._new = New
        self.made: Dataset = New()
        self.made.file_meta = FileMetaDataset()
        self.made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        self.made.preamble = bytes(128)
        self.made.SpecificCharacterSet = _UTF_8

    def gray(self, pixels: Array, own: Dataset, declared: Layout, window: str | None) -> None:
        """Stored values and everything that the grayscale pipeline of `dicom_gray` reads."""
        self._pixels(pixels, declared.photometric, count(own, "BitsStored", 8 * pixels.dtype.itemsize))
        signed, little = pixels.dtype.kind == "i", declared.little
        if tables := items(own, "ModalityLUTSequence"):
            self.made.ModalityLUTSequence = [self._table(tables[0], little=little, signed=signed)]
        for name in ("RescaleSlope", "RescaleIntercept"):
            if found := numbers(own, name):
                setattr(self.made, name, _decimal(found[0]))
        if kind := acquisition.code(own, "RescaleType"):
            self.made.RescaleType = kind
        self._voi(own, little=little, window=window)

    def colour(self, pixels: Array, *, lossy: bool) -> None:
        """RGB; where a codec's noise is all that tells the channels apart they are made equal."""
        shown = finish(Stored(pixels, "rgb", lossy=lossy), "dicom").pixels
        self._pixels(shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2), "RGB", 8)

    def acquired(self, own: Dataset, found: dict[str, str]) -> None:
        """Facts on how the image was made, as far as they identify nobody."""
        spacing = [one for one in found.get("pixel_spacing", "").split("x") if one]  # one number where both are equal
        plain = {
            "BodyPartExamined": found.get("body_part"),
            "BurnedInAnnotation": found.get("burned_in", "").upper(),
            "ImageLaterality": found.get("laterality"),
            "Manufacturer": found.get("manufacturer", "").replace("\\", "/"),
            "ManufacturerModelName": found.get("model", "").replace("\\", "/"),
            "Modality": found.get("modality"),
            "PatientAge": acquisition.shared_age(text(own, "PatientAge")),
            "PatientID": found.get("patient"),
            "PatientSex": found.get("sex"),
            "PixelSpacing": (spacing * 2)[-2:] if spacing else None,
            "ViewPosition": found.get("view"),
        }
        for name, value in plain.items():
            if value:
                setattr(self.made, name, value)
        self.made.PatientIdentityRemoved = "YES"
        self.made.DeidentificationMethod = [acquisition.UNPACKED, *found.get("identifying_tags", "").split(",")]

    def file(self) -> bytes:
        """The bytes of the file."""
        from pydicom import dcmwrite

        stream = BytesIO()
        dcmwrite(stream, self.made, enforce_file_format=False)
        return stream.getvalue()

    def _pixels(self, pixels: Array, photometric: str, bits: int) -> None:
        made, size = self.made, pixels.dtype.itemsize
        made.Rows, made.Columns = pixels.shape[:2]
        made.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
        made.PhotometricInterpretation = photometric
        made.BitsAllocated = 8 * size
        if pixels.ndim == 3:
            made.PlanarConfiguration = 0
        raw = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        if pixels.dtype.kind == "f":
            made.add_new(*_FLOATS[pixels.dtype.str[1:]], raw)
            return
        made.BitsStored, made.HighBit = min(bits, 8 * size), min(bits, 8 * size) - 1
        made.PixelRepresentation = int(pixels.dtype.kind == "i")
        made.add_new("PixelData", "OB" if size == 1 else "OW", raw + b"\0" * (len(raw) % 2))

    def _voi(self, own: Dataset, *, little: bool, window: str | None) -> None:
        if tables := items(own, "VOILUTSequence"):
            signed = signed_units(own)
            self.made.VOILUTSequence = [self._table(one, little=little, signed=signed, window=window) for one in tables]
        if not (windows := offered_windows(own)):
            return
        self.made.WindowCenter = [_decimal(centre) for centre, _ in windows]
        self.made.WindowWidth = [_decimal(width) for _, width in windows]
        if function := acquisition.code(own, "VOILUTFunction"):
            self.made.VOILUTFunction = function
        if window is not None:
            said = [*texts(own, "WindowCenterWidthExplanation"), *[""] * len(windows)][: len(windows)]
            self.made.WindowCenterWidthExplanation = [_only(one, window) for one in said]

    def _table(self, item: Dataset, *, little: bool, signed: bool, window: str | None = None) -> Dataset:
        """A lookup table with 16-bit entries, lowest byte first."""
        found = table(numbers(item, "LUTDescriptor"), item.LUTData, little=little, signed=signed)
        made = self._new()
        descriptor = [len(found.entries) % 65536, found.first, found.top.bit_length()]  # the length is never signed
        made.add_new("LUTDescriptor", "SS" if found.first < 0 else "US", descriptor)
        made.add_new("LUTData", "OW", found.entries.astype("<u2").tobytes())
        if window is not None and (said := _only(text(item, "LUTExplanation"), window)):
            made.LUTExplanation = said
        return made


def _only(explanation: str, window: str) -> str:
    """The name that the user gave, or nothing: what a file writes there is free text."""
    return window if folded(explanation) == folded(window) else ""


def _decimal(value: float) -> Any:
    """A number as a decimal string of 16 characters at most, as near as they allow."""
    from pydicom.valuerep import DSfloat

    return DSfloat(value, auto_format=True)
