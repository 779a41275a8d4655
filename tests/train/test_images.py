from __future__ import annotations

import numpy as np
import pytest
import torch

from xenograft.data.augment import PAPER, augmented
from xenograft.train.images import ImageSet, batches_of, steps_of


def test_an_epoch_holds_the_views_of_its_number() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, 16, 16), dtype=np.uint8)
    held = ImageSet(pixels, np.arange(7), tuple(f"{k + 1:016x}" for k in range(7)))
    seen = 0
    for images, labels in held.epoch(4, batch_size=3, augment=PAPER, seed=2, threads=2):
        for image, index in zip(images, labels.tolist(), strict=True):
            expected = augmented(pixels[index], PAPER, content=held.contents[index], view=4, seed=2)
            assert torch.equal(image, torch.from_numpy(expected))
            seen += 1
    assert seen == 6  # the seventh would be a batch of its own


@pytest.mark.parametrize(("count", "sizes"), [(8, [4, 4]), (9, [4, 4]), (10, [4, 4, 2]), (3, [3]), (1, [1])])
def test_batches_and_steps_agree(count: int, sizes: list[int]) -> None:
    parts = batches_of(count, 3, batch_size=4, seed=0)
    assert [len(part) for part in parts] == sizes
    assert steps_of(count, 4) == len(sizes)
    assert len(np.unique(np.concatenate(parts))) == sum(sizes)
