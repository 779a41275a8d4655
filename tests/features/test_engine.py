from __future__ import annotations

import numpy as np
import pytest
import torch

from xenograft.backbones import build, catalog
from xenograft.backbones.graph import PixelGraph
from xenograft.data.preprocess import Preprocess
from xenograft.errors import ProcessError, UsageError
from xenograft.features import engine
from xenograft.features.engine import choose_engine
from xenograft.features.engine_openvino import OpenVinoEngine
from xenograft.features.engine_torch import TorchEngine

SMALL = Preprocess(size=64, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def graph(name: str = "squeezenet1_1", preprocess: Preprocess = SMALL) -> PixelGraph:
    return PixelGraph(build.build(catalog.lookup(name), tensors=None, seed=0), preprocess).eval()


def pixels(count: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, channels, 64, 64), dtype=np.uint8)


def test_eq14_gray_is_replicated_and_normalised_in_the_graph() -> None:
    module = PixelGraph(torch.nn.Identity(), SMALL)
    gray = torch.from_numpy(pixels(2))
    expected = (gray.expand(-1, 3, -1, -1) / 255.0 - torch.tensor(SMALL.mean).view(1, 3, 1, 1)) / torch.tensor(
        SMALL.std
    ).view(1, 3, 1, 1)
    torch.testing.assert_close(module(gray), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_openvino_equals_torch_at_f32(channels: int) -> None:
    preprocess = Preprocess(size=64, channels=channels)  # type: ignore[arg-type]
    batches = [pixels(8, channels), pixels(3, channels)]
    module = graph(preprocess=preprocess)
    fast = list(choose_engine("openvino", "f32").build(module).embed(batches))
    slow = list(choose_engine("torch", "f32").build(module).embed(batches))
    assert [len(part) for part in fast] == [8, 3]
    np.testing.assert_allclose(np.concatenate(fast), np.concatenate(slow), rtol=1e-3, atol=1e-4)


def test_bf16_keeps_the_direction_of_features() -> None:
    module = graph()
    exact = np.concatenate(list(choose_engine("openvino", "f32").build(module).embed([pixels(8)])))
    quick = np.concatenate(list(choose_engine("openvino", "bf16").build(module).embed([pixels(8)])))
    cosine = (exact * quick).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(quick, axis=1)
    assert cosine.min() > 0.999


def test_order_is_kept_with_many_batches_in_flight() -> None:
    fast = choose_engine("openvino", "f32").build(graph())
    every = pixels(40)
    together = np.concatenate(list(fast.embed([every[i : i + 8] for i in range(0, 40, 8)])))
    alone = np.concatenate([next(iter(fast.embed([every[i : i + 1]]))) for i in range(40)])
    np.testing.assert_array_equal(together, alone)


def test_choice_is_openvino_on_a_processor_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "torch_device", lambda: "cpu")
    assert choose_engine().name == "openvino"
    monkeypatch.setattr(engine, "torch_device", lambda: "cuda")
    monkeypatch.setattr(engine, "has_bf16", lambda _device: True)
    choice = choose_engine()
    assert (choice.name, choice.device, choice.precision) == ("torch", "cuda", "bf16")


def test_without_openvino_torch_embeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "torch_device", lambda: "cpu")
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _name: None)
    assert choose_engine().name == "torch"
    with pytest.raises(UsageError, match="E-USAGE-09"):
        choose_engine("openvino")


@pytest.mark.parametrize(("name", "precision"), [("tensorrt", "auto"), ("auto", "int8")])
def test_unknown_choices_are_refused(name: str, precision: str) -> None:
    with pytest.raises(UsageError, match="E-USAGE-09"):
        choose_engine(name, precision)


def test_processor_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, embeds in (({"amx_bf16"}, True), ({"avx512_bf16"}, True), ({"sse"}, False)):
        monkeypatch.setattr(engine, "processor_flags", lambda found=flags: frozenset(found))
        engine.has_bf16.cache_clear()
        assert engine.has_bf16("cpu") == embeds
    engine.has_bf16.cache_clear()
    assert engine.has_bf16("mps") is False


@pytest.mark.parametrize("precision", ["bf16", "f32"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1"])
def test_features_do_not_depend_on_batch_size_or_threads(name: str, precision: str) -> None:
    if precision == "bf16" and not engine.has_bf16("cpu"):
        pytest.skip("this processor does not multiply bf16")
    module, every = graph(name), pixels(16)
    found = []
    for batch, threads in ((4, 1), (8, 0), (16, 2)):
        built = OpenVinoEngine(module, precision=precision, threads=threads)
        built._compile(batch)
        found.append(np.concatenate(list(built.embed([every[i : i + batch] for i in range(0, 16, batch)]))))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_the_fastest_batch_size_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {4: 10.0, 8: 5.0, 16: 30.0}
    monkeypatch.setattr(OpenVinoEngine, "_rate", lambda _self, size: rates[size])
    built = OpenVinoEngine(graph(), precision="f32", tune=True)
    assert built.batch_size == 16
    assert len(next(iter(built.embed([pixels(3)])))) == 3


def test_measuring_the_rate_runs_the_network() -> None:
    assert OpenVinoEngine(graph(), precision="f32")._rate(4) > 0


def test_f16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "torch_device", lambda: "cpu")
    monkeypatch.setattr(engine, "processor_flags", lambda: frozenset({"avx2"}))
    engine.has_f16.cache_clear()
    with pytest.raises(UsageError, match="does not multiply half precision"):
        choose_engine("auto", "f16")
    engine.has_f16.cache_clear()


def test_p11_out_of_memory_halves_the_batch_once_then_says_so() -> None:
    class Hungry(torch.nn.Module):
        input_shape = (1, 64, 64)
        most = 4

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return images.float().mean(dim=(2, 3))

    module = Hungry()
    built = TorchEngine(module, precision="f32", device="cpu")
    parts = list(built.embed([pixels(8), pixels(3)]))
    np.testing.assert_allclose(parts[0], pixels(8).mean(axis=(2, 3)), rtol=1e-5)
    assert [len(part) for part in parts] == [8, 3]
    module.most = 1
    with pytest.raises(ProcessError, match="E-PROC-11"):
        list(built.embed([pixels(8)]))
