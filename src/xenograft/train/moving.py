"""(network, recipe) -> which parameters move, in which epoch, and how quickly."""

from __future__ import annotations

from typing import Any

from torch import nn

from xenograft.backbones.build import Backbone
from xenograft.train.recipes import Recipe
from xenograft.train.schedule import epochs_until_open, stages_open


class Unfreezing:
    """Gradual unfreezing of a network's backbone; of a recipe or a network without it, nothing.

    What an epoch trains follows from its number alone, so a resumed run unfreezes as the uninterrupted one.

    Args:
        network: holds one `Backbone` at most.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self._backbone = backbone_of(network) if recipe.unfreeze_every else None
        self._plan: dict[str, int] = {}
        if self._backbone is not None:
            stages = len(self._backbone.stages())
            self._plan = {"stages": stages, "epochs": recipe.epochs, "every": recipe.unfreeze_every}

    @property
    def epochs(self) -> int:
        """Epochs before everything trains; 0 without unfreezing."""
        return epochs_until_open(**self._plan) if self._plan else 0

    def begin(self, epoch: int) -> None:
        """Let those stages learn that train in an epoch (from 0); the others stay in eval mode."""
        if self._backbone is not None:
            self._backbone.freeze(stages_open(epoch, **self._plan))


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """What an optimiser takes: groups with their ``peak`` learning rate, the backbone's before the head's.

    Parameters that require no gradient now are in none. With ``lr_decay`` d below 1 each of the S stages is a group
    of its own, and stage s (from 1) learns at backbone_lr * d ** (S - s): the last one at backbone_lr, each one before
    it more slowly by the factor (discriminative fine-tuning, Howard & Ruder 2018, §3.2).
    """
    groups = _by_stage(network, recipe) or [{"params": backbone_parameters(network), "peak": recipe.backbone_lr}]
    groups.append({"params": head_parameters(network), "peak": recipe.head_lr})
    return [group for group in groups if group["params"]]


def backbone_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Those parameters of the backbone that learn."""
    return [p for name, p in network.named_parameters() if p.requires_grad and _in_backbone(name)]


def head_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Those parameters of all the rest that learn."""
    return [p for name, p in network.named_parameters() if p.requires_grad and not _in_backbone(name)]


def backbone_of(network: nn.Module) -> Backbone | None:
    """The backbone inside a network, however deep."""
    return next((module for module in network.modules() if isinstance(module, Backbone)), None)


def _by_stage(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    backbone = backbone_of(network) if recipe.lr_decay != 1 else None
    if backbone is None:
        return []
    stages = backbone.stages()
    return [
        {
            "params": [parameter for parameter in parameters if parameter.requires_grad],
            "peak": recipe.backbone_lr * recipe.lr_decay ** (len(stages) - number),
        }
        for number, (_, parameters) in enumerate(stages, start=1)
    ]


def _in_backbone(name: str) -> bool:
    return "backbone." in name
