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
    """Labelled prepared images: pixels (N, C, S, S) uint8, labels (N,), contents (N,) file hashes."""

    pixels: Pixels
    labels: NDArray[np.int64]
    contents: tuple[str, ...]

    def epoch(
        self, number: int, *, batch_size: int, augment: Augment, seed: int, threads: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled, augmented batches of one epoch: the same for the same number and seed.

        A last batch of one image is left out: batch normalisation cannot train on it.
        """
        order = np.random.default_rng([seed, number]).permutation(len(self.labels))
        parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts.pop()

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
        full, rest = divmod(len(self.labels), batch_size)
        return full + (rest > 1 or full == 0)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image as it is, in order."""
        for start in range(0, len(self.labels), batch_size):
            part = slice(start, start + batch_size)
            yield torch.from_numpy(self.pixels[part]), torch.from_numpy(self.labels[part])
