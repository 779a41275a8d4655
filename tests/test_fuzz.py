"""Damaged files of every format: only errors of the closed set come out, in bounded memory and time.

The gate tries 500; ``pytest -m nightly tests/test_fuzz.py`` tries 20,000.
"""

from __future__ import annotations

import importlib.util
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xenograft.data.importers import read_listing
from xenograft.data.preprocess import Preprocess, prepare
from xenograft.data.readers import decode_picture
from xenograft.errors import FileError, XenograftError

_spec: Any = importlib.util.spec_from_file_location("reader_faults", Path(__file__).parent / "data/readers/faults.py")
faults: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)

SECONDS = 5.0  # for one file of a few kilobytes, on a busy machine
MEGABYTES = 700.0  # most that one file may add: an image of 89 million declared pixels is still read

EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "end", "insert"]), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=4,
)


def dicom() -> bytes:
    """A small explicit-VR little-endian DICOM file, by pydicom."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["a"])
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, data.file_meta.MediaStorageSOPInstanceUID
    data.Modality, data.PatientID, data.PhotometricInterpretation = "CR", "secret", "MONOCHROME2"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PixelRepresentation = 32, 40, 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.WindowCenter, data.WindowWidth = 2048, 4096
    data.PixelData = faults.noise(32, 40, dtype=np.uint16).clip(0, 4095).astype("<u2").tobytes()
    stream = BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def npz() -> bytes:
    stream = BytesIO()
    arrays: dict[str, Any] = {}
    for split, count in (("train", 6), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = faults.noise(28, 28 * count).reshape(count, 28, 28)
        arrays[f"{split}_labels"] = (np.arange(count, dtype=np.uint8) % 2)[:, None]
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def nifti() -> bytes:
    import nibabel

    image = nibabel.Nifti1Image(
        faults.noise(24, 24 * 3, dtype=np.uint16).reshape(24, 24, 3).astype(np.int16), np.eye(4)
    )
    return bytes(image.to_bytes())


PICTURES = {
    "jpeg": faults.jpeg,
    "png": lambda: faults.png(faults.noise(dtype=np.uint16)),
    "tiff": lambda: faults.tiff(faults.noise(dtype=np.uint16)),
    "dicom": dicom,
}
ARCHIVES = {"npz": npz, "nii": nifti}
_SEEDS: dict[str, bytes] = {}


def seed(kind: str) -> bytes:
    if kind not in _SEEDS:
        _SEEDS[kind] = (PICTURES | ARCHIVES)[kind]()
    return _SEEDS[kind]


def peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def look(kind: str, edits: list[tuple[str, float, bytes]], place: Path) -> None:
    """Read one damaged file; anything but our errors is a failure of the test."""
    data = faults.mutated(seed(kind), edits)
    started, before = time.perf_counter(), peak()
    if kind in PICTURES:
        try:
            picture = decode_picture(data, working=448)
            assert prepare(picture.pixels, Preprocess(size=32)).shape == (1, 32, 32)
        except FileError as error:
            named = "secret" in str(error)
        else:
            named = False
        assert not named
    else:
        source = place / "set.npz" if kind == "npz" else place / "volumes" / "a" / "v1.nii"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(data)
        with suppress(XenograftError):
            read_listing(source if kind == "npz" else source.parents[1], cache=place / "cache")
    assert time.perf_counter() - started < SECONDS
    assert peak() - before < MEGABYTES


def fuzz(examples: int) -> Any:
    suppressed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=suppressed)


@pytest.mark.parametrize("kind", PICTURES)
@fuzz(100)
@given(edits=EDITS)
def test_damaged_pictures(kind: str, edits: Any, tmp_path: Path) -> None:
    look(kind, edits, tmp_path)


@pytest.mark.parametrize("kind", ARCHIVES)
@fuzz(50)
@given(edits=EDITS)
def test_damaged_archives(kind: str, edits: Any, tmp_path: Path) -> None:
    look(kind, edits, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", PICTURES)
@fuzz(4500)
@given(edits=EDITS)
def test_many_damaged_pictures(kind: str, edits: Any, tmp_path: Path) -> None:
    look(kind, edits, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ARCHIVES)
@fuzz(1000)
@given(edits=EDITS)
def test_many_damaged_archives(kind: str, edits: Any, tmp_path: Path) -> None:
    look(kind, edits, tmp_path)
