"""PixelGraph -> torch in evaluation mode: the engine for GPUs, and where OpenVINO is missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xenograft.errors import ProcessError

Array = NDArray[np.float32]

_BATCH = {"cpu": 32, "mps": 64}
_IN_FLIGHT = 3  # batches on their way: one is copied in, one computed, one copied out
_SHARE = 0.25  # of the free memory that one batch's activations may take
_AUTOCAST = {"bf16": torch.bfloat16, "f16": torch.float16}


class TorchEngine:
    """A network on a device, channels last, under autocast where less than f32 is asked for.

    On a GPU, batches are as large as the memory allows, pixels travel as uint8 from pinned memory, and results are
    fetched a few batches later, so that the device does not wait for the host.

    Args:
        graph: a `PixelGraph`. precision: ``bf16``, ``f16`` or ``f32``. device: ``cpu``, ``cuda`` or ``mps``.
        threads: of the processor; 0 leaves torch's own number.
    """

    def __init__(self, graph: nn.Module, *, precision: str, device: str, threads: int = 0) -> None:
        if threads and device == "cpu":
            torch.set_num_threads(threads)
        self._shape: tuple[int, int, int] = graph.input_shape  # type: ignore[assignment]  # every graph has one
        self._graph = graph.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._dtype = _AUTOCAST.get(precision)
        self._halved = False
        self.batch_size = _BATCH[device] if device in _BATCH else self._fitting()

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Array]:
        """(n, C, S, S) uint8 batches -> (n, D) float32, in order.

        Raises:
            ProcessError: the memory is too small even for half a batch (P11).
        """
        flying: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()
        for batch in batches:
            flying.append(self._sent(self._computed(torch.from_numpy(batch))))
            if len(flying) >= _IN_FLIGHT:
                yield _landed(*flying.popleft())
        while flying:
            yield _landed(*flying.popleft())

    def _computed(self, pixels: Tensor) -> Tensor:
        parts = torch.split(pixels, -(-len(pixels) // 2)) if self._halved else (pixels,)
        try:
            return torch.cat([self._forward(part) for part in parts])
        except torch.OutOfMemoryError as error:
            if self._halved:
                raise ProcessError(
                    f"the memory of {self._device} is too small for {len(parts[0])} images at {self._shape[1]} px; "
                    "choose a smaller backbone or --size, or free memory",
                    code="E-PROC-11",
                ) from error
        self._halved = True
        torch.cuda.empty_cache()
        return self._computed(pixels)

    def _forward(self, pixels: Tensor) -> Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(self._device, self._dtype or torch.bfloat16, enabled=self._dtype is not None),
        ):
            if self._device == "cuda":
                pixels = pixels.pin_memory()
            features: Tensor = self._graph(pixels.to(self._device, non_blocking=True))
        return features.float()

    def _sent(self, features: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """Start the copy to the host; the event says when it has arrived."""
        if self._device != "cuda":
            return features.cpu(), None
        host = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        host.copy_(features, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return host, event

    def _fitting(self) -> int:
        """The largest power of two up to 1024 whose activations take a share of the free memory, measured on 8."""
        count = 8
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        self._forward(torch.zeros(count, *self._shape, dtype=torch.uint8))
        each = max(1, (torch.cuda.max_memory_allocated() - before) // count)
        most = int(torch.cuda.mem_get_info()[0] * _SHARE) // each
        return max(8, min(1024, 1 << max(0, most.bit_length() - 1)))


def _landed(features: Tensor, event: torch.cuda.Event | None) -> Array:
    if event is not None:
        event.synchronize()
    return features.numpy()
