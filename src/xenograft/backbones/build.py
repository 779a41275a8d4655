"""(spec, tensors) -> a torch module that gives pooled features, spatial maps, and stages that can be frozen."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from xenograft.backbones.catalog import TIMM_PREFIX, BackboneSpec
from xenograft.backbones.convert import fit_tensors
from xenograft.backbones.timm_spec import timm_stages
from xenograft.backbones.zoo import zoo
from xenograft.errors import UsageError

Trainable = Literal["none", "norm", "lora", "all"] | int

_HEADS = ("avgpool", "dropout", "fc", "classifier", "AuxLogits")
_TIMM_NAMES = {f"efficientnet_lite{number}": f"tf_efficientnet_lite{number}" for number in range(3)}


class Backbone(nn.Module):
    """A network without its classifier.

    Args:
        spec: where it comes from, and the preprocessing it expects.
        trunk: the network; its state dict has the publisher's names.
    """

    def __init__(self, spec: BackboneSpec, trunk: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.trunk = trunk

    def maps(self, images: Tensor) -> Tensor:
        """Spatial maps of the last stage: (N, 3, S, S) normalised -> (N, C, h, w)."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """What the original network gives to its classifier: (N, 3, S, S) normalised -> (N, width)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(images)

    def stages(self) -> list[tuple[str, list[nn.Parameter]]]:
        """Every parameter exactly once, grouped by stage from input to output."""
        parameters = dict(self.trunk.named_parameters())
        return [(stage, [parameters[name] for name in names]) for stage, names in self._stage_names().items()]

    def freeze(self, trainable: Trainable) -> None:
        """Let a part of the network learn.

        Args:
            trainable: ``all`` of it, ``none``, the last so many stages, its normalisation layers (``norm``), or the
                adapters that were added to it (``lora``, see `xenograft.train.lora`).

        Raises:
            UsageError: E-USAGE-03, more stages than there are; E-USAGE-26, there are no such layers.
        """
        learning = {id(parameter) for parameter in self._learning(trainable)}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        self.train(self.training)

    def _learning(self, trainable: Trainable) -> list[nn.Parameter]:
        if trainable == "norm":
            found = [p for module in self.modules() if _normalises(module) for p in module.parameters(recurse=False)]
            return self._some(found, "normalisation layer with weights")
        if trainable == "lora":
            return self._some([p for name, p in self.named_parameters() if ".lora_" in name], "adapter")
        stages = self.stages()
        named = {"none": 0, "all": len(stages)}
        last = named.get(trainable, -1) if isinstance(trainable, str) else trainable
        if not 0 <= last <= len(stages):
            raise UsageError(
                f"trainable {trainable!r} is neither 'none', 'norm', 'lora', 'all' nor 0 to {len(stages)}, the number "
                f"of stages of {self.spec.name}",
                code="E-USAGE-03",
            )
        return [parameter for _, parameters in stages[len(stages) - last :] for parameter in parameters]

    def _some(self, found: list[nn.Parameter], kind: str) -> list[nn.Parameter]:
        if not found:
            raise UsageError(
                f"{self.spec.name} has no {kind} to train; choose another recipe for it, such as partial or full",
                code="E-USAGE-26",
            )
        return found

    def train(self, mode: bool = True) -> Backbone:
        """As in torch, but a module whose parameters are all frozen stays in eval mode.

        The frozen batch-norm statistics must stay those of the pretrained network, and frozen dropout stays off.
        """
        super().train(mode)
        if mode:
            for module in self.modules():
                parameters = list(module.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    module.eval()
        return self

    def _stage_names(self) -> dict[str, list[str]]:
        raise NotImplementedError


class _TorchvisionBackbone(Backbone):
    """The paper's eight and SqueezeNet: modules in a row, then a global average."""

    def maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.trunk(images)
        return maps

    def features(self, images: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(self.maps(images), 1).flatten(1)

    def _stage_names(self) -> dict[str, list[str]]:
        """A stage runs from the module it is named after to the module that names the next one."""
        stages: dict[str, list[str]] = {stage: [] for stage in self.spec.stages}
        ahead = list(self.spec.stages[1:])
        current = self.spec.stages[0]
        for name, _ in self.trunk.named_parameters():
            if ahead and name.startswith(ahead[0] + "."):
                current = ahead.pop(0)
            stages[current].append(name)
        return stages


class _TimmBackbone(Backbone):
    """Any timm model: its own pooling, its own layer groups."""

    def maps(self, images: Tensor) -> Tensor:
        trunk: Any = self.trunk
        maps: Any = trunk.forward_features(images)
        if isinstance(maps, Tensor) and maps.ndim == 4:
            return maps.permute(0, 3, 1, 2) if getattr(trunk, "output_fmt", "NCHW") == "NHWC" else maps
        if isinstance(maps, Tensor) and maps.ndim == 3:
            tokens = maps[:, getattr(trunk, "num_prefix_tokens", 0) or 0 :]  # (N, h*w, C)
            side = math.isqrt(tokens.shape[1])
            if side * side == tokens.shape[1]:
                return tokens.transpose(1, 2).reshape(-1, tokens.shape[2], side, side)
        raise UsageError(
            f"{self.spec.name} has no square spatial maps; its pooled features work, heat maps need another backbone",
            code="E-USAGE-03",
        )

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk(images)
        return features

    def _stage_names(self) -> dict[str, list[str]]:
        return timm_stages(self.trunk)


def _normalises(module: nn.Module) -> bool:
    """Batch, instance, group and layer norm, and those of timm that inherit from none of torch's."""
    kinds = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    return isinstance(module, kinds) or hasattr(module, "normalized_shape")


def build(spec: BackboneSpec, *, tensors: Mapping[str, Tensor] | None, seed: int) -> Backbone:
    """Build a backbone in eval mode on the CPU.

    Args:
        spec: catalog row.
        tensors: weights as the publisher names them (`convert.load_tensors`); None for random weights.
        seed: of the random weights, by the model's own initialisation; no global generator is touched.

    Raises:
        WeightsError: E-MODEL-01, the tensors belong to another architecture.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # not torch.manual_seed: that would also seed every accelerator
        torch.default_generator.manual_seed(seed)
        backbone = _random(spec, pretrained=tensors is not None)
    if tensors is not None:
        fitted = fit_tensors(tensors, backbone.trunk, name=spec.name)
        backbone.trunk.load_state_dict(fitted, strict=False)  # complete but for counters: fit_tensors checked it
    return backbone.eval()


def _random(spec: BackboneSpec, *, pretrained: bool) -> Backbone:
    if spec.source == "torchvision":
        return _TorchvisionBackbone(spec, _torchvision_trunk(spec.name, pretrained=pretrained))
    name = _TIMM_NAMES.get(spec.name, spec.name.removeprefix(TIMM_PREFIX))
    return _TimmBackbone(spec, zoo("timm").create_model(name, pretrained=False, num_classes=0))


def _torchvision_trunk(name: str, *, pretrained: bool) -> nn.Module:
    """The network's modules up to its pooling; each of these networks calls them in the order it declares them."""
    options: dict[str, Any] = {}
    if name == "inception_v3":
        # its initialisation takes seconds, so it is left out where weights follow
        options = {"aux_logits": False, "init_weights": not pretrained}
    network: nn.Module = zoo("torchvision.models").get_model(name, weights=None, **options)
    parts = OrderedDict((key, module) for key, module in network.named_children() if key not in _HEADS)
    if name.startswith("densenet"):
        parts["relu"] = nn.ReLU(inplace=True)  # the original applies it after the last norm, outside `features`
    return nn.Sequential(parts)
