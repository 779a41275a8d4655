import json

import cv2
import numpy as np
import pytest

from xenograft.data.preprocess import Preprocess, prepare
from xenograft.errors import UsageError


def ramp(top, dtype, side=64):
    return np.linspace(0, top, side * side).reshape(side, side).astype(dtype)


def test_f6_a_12_bit_ramp_in_16_bits_keeps_its_gray_levels():
    out = prepare(ramp(4095, np.uint16), Preprocess(size=64))
    assert len(np.unique(out)) > 200
    assert (out.min(), out.max()) == (0, 255)
    assert (np.diff(out.ravel().astype(int)) >= 0).all()


def test_the_automatic_window_is_from_percentile_0_5_to_99_5():
    pixels = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    low, high = 49.995, 9949.005
    expected = np.clip(np.rint((pixels - low) * 255 / (high - low)), 0, 255)
    np.testing.assert_allclose(prepare(pixels, Preprocess(size=100))[0], expected, atol=1)
    assert prepare(pixels, Preprocess(size=100)).ravel()[[49, 9950]].tolist() == [0, 255]
    assert (prepare(pixels, Preprocess(size=100)) == 0).sum() == pytest.approx(50 + 19, abs=2)


def test_an_explicit_window_gives_exact_values():
    pixels = np.zeros((16, 16), np.uint16)
    pixels[0, :6] = 900, 1000, 1100, 1500, 2000, 60000
    out = prepare(pixels, Preprocess(size=16, window=(1000.0, 2000.0)))
    assert out[0, 0, :6].tolist() == [0, 0, 26, 128, 255, 255]  # 25.5 and 127.5 round to even


def test_a_window_applies_to_8_bits_too():
    out = prepare(np.full((16, 16), 75, np.uint8), Preprocess(size=16, window=(50.0, 100.0)))
    assert set(out.ravel()) == {128}


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_8_bits_at_equal_size_are_unchanged(fit):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    np.testing.assert_array_equal(prepare(pixels, Preprocess(size=32, fit=fit))[0], pixels)


@pytest.mark.parametrize("value", [0, 700, 65535])
def test_a_constant_16_bit_image_is_no_division_by_zero(value):
    assert len(np.unique(prepare(np.full((20, 20), value, np.uint16), Preprocess(size=16)))) == 1


def test_a_nearly_constant_16_bit_image_keeps_its_extremes():
    pixels = np.zeros((100, 100), np.uint16)
    pixels[0, 0] = 4000
    assert prepare(pixels, Preprocess(size=100)).max() == 255


@pytest.mark.parametrize(("height", "width"), [(60, 30), (30, 60), (33, 47), (200, 17)])
@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_fit_gives_the_size_asked_for(height, width, fit, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width), dtype=dtype)
    out = prepare(pixels, Preprocess(size=24, fit=fit))
    assert (out.shape, out.dtype) == ((1, 24, 24), np.uint8)
    assert out.flags.c_contiguous


def test_squash_shows_the_whole_image():
    pixels = np.zeros((40, 80), np.uint8)
    pixels[:, :40] = 200
    out = prepare(pixels, Preprocess(size=20))[0]
    assert (out[:, :10] == 200).all()
    assert (out[:, 10:] == 0).all()


@pytest.mark.parametrize("turned", [False, True])
def test_pad_keeps_the_aspect_on_black(turned):
    pixels = np.full((40, 80), 200, np.uint8)
    out = prepare(pixels.T if turned else pixels, Preprocess(size=20, fit="pad"))[0]
    out = out.T if turned else out
    assert (out[5:15] == 200).all()
    assert (out[:5] == 0).all()
    assert (out[15:] == 0).all()


@pytest.mark.parametrize("turned", [False, True])
def test_crop_takes_the_centre(turned):
    pixels = np.zeros((40, 80), np.uint8)
    pixels[:, 20:60] = 200
    out = prepare(pixels.T if turned else pixels, Preprocess(size=20, fit="crop"))[0]
    assert (out == 200).all()


def test_shrinking_averages_instead_of_aliasing():
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    out = prepare(checks, Preprocess(size=16))
    assert set(out.ravel()) <= {127, 128}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_becomes_luminance(dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (32, 32, 3), dtype=dtype)
    top = float(np.iinfo(dtype).max)
    out = prepare(pixels, Preprocess(size=32, window=(0.0, top)))
    expected = (pixels @ [0.299, 0.587, 0.114]) * 255 / top
    np.testing.assert_allclose(out[0], expected, atol=1.01)


def test_gray_is_replicated_for_three_channels():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    out = prepare(pixels, Preprocess(size=32, channels=3))
    assert out.shape == (3, 32, 32)
    assert (out == pixels).all()


def test_colour_keeps_the_order_of_its_channels():
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[..., 0] = 250
    out = prepare(pixels, Preprocess(size=16, channels=3))
    assert out.mean(axis=(1, 2)).tolist() == [250, 0, 0]
    assert out.flags.c_contiguous


def test_the_input_is_not_changed():
    pixels = ramp(4095, np.uint16)
    before = pixels.copy()
    for fit in ("squash", "pad", "crop"):
        prepare(pixels, Preprocess(size=64, fit=fit))
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(
    "preprocess",
    [Preprocess(), Preprocess(300, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), channels=3, fit="pad", window=(10.0, 3000.0))],
)
def test_json_round_trip(preprocess):
    assert Preprocess.from_json(json.loads(json.dumps(preprocess.as_json()))) == preprocess


def test_normalisation_presets():
    own = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert own.normalised("weights") == own
    assert own.normalised("paper").mean == own.normalised("paper").std == (0.5, 0.5, 0.5)
    with pytest.raises(UsageError, match="unknown normalisation 'imagenet'"):
        own.normalised("imagenet")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 15},
        {"size": 4097},
        {"fit": "stretch"},
        {"channels": 2},
        {"window": (5.0, 5.0)},
        {"window": (float("nan"), 5.0)},
    ],
    ids=str,
)
def test_settings_that_cannot_be_used(wrong):
    with pytest.raises(UsageError) as caught:
        Preprocess(**wrong)
    assert caught.value.code == "E-USAGE-05"


def test_the_result_does_not_depend_on_opencv_s_threads():
    pixels = np.random.default_rng(0).integers(0, 65536, (301, 199), dtype=np.uint16)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = prepare(pixels, Preprocess(size=64))
        cv2.setNumThreads(2)
        np.testing.assert_array_equal(prepare(pixels, Preprocess(size=64)), one)
    finally:
        cv2.setNumThreads(before)
