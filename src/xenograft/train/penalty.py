"""(network, recipe) -> the gradient of the L2-SP penalty, added to that of the loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xenograft.train.moving import backbone_parameters, head_parameters
from xenograft.train.recipes import Recipe


class StartingPoint:
    """L2-SP (Li, Grandvalet & Davoine 2018, Eq. 2): a / 2 * |w - w0|^2 for the backbone, b / 2 * |v|^2 for the head.

    w0 is where the backbone stands when this object is made, which must be before a checkpoint is read. The recorded
    losses are those of the data alone.

    Args:
        network: on its device. recipe: a is its ``l2_sp``, b its ``l2_head``; where both are 0, nothing is kept.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self._pull, self._shrink = recipe.l2_sp, recipe.l2_head
        self._backbone = backbone_parameters(network) if self._pull else []
        self._start: list[Tensor] = [parameter.detach().clone() for parameter in self._backbone]
        self._head = head_parameters(network) if self._shrink else []

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add a (w - w0) and b v to the gradients, once a step, after those of all parts of the batch."""
        for parameter, start in zip(self._backbone, self._start, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter - start, alpha=self._pull)
        for parameter in self._head:
            if parameter.grad is not None:
                parameter.grad.add_(parameter, alpha=self._shrink)
