from __future__ import annotations

import pytest
import torch
from torch import nn

from xenograft.backbones import build, catalog
from xenograft.backbones.rounding import gain_preserving, round_depthwise_to_bf16


@pytest.mark.parametrize("side", [3, 5])
def test_every_weight_is_a_neighbour_in_bf16_and_the_sum_is_kept(side: int) -> None:
    weight = torch.randn(200, 1, side, side, generator=torch.Generator().manual_seed(0))
    rounded = gain_preserving(weight)
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert ((rounded - weight).abs() <= weight.abs() * 2**-7).all()  # bf16 neighbours are 2^-7 apart at most
    kept = (rounded.sum((1, 2, 3)) - weight.sum((1, 2, 3))).abs()
    plain = (weight.bfloat16().float().sum((1, 2, 3)) - weight.sum((1, 2, 3))).abs()
    assert kept.mean() < plain.mean() / 5


def test_smooth_images_pass_a_filter_with_its_exact_gain() -> None:
    conv = nn.Conv2d(64, 64, 3, groups=64, bias=False)
    nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(2))
    flat = torch.ones(1, 64, 8, 8)
    with torch.inference_mode():
        exact = conv(flat)
        plain = nn.functional.conv2d(flat, conv.weight.bfloat16().float(), groups=64)
        kept = nn.functional.conv2d(flat, gain_preserving(conv.weight), groups=64)
    assert (kept - exact).abs().mean() < (plain - exact).abs().mean() / 3


def test_exact_weights_stay() -> None:
    weight = torch.tensor([[[[1.0, 0.5, -2.0], [0.0, 0.25, 8.0], [1.5, 0.75, 3.0]]]])
    assert torch.equal(gain_preserving(weight), weight)


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x1_0", "efficientnet_lite0"])
def test_a_network_changes_by_rounding_alone_and_absorbs_its_batch_norm(name: str) -> None:
    network = build.build(catalog.lookup(name), tensors=None, seed=0)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.weight.data.uniform_(0.5, 2.0, generator=generator)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    depthwise = [m for m in network.modules() if isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels]
    with torch.inference_mode():
        before = network(images)
    round_depthwise_to_bf16(network, images[:1])
    with torch.inference_mode():
        after = network(images)
    assert not torch.equal(before, after)
    assert nn.functional.cosine_similarity(before, after).min() > 0.99
    assert depthwise
    assert all(torch.equal(m.weight, m.weight.bfloat16().float()) for m in depthwise)


def test_a_network_without_depthwise_convolutions_is_left_alone() -> None:
    network = build.build(catalog.lookup("resnet18"), tensors=None, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    round_depthwise_to_bf16(network, torch.zeros(1, 3, 64, 64))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
