from __future__ import annotations

import numpy as np
import pytest
import torch

from xenograft.backbones import build, catalog
from xenograft.backbones.graph import PixelGraph
from xenograft.data.preprocess import Preprocess
from xenograft.errors import UsageError
from xenograft.features import engine
from xenograft.features.engine import choose_engine

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
    for flags, embeds, trains in (({"amx_bf16"}, True, True), ({"avx512_bf16"}, True, False), ({"sse"}, False, False)):
        monkeypatch.setattr(engine, "_processor_flags", lambda found=flags: frozenset(found))
        engine.has_bf16.cache_clear()
        engine.trains_in_bf16.cache_clear()
        assert (engine.has_bf16("cpu"), engine.trains_in_bf16("cpu")) == (embeds, trains)
    engine.has_bf16.cache_clear()
    engine.trains_in_bf16.cache_clear()
    assert engine.has_bf16("mps") is False
