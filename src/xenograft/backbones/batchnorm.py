"""Networks whose batch norm was folded into their convolutions: recognise them, and make them trainable again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xenograft.errors import UsageError


@dataclass(slots=True)
class _Moments:
    """Running sums of one layer's input, per channel, in double precision."""

    count: int
    total: Tensor
    squares: Tensor

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        return mean, (self.squares / self.count - mean.square()).clamp_min(0)


def identity_batchnorm(network: nn.Module) -> bool:
    """Whether batch norm was folded away: every mean is 0, every variance 1, yet some bias is not 0.

    Such a network is exact in eval mode, but in train mode batch norm would normalise what it never normalised. (A
    freshly initialised network has the same statistics, but all its biases are 0 and it is not meant here.)
    """
    layers = _norms(network)
    folded = all(
        torch.all(mean == 0) and torch.allclose(variance, torch.ones_like(variance), atol=1e-4)
        for layer in layers
        if (mean := layer.running_mean) is not None and (variance := layer.running_var) is not None
    )
    return bool(layers) and folded and any(bool(torch.any(layer.bias != 0)) for layer in layers)


def unfold_batchnorm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give folded batch norm real statistics: train mode then does nearly what eval mode does, and eval is unchanged.

    Measures mean m and variance v of each layer's input over the batches (under the eval function, so one pass is
    enough for all layers), stores them, and absorbs the difference into scale and shift. With the stored m0, v0,
    g0, b0:  g = g0 * sqrt(v + eps) / sqrt(v0 + eps),  b = b0 + g0 * (m - m0) / sqrt(v0 + eps).

    Args:
        network: changed in place; its train or eval mode is kept.
        batches: (N, 3, S, S) normalised images like those it will train on; a few hundred are plenty.

    Raises:
        UsageError: E-USAGE-03, no batch was given.
    """
    layers = _norms(network)
    moments: dict[nn.Module, _Moments] = {}
    hooks = [layer.register_forward_pre_hook(_measure(moments)) for layer in layers]
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                network(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    if layers and not moments:
        raise UsageError("no images to measure batch norm on; give at least one batch", code="E-USAGE-03")
    for layer, measured in moments.items():
        _absorb(layer, *measured.mean_and_variance())


def _norms(network: nn.Module) -> list[_BatchNorm]:
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.affine and module.track_running_stats
    ]


def _measure(moments: dict[nn.Module, _Moments]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach().double().transpose(0, 1).flatten(1)  # (C, N*h*w)
        seen = moments.get(layer)
        if seen is None:
            moments[layer] = _Moments(values.shape[1], values.sum(1), values.square().sum(1))
        else:
            seen.count += values.shape[1]
            seen.total += values.sum(1)
            seen.squares += values.square().sum(1)

    return hook


@torch.no_grad()
def _absorb(layer: nn.Module, mean: Tensor, variance: Tensor) -> None:
    if not isinstance(layer, _BatchNorm) or layer.running_mean is None or layer.running_var is None:
        return
    scale = layer.weight.double() / torch.sqrt(layer.running_var.double() + layer.eps)
    bias = layer.bias.double() + scale * (mean - layer.running_mean.double())
    weight = scale * torch.sqrt(variance + layer.eps)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
