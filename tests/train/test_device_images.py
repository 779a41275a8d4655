"""On the device 'cpu': the same code as on a GPU, compared with OpenCV's views."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from xenograft.data.augment import NONE, PAPER, Augment, augmented, drawn
from xenograft.train.device_images import DeviceImages, looked_up, placed, theta_of, warped
from xenograft.train.images import ImageSet

ROTATED_OUT = Augment("strong", scale=(0.3, 1.0), rotation=40.0, flip=0.5, brightness=0.4, contrast=0.4)


def image_set(channels: int = 1, *, count: int = 13, side: int = 64) -> ImageSet:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (count, channels, side, side), dtype=np.uint8)
    pixels = np.stack([[cv2.GaussianBlur(channel, (0, 0), 1.0) for channel in image] for image in noise])
    return ImageSet(pixels, np.arange(count) % 3, tuple(f"{k * 7919 + 1:016x}" for k in range(count)))


@pytest.mark.parametrize("channels", [1, 3], ids=["gray", "colour"])
@pytest.mark.parametrize("augment", [PAPER, ROTATED_OUT], ids=lambda a: a.name)
def test_views_are_those_of_opencv(channels: int, augment: Augment) -> None:
    held = image_set(channels)
    options = {"batch_size": 5, "augment": augment, "seed": 3, "threads": 2}
    theirs, ours = list(held.epoch(2, **options)), list(DeviceImages(held, "cpu").epoch(2, **options))  # type: ignore[arg-type]
    assert [len(y) for _, y in ours] == [5, 5, 3]
    for (expected, truth), (views, labels) in zip(theirs, ours, strict=True):
        assert torch.equal(truth, labels)
        assert (views.dtype, views.shape) == (torch.uint8, expected.shape)
        apart = (views.int() - expected.int()).abs().float()
        assert apart.mean() < 1
        assert (apart <= 2).float().mean() > 0.99


def test_an_exact_mirror_is_exact() -> None:
    held = image_set(3)
    flip = Augment("flip", flip=1.0)
    batch, _ = next(DeviceImages(held, "cpu").epoch(0, batch_size=13, augment=flip, seed=0, threads=1))
    plain, _ = next(DeviceImages(held, "cpu").epoch(0, batch_size=13, augment=NONE, seed=0, threads=1))
    assert torch.equal(batch, plain.flip(3))


def test_without_augmentation_the_images_themselves_come_in_the_same_order() -> None:
    held = image_set()
    options = {"batch_size": 4, "augment": NONE, "seed": 1, "threads": 1}
    ours = list(DeviceImages(held, "cpu").epoch(7, **options))  # type: ignore[arg-type]
    for (a, b), (c, d) in zip(held.epoch(7, **options), ours, strict=True):  # type: ignore[arg-type]
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    assert len(ours) == held.steps(4) == DeviceImages(held, "cpu").steps(4) == 3  # the last one is left out


def test_in_order() -> None:
    held = image_set()
    for (a, b), (c, d) in zip(held.in_order(5), DeviceImages(held, "cpu").in_order(5), strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_several_labels_an_image_stay_with_it() -> None:
    plain = image_set()
    held = replace(plain, labels=np.stack([plain.labels, -plain.labels // 2, np.arange(13)], axis=1))
    options = {"batch_size": 4, "augment": NONE, "seed": 1, "threads": 1}
    for source in (held, DeviceImages(held, "cpu")):
        parts = [*source.epoch(2, **options), *source.in_order(4)]  # type: ignore[arg-type]
        for pixels, labels in parts:
            assert labels.shape == (len(pixels), 3)
            assert torch.equal(pixels, torch.from_numpy(held.pixels[labels[:, 2].numpy()]))
            assert torch.equal(labels, torch.from_numpy(held.labels[labels[:, 2].numpy()]))


def test_each_image_has_its_own_table_and_warp() -> None:
    held = image_set(3, count=2)
    pairs = [drawn(PAPER, 64, content=held.contents[k], view=k, seed=5) for k in range(2)]
    tables = torch.from_numpy(np.stack([table for _, table in pairs]))
    pixels = torch.from_numpy(held.pixels)
    through = looked_up(pixels, tables)
    np.testing.assert_array_equal(through[1].numpy(), cv2.LUT(held.pixels[1], pairs[1][1]))
    views = warped(through, theta_of(np.stack([matrix for matrix, _ in pairs]), 64))
    for k in range(2):
        expected = augmented(held.pixels[k], PAPER, content=held.contents[k], view=k, seed=5)
        assert np.abs(views[k].numpy().astype(int) - expected).mean() < 1


def test_sets_go_to_the_device_when_they_fit_in_half_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenograft.train.device_images.DeviceImages", lambda held, device: (device, held))
    held = image_set()
    size = held.pixels.nbytes
    assert placed([held, held], "cpu", free=10**12) == [held, held]
    assert placed([held, held], "cuda", free=4 * size) == [("cuda", held)] * 2
    assert placed([held, held], "cuda", free=4 * size - 2) == [held, held]
