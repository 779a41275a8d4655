"""Prepared pixels in memory -> the loop's batches, augmented by threads one batch ahead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.data.augment import Augment, augmented

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Labelled prepared images: pixels (N, C, S, S) uint8, labels (N,) or (N, L), contents (N,) file hashes."""

    pixels: Pixels
    labels: NDArray[np.int64]
    contents: tuple[str, ...]

    def epoch(
        self, number: int, *, batch_size: int, augment: Augment, seed: int, threads: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled, augmented batches of one epoch, see `batches_of`: the same for the same number and seed."""
        parts = batches_of(len(self.labels), number, batch_size=batch_size, seed=seed)

        def view(index: int) -> Pixels:
            return augmented(self.pixels[index], augment, content=self.contents[index], view=number, seed=seed)

        with ThreadPoolExecutor(threads, thread_name_prefix="augment") as pool:
            ahead = [pool.submit(view, int(i)) for i in parts[0]]
            for part, following in zip(parts, [*parts[1:], None], strict=True):
                images = np.stack([future.result() for future in ahead])
                ahead = [pool.submit(view, int(i)) for i in following] if following is not None else []
                yield torch.from_numpy(images), torch.from_numpy(self.labels[part])

    def steps(self, batch_size: int) -> int:
        """Batches per epoch."""
        return steps_of(len(self.labels), batch_size)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image as it is, in order."""
        for start in range(0, len(self.labels), batch_size):
            part = slice(start, start + batch_size)
            yield torch.from_numpy(self.pixels[part]), torch.from_numpy(self.labels[part])


def batches_of(count: int, number: int, *, batch_size: int, seed: int) -> list[NDArray[np.int64]]:
    """Which of `count` images each batch of epoch `number` takes.

    A last batch of one image is left out: batch normalisation cannot train on it.
    """
    order = np.random.default_rng([seed, number]).permutation(count)
    parts = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts.pop()
    return parts


def steps_of(count: int, batch_size: int) -> int:
    """Batches per epoch: the length of `batches_of`."""
    full, rest = divmod(count, batch_size)
    return full + (rest > 1 or full == 0)
