"""AdaBN: statistics against numpy, and that nothing else of a network moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xenograft.adaptation.batch_statistics import has_batch_norm, reestimate
from xenograft.errors import UsageError


@pytest.fixture
def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)
        )
        for layer in (made[1], made[5]):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return made.eval()


def images(count: int, seed: int = 1) -> Tensor:
    return torch.randn((count, 3, 9, 9), generator=torch.Generator().manual_seed(seed)) * 2 + 1


def test_one_batch_is_numpys_mean_and_variance_of_every_layer(network: nn.Sequential) -> None:
    pixels = images(7)
    assert reestimate(network, [pixels]) == 7
    with torch.no_grad():
        first = network[0](pixels).numpy().astype(np.float64)
        mean, variance = first.mean(axis=(0, 2, 3)), first.var(axis=(0, 2, 3))
        assert network[1].running_mean.numpy() == pytest.approx(mean, abs=1e-5)
        assert network[1].running_var.numpy() == pytest.approx(first.var(axis=(0, 2, 3), ddof=1), rel=1e-5)
        shape = (1, -1, 1, 1)
        scaled = (first - mean.reshape(shape)) / np.sqrt(variance + network[1].eps).reshape(shape)
        weight, bias = (each.detach().numpy().reshape(shape) for each in (network[1].weight, network[1].bias))
        hidden = np.maximum(scaled * weight + bias, 0)  # normalised by the batch itself; dropout is off
        second = network[4](torch.from_numpy(hidden.astype(np.float32))).numpy().astype(np.float64)
    assert network[5].running_mean.numpy() == pytest.approx(second.mean(axis=(0, 2, 3)), abs=1e-5)
    assert network[5].running_var.numpy() == pytest.approx(second.var(axis=(0, 2, 3), ddof=1), rel=1e-4)


def test_batches_of_any_size_count_every_image_the_same(network: nn.Sequential) -> None:
    pixels = images(11)
    pixels[8:] += 5  # a moving average, or a mean of batch variances, would differ
    reestimate(network, [pixels[:8], pixels[8:]])
    whole = network[0](pixels).detach().numpy().astype(np.float64)
    assert network[1].running_mean.numpy() == pytest.approx(whole.mean(axis=(0, 2, 3)), abs=1e-5)
    assert network[1].running_var.numpy() == pytest.approx(whole.var(axis=(0, 2, 3), ddof=1), rel=1e-5)


def test_affine_parameters_modes_and_weights_are_kept(network: nn.Sequential) -> None:
    before = {name: each.clone() for name, each in network.state_dict().items()}
    network[4].train()
    reestimate(network, [images(6)])
    assert not network.training
    assert network[4].training
    moved = {name for name, each in network.state_dict().items() if not torch.equal(each, before[name])}
    assert moved == {f"{layer}.running_{what}" for layer in (1, 5) for what in ("mean", "var")}


def test_it_does_not_depend_on_the_statistics_before_and_repeats_exactly(network: nn.Sequential) -> None:
    pixels = images(6)
    reestimate(network, [pixels])
    once = {name: each.clone() for name, each in network.state_dict().items()}
    network[1].running_mean += 3
    reestimate(network, [pixels])
    assert all(torch.equal(each, once[name]) for name, each in network.state_dict().items())


def test_a_domain_of_other_contrast_gets_the_same_answers() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-9)).eval()
    pixels = images(16)
    with torch.no_grad():
        reestimate(network, [pixels])
        source = network(pixels)
        reestimate(network, [3 * pixels + 0.5])
        target = network(3 * pixels + 0.5)
    assert torch.allclose(source, target, atol=1e-4)


@pytest.mark.parametrize(
    ("batches", "message"), [([], "no images"), ([images(4), images(1)], "batch of one image")], ids=["none", "one"]
)
def test_bad_batches_leave_the_network_as_it_was(network: nn.Sequential, batches: list[Tensor], message: str) -> None:
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        reestimate(network, batches)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_a_network_without_batch_norm_is_refused() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))
    assert not has_batch_norm(plain)
    with pytest.raises(UsageError, match="no batch norm"):
        reestimate(plain, [images(4)])
