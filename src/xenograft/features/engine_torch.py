"""PixelGraph -> torch in evaluation mode: the engine for GPUs, and where OpenVINO is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class TorchEngine:
    """A network on a device, channels last, under autocast where bf16 is asked for.

    Args:
        graph: a `PixelGraph`. precision: ``bf16`` or ``f32``. device: ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, graph: nn.Module, *, precision: str, device: str) -> None:
        self._graph = graph.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._autocast = precision == "bf16"

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """(n, C, S, S) uint8 batches -> (n, D) float32, in order."""
        for batch in batches:
            with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=self._autocast):
                features = self._graph(torch.from_numpy(batch).to(self._device))
            yield features.float().cpu().numpy()
