"""What the arms of a study share: engine, caches, weights, and decoded images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xenograft.backbones import build, convert, weights
from xenograft.backbones.catalog import TIMM_PREFIX
from xenograft.backbones.graph import PixelGraph
from xenograft.data.batches import load_all
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.errors import Notice
from xenograft.features.engine import EngineChoice
from xenograft.features.extract import Extractor, FrozenBackbone
from xenograft.study.arm import Arm
from xenograft.study.watch import Silent, Watcher
from xenograft.train import loop
from xenograft.train.images import ImageSet

_IMAGES_KEPT = 3  # decoded splits in memory: train, validation and test of one preprocessing


@dataclass(slots=True)
class Workshop:
    """What arms share: engine, caches, weights, and decoded images.

    Args:
        cache: folder for cached features and downloaded weights. threads: for decoding and augmenting.
    """

    engine: EngineChoice
    machine: loop.Machine
    cache: Path
    threads: int = 2
    weights_dir: Path | None = None
    offline: bool = False
    watcher: Watcher = field(default_factory=Silent)
    notices: list[Notice] = field(default_factory=list)
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
                arm.spec.name, identity, arm.preprocess, lambda: PixelGraph(self.backbone(arm), arm.preprocess).eval()
            )
            self._extractors[key] = Extractor(
                frozen,
                self.engine,
                cache=self.cache / "features",
                threads=self.threads,
                progress=lambda images, _: self.watcher.advance(images * arm.spec.params_m),
            )
        return self._extractors[key]

    def images(self, manifest: Manifest, preprocess: Preprocess) -> ImageSet:
        """The decoded images of a manifest; the last few sets stay in memory."""
        key = (manifest.sha256, preprocess)
        if key not in self._images:
            while len(self._images) >= _IMAGES_KEPT:
                self._images.pop(next(iter(self._images)))
            pixels = load_all(manifest, preprocess, threads=self.threads)
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
