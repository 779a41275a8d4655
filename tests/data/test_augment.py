import numpy as np
import pytest

from xenograft.data.augment import NONE, PAPER, PRESETS, Augment, augmented, preset
from xenograft.errors import UsageError

CONTENT = "0123456789abcdef" * 4


def view_of(image, augment=PAPER, content=CONTENT, view=0, seed=0):
    return augmented(image, augment, content=content, view=view, seed=seed)


@pytest.fixture(params=[1, 3], ids=["gray", "colour"])
def image(request):
    return np.random.default_rng(0).integers(0, 256, (request.param, 40, 40), dtype=np.uint8)


def test_the_same_content_view_and_seed_give_the_same_view(image):
    np.testing.assert_array_equal(view_of(image), view_of(image.copy()))


@pytest.mark.parametrize("change", [{"view": 1}, {"seed": 1}, {"content": "f" * 64}], ids=str)
def test_another_view_seed_or_content_gives_another_view(image, change):
    assert not np.array_equal(view_of(image), view_of(image, **change))


def test_a_view_keeps_shape_and_type_and_the_image(image):
    before = image.copy()
    view = view_of(image)
    assert (view.shape, view.dtype) == (image.shape, np.uint8)
    assert view.flags.c_contiguous
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("augment", [NONE, Augment("nothing")], ids=["none", "all strengths zero"])
def test_no_augmentation_is_the_identity(image, augment):
    np.testing.assert_array_equal(view_of(image, augment), image)


@pytest.mark.parametrize("side", [39, 40])
def test_flip_only_is_the_exact_mirror(side):
    image = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
    np.testing.assert_array_equal(view_of(image, Augment("flip", flip=1.0)), image[:, :, ::-1])


def test_half_of_the_views_are_flipped():
    image = np.zeros((1, 16, 16), np.uint8)
    image[:, :, :8] = 255
    flips = [view_of(image, Augment("flip", flip=0.5), view=view)[0, 0, 0] == 0 for view in range(200)]
    assert 70 < sum(flips) < 130


def test_brightness_only_multiplies_every_value():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    factors = set()
    for view in range(20):
        seen = view_of(ramp, Augment("bright", brightness=0.5), view=view).ravel()
        factor = float(np.median(seen[50:150] / np.arange(50, 150)))
        factors.add(round(factor, 2))
        np.testing.assert_allclose(seen, np.minimum(np.arange(256) * factor, 255), atol=1.5)
        assert (np.diff(seen.astype(int)) >= 0).all()
    assert len(factors) > 10
    assert 0.49 < min(factors) < 1 < max(factors) < 1.51


def test_brightness_table_is_exact():
    """The draws in their order: scale, angle, flip, contrast, brightness."""
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    rng = np.random.default_rng([5, 2, int(CONTENT[:16], 16)])
    rng.uniform(size=3)
    rng.uniform(size=1)
    factor = 1 + rng.uniform(-0.3, 0.3)
    expected = np.clip(np.rint(np.arange(256) * factor), 0, 255)
    seen = view_of(ramp, Augment("bright", brightness=0.3), view=2, seed=5)
    np.testing.assert_array_equal(seen.ravel(), expected)


def test_contrast_only_keeps_middle_gray_and_symmetry():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for view in range(10):
        seen = view_of(ramp, Augment("contrast", contrast=0.4), view=view).ravel().astype(int)
        assert abs(int(seen[127]) + int(seen[128]) - 255) <= 1
        np.testing.assert_allclose(seen + seen[::-1], 255, atol=1)


def test_crop_only_brings_no_border_in():
    white = np.full((1, 64, 64), 255, np.uint8)
    for view in range(200):
        assert view_of(white, Augment("crop", scale=(0.3, 1.0)), view=view).min() == 255


def test_crop_only_shows_a_part_at_the_same_scale_in_both_directions():
    rows, columns = np.mgrid[0:64, 0:64].astype(np.uint8)
    for view in range(10):
        crop = Augment("crop", scale=(0.5, 0.9))
        down = np.diff(view_of(rows[None], crop, view=view)[0].astype(int), axis=0)
        across = np.diff(view_of(columns[None], crop, view=view)[0].astype(int), axis=1)
        assert down.mean() == pytest.approx(across.mean(), abs=0.02)
        assert np.sqrt(0.5) - 0.02 < down.mean() < np.sqrt(0.9) + 0.02


def test_rotation_only_keeps_the_centre_and_shows_black_corners():
    image = np.full((1, 65, 65), 200, np.uint8)
    image[0, 30:35, 30:35] = 90
    views = [view_of(image, Augment("turn", rotation=20.0), view=view)[0] for view in range(20)]
    assert {int(view[32, 32]) for view in views} == {90}
    assert sum(view[0, 0] < 200 for view in views) > 10


def test_the_channels_of_a_view_stay_together():
    gray = np.random.default_rng(1).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    colour = view_of(np.repeat(gray, 3, axis=0))
    for channel in colour:
        np.testing.assert_array_equal(channel, view_of(gray)[0])


def test_presets():
    assert preset("paper") is PAPER
    assert set(PRESETS) == {"none", "paper"}
    assert PAPER.as_json()["scale"] == [0.8, 1.0]
    with pytest.raises(UsageError, match="unknown augmentation 'papre'; one of none, paper") as caught:
        preset("papre")
    assert caught.value.code == "E-USAGE-06"
