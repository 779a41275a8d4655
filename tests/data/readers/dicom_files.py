"""Makers of valid, odd and contradictory DICOM files, and what pydicom's documented pipeline makes of them."""

import importlib.util
import io
import re
import warnings
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.pixels import pixel_array as decoded
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from xenograft.data.readers import decode_picture, dicom
from xenograft.errors import FileError

_spec = importlib.util.spec_from_file_location("reader_faults", Path(__file__).with_name("faults.py"))
faults = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
LOSSLESS = (*NATIVE, RLELossless, JPEGLSLossless, JPEG2000Lossless)
LOSSY = {JPEGLSNearLossless: {"jls_error": 2}, JPEG2000: {"j2k_cr": [4]}}
RAMP = np.linspace(0, 4095, 224 * 224).astype(np.uint16).reshape(224, 224)


def made(pixels, syntax=ExplicitVRLittleEndian, *, bits=None, frames=1, data=None, photometric=None, **tags):
    """A DICOM file; `tags` are set last, so that they may contradict the pixels; None takes one out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3", "P-1"
    shape = pixels.shape[1:] if frames > 1 else pixels.shape
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = samples = shape[2] if len(shape) == 3 else 1
    dataset.PhotometricInterpretation = photometric or ("RGB" if samples == 3 else "MONOCHROME2")
    if samples == 3:
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    native = syntax in NATIVE
    dataset.file_meta.TransferSyntaxUID = syntax if native or data else ExplicitVRLittleEndian
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    raw = data or pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset.add_new("PixelData", "OB" if dataset.BitsAllocated == 8 or data else "OW", raw + b"\0" * (len(raw) % 2))
    if data:
        dataset["PixelData"].is_undefined_length = True
    elif not native:
        dataset.compress(syntax, generate_instance_uid=False, **LOSSY.get(syntax, {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # contradictions are what these files are for
        for name, value in tags.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        stream = io.BytesIO()
        dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def jpeg(pixels, **tags):
    """A DICOM file around a baseline JPEG that Pillow wrote."""
    photometric = "YBR_FULL_422" if pixels.ndim == 3 else "MONOCHROME2"
    data = encapsulate([faults.jpeg(pixels)])
    return made(pixels, JPEGBaseline8Bit, data=data, photometric=photometric, **tags)


def documented(data):
    """What pydicom's documented pipeline gives: modality units and what the VOI LUT or window makes of them."""
    dataset = dcmread(io.BytesIO(data))
    units = apply_modality_lut(decoded(dataset), dataset)
    return units, apply_voi_lut(units, dataset)


def levels(values, low, high):
    """Of a range as 0..65535."""
    return np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1) * 65535


def close(picture, expected):
    assert picture.pixels.dtype == np.uint16
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels.astype(np.float64) - expected).max() <= 0.5 + 1e-6


def code_of(data, **options):
    picture, error = attempt(data, **options)
    assert picture is None
    return error.code


def attempt(data, **options):
    """(picture, None) or (None, the one error that may come)."""
    try:
        return decode_picture(data, **options), None
    except FileError as caught:
        error = caught
    if dicom.sniff(data):  # damage can make another format of it
        assert error.__cause__ is None
        assert error.__context__ is None
    assert re.fullmatch(r"[ES]-(FILE|DICOM)-\d\d", error.code)
    assert "\n" not in str(error)
    return None, error


def lut(entries, first, depth, vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, depth])
    item.add_new("LUTData", vr, [int(v) for v in entries] if vr == "US" else np.asarray(entries, "<u2").tobytes())
    return item


FRAMES = np.stack([faults.noise(24, 32, dtype=np.uint16, seed=seed) for seed in range(5)])
