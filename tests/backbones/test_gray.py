from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xenograft.backbones import build, catalog
from xenograft.backbones.graph import PixelGraph
from xenograft.backbones.gray import GrayGraph, summed_over_channels
from xenograft.data.preprocess import Preprocess

PAPER = ("resnet18", "densenet161", "shufflenet_v2_x1_0", "mobilenet_v2", "inception_v3", "squeezenet1_1")


def graph(name: str, channels: int = 1) -> PixelGraph:
    spec = catalog.lookup(name)
    preprocess = Preprocess(size=96, mean=spec.mean, std=spec.std, channels=channels)  # type: ignore[arg-type]
    return PixelGraph(build.build(spec, tensors=None, seed=0), preprocess).eval()


def pixels(channels: int = 1) -> torch.Tensor:
    values = np.random.default_rng(0).integers(0, 256, (2, channels, 96, 96), dtype=np.uint8)
    return torch.from_numpy(values)


@pytest.mark.parametrize("name", PAPER)
def test_the_first_convolution_takes_one_channel_and_nothing_else_changes(name: str) -> None:
    with torch.inference_mode():
        expected = graph(name)(pixels())
        folded = summed_over_channels(graph(name))
        assert isinstance(folded, GrayGraph)
        found = folded(pixels())
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, atol=2e-5, rtol=0)


def test_the_border_is_exact_where_padding_comes_after_normalisation() -> None:
    conv = nn.Conv2d(3, 4, 5, stride=2, padding=2)
    plain = PixelGraph(nn.Sequential(conv), Preprocess(size=96, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1))).eval()
    with torch.inference_mode():
        expected = plain(pixels())
        found = summed_over_channels(plain)(pixels())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("first", [nn.AvgPool2d(2), nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")])
def test_a_network_with_another_beginning_comes_back_as_it_is(first: nn.Module) -> None:
    given = PixelGraph(nn.Sequential(first, nn.Conv2d(3, 2, 3)), Preprocess(size=96)).eval()
    assert summed_over_channels(given) is given


def test_a_convolution_that_pads_in_its_own_way_comes_back_as_it_is() -> None:
    given = graph("efficientnet_lite0")  # as in TensorFlow
    assert summed_over_channels(given) is given


def test_colour_is_left_alone() -> None:
    given = graph("resnet18", channels=3)
    assert summed_over_channels(given) is given
