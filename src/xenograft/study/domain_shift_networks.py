"""(a network, images of each domain without labels) -> extractors of its features, plain or normalised by domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xenograft.adaptation.batch_statistics import reestimate
from xenograft.backbones import batchnorm
from xenograft.backbones.build import Backbone
from xenograft.backbones.graph import PixelGraph
from xenograft.backbones.gray import GrayGraph, summed_over_channels
from xenograft.backbones.rounding import round_depthwise_to_bf16
from xenograft.data.manifest import Manifest
from xenograft.features.extract import Extractor, FrozenBackbone
from xenograft.storage import sha256_bytes, sha256_of
from xenograft.study.arm import Arm
from xenograft.study.domain_shift_data import sample
from xenograft.study.workshop import Workshop
from xenograft.train.images import batches_of

BATCH = 64
_PASS = 32  # unfolding takes any batch


@dataclass(frozen=True, slots=True)
class Network:
    """A backbone that features can be asked of.

    Args:
        arm: whose it is. identity: equal for equal tensors. build: a fresh copy. keep: features may stay in the cache.
        keys: gets the folders of the cache that were used.
    """

    arm: Arm
    identity: str
    build: Callable[[], Backbone]
    keep: bool
    keys: set[str]

    def extractor(self, workshop: Workshop) -> Extractor:
        """Features of the network as it is."""
        return _extractor(self, self.identity, self.build, workshop)

    def normalised_by(self, images: Manifest, source: Manifest, workshop: Workshop) -> Extractor:
        """Features of the network with its batch norm re-estimated (AdaBN).

        Args:
            images: of the domain, without labels. source: images that folded batch norm is unfolded on.
        """
        seen, plain = sample(images), sample(source)
        identity = sha256_of(
            {
                "network": self.identity,
                "statistics": seen.column("sha256"),
                "unfolded": plain.column("sha256"),
                "batch": BATCH,
                "format": 1,
            }
        )

        def adapted() -> Backbone:
            network = self.build()
            if batchnorm.identity_batchnorm(network):
                batchnorm.unfold_batchnorm(network, _batches(plain, self.arm, workshop, _PASS))
            reestimate(network, _batches(seen, self.arm, workshop, BATCH))
            return network

        return _extractor(self, f"adabn:{identity}", adapted, workshop)


def frozen_network(arm: Arm, workshop: Workshop, keys: set[str]) -> Network:
    """The arm's backbone before any training."""
    found = workshop.weights(arm)
    identity = found.sha256 if found is not None else f"random:{arm.seed}"
    return Network(arm, identity, lambda: workshop.backbone(arm), keep=True, keys=keys)


def trained_network(arm: Arm, tensors: dict[str, Tensor], workshop: Workshop) -> Network:
    """A backbone that was trained, from the tensors of its classifier."""
    mine = {name.removeprefix("backbone."): each for name, each in tensors.items() if name.startswith("backbone.")}

    def build() -> Backbone:
        network = workshop.backbone(arm)
        network.load_state_dict(mine)
        return network.eval()

    hashes = {name: sha256_bytes(each.cpu().contiguous().numpy().tobytes()) for name, each in mine.items()}
    return Network(arm, f"trained:{sha256_of(hashes)}", build, keep=False, keys=set())


def _extractor(network: Network, identity: str, build: Callable[[], Backbone], workshop: Workshop) -> Extractor:
    arm = network.arm
    frozen = FrozenBackbone(
        arm.spec.name, identity, arm.preprocess, lambda: _graph(build(), arm, workshop.engine.precision)
    )
    return Extractor(
        frozen,
        workshop.engine,
        workshop.sources.of(arm.preprocess),
        cache=workshop.cache / "features" if network.keep else None,  # a trained network is never met again
        progress=lambda images: workshop.watcher.advance(images * arm.spec.params_m),
        say=workshop.watcher.say,
        keys=network.keys,
    )


def _graph(backbone: Backbone, arm: Arm, precision: str) -> PixelGraph | GrayGraph:
    if precision == "bf16":
        round_depthwise_to_bf16(backbone, torch.zeros(1, 3, arm.preprocess.size, arm.preprocess.size))
    return summed_over_channels(PixelGraph(backbone, arm.preprocess).eval())


def _batches(manifest: Manifest, arm: Arm, workshop: Workshop, size: int) -> Iterator[Tensor]:
    """Normalised images in shuffled batches: in the order of a folder each would hold one class."""
    pixels = workshop.images(manifest, arm.preprocess).pixels
    normalise = PixelGraph(nn.Identity(), arm.preprocess)
    for part in batches_of(len(pixels), 0, batch_size=size, seed=0):
        yield normalise(torch.from_numpy(pixels[part]))
        workshop.watcher.advance(len(part) * arm.spec.params_m)
