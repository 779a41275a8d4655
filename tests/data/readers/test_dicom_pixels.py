import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from xenograft.data.readers import decode_picture
from xenograft.errors import UsageError

_spec = importlib.util.spec_from_file_location("reader_files", Path(__file__).with_name("dicom_files.py"))
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)

faults = files.faults
FRAMES = files.FRAMES
made = files.made
jpeg = files.jpeg
documented = files.documented
levels = files.levels
close = files.close
code_of = files.code_of


# Colour
def test_d10_palette():
    rng = np.random.default_rng(0)
    pixels = faults.noise(32, 32)
    tags = {}
    for name in ("Red", "Green", "Blue"):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = rng.integers(0, 65536, 256, dtype=np.uint16).tobytes()
    data = made(pixels, photometric="PALETTE COLOR", **tags)
    picture = decode_picture(data)
    np.testing.assert_array_equal(picture.pixels, apply_color_lut(pixels, dcmread(io.BytesIO(data))) >> 8)
    assert (picture.pixels.dtype, picture.mode, picture.notes) == (np.uint8, "palette", ("W-DICOM-10",))


def test_d10_segmented_palette():
    tags = {}
    segments = {"Red": [0, 1, 0, 1, 255, 65535], "Green": [0, 1, 65535, 1, 255, 0], "Blue": [0, 1, 0, 1, 255, 32767]}
    for name, words in segments.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"Segmented{name}PaletteColorLookupTableData"] = np.array(words, "<u2").tobytes()
    pixels = faults.noise(32, 32)
    picture = decode_picture(made(pixels, photometric="PALETTE COLOR", **tags))
    ramp = pixels / 255
    expected = np.stack([ramp * 255, 255 - ramp * 255, ramp * 127], axis=-1)
    assert np.abs(picture.pixels - expected).max() <= 1


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_d10_ybr(syntax):
    rgb = faults.noise(32, 32, 3)
    ybr = convert_color_space(rgb, "RGB", "YBR_FULL")
    picture = decode_picture(made(ybr, syntax, photometric="YBR_FULL"))
    np.testing.assert_array_equal(picture.pixels, convert_color_space(ybr, "YBR_FULL", "RGB"))
    assert np.median(np.abs(picture.pixels.astype(int) - rgb)) <= 1
    assert (picture.mode, picture.notes, picture.bits) == ("rgb", ("W-DICOM-10",), 8)


def test_d10_jpeg_baseline_colour():
    rgb = np.stack([faults.smooth(64, 64), faults.smooth(64, 64)[::-1], faults.smooth(64, 64).T], axis=-1)
    picture = decode_picture(jpeg(rgb))
    with Image.open(io.BytesIO(faults.jpeg(rgb))) as image:
        assert np.abs(picture.pixels.astype(int) - np.asarray(image)).max() <= 2
    assert picture.notes == ("W-DICOM-10",)


def test_jpeg_baseline_gray():
    pixels = faults.smooth(64, 64)
    picture = decode_picture(jpeg(pixels))
    with Image.open(io.BytesIO(faults.jpeg(pixels))) as image:
        close(picture, levels(np.asarray(image), 0, 255))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_rgb_is_left_alone(syntax):
    rgb = faults.noise(32, 40, 3)
    picture = decode_picture(made(rgb, syntax))
    np.testing.assert_array_equal(picture.pixels, rgb)
    assert (picture.width, picture.height, picture.mode, picture.notes) == (40, 32, "rgb", ())


def test_deep_rgb_becomes_8_bits_by_its_stored_range():
    rgb = faults.noise(32, 32, 3, np.uint16) >> 4
    expected = np.rint(rgb / 4095 * 255)
    np.testing.assert_array_equal(decode_picture(made(rgb, bits=12)).pixels, expected)


def test_three_equal_channels_become_gray():
    gray = faults.noise(32, 32)
    picture = decode_picture(made(np.stack([gray] * 3, axis=-1)))
    np.testing.assert_array_equal(picture.pixels, gray)


@pytest.mark.parametrize("photometric", ["HSV", "CMYK", "YBR_PARTIAL_420", "NONSENSE"])
def test_colours_that_are_not_converted(photometric):
    assert code_of(made(faults.noise(32, 32, 3), photometric=photometric)) == "S-DICOM-10"


# Frames
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless], ids=lambda u: u.keyword)
@pytest.mark.parametrize(("frame", "index"), [("first", 0), ("middle", 2), (1, 0), (5, 4), ("4", 3)])
def test_d4_the_chosen_frame(syntax, frame, index):
    picture = decode_picture(made(FRAMES, syntax, frames=5), frame=frame)
    np.testing.assert_array_equal(picture.pixels, FRAMES[index])


@pytest.mark.parametrize("frame", [None, "all", 6, "17"])
def test_d4_several_frames_and_no_choice(frame):
    assert code_of(made(FRAMES, frames=5), frame=frame) == "E-DICOM-04"


@pytest.mark.parametrize("frame", ["last", 0, "-1", "1.5", ""])
def test_d4_frames_that_make_no_sense(frame):
    with pytest.raises(UsageError, match="E-USAGE-05"):
        decode_picture(made(FRAMES, frames=5), frame=frame)


@pytest.mark.parametrize("frame", ["first", "middle", 9, "all", None])
def test_a_single_frame_is_read_whatever_the_choice(frame):
    np.testing.assert_array_equal(decode_picture(made(FRAMES[1]), frame=frame).pixels, FRAMES[1])


def test_each_frame_has_its_own_window():
    def group(centre):
        value, voi = Dataset(), Dataset()
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = "2", "-1000", "US"
        voi.WindowCenter, voi.WindowWidth = centre, 4000
        item = Dataset()
        item.PixelValueTransformationSequence, item.FrameVOILUTSequence = [value], [voi]
        return item

    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    shared.PixelMeasuresSequence = [measures]
    groups = [group(1000 * k) for k in range(5)]
    data = made(FRAMES, frames=5, SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=groups)
    for index in range(5):
        picture = decode_picture(data, frame=index + 1)
        single = made(
            FRAMES[index], RescaleSlope="2", RescaleIntercept="-1000", WindowCenter=1000 * index, WindowWidth=4000
        )
        close(picture, levels(documented(single)[1], -1000, 65535 * 2 - 1000))
        assert dict(picture.acquisition)["pixel_spacing"] == "0.5x0.25"
