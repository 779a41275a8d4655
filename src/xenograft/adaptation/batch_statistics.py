"""(network, unlabelled images of a domain) -> the same network, its batch norm normalising by that domain (AdaBN)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xenograft.errors import UsageError


def has_batch_norm(network: nn.Module) -> bool:
    """Whether there is a batch-norm layer with running statistics, which is all that `reestimate` changes."""
    return bool(_layers(network))


@torch.no_grad()
def reestimate(network: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every batch-norm layer by those of the images given, in place.

    AdaBN (Li et al. 2016, arXiv:1603.04779): each domain is normalised by its own statistics, and scale and shift stay
    as they are, as does every other parameter. On its way through the network a batch is normalised by itself, as in
    training; what is stored is no moving average with momentum but mean and variance over all images and positions at
    once, in float64, each image counting the same. Variances are divided by n - 1, as torch stores them. No layer but
    batch norm leaves evaluation mode, so that nothing is random.

    Batches should be shuffled and of one size, some dozens of images: a batch of one class would be normalised by that
    class. Batch norm that was folded into convolutions has first to be unfolded on *source* images, see
    `xenograft.backbones.batchnorm`.

    Args:
        network: its train or eval mode is kept.
        batches: (N, 3, S, S) normalised images of one domain, two or more a batch.

    Returns:
        How many images were seen.

    Raises:
        UsageError: no layer of batch norm, no image, or a batch of one image (E-USAGE-38).
    """
    layers = _layers(network)
    if not layers:
        raise UsageError("the network has no batch norm with running statistics to re-estimate", code="E-USAGE-38")
    moments: dict[nn.Module, _Moments] = {}
    hooks = [layer.register_forward_pre_hook(_measure(moments)) for layer in layers]
    modes = {module: module.training for module in network.modules()}
    kept = [_state(layer) for layer in layers]
    network.eval()
    for layer in layers:
        layer.train()
    images = 0
    try:
        for batch in batches:
            if len(batch) < 2:
                raise UsageError(
                    "a batch of one image cannot be normalised by itself; give two or more a batch", code="E-USAGE-38"
                )
            network(batch)
            images += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
        for layer, state in zip(layers, kept, strict=True):
            _restore(layer, state)  # a forward pass in train mode moved them; half-way results must not stay
    if not images:
        raise UsageError("no images to re-estimate batch norm on; give at least one batch", code="E-USAGE-38")
    for module, seen in moments.items():
        seen.store(module)
    return images


@dataclass(slots=True)
class _Moments:
    """Count, mean (C,) and sum of squares about it (C,), in float64; merged part by part (Chan et al. 1979)."""

    count: int
    mean: Tensor
    squares: Tensor

    def add(self, count: int, mean: Tensor, squares: Tensor) -> None:
        both = self.count + count
        shift = mean - self.mean
        self.mean = self.mean + shift * (count / both)
        self.squares = self.squares + squares + shift.square() * (self.count * count / both)
        self.count = both

    def store(self, layer: nn.Module) -> None:
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.copy_(self.mean)
            layer.running_var.copy_(self.squares / max(1, self.count - 1))


_State = tuple[Tensor | None, ...]


def _state(layer: _BatchNorm) -> _State:
    tracked = (layer.running_mean, layer.running_var, layer.num_batches_tracked)
    return tuple(None if each is None else each.clone() for each in tracked)


def _restore(layer: _BatchNorm, state: _State) -> None:
    for each, before in zip((layer.running_mean, layer.running_var, layer.num_batches_tracked), state, strict=True):
        if each is not None and before is not None:
            each.copy_(before)


def _layers(network: nn.Module) -> list[_BatchNorm]:
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.running_mean is not None
    ]


def _measure(moments: dict[nn.Module, _Moments]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach()  # (N, C) or (N, C, h, w)
        others = [axis for axis in range(values.ndim) if axis != 1]
        count = values.numel() // values.shape[1]
        variance, mean = torch.var_mean(values.double(), others, correction=0)
        found = count, mean, variance * count
        if layer in moments:
            moments[layer].add(*found)
        else:
            moments[layer] = _Moments(*found)

    return hook
