"""A frame written as a file of its own reads as it does from the file it is from."""

from __future__ import annotations

import importlib.util
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from xenograft.data.readers import decode_picture, dicom
from xenograft.data.readers.dicom_frames import Frames
from xenograft.errors import FileError

_spec = importlib.util.spec_from_file_location("reader_files", Path(__file__).with_name("dicom_files.py"))
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)

FOLDER = Path(pydicom.__file__).parent / "data"
SALT = b"secret"
KEPT = {"PatientID", "PatientAge", "PatientSex", "Manufacturer", "ManufacturerModelName", "Modality", "ViewPosition"}


def same(data, **options):
    """How many frames read the same; of colours that were converted the note and the old name of the colours go."""
    _, refused = files.attempt(data, frame=1, min_side=1)
    try:
        frames = Frames(data, salt=SALT)
    except FileError as error:
        code = error.code
    else:
        code = ""
    if code:
        assert refused.code == code
        return 0
    for index in range(min(3, len(frames))):
        want, fault = files.attempt(data, frame=index + 1, min_side=1, salt=SALT, **options)
        if want is None:
            with pytest.raises(FileError) as caught:
                decode_picture(frames[index], min_side=1)
            assert caught.value.code == fault.code
            continue
        found = decode_picture(frames[index], min_side=1, **options)
        assert found.pixels.dtype == want.pixels.dtype
        np.testing.assert_array_equal(found.pixels, want.pixels)
        gone = {"W-DICOM-10"} if frames.colour_converted else set()
        assert set(found.notes) == set(want.notes) - gone
        left = {"patient", "photometric"}  # the patient's key would be made from the key
        assert {*found.acquisition} - {*want.acquisition} <= {("photometric", "RGB")}
        assert {name for name, _ in {*want.acquisition} - {*found.acquisition}} <= left
        assert frames.patient == dict(want.acquisition).get("patient", "")
    return min(3, len(frames))


@pytest.mark.parametrize("part", range(4))
def test_every_file_of_pydicom_reads_the_same(part):
    found = sorted(path for path in FOLDER.rglob("*.dcm") if path.stat().st_size < 4_000_000)
    assert sum(same(data) for path in found[part::4] if dicom.sniff(data := path.read_bytes())) > 10


@pytest.mark.parametrize("syntax", files.LOSSLESS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_every_depth_and_syntax_keeps_its_values(syntax, dtype):
    frames = np.stack([files.faults.noise(37, 45, dtype=dtype, seed=seed) for seed in range(3)])
    assert same(files.made(frames, syntax, frames=3)) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_keep_their_values(dtype):
    pixels = np.linspace(-3, 5, 20 * 24).reshape(20, 24).astype(dtype)
    name = "FloatPixelData" if dtype is np.float32 else "DoubleFloatPixelData"
    assert same(files.made(pixels, PixelData=None, **{name: pixels.tobytes()})) == 1


def long_table(count, descriptor, vr):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", vr, descriptor)
    item.add_new("LUTData", "OW", np.arange(count, dtype="<u2").tobytes())
    return item


TABLES = [
    files.lut(range(4096), 0, 12),
    files.lut(range(4095, -1, -1), -2048, 12),
    long_table(65536, [0, 0, 16], "US"),  # the length as it is written where it does not fit
    long_table(40_000, [40_000, -3, 16], "SS"),
    files.lut(range(200), 100, 8),
]


@pytest.mark.parametrize("number", range(len(TABLES)))
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", ["ModalityLUTSequence", "VOILUTSequence"])
def test_lookup_tables_are_kept(number, signed, name):
    pixels = files.RAMP[:40, :50].astype(np.int16) - 2048 * signed
    assert same(files.made(pixels if signed else pixels.view(np.uint16), **{name: [TABLES[number]]})) == 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_windows_are_kept(function, photometric):
    tags = {"WindowCenter": [300.5, 7], "WindowWidth": [123.25, 8], "VOILUTFunction": function, "RescaleSlope": 0.1}
    assert same(files.made(files.RAMP, photometric=photometric, RescaleIntercept=-33.3, **tags)) == 1
    assert same(files.made(files.RAMP, photometric=photometric, **tags), window=(99.0, 5.0)) == 1


def test_nothing_else_is_written():
    secret = "Mustermann"
    tags = {"PatientName": secret, "StudyDate": "19991231", "SeriesDescription": secret, "PatientAge": "097Y"}
    data = files.made(
        files.RAMP, ExplicitVRBigEndian, WindowCenterWidthExplanation=secret, LUTExplanation=secret, **tags
    )
    made = Frames(data, salt=SALT)[0]
    assert secret.encode() not in made
    assert b"1.2.3" not in made
    dataset = pydicom.dcmread(BytesIO(made))
    assert dataset.PatientAge == "090Y"
    assert dataset.DeidentificationMethod[0] == "xenograft frames"
    assert set(dataset.DeidentificationMethod[1:]) == {"PatientID", "PatientName", "StudyDate"}
    personal = {element.keyword for element in dataset if element.tag.group == 0x0010}
    assert personal <= KEPT
    assert "PatientID" not in pydicom.dcmread(BytesIO(Frames(data)[0]))


def test_frames_that_cannot_be_there_are_not_gone_through():
    frames = files.FRAMES
    for syntax, code in ((files.NATIVE[1], "S-DICOM-07"), (RLELossless, "S-DICOM-07")):
        with pytest.raises(FileError) as caught:
            Frames(files.made(frames, syntax, frames=5, NumberOfFrames=2_000_000))
        assert caught.value.code == code
    with pytest.raises(IndexError):
        Frames(files.made(frames, frames=5))[5]
