"""An ImageSet kept on a GPU: the host draws the views, the device computes them; the same views, the same batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from xenograft.data.augment import NONE, Augment, drawn
from xenograft.train.images import ImageSet, batches_of, steps_of
from xenograft.train.machine import moved, release


@dataclass(frozen=True, slots=True)
class _Draws:
    """What one batch needs from the host: indices (N,), and per image theta (N, 2, 3) and table (N, 256) or neither."""

    indices: Tensor
    views: tuple[Tensor, Tensor] | None


class DeviceImages:
    """Labelled prepared images on a device, with the methods of `ImageSet`."""

    def __init__(self, images: ImageSet, device: str) -> None:
        self.labels = images.labels
        self.contents = images.contents
        self._device = device
        self._pixels = torch.from_numpy(images.pixels).to(device)
        self._truth = torch.from_numpy(images.labels).to(device)

    def epoch(
        self, number: int, *, batch_size: int, augment: Augment, seed: int, threads: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of `ImageSet.epoch`, on the device; a level may differ where the interpolation rounds otherwise.

        Args:
            threads: of the host, for drawing; numbers are drawn so quickly that one is used.
        """
        parts = batches_of(len(self.labels), number, batch_size=batch_size, seed=seed)
        with ThreadPoolExecutor(min(1, threads), thread_name_prefix="draw") as pool:
            ahead = pool.submit(self._draw, parts[0], augment, number, seed)
            for following in [*parts[1:], None]:
                draws = ahead.result()
                if following is not None:
                    ahead = pool.submit(self._draw, following, augment, number, seed)
                yield self._batch(draws)

    def steps(self, batch_size: int) -> int:
        """Batches per epoch."""
        return steps_of(len(self.labels), batch_size)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image as it is, in order."""
        yield from zip(torch.split(self._pixels, batch_size), torch.split(self._truth, batch_size), strict=True)

    def _draw(self, part: NDArray[np.int64], augment: Augment, view: int, seed: int) -> _Draws:
        indices = torch.from_numpy(part)
        if augment == NONE:
            return _Draws(indices, None)
        side = self._pixels.shape[-1]
        pairs = [drawn(augment, side, content=self.contents[int(i)], view=view, seed=seed) for i in part]
        matrices = np.stack([matrix for matrix, _ in pairs])
        return _Draws(indices, (theta_of(matrices, side), torch.from_numpy(np.stack([table for _, table in pairs]))))

    def _batch(self, draws: _Draws) -> tuple[Tensor, Tensor]:
        indices = moved(draws.indices, self._device)
        pixels, truth = self._pixels[indices], self._truth[indices]
        if draws.views is not None:
            theta, tables = draws.views
            pixels = warped(looked_up(pixels, moved(tables, self._device)), moved(theta, self._device))
        return pixels, truth


def placed(images: Sequence[ImageSet], device: str, *, free: int | None = None) -> list[ImageSet | DeviceImages]:
    """The sets on a GPU as long as all of them take no more than half of its free memory, else where they are.

    Args:
        free: bytes; None asks the device.
    """
    if device == "cpu":
        return list(images)
    free = free_memory(device) if free is None else free
    needed = sum(held.pixels.nbytes for held in images)
    return [DeviceImages(held, device) for held in images] if needed <= free // 2 else list(images)


def free_memory(device: str) -> int:
    """Bytes that a GPU can still give."""
    release(device)  # what earlier runs left in torch's cache is free as well
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())


def theta_of(matrices: NDArray[np.float64], side: int) -> Tensor:
    """(N, 2, 3) maps between pixels -> the same between torch's coordinates: -1 and 1 are the outer pixels' centres.

    With u = 2 x / (side - 1) - 1, x' = A x + b becomes u' = A u + A 1 + 2 b / (side - 1) - 1.
    """
    linear, offset = matrices[:, :, :2], matrices[:, :, 2]
    moved_centre = linear.sum(axis=2) + 2.0 * offset / (side - 1) - 1.0
    return torch.from_numpy(np.concatenate([linear, moved_centre[:, :, None]], axis=2).astype(np.float32))


def looked_up(pixels: Tensor, tables: Tensor) -> Tensor:
    """Each image through its own table: (N, C, S, S) uint8, (N, 256) uint8 -> (N, C, S, S) uint8."""
    count = len(pixels)
    first = torch.arange(count, device=pixels.device, dtype=torch.int32).mul_(256).view(-1, 1, 1, 1)
    index = pixels.int() + first
    return tables.view(-1).index_select(0, index.view(-1)).view_as(pixels)


def warped(pixels: Tensor, theta: Tensor) -> Tensor:
    """What cv2.warpAffine gives: bilinear, black outside, rounded. (N, C, S, S) uint8, (N, 2, 3) -> uint8."""
    shape = list(pixels.shape)
    grid = functional.affine_grid(theta, shape, align_corners=True)
    seen = functional.grid_sample(pixels.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return seen.round_().clamp_(0, 255).to(torch.uint8)
