"""PixelGraph for gray images -> the same function; its first convolution has one channel, not three equal ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xenograft.backbones.graph import PixelGraph

_CENTRE = 116.0  # about ImageNet's mean gray, and whole, so that centred pixels are exact in bf16


class GrayGraph(nn.Module):
    """A network that takes gray pixels directly: (N, 1, S, S) uint8. For a fixed S, and for evaluation only.

    Pixels are centred first: at bf16, products of rounded weights with an uncentred image would drown its contrast.
    """

    def __init__(self, network: nn.Module, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.network = network
        self.input_shape = input_shape

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 1, S, S) uint8 -> the network's output."""
        output: Tensor = self.network(pixels.to(torch.float32) - _CENTRE)
        return output


class _SummedConv(nn.Module):
    """conv(replicate(x) * scale + shift) from x - centre: linear in x, so channels are summed, plus a constant map.

    The constant is a map, not a number, because zero padding comes after normalisation: borders see less of `shift`.
    """

    constant: Tensor

    def __init__(self, conv: nn.Conv2d, scale: Tensor, shift: Tensor, size: int) -> None:
        super().__init__()
        self._where: dict[str, Any] = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
        image = (shift + scale * _CENTRE).expand(1, 3, size, size)
        self.weight = nn.Parameter((conv.weight * scale).sum(dim=1, keepdim=True), requires_grad=False)
        self.register_buffer("constant", functional.conv2d(image, conv.weight, conv.bias, **self._where))

    def forward(self, gray: Tensor) -> Tensor:
        return functional.conv2d(gray, self.weight, **self._where) + self.constant


@torch.no_grad()
def summed_over_channels(graph: PixelGraph) -> PixelGraph | GrayGraph:
    """Replication (Eq. 14) and normalisation folded into the first convolution: a third of its work, the same result.

    Equal up to rounding wherever the network's input goes straight into one plain zero-padded convolution, as in all
    of the paper's backbones; any other network comes back as it is. The given graph is used up.
    """
    channels, size, _ = graph.input_shape
    found = _first_convolution(graph) if channels == 1 else None
    if found is None:
        return graph
    name, conv = found
    parent, _, leaf = name.rpartition(".")
    setattr(graph.network.get_submodule(parent), leaf, _SummedConv(conv, graph.scale, graph.shift, size))
    return GrayGraph(graph.network, graph.input_shape).eval()


def _first_convolution(graph: PixelGraph) -> tuple[str, nn.Conv2d] | None:
    """The convolution that alone receives the network's very input; None where there is no such plain one."""
    takers: list[tuple[str, nn.Module]] = []
    image = torch.zeros(1, 3, *graph.input_shape[1:])

    def note(name: str) -> Any:
        return lambda module, inputs: takers.append((name, module)) if inputs and inputs[0] is image else None

    leaves = [(name, module) for name, module in graph.network.named_modules() if not any(module.children())]
    hooks = [module.register_forward_pre_hook(note(name)) for name, module in leaves]
    try:
        graph.network(image)
    finally:
        for hook in hooks:
            hook.remove()
    if len(takers) != 1:
        return None
    name, conv = takers[0]
    if type(conv) is not nn.Conv2d:  # a subclass may pad in its own way
        return None
    return (name, conv) if conv.padding_mode == "zeros" and conv.groups == 1 and conv.in_channels == 3 else None
