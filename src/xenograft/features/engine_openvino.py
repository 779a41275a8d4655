"""PixelGraph or ONNX file -> OpenVINO, several requests in flight: the engine for processors."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager

Array = NDArray[np.float32]

BATCH = 8
CANDIDATES = (4, 8, 16)
_TRIAL = 0.7  # seconds that each candidate batch size is measured for


class OpenVinoEngine:
    """A compiled model in throughput mode.

    The batch has one fixed shape, so that a smaller last batch runs the same kernels. Features do not depend on the
    shape or on the number of threads, bit for bit (tests hold this), so the fastest shape may be found by measuring.

    Args:
        model: a `PixelGraph` in evaluation mode, or the path of an ONNX file with one uint8 pixel input.
        precision: ``bf16``, ``f16`` or ``f32``; never left to OpenVINO, which takes bf16 wherever that is faster.
        threads: of the processor; 0 takes all. tune: measure the `CANDIDATES` for a few seconds and keep the fastest.
    """

    def __init__(self, model: Any, *, precision: str, threads: int = 0, tune: bool = False) -> None:
        self._core = ov.Core()
        self._network = self._core.read_model(model) if isinstance(model, Path) else _converted(model)
        self._settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": precision,
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        shape = self._network.inputs[0].get_partial_shape()
        if not isinstance(model, Path):
            shape = ov.PartialShape([-1, *model.input_shape])
        self._shape = shape
        self._compile(BATCH)
        if tune:
            self._compile(max(CANDIDATES, key=self._rate))

    @property
    def outputs(self) -> int:
        """Length of one output row."""
        return int(self._compiled.outputs[0].get_partial_shape()[1].get_length())

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Array]:
        """(n, C, S, S) uint8 batches of at most `batch_size` -> (n, D) float32, in order, many in flight."""
        # Requests are awaited in turn: OpenVINO's own queue calls back into Python and deadlocks when dropped early.
        idle = [self._compiled.create_infer_request() for _ in range(self._flights)]
        flying: deque[tuple[Any, int]] = deque()
        for batch in batches:
            if not idle:
                yield self._landed(flying, idle)
            request = idle.pop()
            request.start_async({0: self._filled(batch)})
            flying.append((request, len(batch)))
        while flying:
            yield self._landed(flying, idle)

    def _compile(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._shape[0] = batch_size
        self._network.reshape({0: self._shape})
        self._compiled = self._core.compile_model(self._network, "CPU", self._settings)
        # one more than run at a time: the next batch is ready when a request lands
        self._flights: int = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1

    def _rate(self, batch_size: int) -> float:
        """Images per second on random pixels."""
        self._compile(batch_size)
        pixels = np.random.default_rng(0).integers(0, 256, self._compiled.inputs[0].shape, dtype=np.uint8)
        list(self.embed(repeat(pixels, self._flights)))
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < _TRIAL:
            done += sum(len(part) for part in self.embed(repeat(pixels, 2 * self._flights)))
        return done / (time.perf_counter() - started)

    @staticmethod
    def _landed(flying: deque[tuple[Any, int]], idle: list[Any]) -> Array:
        """The oldest request's features; it is idle again afterwards."""
        request, size = flying.popleft()
        request.wait()
        features = np.array(request.get_output_tensor(0).data[:size], dtype=np.float32)  # the buffer is reused
        idle.append(request)
        return features

    def _filled(self, batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        lacking = self.batch_size - len(batch)
        if not lacking:
            return batch
        return np.concatenate([batch, np.zeros((lacking, *batch.shape[1:]), dtype=np.uint8)])


def _converted(graph: Any) -> ov.Model:
    """Convert by tracing; openvino.convert_model would do the same but reports its use over the network."""
    import torch

    with warnings.catch_warnings():
        # OpenVINO's decoder traces with torch.jit, which torch deprecates; its torch.export path takes 5 times as long
        warnings.simplefilter("ignore")
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        decoder = TorchScriptPythonDecoder(
            graph,
            example_input=(torch.zeros(2, *graph.input_shape, dtype=torch.uint8),),
            trace_kwargs={"check_trace": False},  # tracing twice to compare loads a computer algebra system: 2 seconds
        )
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))
