import io

import cv2
import numpy as np
import pytest
from PIL import Image

from xenograft.data.readers import decode_picture, read_picture
from xenograft.errors import FileError

LAYOUTS = [(channels, progressive) for channels in (0, 3) for progressive in (False, True)]


def textured(height, width, channels=0):
    """Blurred noise over the whole range: detail that JPEG keeps at quality 95."""
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    soft = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    return soft if channels else soft[..., 0].copy()


def by_pillow(data, mode):
    """Pillow's own full decode, an independent way to the pixels."""
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode)).astype(int)


def mean_difference(one, other):
    assert one.shape == other.shape
    return np.abs(one.astype(float) - other).mean()


def area(pixels, shape):
    """The mean of each square block, what a reduced scale stands for; the last row and column are repeated."""
    scale = -(-pixels.shape[0] // shape[0])
    edges = [(0, scale * small - full) for small, full in zip(shape[:2], pixels.shape[:2], strict=True)]
    whole = np.pad(pixels, edges + [(0, 0)] * (pixels.ndim - 2), mode="edge")
    return cv2.resize(whole, shape[1::-1], interpolation=cv2.INTER_AREA)


# The scale


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize(
    ("size", "working", "scale"),
    [
        ((449, 300), 224, 1),
        ((449, 448), 224, 2),
        ((449, 447), 224, 2),  # 223.5 is rounded up
        ((449, 446), 224, 1),
        ((300, 1000), 150, 2),
        ((897, 900), 224, 4),
        ((895, 2000), 224, 4),
        ((892, 2000), 224, 2),
        ((1793, 1800), 224, 8),
        ((1793, 1800), 16, 8),  # there is no smaller one
        ((64, 48), 48, 1),
        ((64, 48), 4000, 1),
        ((17, 16), 1, 8),
        ((17, 16), 17, 1),
    ],
)
def test_the_smallest_scale_that_keeps_both_sides(faults, size, working, scale, channels):
    width, height = size
    pixels = textured(height, width, channels)
    picture = decode_picture(faults.jpeg(pixels), working=working)
    assert picture.pixels.shape[:2] == (-(-height // scale), -(-width // scale))
    assert (picture.width, picture.height, picture.pixels.ndim) == (width, height, 3 if channels else 2)
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 2), (15, 9)])
@pytest.mark.parametrize("working", [None, 1, 2, 224])
def test_tiny_images(faults, size, working):
    picture = decode_picture(faults.jpeg(faults.noise(*size)), min_side=1, working=working)
    assert (picture.height, picture.width) == size
    assert min(picture.pixels.shape) >= min(*size, working or 1)


def test_without_working_the_resolution_is_full(faults, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(faults.jpeg(faults.smooth(90, 80)))
    assert read_picture(path).pixels.shape == (90, 80)
    assert read_picture(path, working=40).pixels.shape == (45, 40)


def test_the_minimum_side_is_that_of_the_file(faults):
    data = faults.jpeg(faults.smooth(64, 80))
    assert decode_picture(data, min_side=64, working=16).pixels.shape == (16, 20)
    with pytest.raises(FileError, match="S-FILE-09 is 80 x 64 pixels"):
        decode_picture(data, min_side=65, working=16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_other_formats_are_never_reduced(faults, kind):
    picture = decode_picture(faults.saved(faults.noise(90, 80), kind), working=16)
    assert (picture.width, picture.height, picture.pixels.shape) == (80, 90, (90, 80))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("working", "scale"), [(None, 1), (30, 2)])
def test_width_and_height_are_upright(faults, orientation, working, scale):
    pixels = textured(62, 90)
    data = faults.jpeg(pixels, exif=faults.exif(orientation))
    height, width = (90, 62) if orientation >= 5 else (62, 90)
    picture = decode_picture(data, working=working)
    assert (picture.width, picture.height) == (width, height)
    assert picture.pixels.shape == (height // scale, width // scale)
    full = decode_picture(data).pixels
    assert mean_difference(picture.pixels, area(full, picture.pixels.shape)) < 1  # turned wrongly: 30


@pytest.mark.parametrize("orientation", [1, 6])
def test_width_and_height_of_other_formats_are_upright(faults, orientation):
    for data in (
        faults.saved(faults.noise(30, 40), "PNG", exif=faults.exif(orientation)),
        faults.tiff(faults.noise(30, 40, 3, np.uint16), tags={274: orientation}),
    ):
        picture = decode_picture(data)
        assert (
            (picture.height, picture.width) == picture.pixels.shape[:2] == ((40, 30) if orientation == 6 else (30, 40))
        )


# Damage is found at every scale


@pytest.mark.parametrize("working", [None, 112, 56, 28])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("channels", "progressive"), LAYOUTS)
def test_cut_files(faults, channels, progressive, share, working):
    data = faults.jpeg(faults.noise(224, 230, channels), progressive=progressive)
    assert decode_picture(data, working=working).height == 224
    with pytest.raises(FileError, match="S-FILE-02"):
        decode_picture(faults.cut(data, share), working=working)


@pytest.mark.parametrize("progressive", [False, True])
def test_cut_gray_stored_in_colour(faults, progressive):
    gray = np.repeat(faults.noise(224, 230)[..., None], 3, axis=2)
    for share in (0.5, 0.9, 0.99):
        with pytest.raises(FileError, match="S-FILE-02"):
            decode_picture(faults.cut(faults.jpeg(gray, progressive=progressive), share), working=28)


# The pixels


@pytest.mark.parametrize("working", [100, 50, 25])
@pytest.mark.parametrize(("channels", "progressive"), LAYOUTS)
def test_reduced_pixels_are_the_average_of_the_full_ones(faults, channels, progressive, working):
    data = faults.jpeg(textured(200, 240, channels), progressive=progressive)
    reduced = decode_picture(data, working=working).pixels
    most = 2 if channels else 1  # the full scale smooths the halved chroma, the reduced one has no need to
    assert mean_difference(reduced, area(decode_picture(data).pixels, reduced.shape)) < most


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_gray_stored_in_colour_gives_the_gray_values(faults, subsampling):
    gray = textured(150, 161)
    data = faults.jpeg(np.repeat(gray[..., None], 3, axis=2), subsampling=subsampling)
    picture = decode_picture(data)
    assert (picture.mode, picture.pixels.shape) == ("rgb", (150, 161))
    np.testing.assert_array_equal(picture.pixels, by_pillow(data, "L"))
    np.testing.assert_array_equal(picture.pixels, decode_picture(faults.jpeg(gray)).pixels)
    reduced = decode_picture(data, working=75).pixels
    np.testing.assert_array_equal(reduced, decode_picture(faults.jpeg(gray), working=75).pixels)


@pytest.mark.parametrize("working", [None, 75])
def test_chroma_noise_gives_the_luminance(faults, working):
    rgb = np.repeat(np.clip(textured(150, 161), 20, 235)[..., None], 3, axis=2)
    rgb = (rgb + np.random.default_rng(2).integers(-2, 3, rgb.shape)).astype(np.uint8)
    data = faults.jpeg(rgb, quality=100, subsampling=0)
    assert np.ptp(by_pillow(data, "RGB"), axis=2).max() > 0
    picture = decode_picture(data, working=working)
    expected = by_pillow(data, "L").astype(np.uint8)
    assert mean_difference(picture.pixels, area(expected, picture.pixels.shape)) < 1


@pytest.mark.parametrize(
    "options", [{}, {"keep_rgb": True}, {"subsampling": 0}], ids=["YCbCr", "RGB", "no subsampling"]
)
def test_colour_equals_a_direct_decode(faults, options):
    data = faults.jpeg(textured(150, 161, 3), **options)
    np.testing.assert_array_equal(decode_picture(data).pixels, by_pillow(data, "RGB"))
    reduced = decode_picture(data, working=75).pixels
    assert mean_difference(reduced, area(decode_picture(data).pixels, reduced.shape)) < 2


def test_gray_stored_as_rgb_without_transform_collapses(faults):
    gray = textured(150, 161)
    data = faults.jpeg(np.repeat(gray[..., None], 3, axis=2), keep_rgb=True)
    assert mean_difference(decode_picture(data).pixels, gray) < 2
    assert decode_picture(data, working=75).pixels.shape == (75, 81)


def test_one_different_channel_is_colour(faults):
    for channel in range(3):
        pixels = np.repeat(textured(64, 64)[..., None], 3, axis=2)
        pixels[..., channel] = 255 - pixels[..., channel]
        assert decode_picture(faults.jpeg(pixels, keep_rgb=True)).pixels.shape == (64, 64, 3)
        assert decode_picture(faults.saved(pixels, "BMP")).pixels.shape == (64, 64, 3)


def test_cmyk_is_reduced_too(faults):
    data = faults.jpeg(Image.fromarray(textured(150, 161, 3)).convert("CMYK"))
    full, reduced = decode_picture(data), decode_picture(data, working=75)
    np.testing.assert_array_equal(full.pixels, by_pillow(data, "RGB"))
    assert (reduced.mode, reduced.notes, reduced.width, reduced.height) == ("cmyk", ("W-FILE-05",), 161, 150)
    assert mean_difference(reduced.pixels, area(full.pixels, (75, 81))) < 1


def test_ycck_equals_a_direct_decode(faults):
    # Pillow writes CMYK without transform; Adobe's flag alone makes the same four planes YCCK
    plain = faults.jpeg(Image.fromarray(textured(64, 80, 3)).convert("CMYK"), subsampling=0)
    at = plain.index(b"Adobe") + 11
    data = plain[:at] + b"\2" + plain[at + 1 :]
    picture = decode_picture(data)
    np.testing.assert_array_equal(picture.pixels, by_pillow(data, "RGB"))
    assert mean_difference(picture.pixels, by_pillow(plain, "RGB")) > 10
    assert decode_picture(data, working=16).pixels.shape == (16, 20, 3)
