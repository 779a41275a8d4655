import cv2
import numpy as np
import pytest

from xenograft.data.perturbations import LEVELS, PERTURBATIONS, perturbed
from xenograft.data.preprocess import Preprocess, prepare
from xenograft.errors import UsageError

CONTENT = "0123456789abcdef" * 4
OTHER = "1" * 64
TYPES = [(np.uint8, 1), (np.uint8, 3), (np.uint16, 1), (np.uint16, 3)]


def chest(dtype, channels, height=224, width=256):
    """Two dark lungs in a bright body with ribs and some grain; as large as the type."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    lungs = sum(np.exp(-(((x - side) / 0.3) ** 2) - (y / 0.6) ** 2) for side in (-0.45, 0.45))
    image = 0.75 - 0.5 * lungs + 0.06 * np.cos(18 * y) * (np.abs(x) < 0.9)
    image = image + 0.02 * np.random.default_rng(0).normal(size=image.shape)
    pixels = (np.clip(image, 0, 1) * np.iinfo(dtype).max).astype(dtype)
    return pixels if channels == 1 else np.stack([pixels, pixels // 2, pixels // 4], axis=2)


def distance(a, b):
    return float(np.abs(a.astype(np.float64) - b).mean())


@pytest.fixture(params=TYPES, ids=str)
def image(request):
    return chest(*request.param)


@pytest.fixture(params=PERTURBATIONS)
def name(request):
    return request.param


def test_names_and_strengths():
    assert list(PERTURBATIONS) == [
        "brightness", "contrast", "gamma", "blur", "noise", "rotation", "crop", "jpeg", "resolution",
    ]  # fmt: skip
    for key, kind in PERTURBATIONS.items():
        assert kind.name == key
        assert kind.measure
        steps = np.diff(kind.strengths)
        assert len(kind.strengths) == LEVELS
        assert (steps > 0).all() or (steps < 0).all()


def test_level_0_is_the_image_bit_for_bit(image, name):
    np.testing.assert_array_equal(perturbed(image, name, 0, content=CONTENT), image)


def test_levels_lead_away_from_the_image(image, name):
    away = [distance(perturbed(image, name, level, content=CONTENT), image) for level in range(LEVELS + 1)]
    assert (np.diff(away) > 0).all()
    assert away[1] < 0.05 * np.iinfo(image.dtype).max


def test_shape_type_and_the_image_itself_stay(image, name):
    before = image.copy()
    for level in range(LEVELS + 1):
        got = perturbed(image, name, level, content=CONTENT)
        assert (got.shape, got.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(image, before)


def test_the_same_content_gives_the_same_pixels(image, name):
    for level in (1, LEVELS):
        got = [perturbed(one, name, level, content=CONTENT) for one in (image, image.copy())]
        np.testing.assert_array_equal(*got)


def test_another_content_changes_noise_and_rotation_only(image, name):
    a, b = (perturbed(image, name, 3, content=content) for content in (CONTENT, OTHER))
    assert np.array_equal(a, b) == (name not in {"noise", "rotation"})


def test_sixteen_bits_stay(name):
    image = chest(np.uint16, 1)
    got = perturbed(image, name, 1, content=CONTENT)
    shades = np.unique(got).size
    assert shades <= 256 if name == "jpeg" else shades > 2000


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_the_range_is_that_of_the_bits_in_use(name, bits):
    whole = chest(np.uint16, 1)
    deep = whole >> (16 - bits)
    top = 2**bits - 1
    assert deep.max() > top // 2
    got = perturbed(deep, name, LEVELS, content=CONTENT)
    assert got.max() <= top
    scaled = perturbed(whole, name, LEVELS, content=CONTENT) / 65535
    assert distance(got / top, scaled) < 0.01


def test_values_that_reach_the_ends_are_cut():
    image = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    assert perturbed(image, "brightness", 5, content=CONTENT)[0, -40:].tolist() == [255] * 40
    noisy = perturbed(image, "noise", 5, content=CONTENT)
    assert (noisy[:, 0] == 0).mean() == pytest.approx(0.5, abs=0.2)
    assert (noisy[:, 255] == 255).mean() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("kind", ["contrast", "blur", "crop", "jpeg", "resolution"])
def test_a_constant_image_stays(kind, value):
    image = np.full((40, 50), value, dtype=np.uint8)
    np.testing.assert_array_equal(perturbed(image, kind, 5, content=CONTENT), image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2, 3)])
def test_tiny_images(name, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for level in range(1, LEVELS + 1):
        assert perturbed(image, name, level, content=CONTENT).shape == shape


RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_brightness_adds_a_share_of_the_range():
    for level, share in enumerate(PERTURBATIONS["brightness"].strengths, start=1):
        expected = np.minimum(np.rint(RAMP + 255 * share), 255)
        np.testing.assert_allclose(perturbed(RAMP, "brightness", level, content=CONTENT), expected, atol=1)


def test_contrast_keeps_the_mean_of_each_channel():
    image = chest(np.uint8, 3)
    for level, share in enumerate(PERTURBATIONS["contrast"].strengths, start=1):
        got = perturbed(image, "contrast", level, content=CONTENT)
        assert got.mean(axis=(0, 1)) == pytest.approx(image.mean(axis=(0, 1)), abs=0.2)
        assert got.std(axis=(0, 1)) == pytest.approx(share * image.std(axis=(0, 1)), rel=0.02)


def test_gamma_keeps_black_and_white():
    for level, exponent in enumerate(PERTURBATIONS["gamma"].strengths, start=1):
        got = perturbed(RAMP, "gamma", level, content=CONTENT)
        np.testing.assert_array_equal(got, np.rint(255 * (RAMP / 255) ** exponent))


@pytest.mark.parametrize("side", [224, 448])
def test_blur_has_its_deviation_at_every_resolution(side):
    image = np.zeros((side, side), np.uint16)
    image[side // 2, side // 2] = 65535
    for level, sigma in enumerate(PERTURBATIONS["blur"].strengths[1:], start=2):
        got = perturbed(image, "blur", level, content=CONTENT).sum(axis=0).astype(float)
        place = np.arange(side) - side // 2
        assert np.sqrt((got * place**2).sum() / got.sum()) == pytest.approx(sigma * side / 224, rel=0.05)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_has_its_deviation_and_one_pattern(dtype):
    top = np.iinfo(dtype).max
    image = np.full((200, 200), top // 2 + 1, dtype)
    got = [perturbed(image, "noise", level, content=CONTENT).astype(float) - image for level in range(1, 6)]
    for one, share in zip(got, PERTURBATIONS["noise"].strengths, strict=True):
        assert one.std() / top == pytest.approx(share, rel=0.03)
        assert abs(one.mean()) / top < share / 50
        assert np.corrcoef(one.ravel(), got[-1].ravel())[0, 1] > 0.99


def test_noise_of_channels_is_independent():
    got = perturbed(np.full((100, 100, 3), 128, np.uint8), "noise", 5, content=CONTENT).reshape(-1, 3).astype(float)
    assert np.abs(np.corrcoef(got.T) - np.eye(3)).max() < 0.05


def test_rotation_turns_by_its_angle_to_a_side_that_stays():
    y, x = np.mgrid[-60:61, -60:61]
    bar = (255 * np.exp(-((y / 3) ** 2) - (x / 40) ** 2)).astype(np.uint8)
    sides = {}
    for content in (CONTENT, OTHER, "2" * 64):
        turned = []
        for level in range(1, LEVELS + 1):
            got = perturbed(bar, "rotation", level, content=content).astype(float)
            cxy, cxx, cyy = ((got * product).sum() for product in (x * y, x * x, y * y))
            turned.append(np.rad2deg(0.5 * np.arctan2(2 * cxy, cxx - cyy)))
        np.testing.assert_allclose(np.abs(turned), PERTURBATIONS["rotation"].strengths, atol=0.3)
        assert len(set(np.sign(turned))) == 1
        sides[content] = np.sign(turned[0])
    assert set(sides.values()) == {-1, 1}


def test_rotation_shows_black_behind():
    white = np.full((101, 101), 255, np.uint8)
    got = perturbed(white, "rotation", 5, content=CONTENT)
    assert got[0, 0] == got[-1, -1] == 0
    assert got[50, 50] == 255


def test_crop_shows_the_middle_at_the_old_size():
    columns = np.tile(np.arange(101, dtype=np.uint16) * 600, (101, 1))
    for level, share in enumerate(PERTURBATIONS["crop"].strengths, start=1):
        got = perturbed(columns, "crop", level, content=CONTENT)
        expected = 600 * (50 + share * (np.arange(101) - 50))
        np.testing.assert_allclose(got[50], expected, atol=30)  # OpenCV interpolates at 32 places a pixel


def test_jpeg_is_that_of_the_library():
    image = chest(np.uint8, 1)
    for level, quality in enumerate(PERTURBATIONS["jpeg"].strengths, start=1):
        stored = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        expected = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(perturbed(image, "jpeg", level, content=CONTENT), expected)


def test_jpeg_keeps_the_order_of_the_channels():
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 200
    got = perturbed(image, "jpeg", 1, content=CONTENT)
    assert got[..., 0].mean() > 190
    assert got[..., 1:].mean() < 10


@pytest.mark.parametrize("side", [112, 224, 448])
def test_resolution_takes_fine_stripes_away_and_leaves_wide_ones(side):
    place = np.arange(side) / side * 224  # in reference pixels

    def remaining(period, level):
        stripes = np.tile(np.rint(127 + 100 * np.cos(2 * np.pi * place / period)).astype(np.uint8), (side, 1))
        return perturbed(stripes, "resolution", level, content=CONTENT).std() / stripes.std()

    assert remaining(8, 5) < 0.05
    assert remaining(16, 1) > 0.7
    assert remaining(128, 5) > 0.9


def test_prepared_planes_can_be_changed(name):
    plane = prepare(chest(np.uint16, 1), Preprocess(200))[0]
    got = perturbed(plane, name, 2, content=CONTENT)
    assert (got.shape, got.dtype) == ((200, 200), np.uint8)
    assert not np.array_equal(got, plane)


@pytest.mark.parametrize(
    ("pixels", "kind", "level", "message"),
    [
        (RAMP, "blurr", 1, "unknown perturbation 'blurr'; one of brightness, contrast"),
        (RAMP, "blur", 6, "perturbation level 6; a whole number from 0 to 5"),
        (RAMP, "blur", -1, "level -1"),
        (RAMP, "blur", 1.5, "level 1.5"),
        (RAMP.astype(np.float32), "blur", 1, "of float32"),
        (RAMP[None], "blur", 0, r"pixels \(1, 16, 16\) of uint8"),
    ],
)
def test_unusable_input(pixels, kind, level, message):
    with pytest.raises(UsageError, match=message) as caught:
        perturbed(pixels, kind, level, content=CONTENT)
    assert caught.value.code == "E-USAGE-06"
