import importlib.util
import logging
import re
import threading
import warnings
from pathlib import Path

import pytest
from pydicom.uid import (
    JPEG2000Lossless,
    RLELossless,
)

from xenograft.data.readers import NOTE_TEXT, acquisition, decode_picture, dicom

_spec = importlib.util.spec_from_file_location("reader_files", Path(__file__).with_name("dicom_files.py"))
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)

faults = files.faults
RAMP = files.RAMP
FRAMES = files.FRAMES
made = files.made
jpeg = files.jpeg
attempt = files.attempt


PERSON = {
    "PatientName": "XYZZY^Anna",
    "PatientID": "XYZZY17",
    "PatientBirthDate": "19770607",
    "StudyDate": "19770607",
    "ContentTime": "777777",
    "AccessionNumber": "XYZZY18",
    "InstitutionName": "XYZZY General",
    "ReferringPhysicianName": "XYZZY^Otto",
    "PatientComments": "XYZZY was here",
    "StationName": "XYZZY",
    "StudyID": "XYZZY",
    "StudyDescription": "XYZZY chest",
    "OtherPatientIDs": ["XYZZY19", "XYZZY20"],
    "StudyInstanceUID": "1.2.777777.1",
    "SeriesInstanceUID": "1.2.777777.2",
    "FrameOfReferenceUID": "1.2.777777.3",
    "BodyPartExamined": "xyzzy@home",
    "PatientSex": "X",
}
MARKS = ("XYZZY", "xyzzy", "19770607", "777777")
SALT = b"a salt of sixteen"


def leaks(*texts):
    return [mark for mark in MARKS for text in texts if mark in text]


def test_acquisition_facts():
    data = made(
        RAMP,
        bits=12,
        Modality="DX",
        ViewPosition="PA",
        PatientAge="045Y",
        PatientSex="F",
        Manufacturer="Maker",
        ManufacturerModelName="Model 3",
        ImagerPixelSpacing=["0.143", "0.143"],
        BodyPartExamined="Chest",
        ImageLaterality="L",
        BurnedInAnnotation="YES",
    )
    picture = decode_picture(data, salt=SALT)
    assert picture.acquisition == (
        ("age", "45"),
        ("body_part", "CHEST"),
        ("burned_in", "yes"),
        ("identifying_tags", "PatientID"),
        ("laterality", "L"),
        ("manufacturer", "Maker"),
        ("modality", "DX"),
        ("model", "Model 3"),
        ("patient", acquisition.patient_key("P-1", SALT)),
        ("photometric", "MONOCHROME2"),
        ("pixel_spacing", "0.143"),
        ("sex", "F"),
        ("view", "PA"),
    )
    assert picture.notes == ("W-DICOM-13", "W-DICOM-14")
    assert "patient" not in dict(decode_picture(data).acquisition)


@pytest.mark.parametrize(
    ("stored", "years"),
    [("089Y", "89"), ("090Y", "90"), ("104Y", "90"), ("006M", "0.5"), ("052W", "1"), ("001D", "0"), ("", None)],
)
def test_age_in_years(stored, years):
    assert dict(decode_picture(made(RAMP, PatientAge=stored)).acquisition).get("age") == years


def test_patient_key_is_the_published_hmac():
    # RFC 4231, test case 2
    assert acquisition.patient_key("what do ya want for nothing?", b"Jefe") == "5bdcc146bf60754e"
    assert acquisition.patient_key("P-1 ", SALT) == acquisition.patient_key("P-1", SALT)
    assert acquisition.patient_key("P-1", SALT) != acquisition.patient_key("P-1", SALT + b"x")
    assert acquisition.patient_key("P-1", SALT) != acquisition.patient_key("P-2", SALT)


@pytest.mark.parametrize("tags", [{"PatientID": None}, {"PatientID": ""}, {"PatientID": "  "}])
def test_d11_no_patient(tags):
    picture = decode_picture(made(RAMP, **tags), salt=SALT)
    assert picture.notes == ("W-DICOM-11", "W-DICOM-14")
    assert not {"patient", "identifying_tags"} & dict(picture.acquisition).keys()


def test_d13_nothing_about_the_person_gets_out():
    picture = decode_picture(made(RAMP, bits=12, **PERSON), salt=SALT)
    assert leaks(repr(picture.acquisition), repr(picture.notes), picture.mode) == []
    found = dict(picture.acquisition)
    assert {"body_part", "sex"} & found.keys() == set()
    assert set(found["identifying_tags"].split(",")) == set(PERSON) - {
        "StudyDescription", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "BodyPartExamined",
        "PatientSex",
    }  # fmt: skip


def spoiled(old, new):
    """The person's file with a number's text replaced by something that names the person."""
    tags = {"WindowCenter": "1111111", "WindowWidth": "2222222", "RescaleSlope": "3333333", "RescaleIntercept": "4"}
    data = made(FRAMES, frames=5, **PERSON, **tags)
    assert data.count(old) == 1
    return data.replace(old, new)


BROKEN = {
    "whole": lambda: made(RAMP, **PERSON),
    "pixels": lambda: made(RAMP, PixelData=None, **PERSON),
    "rows": lambda: made(RAMP, Rows=300, **PERSON),
    "many rows": lambda: made(RAMP, Rows=65535, **PERSON),
    "frames": lambda: made(FRAMES, frames=5, **PERSON),
    "bits": lambda: made(RAMP, BitsAllocated=12, **PERSON),
    "photometric": lambda: made(RAMP, photometric="XYZZY", **PERSON),
    "slope": lambda: spoiled(b"3333333", b"XYZZY17"),
    "window": lambda: spoiled(b"1111111", b"XYZZY17"),
    "count": lambda: spoiled(b"\x28\0\x08\0IS\2\x005 ", b"\x28\0\x08\0IS\2\0XY"),
    "syntax": lambda: made(RAMP, RLELossless, **PERSON).replace(b"1.2.840.10008.1.2.5\0", b"1.2.777777.777777.1\0"),
    "date": lambda: made(RAMP, **PERSON).replace(b"19770607", b"XYZZY!!!"),
    "uid": lambda: made(RAMP, **PERSON).replace(b"1.2.777777.1", b"1.XYZZY.XY..", 1),
    "codec": lambda: made(RAMP, JPEG2000Lossless, **PERSON).replace(b"\xff\x93", b"\xff\x00"),
    "jpeg": lambda: faults.cut(jpeg(faults.smooth(64, 64), **PERSON), 0.9),
    "cut": lambda: faults.cut(made(RAMP, **PERSON), 0.5),
    "no preamble": lambda: made(RAMP, **PERSON)[132:],
}


@pytest.mark.parametrize("name", BROKEN)
def test_d13_no_message_says_anything_about_the_person(name, capfd, caplog):
    data = BROKEN[name]()
    assert leaks(data.decode("latin-1"))
    caplog.clear()
    capfd.readouterr()
    caplog.set_level(logging.DEBUG)
    for logger in ("pydicom", "pylibjpeg"):
        caplog.set_level(logging.DEBUG, logger)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts = []
        for frame in (None, "first"):
            picture, error = attempt(data, frame=frame, salt=SALT)
            texts.append(
                repr((picture.acquisition, picture.notes, picture.mode, picture.format)) if picture else str(error)
            )
    printed = capfd.readouterr()
    assert caught == []
    assert leaks(*texts, printed.out, printed.err, caplog.text) == []
    assert all("\n" not in text for text in texts)


def test_silence_ends_when_the_last_thread_leaves():
    data = made(RAMP, **PERSON).replace(b"19770607", b"XYZZY!!!")
    logger = logging.getLogger("pydicom")
    before = (list(warnings.filters), logger.level)
    results = []
    threads = [threading.Thread(target=lambda: results.append(decode_picture(data).width)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [224] * 8
    assert (list(warnings.filters), logger.level) == before
    with pytest.warns(UserWarning, match="still"):
        warnings.warn("still heard", stacklevel=1)


def test_every_note_is_explained():
    source = "".join(path.read_text() for path in Path(dicom.__file__).parent.glob("dicom*.py"))
    assert set(re.findall(r"W-DICOM-\d\d", source)) == {note for note in NOTE_TEXT if note.startswith("W-DICOM")}
