from __future__ import annotations

import pytest
import torch

from xenograft.backbones.catalog import lookup
from xenograft.errors import UsageError
from xenograft.train import machine
from xenograft.train.machine import Machine, choose_machine, out_of_memory, pays_to_compile, total_memory

DENSE, DEPTHWISE = lookup("resnet18"), lookup("mobilenet_v2")


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The processor's, to be filled by the test."""
    found: set[str] = set()
    monkeypatch.setattr(machine, "processor_flags", lambda: frozenset(found))
    monkeypatch.setattr(machine, "has_bf16", lambda device: device == "cuda" or bool(found))
    return found


@pytest.mark.parametrize(
    ("count", "micro_batch", "parts"),
    [
        (64, None, [64]),
        (64, 16, [16, 16, 16, 16]),
        (34, 16, [12, 11, 11]),
        (17, 16, [9, 8]),
        (5, 16, [5]),
        (3, 2, [3]),
        (5, 2, [3, 2]),
        (1, 2, [1]),
    ],
)
def test_parts(count: int, micro_batch: int | None, parts: list[int]) -> None:
    assert Machine(micro_batch=micro_batch).parts(count) == parts


def test_no_part_is_a_single_image() -> None:
    for micro_batch in range(2, 20):
        for count in range(2, 70):
            parts = Machine(micro_batch=micro_batch).parts(count)
            assert sum(parts) == count
            assert min(parts) > 1
            assert max(parts) <= max(micro_batch, 3)


def test_a_part_of_one_image_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="micro_batch is 1; batch normalisation needs at least 2"):
        Machine(micro_batch=1)


@pytest.mark.parametrize(
    ("processor", "spec", "precision", "bf16"),
    [
        ("", DENSE, "auto", False),
        ("avx512_bf16", DENSE, "auto", True),
        ("avx512_bf16", DEPTHWISE, "auto", False),
        ("avx512_bf16 amx_bf16", DEPTHWISE, "auto", True),
        ("avx512_bf16", DEPTHWISE, "bf16", True),
        ("avx512_bf16 amx_bf16", DENSE, "f32", False),
        ("", DENSE, "bf16", True),
    ],
)
def test_precision_on_a_processor(flags: set[str], processor: str, spec: object, precision: str, bf16: bool) -> None:
    flags.update(processor.split())
    chosen = choose_machine(spec, device="cpu", precision=precision)  # type: ignore[arg-type]
    assert chosen == Machine("cpu", bf16, 16)


@pytest.mark.parametrize(
    ("device", "gigabytes", "size", "parts"),
    [
        ("cpu", 64, 224, 16),
        ("cpu", 4, 224, 8),
        ("cpu", 1, 224, 2),
        ("cuda", 80, 224, None),
        ("cuda", 8, 224, 32),
        ("cuda", 24, 512, 16),
        ("cuda", 1, 2048, 2),
    ],
)
@pytest.mark.usefixtures("flags")
def test_parts_that_fit_the_memory(device: str, gigabytes: int, size: int, parts: int | None) -> None:
    chosen = choose_machine(DENSE, device=device, memory=gigabytes * 10**9, size=size)
    assert chosen == Machine(device, device == "cuda", parts)


def test_the_users_parts_count() -> None:
    assert choose_machine(DENSE, device="cpu", micro_batch=24, memory=10**9).micro_batch == 24
    assert choose_machine(DENSE, device="cpu", micro_batch=64).micro_batch is None  # the whole batch


def test_a_small_batch_stays_whole() -> None:
    assert choose_machine(DENSE, device="cpu", batch_size=16).micro_batch is None


def test_compiling_is_for_long_runs_on_cuda() -> None:
    assert pays_to_compile("cuda", 10_000)
    assert not pays_to_compile("cuda", 100)
    assert not pays_to_compile("cpu", 10**9)
    assert not pays_to_compile("mps", 10**9)


def test_out_of_memory_is_known_by_its_signs() -> None:
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert out_of_memory(caught.value)


def test_this_machine_has_memory() -> None:
    assert total_memory("cpu") > 10**8
