"""Which engine embeds, at which precision, on which device: decided without building one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import UsageError

ENGINES = ("auto", "openvino", "torch")
PRECISIONS = ("auto", "bf16", "f16", "f32")


class Engine(Protocol):
    """A compiled backbone.

    Args:
        batch_size: images per batch that `embed` takes best.
    """

    batch_size: int

    def embed(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """(n, C, S, S) uint8 batches -> (n, D) float32 features, in order; may work on several at once."""
        ...


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What will embed. Part of every feature key, `threads` aside: features do not depend on their number.

    Args:
        name: ``openvino`` or ``torch``. precision: ``bf16``, ``f16`` or ``f32``. device: ``cpu``, ``cuda`` or ``mps``.
        version: of the engine's library. threads: processor threads of the engine; 0 takes all.
    """

    name: str
    precision: str
    device: str
    version: str
    threads: int = field(default=0, compare=False)

    def build(self, graph: Any, *, images: int = 0) -> Engine:
        """Compile a `PixelGraph` in evaluation mode.

        Args:
            images: how many will be embedded, as far as is known: many are worth measuring the best batch size first.
        """
        if self.name == "openvino":
            from xenograft.features.engine_openvino import OpenVinoEngine

            return OpenVinoEngine(graph, precision=self.precision, threads=self.threads, tune=images >= _WORTH_TUNING)
        from xenograft.features.engine_torch import TorchEngine

        return TorchEngine(graph, precision=self.precision, device=self.device, threads=self.threads)

    def as_json(self) -> dict[str, str]:
        """A mapping that JSON can hold."""
        return {"name": self.name, "precision": self.precision, "device": self.device, "version": self.version}


_WORTH_TUNING = 20_000  # images: below, measuring costs more than the few percent that it finds


def choose_engine(name: str = "auto", precision: str = "auto", *, threads: int | None = None) -> EngineChoice:
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
    if precision == "f16" and not has_f16(device):
        raise UsageError(
            f"precision f16: {device} here does not multiply half precision (a GPU or AVX512-FP16 does); take bf16 or "
            "f32",
            code="E-USAGE-09",
        )
    return EngineChoice(name, precision, device, importlib.metadata.version(name), threads or 0)


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
    return device == "cpu" and not processor_flags().isdisjoint({"avx512_bf16", "amx_bf16"})


@cache
def has_f16(device: str) -> bool:
    """Whether the hardware multiplies half precision natively."""
    return device in {"cuda", "mps"} or not processor_flags().isdisjoint({"avx512_fp16", "amx_fp16"})


@cache
def processor_flags() -> frozenset[str]:
    """What the processor says it can do (Linux), e.g. ``avx512_bf16``; empty elsewhere: stay exact."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return frozenset()
