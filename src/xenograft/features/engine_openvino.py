"""PixelGraph or ONNX file -> OpenVINO, several requests in flight: the engine for processors."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager

Array = NDArray[np.float32]

# One fixed shape: the kernels, and so the last bits of a feature, do not depend on how many images a batch holds.
BATCH = 8


class OpenVinoEngine:
    """A compiled model in throughput mode.

    Args:
        model: a `PixelGraph` in evaluation mode, or the path of an ONNX file with one uint8 pixel input.
        precision: ``bf16`` or ``f32``; never left to OpenVINO, whose own default is bf16 wherever that is faster.
    """

    def __init__(self, model: Any, *, precision: str) -> None:
        core = ov.Core()
        network = core.read_model(model) if isinstance(model, Path) else _converted(model)
        shape = network.inputs[0].get_partial_shape()
        if not isinstance(model, Path):
            shape = ov.PartialShape([-1, *model.input_shape])
        shape[0] = BATCH
        network.reshape({0: shape})
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        self._compiled = core.compile_model(network, "CPU", settings)
        self._flights: int = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")

    @property
    def outputs(self) -> int:
        """Length of one output row."""
        return int(self._compiled.outputs[0].get_partial_shape()[1].get_length())

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Array]:
        """(n, C, S, S) uint8 batches of at most `BATCH` -> (n, D) float32, in order, many in flight."""
        # Requests are awaited in turn: OpenVINO's own queue calls back into Python and deadlocks when dropped early.
        idle = [self._compiled.create_infer_request() for _ in range(self._flights)]
        flying: deque[tuple[Any, int]] = deque()
        for batch in batches:
            if not idle:
                yield self._landed(flying, idle)
            request = idle.pop()
            request.start_async({0: _filled(batch)})
            flying.append((request, len(batch)))
        while flying:
            yield self._landed(flying, idle)

    @staticmethod
    def _landed(flying: deque[tuple[Any, int]], idle: list[Any]) -> Array:
        """The oldest request's features; it is idle again afterwards."""
        request, size = flying.popleft()
        request.wait()
        features = np.array(request.get_output_tensor(0).data[:size], dtype=np.float32)  # the buffer is reused
        idle.append(request)
        return features


def _filled(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(batch) == BATCH:
        return batch
    return np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), dtype=np.uint8)])


def _converted(graph: Any) -> ov.Model:
    """Convert by tracing; openvino.convert_model would do the same but reports its use over the network."""
    import torch

    with warnings.catch_warnings():
        # OpenVINO's decoder traces with torch.jit, which torch deprecates; its torch.export path takes 5 times as long
        warnings.simplefilter("ignore")
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        decoder = TorchScriptPythonDecoder(
            graph, example_input=(torch.zeros(2, *graph.input_shape, dtype=torch.uint8),)
        )
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))
