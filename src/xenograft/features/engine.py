"""Which engine embeds, at which precision, on which device: decided without building one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import UsageError

ENGINES = ("auto", "openvino", "torch")
PRECISIONS = ("auto", "bf16", "f32")


class Engine(Protocol):
    """A compiled backbone."""

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """(n, C, S, S) uint8 batches -> (n, D) float32 features, in order; may work on several at once."""
        ...


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What will embed. Part of every feature key.

    Args:
        name: ``openvino`` or ``torch``. precision: ``bf16`` or ``f32``. device: ``cpu``, ``cuda`` or ``mps``.
        version: of the engine's library.
    """

    name: str
    precision: str
    device: str
    version: str

    def build(self, graph: Any) -> Engine:
        """Compile a `PixelGraph` in evaluation mode."""
        if self.name == "openvino":
            from xenograft.features.engine_openvino import OpenVinoEngine

            return OpenVinoEngine(graph, precision=self.precision)
        from xenograft.features.engine_torch import TorchEngine

        return TorchEngine(graph, precision=self.precision, device=self.device)

    def as_json(self) -> dict[str, str]:
        """A mapping that JSON can hold."""
        return {"name": self.name, "precision": self.precision, "device": self.device, "version": self.version}


def choose_engine(name: str = "auto", precision: str = "auto") -> EngineChoice:
    """OpenVINO on processors, torch on GPUs and where OpenVINO is missing; bf16 where the hardware multiplies it.

    Raises:
        UsageError: an unknown or unavailable choice.
    """
    if name not in ENGINES or precision not in PRECISIONS:
        raise UsageError(
            f"engine {name!r} at {precision!r}: engines are {', '.join(ENGINES)}, precisions {', '.join(PRECISIONS)}",
            code="E-USAGE-09",
        )
    device = torch_device() if name != "openvino" else "cpu"
    has_openvino = importlib.util.find_spec("openvino") is not None
    if name == "openvino" and not has_openvino:
        raise UsageError("engine openvino is not installed; run: uv pip install openvino", code="E-USAGE-09")
    if name == "auto":
        name = "openvino" if device == "cpu" and has_openvino else "torch"
    if precision == "auto":
        precision = "bf16" if has_bf16(device) else "f32"
    return EngineChoice(name, precision, device, importlib.metadata.version(name))


@cache
def torch_device() -> str:
    """``cuda``, ``mps`` or ``cpu``, whichever torch can use here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@cache
def has_bf16(device: str) -> bool:
    """Whether the hardware multiplies bf16 natively; emulation would only lose accuracy."""
    if device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported())
    return device == "cpu" and not _processor_flags().isdisjoint({"avx512_bf16", "amx_bf16"})


@cache
def trains_in_bf16(device: str) -> bool:
    """Whether torch trains faster in bf16: on a GPU or with matrix tiles; AVX-512 alone is slower than f32 (0.8 x)."""
    return has_bf16(device) if device != "cpu" else "amx_bf16" in _processor_flags()


def _processor_flags() -> frozenset[str]:
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:  # not Linux: stay exact
        return frozenset()
