import importlib.util
import re
import struct
import sys
import tracemalloc
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from xenograft.data.readers import decode_picture, dicom, dicom_parsing
from xenograft.errors import FileError

_spec = importlib.util.spec_from_file_location("reader_files", Path(__file__).with_name("dicom_files.py"))
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)

faults = files.faults
NATIVE = files.NATIVE
LOSSLESS = files.LOSSLESS
LOSSY = files.LOSSY
RAMP = files.RAMP
FRAMES = files.FRAMES
made = files.made
jpeg = files.jpeg
levels = files.levels
close = files.close
code_of = files.code_of
attempt = files.attempt
lut = files.lut


# Faults
def test_d1_without_preamble():
    data = made(RAMP)
    body = data[132:]
    dataset_only = body[12 + struct.unpack_from("<I", body, 8)[0] :]
    implicit = made(RAMP, ImplicitVRLittleEndian)[132:]
    implicit_only = implicit[12 + struct.unpack_from("<I", implicit, 8)[0] :]
    for part in (body, dataset_only, implicit_only):
        assert part[:2] in {b"\2\0", b"\x08\0"}
        assert code_of(part) == "S-DICOM-01"


@pytest.mark.parametrize("maker", ["TEXT", "EPS", "PDF", "SVG", "HTML"])
def test_other_files_are_not_taken_for_dicom(maker):
    assert not dicom.sniff(getattr(faults, maker))
    for kind in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"):
        assert not dicom.sniff(faults.saved(faults.noise(), kind))


def test_d1_without_transfer_syntax():
    data = made(RAMP)
    element = b"\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
    length = struct.unpack_from("<I", data, 140)[0]
    assert data.count(element) == 1
    short = data[:140] + struct.pack("<I", length - len(element)) + data[144:].replace(element, b"")
    assert code_of(short) == "S-DICOM-01"


@pytest.mark.parametrize("tags", [{"PixelData": None}, {"PixelData": b""}])
def test_d2_no_pixel_data(tags):
    assert code_of(made(RAMP, **tags)) == "S-DICOM-02"


def test_d5_without_the_codec(monkeypatch):
    data = made(RAMP, JPEGLSLossless)
    monkeypatch.setattr(get_decoder(JPEGLSLossless), "_available", {})
    with pytest.raises(FileError) as caught:
        decode_picture(data)
    assert caught.value.code == "E-DICOM-05"
    assert re.search(r"1\.2\.840\.10008\.1\.2\.4\.80.*uv pip install 'xenograft\[dicom\]'", str(caught.value))


def test_d5_twelve_bit_jpeg_with_pillow_alone(monkeypatch):
    data = made(RAMP, JPEGExtended12Bit, bits=12, data=encapsulate([b"\xff\xd8\xff\xd9"]))
    decoder = get_decoder(JPEGExtended12Bit)
    monkeypatch.setattr(decoder, "_available", {"pillow": decoder._available["pillow"]})
    assert code_of(data) == "E-DICOM-05"


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.103", "1.2.3.4.5.6"])
def test_d5_syntaxes_that_are_not_read(uid):
    data = made(RAMP, RLELossless)
    old = b"1.2.840.10008.1.2.5\0"
    assert data.count(old) == 1
    padded = uid.encode() + b"\0" * (len(uid) % 2)
    length = struct.unpack_from("<I", data, 140)[0] + len(padded) - len(old)
    element = struct.pack("<H", len(old)) + old
    changed = data.replace(element, struct.pack("<H", len(padded)) + padded)
    changed = changed[:140] + struct.pack("<I", length) + changed[144:]
    with pytest.raises(FileError) as caught:
        decode_picture(changed)
    assert caught.value.code == "E-DICOM-05"
    assert (uid in str(caught.value)) == uid.startswith("1.2.840")


def test_d5_without_pydicom(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(FileError, match=r"E-DICOM-05 .*pydicom is not installed.*'xenograft\[dicom\]'"):
        decode_picture(made(RAMP))


@pytest.mark.parametrize("tags", [{"Rows": 225}, {"Columns": 200}, {"Rows": 100}, {"NumberOfFrames": 2}])
def test_d6_size_and_bytes_contradict_each_other(tags):
    assert code_of(made(RAMP, **tags), frame="first") == "S-DICOM-06"


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("tags", [{"Rows": 225}, {"Columns": 112}])
def test_d6_compressed_size_contradicts_the_declared_one(syntax, tags):
    assert code_of(made(RAMP, syntax, bits=12, **tags)) == "S-DICOM-06"


@pytest.mark.parametrize("box", [b"\0\0\0\0free", b"\0\0\0\x07free", b""])
def test_a_jp2_wrapper_without_a_way_to_its_codestream_does_not_hang(box):
    pixels = faults.noise(64, 64)
    whole = faults.saved(pixels, "JPEG2000")
    assert whole[4:8] == b"jP  "

    def file(part):
        return made(pixels, JPEG2000Lossless, data=encapsulate([part]))

    close(decode_picture(file(whole)), levels(pixels, 0, 255))
    assert code_of(file(whole[:12] + box + (whole[12:] if box else b""))) == "S-DICOM-06"


def test_d6_rle_that_would_grow_without_bound():
    data = encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 100_000])
    assert code_of(made(faults.noise(32, 32), RLELossless, data=data)) == "S-DICOM-06"


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda u: u.keyword)
def test_d7_many_rows_and_few_bytes(syntax):
    data = made(faults.noise(64, 64, dtype=np.uint16), syntax, Rows=65535, Columns=1300)
    tracemalloc.start()
    with pytest.raises(FileError) as caught:
        decode_picture(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == ("S-DICOM-07" if syntax in (*NATIVE, RLELossless) else "S-DICOM-06")
    assert peak < 20 << 20


def test_f9_to_f11_declared_sizes():
    assert code_of(made(RAMP, Rows=65535, Columns=65535)) == "S-FILE-10"
    assert code_of(made(RAMP, Rows=10000, Columns=10000)) == "S-FILE-11"
    assert code_of(made(faults.noise(8, 64))) == "S-FILE-09"
    assert code_of(made(RAMP, Rows=0)) == "S-FILE-09"
    assert decode_picture(made(faults.noise(8, 64)), min_side=8).height == 8


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
def test_f2_cut(syntax, share):
    data = made(faults.noise(64, 64, dtype=np.uint16), syntax)
    assert code_of(faults.cut(data, share)) in {
        "S-FILE-02", "S-FILE-04", "S-DICOM-01", "S-DICOM-02", "S-DICOM-06", "S-DICOM-07",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Rows", "BitsAllocated", "PhotometricInterpretation", "PixelRepresentation"])
def test_what_is_missing_is_one_line(name):
    assert code_of(made(RAMP, **{name: None})) == "S-FILE-02"


def test_a_deflated_bomb_is_stopped(monkeypatch):
    data = made(np.zeros((2048, 2048), np.uint16), DeflatedExplicitVRLittleEndian)
    assert len(data) < 20_000
    monkeypatch.setattr(dicom_parsing, "_INFLATED_LIMIT", 1 << 20)
    tracemalloc.start()
    assert code_of(data) == "S-FILE-10"
    assert tracemalloc.get_traced_memory()[1] < 6 << 20
    tracemalloc.stop()


def test_deflated_within_deflated_is_no_way_around():
    data = made(faults.noise(32, 32), DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    inner = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    again = packer.compress(data[start:]) + packer.flush()
    assert decode_picture(data[:start] + data[start:]).pixels.shape == (32, 32)
    assert inner
    assert code_of(data[:start] + again) in {"S-FILE-02", "S-DICOM-02"}


def test_f3_the_ending_promises_something_else():
    data = made(RAMP, bits=12)
    assert decode_picture(data, suffix=".png").notes == ("W-FILE-03", "W-DICOM-14")
    for suffix in (".dcm", ".DCM", "", ".IMA"):
        assert decode_picture(data, suffix=suffix).notes == ("W-DICOM-14",)


def test_dicom_that_is_a_tiff_as_well_is_dicom():
    data = made(RAMP)
    assert decode_picture(b"II*\0" + data[4:]).format == "dicom"


def test_f20_constant():
    assert "W-FILE-20" in decode_picture(made(np.full((32, 32), 7, np.uint16))).notes


# Fuzzing
@cache
def seeds():
    pixels, rgb = faults.noise(40, 64, dtype=np.uint16) >> 4, faults.noise(40, 64, 3)
    window = {"WindowCenter": [900, 7], "WindowWidth": [700, 7], "RescaleSlope": "1.5", "RescaleIntercept": "-9"}
    table = {"VOILUTSequence": [lut(range(64), 0, 12)]}
    palette = {}
    for name in ("Red", "Green", "Blue"):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [16, 0, 8]
        palette[f"{name}PaletteColorLookupTableData"] = bytes(range(16))
    return (
        *(made(pixels, syntax, bits=12, **window) for syntax in (*LOSSLESS, *LOSSY)),
        made(pixels, bits=12, photometric="MONOCHROME1", **table),
        made(faults.noise(20, 24), photometric="PALETTE COLOR", **palette),
        made(rgb, RLELossless),
        jpeg(rgb),
        made(FRAMES, RLELossless, frames=5),
    )


EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "flip", "cut", "end", "insert"]), st.floats(0, 1), st.binary(max_size=4)),
    min_size=1,
    max_size=6,
)


def survives(data):
    picture, _ = attempt(data, frame="first", salt=b"salt", min_side=1)
    if picture is not None:
        assert picture.pixels.dtype in (np.uint8, np.uint16)
        assert picture.pixels.size


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(LOSSLESS) + len(LOSSY) + 4), EDITS)
def test_damage_ends_in_one_line(which, edits):
    survives(faults.mutated(seeds()[which], edits))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_random_data_sets_end_in_one_line(tail):
    survives(made(RAMP[:16, :16])[:300] + tail)
    survives(b"\0" * 128 + b"DICM" + tail)


@pytest.mark.nightly
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(LOSSLESS) + len(LOSSY) + 4), EDITS)
def test_much_damage_ends_in_one_line(which, edits):
    survives(faults.mutated(seeds()[which], edits))
