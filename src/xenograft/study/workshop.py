"""What the arms of a study share: engine, caches, weights, and decoded images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from xenograft.backbones import build, convert, weights
from xenograft.backbones.catalog import TIMM_PREFIX
from xenograft.backbones.graph import PixelGraph
from xenograft.backbones.gray import GrayGraph, summed_over_channels
from xenograft.backbones.rounding import round_depthwise_to_bf16
from xenograft.data.batches import PixelSources
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.features.engine import EngineChoice
from xenograft.features.extract import Extractor, FrozenBackbone
from xenograft.study.arm import Arm
from xenograft.study.watch import Silent, Watcher
from xenograft.train import loop
from xenograft.train.heads import Head
from xenograft.train.images import ImageSet

_IMAGES_KEPT = 3  # decoded splits in memory: train, validation and test of one preprocessing


@dataclass(slots=True)
class Workshop:
    """What arms share: engine, caches, weights, and decoded images.

    Args:
        cache: folder for decoded pixels, features and downloaded weights. threads: for decoding and augmenting.
        precision: as asked for, for training; `engine` has its own. sources: of prepared images.
        arms: those that still have to run; heads on the same features are fitted together. heads: fitted in advance,
            by arm id.
    """

    engine: EngineChoice
    machine: loop.Machine
    sources: PixelSources
    cache: Path
    threads: int = 2
    precision: str = "auto"
    arms: tuple[Arm, ...] = ()
    heads: dict[str, Head] = field(default_factory=dict)
    weights_dir: Path | None = None
    offline: bool = False
    watcher: Watcher = field(default_factory=Silent)
    _feature_keys: set[str] = field(default_factory=set)
    _extractors: dict[str, Extractor] = field(default_factory=dict)
    _images: dict[tuple[str, Preprocess], ImageSet] = field(default_factory=dict)
    _found: dict[str, weights.FoundWeights] = field(default_factory=dict)

    def weights(self, arm: Arm) -> weights.FoundWeights | None:
        """The weight file of a pretrained arm, found and verified once."""
        if not arm.recipe.pretrained:
            return None
        name = arm.spec.name
        if name not in self._found:
            self._found[name] = weights.find(
                arm.spec, weights_dir=self.weights_dir, cache=self.cache, offline=self.offline
            )
        return self._found[name]

    def backbone(self, arm: Arm) -> build.Backbone:
        """The arm's network before training."""
        found = self.weights(arm)
        tensors = convert.load_tensors(found.path) if found is not None else None
        return build.build(arm.spec, tensors=tensors, seed=arm.seed)

    def extractor(self, arm: Arm) -> Extractor:
        """The arm's frozen features; one engine at a time is kept, because large ones fill the memory."""
        found = self.weights(arm)
        identity = found.sha256 if found is not None else f"random:{arm.seed}"
        key = f"{arm.spec.name}/{identity}/{arm.preprocess}"
        if key not in self._extractors:
            self._extractors.clear()
            frozen = FrozenBackbone(
                arm.spec.name,
                identity,
                arm.preprocess,
                lambda: self._frozen_graph(arm),
            )
            self._extractors[key] = Extractor(
                frozen,
                self.engine,
                self.sources.of(arm.preprocess),
                cache=self.cache / "features",
                progress=lambda images: self.watcher.advance(images * arm.spec.params_m),
                say=self.watcher.say,
                keys=self._feature_keys,
            )
        return self._extractors[key]

    def engine_facts(self) -> dict[str, str | int]:
        """What a record and a fingerprint say about embedding; a newer library makes the same run."""
        return {key: value for key, value in self.engine.as_json().items() if key != "version"}

    def _frozen_graph(self, arm: Arm) -> PixelGraph | GrayGraph:
        backbone = self.backbone(arm)
        if self.engine.precision == "bf16":
            round_depthwise_to_bf16(backbone, torch.zeros(1, 3, arm.preprocess.size, arm.preprocess.size))
        return summed_over_channels(PixelGraph(backbone, arm.preprocess).eval())

    def keys(self) -> set[str]:
        """Folders of the cache that this study uses."""
        return {*self.sources.keys(), *self._feature_keys}

    def images(self, manifest: Manifest, preprocess: Preprocess) -> ImageSet:
        """The decoded images of a manifest; the last few sets stay in memory."""
        key = (manifest.sha256, preprocess)
        if key not in self._images:
            while len(self._images) >= _IMAGES_KEPT:
                self._images.pop(next(iter(self._images)))
            pixels = self.sources.of(preprocess).everything(manifest)
            self._images[key] = ImageSet(pixels, manifest.labels, tuple(manifest.column("sha256")))
        return self._images[key]


def weights_facts(arm: Arm, workshop: Workshop) -> dict[str, str] | None:
    """What a record says about weights. Those of the catalog are ImageNet-1k's; a timm model's may be others."""
    found = workshop.weights(arm)
    if found is None:
        return None
    trained_on = "" if arm.spec.name.startswith(TIMM_PREFIX) else "ImageNet-1k, from "
    origin = trained_on + {"weights-dir": "weights folder"}.get(found.origin, found.origin)
    return {"file": found.path.name, "sha256": found.sha256, "origin": origin, "licence": found.licence}
