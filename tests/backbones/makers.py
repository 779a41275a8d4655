"""Networks with random weights, weight files as publishers write them, and the folders of the real ones."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from xenograft.backbones.catalog import BackboneSpec, WeightFile
from xenograft.storage import sha256_file

SHARED = Path(__file__).parents[2].parent / "shared"
REAL_WEIGHTS = SHARED / "weights"
REAL_IMAGES = SHARED / "data" / "imagenet_sample_224"


def real(folder: Path) -> Path:
    """A folder beside the checkout, or a skip."""
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder


def original(spec: BackboneSpec, seed: int = 0) -> Any:
    """The publisher's whole network, classifier included, with random weights and random batch-norm statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if spec.source == "torchvision":
            from torchvision import models

            options = {"init_weights": False} if spec.name == "inception_v3" else {}
            network = models.get_model(spec.name, weights=None, **options)
        else:
            import timm

            network = timm.create_model(f"tf_{spec.name}", pretrained=False)
        randomise_norms(network, images(spec, 4, seed=99))
    return network.eval()


@torch.no_grad()
def randomise_norms(network: nn.Module, batch: Tensor) -> None:
    """Random scales and shifts, and statistics near those of `batch`.

    Without the measured statistics the signal dies on its way through a deep network: its features would be the same
    for every image, and a test that compares them would see nothing.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.1)
        norm.momentum = 1.0
        norm.train()
    network(batch)
    for norm in norms:
        norm.running_mean.add_(0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_var))
        norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.25))
        norm.momentum = 0.1
    network.eval()


def difference(one: Tensor, other: Tensor) -> float:
    """Relative distance of two tensors."""
    return float((one - other).norm() / other.norm())


def original_features(spec: BackboneSpec, network: Any, images: Tensor) -> Tensor:
    """What the whole network gives to its classifier."""
    if spec.name == "squeezenet1_1":
        return network.features(images).mean((2, 3))
    head = "fc" if hasattr(network, "fc") else "classifier"
    kept = getattr(network, head)
    setattr(network, head, nn.Identity())
    features = network(images)
    setattr(network, head, kept)
    return features


def images(spec: BackboneSpec, count: int = 2, seed: int = 0) -> Tensor:
    """Noise at a side small enough for a test (Inception's layers need 75 pixels)."""
    side = 96 if spec.name == "inception_v3" else 64
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def write_weights(path: Path, tensors: dict[str, Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path


def knowing(spec: BackboneSpec, path: Path) -> BackboneSpec:
    """The row as it would be if the publisher's file were this one: its hash is known under the file's name."""
    file = WeightFile(path.name, sha256_file(path))
    others = tuple(one for one in spec.accepted if one.name != path.name)
    return dataclasses.replace(spec, accepted=(file, *others))


def folded_mobilenet(seed: int = 0) -> nn.Module:
    """A narrow MobileNet v2 whose batch norm was folded into its convolutions, as a publisher would do it."""
    from torchvision.models import MobileNetV2

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = MobileNetV2(width_mult=0.25)
        randomise_norms(network, 0.5 * torch.randn(16, 3, 64, 64) + 0.3)
    network.classifier = nn.Identity()
    for conv, norm in itertools.pairwise(network.modules()):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            _fold(conv, norm)
    return network.eval()


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    conv.weight.mul_(scale[:, None, None, None])
    norm.bias.sub_(norm.running_mean * scale)
    norm.weight.fill_(1)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)


class Marker:
    """A pickle that leaves a file behind when it is opened carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)
