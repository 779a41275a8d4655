"""(backbone, device, precision) -> where and how finely the loop computes; decided without building anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xenograft.backbones.catalog import BackboneSpec
from xenograft.errors import UsageError
from xenograft.features.engine import has_bf16, processor_flags

CPU_MICRO_BATCH = 16
_COMPILE_FROM = 2000  # steps: the minutes that compiling takes come back only in a long run

_BYTES_PER_IMAGE = 350e6  # of a training step at 224 px and f32: DenseNet161, the most of the paper's eight
_USABLE = 0.7  # of a device's memory: the rest is for the data set, the optimiser and fragmentation


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the loop computes.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``. bf16: autocast to bfloat16.
        micro_batch: images per forward and backward pass, at least 2; None takes the whole batch. The gradient of a
            batch is the same either way; batch normalisation alone sees one part at a time, as if batches were smaller.
    """

    device: str = "cpu"
    bf16: bool = False
    micro_batch: int | None = None

    def __post_init__(self) -> None:
        if self.micro_batch is not None and self.micro_batch < 2:
            raise UsageError(
                f"micro_batch is {self.micro_batch}; batch normalisation needs at least 2 images", code="E-USAGE-11"
            )

    @property
    def precision(self) -> str:
        """``bf16`` or ``f32``."""
        return "bf16" if self.bf16 else "f32"

    def parts(self, count: int) -> list[int]:
        """How many of `count` images each pass takes: parts that differ by one at most, none of a single image.

        Parts of one size serve batch normalisation better than full ones and a small rest.
        """
        if self.micro_batch is None or count <= self.micro_batch:
            return [count]
        number = min(-(-count // self.micro_batch), count // 2)  # 3 images in parts of 2 are one part of 3
        least, more = divmod(count, number)
        return [least + 1] * more + [least] * (number - more)

    def with_parts(self, micro_batch: int | None) -> Machine:
        """The same with other parts."""
        return replace(self, micro_batch=micro_batch)


def choose_machine(
    spec: BackboneSpec,
    *,
    device: str,
    precision: str = "auto",
    micro_batch: int | None = None,
    batch_size: int = 64,
    size: int = 224,
    memory: int | None = None,
) -> Machine:
    """How to train a backbone on a device. A plan belongs to a run's fingerprint, so it depends on lasting facts alone.

    Args:
        precision: ``auto``, ``bf16`` or ``f32``. micro_batch: what the user wants; None decides here.
        batch_size: images per step. size: side of the input in pixels.
        memory: of the device in bytes, all of it and not what is free now; None takes it as large enough.
    """
    bf16 = precision == "bf16" or (precision == "auto" and _bf16_pays(spec, device))
    if micro_batch is None:
        fitting = batch_size if memory is None else _fitting(size, bf16, memory, device)
        # small parts stay in a processor's caches, and hold 0.4 of the memory (MobileNet v2 at batch 64)
        micro_batch = min(fitting, CPU_MICRO_BATCH) if device == "cpu" else fitting
    return Machine(device, bf16, micro_batch if micro_batch < batch_size else None)


def total_memory(device: str) -> int:
    """Bytes that a device has."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    if device == "mps":
        return int(torch.mps.recommended_max_memory())
    import psutil

    return int(psutil.virtual_memory().total)


def pays_to_compile(device: str, steps: int) -> bool:
    """Whether torch.compile is worth its minutes: on CUDA, in a long run; on processors it never was."""
    return device == "cuda" and steps >= _COMPILE_FROM


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")


def moved(tensor: Tensor, device: str) -> Tensor:
    """A host's batch on a device: to a GPU without waiting for the copy."""
    if device == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def release(device: str) -> None:
    """Give memory back that torch keeps for reuse, so that it can be cut otherwise."""
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def _bf16_pays(spec: BackboneSpec, device: str) -> bool:
    """On GPUs and matrix tiles always; with AVX-512 alone for dense convolutions, not for depthwise ones."""
    if device != "cpu" or "amx_bf16" in processor_flags():
        return has_bf16(device)
    return has_bf16(device) and not spec.depthwise


def _fitting(size: int, bf16: bool, memory: int, device: str) -> int:
    """The largest power of two, at least 2, of images whose training step should fit in `memory`."""
    each = _BYTES_PER_IMAGE * (size / 224) ** 2 * (0.6 if bf16 else 1.0)
    if device != "cpu":
        each /= 2  # most networks need no more; a GPU that runs out says so, while a process on a CPU is killed
    fitting = max(2, int(_USABLE * memory / each))
    return int(1 << (fitting.bit_length() - 1))
