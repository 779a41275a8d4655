"""Features after every stage, against stages cut out of the network and run one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from xenograft.backbones.build import Backbone, build
from xenograft.backbones.catalog import CATALOG, lookup
from xenograft.backbones.graph import PixelGraph
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, UsageError
from xenograft.features.engine import choose_engine
from xenograft.features.layers import stage_features

SIZE = 75  # Inception's layers need 75 pixels
EXPECTED = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "densenet161": (96, 192, 384, 1056, 2208),
    "shufflenet_v2_x1_0": (24, 116, 232, 464, 1024),
    "mobilenet_v2": (16, 24, 32, 96, 320, 1280),
    "resnext50_32x4d": (64, 256, 512, 1024, 2048),
    "wide_resnet50_2": (64, 256, 512, 1024, 2048),
    "inception_v3": (192, 288, 768, 2048),
    "squeezenet1_1": (64, 128, 256, 512),
    "efficientnet_lite0": (32, 16, 24, 40, 80, 112, 192, 1280),
    "efficientnet_lite1": (32, 16, 24, 40, 80, 112, 192, 1280),
    "efficientnet_lite2": (32, 16, 24, 48, 88, 120, 208, 1280),
}


def graph_of(name: str, *, channels: int = 1, size: int = 64) -> PixelGraph:
    spec = lookup(name)
    preprocess = Preprocess(size=size, mean=spec.mean, std=spec.std, channels=channels)  # type: ignore[arg-type]
    return PixelGraph(build(spec, tensors=None, seed=0), preprocess)


def pixels(count: int, channels: int = 1, size: int = 64) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def test_every_catalogued_backbone_is_expected() -> None:
    assert set(EXPECTED) == set(CATALOG)


def in_a_row(trunk: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that the catalogued networks call one after the other, up to their pooling."""
    for name, module in trunk.named_children():
        if name in ("features", "blocks"):
            yield from in_a_row(module, f"{name}.")
        elif name not in ("global_pool", "classifier"):
            yield prefix + name, module


def step_by_step(backbone: Backbone, x: torch.Tensor) -> dict[str, np.ndarray]:
    """The same stages without hooks: every module called by hand, the mean kept until the next stage begins."""
    ends, current = {}, "stem"
    for step, module in in_a_row(backbone.trunk):
        current = step if step in backbone.spec.stages else current
        x = module(x)
        ends[current] = x.mean((2, 3)).numpy()
    return ends


@pytest.mark.parametrize("name", EXPECTED)
def test_stages_are_the_network_run_step_by_step(name: str) -> None:
    size = SIZE if name == "inception_v3" else 64
    graph, batch = graph_of(name, size=size), pixels(2, size=size)
    backbone = graph.network
    assert isinstance(backbone, Backbone)
    found = stage_features(graph, [batch])
    assert tuple(found) == backbone.spec.stages
    assert [part.shape for part in found.values()] == [(2, width) for width in EXPECTED[name]]
    assert {part.dtype for part in found.values()} == {np.dtype(np.float32)}
    with torch.inference_mode():
        normalised = graph.scale * torch.from_numpy(batch) + graph.shift
        expected, pooled = step_by_step(backbone, normalised), backbone.features(normalised).numpy()
    assert tuple(expected) == tuple(found)
    for stage, part in found.items():
        np.testing.assert_allclose(part, expected[stage], rtol=1e-4, atol=1e-5 * np.abs(expected[stage]).max())
    last = found[backbone.spec.stages[-1]]
    np.testing.assert_allclose(last, pooled, rtol=1e-5, atol=1e-5 * np.abs(pooled).max())


def test_last_stage_is_what_the_engine_gives() -> None:
    graph, batch = graph_of("mobilenet_v2", channels=3), pixels(5, channels=3)
    last = list(stage_features(graph, [batch]).values())[-1]
    engine = np.concatenate(list(choose_engine("torch", "f32").build(graph).embed([batch])))
    np.testing.assert_allclose(last, engine, rtol=1e-4, atol=1e-5 * np.abs(engine).max())


def test_the_same_twice_and_rows_in_order_however_they_come() -> None:
    graph, batch = graph_of("squeezenet1_1", size=32), pixels(40, size=32)
    together = stage_features(graph, [batch])
    again = stage_features(graph, [batch])
    apart = stage_features(graph, (batch[i : i + 9] for i in range(0, 45, 9)))
    backwards = stage_features(graph, [batch[::-1]])
    for stage, part in together.items():
        np.testing.assert_array_equal(again[stage], part)
        np.testing.assert_allclose(apart[stage], part, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(backwards[stage][::-1], part, rtol=1e-4, atol=1e-6)
        assert np.abs(part[1:] - part[:-1]).max(axis=1).min() > 1e-3  # rows that differ by more than rounding


def test_no_more_than_32_images_at_once() -> None:
    graph, seen = graph_of("squeezenet1_1", size=32), []
    hook = graph.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    stage_features(graph, [pixels(70, size=32), pixels(3, size=32)])
    hook.remove()
    assert seen == [32, 32, 6, 3]


def test_read_only_pixels_are_taken_and_none_is_changed() -> None:
    batch = pixels(2)
    before = batch.copy()
    batch.flags.writeable = False
    stage_features(graph_of("squeezenet1_1"), [batch, batch[:0]])
    np.testing.assert_array_equal(batch, before)


def test_the_graph_is_left_as_it_was() -> None:
    graph = graph_of("mobilenet_v2")
    backbone = graph.network
    assert isinstance(backbone, Backbone)
    backbone.freeze(2)
    graph.train()
    state = {name: value.clone() for name, value in graph.state_dict().items()}
    modes = [module.training for module in graph.modules()]
    first = stage_features(graph, [pixels(4)])
    assert [module.training for module in graph.modules()] == modes
    assert True in modes
    assert False in modes
    assert all(torch.equal(value, state[name]) for name, value in graph.state_dict().items())
    assert not any(module._forward_pre_hooks for module in graph.modules())
    last = stage_features(graph.eval(), [pixels(4)])
    np.testing.assert_array_equal(last["features.18"], first["features.18"])  # evaluation mode both times


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("timm:vit_tiny_patch16_224", "tokens"),
        ("timm:resnet10t", "maps"),
        ("timm:swin_tiny_patch4_window7_224", "channels last"),
    ],
)
def test_timm_networks(name: str, kind: str) -> None:
    graph = graph_of(name, size=224)
    batch = pixels(1, size=224)
    found = stage_features(graph, [batch])
    assert tuple(found) == lookup(name).stages
    inputs = {}
    stages, trunk = list(found), graph.network.trunk  # type: ignore[union-attr]
    module = trunk.get_submodule(stages[2])
    module.register_forward_pre_hook(lambda _module, given: inputs.update(value=given[0].clone()))
    with torch.inference_mode():
        pooled = graph.eval()(torch.from_numpy(batch)).numpy()
    axes = {"tokens": (1,), "maps": (2, 3), "channels last": (1, 2)}[kind]
    np.testing.assert_allclose(found[stages[1]], inputs["value"].mean(axes).numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[stages[-1]], pooled, rtol=1e-5, atol=1e-5 * np.abs(pooled).max())


class _Crossed(Backbone):
    """Its stages are named, but one is called twice, or never, or is no module."""

    def __init__(self, names: tuple[str, ...], steps: str) -> None:
        super().__init__(lookup("resnet18"), nn.ModuleDict({letter: nn.Conv2d(3, 3, 1) for letter in "abc"}))
        self._names, self._steps = names, steps

    def features(self, images: torch.Tensor) -> torch.Tensor:
        for letter in self._steps:
            images = self.trunk[letter](images)  # type: ignore[index]
        return images.mean((2, 3))

    def _stage_names(self) -> dict[str, list[str]]:
        return {name: [] for name in self._names}


@pytest.mark.parametrize(
    ("names", "steps", "blamed"),
    [(("a", "b", "c"), "abbc", "a"), (("a", "b", "c"), "ab", "b"), (("a", "b.x", "c"), "abc", "a")],
)
def test_refuses_stages_that_do_not_follow_one_another(names: tuple[str, ...], steps: str, blamed: str) -> None:
    backbone = _Crossed(names, steps)
    graph = PixelGraph(backbone, Preprocess(size=16))
    with pytest.raises(UsageError, match=f"the stage '{blamed}' of resnet18") as caught:
        stage_features(graph, [pixels(1, size=16)])
    assert caught.value.code == "E-USAGE-03"
    assert not any(module._forward_pre_hooks for module in graph.modules())


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "got no image"),
        ([pixels(2)[:0]], "got no image"),
        ([pixels(2, channels=3)], r"got shape \(2, 3, 64, 64\).*allowed: \(n, 1, 64, 64\) uint8"),
        ([pixels(2).astype(np.float32)], "type float32"),
    ],
)
def test_refuses_batches(batches: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        stage_features(graph_of("squeezenet1_1"), batches)
    assert caught.value.code == "E-DATA-05"


def test_refuses_a_network_without_stages() -> None:
    with pytest.raises(UsageError, match="not Identity"):
        stage_features(PixelGraph(nn.Identity(), Preprocess(size=64)), [pixels(1)])
