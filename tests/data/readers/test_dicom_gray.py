import importlib.util
from pathlib import Path

import numpy as np
import pytest

from xenograft.data.preprocess import Preprocess, prepare
from xenograft.data.readers import decode_picture
from xenograft.errors import UsageError

_spec = importlib.util.spec_from_file_location("reader_files", Path(__file__).with_name("dicom_files.py"))
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)

faults = files.faults
LOSSLESS = files.LOSSLESS
LOSSY = files.LOSSY
RAMP = files.RAMP
made = files.made
documented = files.documented
levels = files.levels
close = files.close
code_of = files.code_of
attempt = files.attempt
lut = files.lut


# Depth and transfer syntaxes
@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY], ids=lambda uid: uid.keyword)
def test_a_12_bit_ramp_keeps_more_than_200_gray_levels(syntax):
    picture = decode_picture(made(RAMP, syntax, bits=12))
    assert (picture.pixels.dtype, picture.bits, picture.format, picture.mode) == (np.uint16, 16, "dicom", "gray")
    assert len(np.unique(prepare(picture.pixels, Preprocess()))) > 200


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True])
def test_d9_lossless_syntaxes_give_the_stored_values(syntax, signed):
    pixels = RAMP.astype(np.int16) - 2048 if signed else RAMP
    picture = decode_picture(made(pixels, syntax, bits=12))
    close(picture, levels(RAMP, 0, 4095))
    assert picture.notes == ("W-DICOM-14",)


def test_d9_unused_bits_above_the_stored_ones_do_not_count():
    close(decode_picture(made(RAMP | 0x7000, bits=12)), levels(RAMP, 0, 4095))


def test_d9_values_that_do_not_begin_at_the_lowest_bit():
    assert code_of(made(RAMP << 4, bits=12, HighBit=15)) == "S-DICOM-09"


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_every_depth_spans_the_whole_range(dtype):
    limits = np.iinfo(dtype)
    pixels = np.linspace(limits.min, limits.max, 32 * 32).astype(dtype).reshape(32, 32)
    close(decode_picture(made(pixels)), levels(pixels, limits.min, limits.max))


def test_32_bits_are_shown_over_what_is_there():
    pixels = (RAMP.astype(np.uint32) + 7) << 14
    picture = decode_picture(made(pixels))
    close(picture, levels(pixels, pixels.min(), pixels.max()))
    assert picture.notes == ("W-FILE-13",)


def test_one_bit():
    pixels = faults.noise(24, 32) > 127
    packed = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    data = made(np.zeros((24, 32), np.uint8), PixelData=packed, BitsAllocated=1, BitsStored=1, HighBit=0)
    np.testing.assert_array_equal(decode_picture(data).pixels, np.where(pixels, 65535, 0))


@pytest.mark.parametrize("name", ["FloatPixelData", "DoubleFloatPixelData"])
def test_float_pixels(name):
    dtype = np.float32 if name == "FloatPixelData" else np.float64
    values = np.random.default_rng(1).normal(size=(32, 32)).astype(dtype)

    def file(content):
        extra = {name: content.tobytes(), "PixelData": None, "BitsAllocated": 8 * content.dtype.itemsize}
        return made(np.zeros((32, 32), np.uint8), BitsStored=None, HighBit=None, PixelRepresentation=None, **extra)

    close(decode_picture(file(values)), levels(values, float(values.min()), float(values.max())))
    values[3, 3] = np.nan
    assert code_of(file(values)) == "S-FILE-13"


# Modality, window, tables
WINDOWS = [
    {"WindowCenter": 40, "WindowWidth": 400},
    {"WindowCenter": 40, "WindowWidth": 1},
    {"WindowCenter": 40.5, "WindowWidth": 301.25, "VOILUTFunction": "LINEAR_EXACT"},
    {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"},
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(("slope", "intercept"), [("1", "-1024"), ("0.5", "-1024"), ("-2", "4000")])
def test_window_after_rescale_is_that_of_pydicom(window, slope, intercept):
    data = made(RAMP, bits=12, RescaleSlope=slope, RescaleIntercept=intercept, **window)
    ends = float(slope) * np.array([0, 4095]) + float(intercept)
    picture = decode_picture(data)
    close(picture, levels(documented(data)[1], *ends))
    assert picture.notes == ()
    assert len(np.unique(picture.pixels)) > (1 if window["WindowWidth"] == 1 else 90)


@pytest.mark.parametrize("slope", ["2", "-0.25"])
def test_d8_rescale_without_a_window_spans_what_could_be_stored(slope):
    data = made(RAMP.astype(np.int16) - 2048, bits=12, RescaleSlope=slope, RescaleIntercept="10")
    ends = sorted(float(slope) * np.array([-2048, 2047]) + 10)
    picture = decode_picture(data)
    close(picture, levels(documented(data)[0], *ends))
    assert picture.notes == ("W-DICOM-14",)


@pytest.mark.parametrize("window", [("0", "0"), ("7", "-5")])
def test_d8_a_window_that_cannot_be_used_is_none(window):
    picture = decode_picture(made(RAMP, bits=12, WindowCenter=window[0], WindowWidth=window[1]))
    close(picture, levels(RAMP, 0, 4095))
    assert picture.notes == ("W-DICOM-14",)


def test_d8_an_unreadable_window_is_none():
    data = made(RAMP, bits=12, WindowCenter="123456", WindowWidth="10").replace(b"123456", b"middle")
    assert decode_picture(data).notes == ("W-DICOM-14",)


def test_d8_the_first_of_several_windows():
    data = made(RAMP, bits=12, WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    first = decode_picture(made(RAMP, bits=12, WindowCenter=1000, WindowWidth=500))
    picture = decode_picture(data)
    np.testing.assert_array_equal(picture.pixels, first.pixels)
    assert (picture.notes, first.notes) == (("W-DICOM-08",), ())
    close(picture, levels(documented(data)[1], 0, 4095))


def test_own_window_comes_before_that_of_the_file():
    tags = {"RescaleSlope": "1", "RescaleIntercept": "-1024"}
    data = made(RAMP, bits=12, WindowCenter=[0, 1], WindowWidth=[9, 9], VOILUTFunction="SIGMOID", **tags)
    picture = decode_picture(data, window=(300.0, 1500.0))
    wanted = made(RAMP, bits=12, WindowCenter=300, WindowWidth=1500, **tags)
    close(picture, levels(documented(wanted)[1], -1024, 3071))
    assert picture.notes == ()
    narrow = decode_picture(data, window=(300.0, 0.5)).pixels
    assert set(np.unique(narrow)) <= {0, 32768, 65535}


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.0, -1.0), (float("nan"), 5.0), (0.0, float("inf"))])
def test_own_window_that_makes_no_sense(window):
    with pytest.raises(UsageError, match="E-USAGE-05"):
        decode_picture(made(RAMP), window=window)


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_voi_lut_is_that_of_pydicom(vr):
    entries = (np.linspace(0, 1, 3000) ** 2 * 1023).astype(int)
    data = made(RAMP, bits=12, VOILUTSequence=[lut(entries, 500, 10, vr)])
    picture = decode_picture(data)
    close(picture, levels(documented(data)[1], 0, 1023))
    assert picture.notes == ()


def test_voi_lut_and_window_are_alternatives():
    data = made(RAMP, bits=12, VOILUTSequence=[lut(range(4096), 0, 12)], WindowCenter=5, WindowWidth=5)
    picture = decode_picture(data)
    close(picture, levels(RAMP, 0, 4095))
    assert picture.notes == ("W-DICOM-08",)


def test_modality_lut_is_that_of_pydicom():
    entries = np.arange(4096)[::-1] * 4
    data = made(RAMP, bits=12, ModalityLUTSequence=[lut(entries, 0, 16, "OW")])
    close(decode_picture(data), levels(documented(data)[0], 0, 65535))


def test_tables_reach_below_zero_and_have_narrow_entries():
    # pydicom indexes with 8 bits here, so the truth is planted
    item = lut([0], -100, 8)
    item.LUTDescriptor = [200, -100, 8]
    item.add_new("LUTData", "OW", np.arange(200, dtype=np.uint8).tobytes())
    pixels = np.linspace(-2000, 2000, 32 * 32).astype(np.int16).reshape(32, 32)
    close(decode_picture(made(pixels, VOILUTSequence=[item])), levels(np.clip(pixels + 100, 0, 199), 0, 255))


def test_a_table_that_is_too_short():
    item = lut(range(100), 0, 12)
    item.LUTDescriptor = [101, 0, 12]
    assert code_of(made(RAMP, bits=12, VOILUTSequence=[item])) == "S-FILE-02"


@pytest.mark.parametrize("slope", ["0", "1e308"])
def test_a_slope_that_destroys_the_image(slope):
    assert code_of(made(RAMP, RescaleSlope=slope, RescaleIntercept="1e307")) == "S-FILE-02"


def test_d3_monochrome1_is_turned_round():
    tags = {"bits": 12, "WindowCenter": 2000, "WindowWidth": 1000}
    plain = decode_picture(made(RAMP, **tags))
    turned = decode_picture(made(RAMP, photometric="MONOCHROME1", **tags))
    np.testing.assert_array_equal(turned.pixels, 65535 - plain.pixels)
    assert (plain.notes, turned.notes) == ((), ("W-DICOM-03",))


CT = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
OFFERED = {
    "WindowCenter": [1000, -500],
    "WindowWidth": [2000, 1400],
    "WindowCenterWidthExplanation": ["WINDOW1", "My  Lung"],
}


@pytest.mark.parametrize("name", ["my lung", "MY LUNG", " My Lung "])
def test_a_window_is_found_by_its_explanation(name):
    picture = decode_picture(made(RAMP, bits=12, **CT, **OFFERED), window=name)
    close(picture, levels(RAMP - 1024.0, -500.5 - 699.5, -500.5 + 699.5))
    assert not {"W-DICOM-08", "W-DICOM-16"} & set(picture.notes)


def test_a_voi_table_is_found_by_its_explanation():
    other, wanted = lut(range(4096), 0, 12), lut(range(4095, -1, -1), 0, 12)
    other.LUTExplanation, wanted.LUTExplanation = "NORMAL", "REVERSE"
    picture = decode_picture(made(RAMP, bits=12, VOILUTSequence=[other, wanted]), window="reverse")
    close(picture, levels(4095 - RAMP, 0, 4095))


@pytest.mark.parametrize(("name", "centre", "width"), [("lung", -600, 1500), ("Soft Tissue", 40, 400)])
def test_a_usual_window_serves_ct_in_hu_that_has_none_of_the_name(name, centre, width):
    picture = decode_picture(made(RAMP, bits=12, **CT, **OFFERED), window=name)
    low = centre - 0.5 - (width - 1) / 2
    close(picture, levels(RAMP - 1024.0, low, low + width - 1))
    assert "W-DICOM-16" in picture.notes


def test_the_files_own_window_comes_before_the_usual_one_of_the_name():
    own = {"WindowCenter": -500, "WindowWidth": 1400, "WindowCenterWidthExplanation": "LUNG"}
    found = decode_picture(made(RAMP, bits=12, **CT, **own), window="lung")
    np.testing.assert_array_equal(found.pixels, decode_picture(made(RAMP, bits=12, **CT), window=(-500, 1400)).pixels)
    assert "W-DICOM-16" not in found.notes


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("no such", {**CT, **OFFERED}),
        ("lung", OFFERED),
        ("lung", {**CT, "Modality": "MR"}),
        ("lung", {**CT, "RescaleType": "US"}),
        ("lung", {"Modality": "CT"}),
        ("window1", {**CT, **OFFERED, "WindowWidth": [0, 1400]}),
        ("window1", {**OFFERED, "WindowCenterWidthExplanation": None}),
    ],
    ids=str,
)
def test_a_name_that_stands_for_no_window_skips_the_file(name, tags):
    given = {key: value for key, value in tags.items() if value is not None}
    data = made(RAMP, bits=12, **given)
    picture, error = attempt(data, window=name)
    assert picture is None
    assert error.code == "S-DICOM-15"
    assert name in str(error)
    assert "WINDOW" not in str(error).replace("--window", "")  # free text of the file is not quoted


def test_colour_has_no_windows_and_no_name_skips_it():
    pixels = faults.noise(20, 24, 3)
    np.testing.assert_array_equal(decode_picture(made(pixels), window="lung").pixels, pixels)
