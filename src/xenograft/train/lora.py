"""A transformer backbone -> the same with low-rank adapters on its attention, and back to plain weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from xenograft.backbones.build import Backbone
from xenograft.errors import UsageError, require


class Adapters:
    """LoRA (Hu et al. 2022): W + alpha / rank * B A beside each frozen linear layer W of attention, through `peft`.

    B starts at 0, so adding adapters changes no output. There is no dropout: a resumed run could not repeat it.

    Args:
        backbone: changed in place. rank: of B A, at least 1. alpha: scale of the product.
        seed: of A; no global generator is touched.

    Raises:
        UsageError: E-USAGE-27, no layer of attention can be adapted.
        MissingPackage: E-PACKAGE-01, `peft` is not installed.
    """

    def __init__(self, backbone: Backbone, *, rank: int, alpha: float, seed: int) -> None:
        names = targets(backbone)
        peft = require("peft", extra="lora")
        config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=names, bias="none", lora_dropout=0.0)
        mode = backbone.training
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._tuner: Any = peft.LoraModel(backbone.trunk, config, "default")
        backbone.train(mode)

    def merge(self) -> None:
        """Add each product to its layer's weights and remove the adapters: all names are the publisher's again."""
        self._tuner.merge_and_unload()


def targets(backbone: Backbone) -> list[str]:
    """Names, inside the trunk, of the linear layers of attention (queries, keys, values, output) that it calls.

    Some networks use the weights of such a layer without calling it; an adapter there would stay without effect.

    Raises:
        UsageError: E-USAGE-27, there is none, as in a convolutional network.
        MissingPackage: E-PACKAGE-01, `peft` is not installed, so that finding them would be in vain.
    """
    found = {
        f"{name}.{child}": layer
        for name, module in backbone.trunk.named_modules()
        if hasattr(module, "num_heads")  # attention, in all of timm
        for child, layer in module.named_children()
        if type(layer) is nn.Linear
    }
    called = _called(backbone, found) if found else []
    if not called:
        raise UsageError(
            f"{backbone.spec.name} has no attention to put adapters on; lora is for transformers such as "
            "timm:vit_tiny_patch16_224, while norm_only or partial move little of a convolutional network",
            code="E-USAGE-27",
        )
    require("peft", extra="lora")
    return called


def _called(backbone: Backbone, layers: Mapping[str, nn.Module]) -> list[str]:
    met: set[str] = set()
    hooks = [layer.register_forward_hook(lambda *_, name=name: met.add(name)) for name, layer in layers.items()]
    mode = backbone.training
    try:
        with torch.no_grad():
            backbone.eval()(torch.zeros(1, 3, backbone.spec.size, backbone.spec.size))
    finally:
        for hook in hooks:
            hook.remove()
        backbone.train(mode)
    return [name for name in layers if name in met]
