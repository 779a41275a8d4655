"""One arm of a study: (train, validation) -> a trained classifier. No test image can reach this file's choices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.backbones import batchnorm, build, convert, weights
from xenograft.backbones.catalog import TIMM_PREFIX, BackboneSpec
from xenograft.backbones.graph import PixelGraph
from xenograft.data.augment import NONE, preset
from xenograft.data.batches import load_all
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.errors import Notice
from xenograft.evaluate.metrics import binary_metrics, multiclass_metrics
from xenograft.features.engine import EngineChoice
from xenograft.features.extract import Extractor, FrozenBackbone, stack_views
from xenograft.study.watch import Silent, Watcher
from xenograft.train import heads, loop
from xenograft.train.allocator import keep_freed_memory
from xenograft.train.images import ImageSet
from xenograft.train.network import Classifier, class_weights_of
from xenograft.train.recipes import RECIPES, Recipe

_IMAGES_KEPT = 3  # decoded splits in memory: train, validation and test of one preprocessing


@dataclass(frozen=True, slots=True)
class Arm:
    """What to train. `recipe` holds every override and the learning-rate scale already."""

    spec: BackboneSpec
    recipe: Recipe
    seed: int
    lr_scale: float
    preprocess: Preprocess

    @property
    def id(self) -> str:
        """Folder name: unique among the arms of a study, safe on every file system."""
        backbone = self.spec.name.replace(":", "_").replace("/", "_")
        return f"{backbone}-{self.recipe.name}-lr{self.lr_scale:g}-seed{self.seed}"

    def cost(self, images: int) -> float:
        """Units of work for `images` training images, to forecast by: passes weighted by the network's parameters."""
        views = max(1, self.recipe.views)
        passes = views if self.recipe.frozen else 3 * self.recipe.epochs
        return images * passes * self.spec.params_m


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


class Trained(Protocol):
    """A trained classifier and how it came to be."""

    history: list[dict[str, Any]]
    best_epoch: int
    chosen: dict[str, float]
    notices: list[Notice]
    timings: dict[str, float]

    def predict(self, manifest: Manifest) -> NDArray[np.float64]:
        """(N, C) probabilities in manifest order."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, to keep: the head alone where the backbone was frozen."""
        ...


def train_arm(
    arm: Arm,
    train: Manifest,
    val: Manifest,
    workshop: Workshop,
    *,
    checkpoint: Path | None = None,
    fingerprint: str = "",
) -> Trained:
    """Train one arm; validation chooses the epoch, cross-validation on train the strength of a logistic head."""
    if arm.recipe.frozen:
        return _FrozenArm(arm, train, val, workshop)
    return _TunedArm(arm, train, val, workshop, checkpoint, fingerprint)


def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """``loss``, ``accuracy``, ``f1`` and ``auroc`` at the end of an epoch (§5.9)."""
    if probabilities.shape[1] == 2:
        found = binary_metrics(labels, probabilities[:, 1], threshold=0.5)
    else:
        found = multiclass_metrics(labels, probabilities)
    return {name: float(found[name]) for name in ("loss", "accuracy", "f1", "auroc")}


class _Clock:
    def __init__(self) -> None:
        self.timings: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - started


class _FrozenArm:
    """A head on cached features of a backbone that never changes (Eq. 15)."""

    def __init__(self, arm: Arm, train: Manifest, val: Manifest, workshop: Workshop) -> None:
        clock = _Clock()
        self._arm, self._workshop, self._clock = arm, workshop, clock
        self._extractor = workshop.extractor(arm)
        with clock("embed"):
            data = head_data(arm, train, val, self._extractor)
        with clock("fit"):
            if arm.recipe.solver == "logistic":
                self.head = heads.fit_logistic(data, seed=arm.seed)
            else:
                self.head = heads.fit_linear(data, recipe=arm.recipe, seed=arm.seed, measure=measure)
        self.history, self.best_epoch, self.chosen = self.head.history, self.head.best_epoch, self.head.chosen
        self.notices = list(self._extractor.notices)
        self.timings = clock.timings

    def predict(self, manifest: Manifest) -> NDArray[np.float64]:
        with self._clock("embed"):
            features = self._extractor.features(manifest)
        return self.head.probabilities(features)

    def tensors(self) -> dict[str, Tensor]:
        return {"head.weight": torch.from_numpy(self.head.weight), "head.bias": torch.from_numpy(self.head.bias)}


class _TunedArm:
    """A network whose backbone moves: scratch, partial, full, lp_ft."""

    def __init__(
        self,
        arm: Arm,
        train: Manifest,
        val: Manifest,
        workshop: Workshop,
        checkpoint: Path | None,
        fingerprint: str,
    ) -> None:
        clock = _Clock()
        self._arm, self._workshop, self._clock = arm, workshop, clock
        self.notices: list[Notice] = []
        self.chosen: dict[str, float] = {}
        self.timings = clock.timings
        with clock("read"):
            images, held_out = workshop.images(train, arm.preprocess), workshop.images(val, arm.preprocess)
        with clock("fit"):
            self._network = self._prepared(train, val, images)
            self._graph = PixelGraph(self._network, arm.preprocess)
            self._graph.to(memory_format=torch.channels_last)
            fitted = self._fit(images, held_out, len(train.classes), checkpoint, fingerprint)
        self.history, self.best_epoch = fitted.history, fitted.best_epoch
        if fitted.stopped:
            self.notices.append(Notice("W-PROC-15", fitted.stopped))

    def predict(self, manifest: Manifest) -> NDArray[np.float64]:
        images = self._workshop.images(manifest, self._arm.preprocess)
        batches = images.in_order(self._arm.recipe.batch_size)
        return loop.predict(self._graph, batches, self._workshop.machine)[1]

    def tensors(self) -> dict[str, Tensor]:
        return {name: tensor.detach().cpu() for name, tensor in self._network.state_dict().items()}

    def _prepared(self, train: Manifest, val: Manifest, images: ImageSet) -> Classifier:
        """The network before its first step: weights, head, frozen stages."""
        arm = self._arm
        network = Classifier(self._workshop.backbone(arm), len(train.classes))
        if arm.recipe.head_first:
            data = head_data(arm, train, val, self._workshop.extractor(arm))
            set_head(network, heads.fit_linear(data, recipe=_head_recipe(arm.recipe), seed=arm.seed, measure=measure))
        if arm.recipe.pretrained and batchnorm.identity_batchnorm(network.backbone):
            # weights whose batch norm was folded away would lose their function in train mode
            sample = next(images.epoch(0, batch_size=256, augment=NONE, seed=arm.seed, threads=1))[0]
            normalised = PixelGraph(torch.nn.Identity(), arm.preprocess)(sample)
            batchnorm.unfold_batchnorm(network.backbone, normalised.split(64))
            text = "the weights' folded batch norm was given statistics of 256 training images; outputs are unchanged"
            self.notices.append(Notice("W-MODEL-21", text))
        network.backbone.freeze(arm.recipe.trainable)
        return network

    def _fit(
        self, images: ImageSet, held_out: ImageSet, classes: int, checkpoint: Path | None, fingerprint: str
    ) -> loop.Fitted:
        arm, workshop = self._arm, self._workshop
        if workshop.machine.device == "cpu":
            keep_freed_memory()
        augment = preset(arm.recipe.augment)
        data = loop.TrainingData(
            epoch=lambda number: images.epoch(
                number, batch_size=arm.recipe.batch_size, augment=augment, seed=arm.seed, threads=workshop.threads
            ),
            steps=images.steps(arm.recipe.batch_size),
            validation=lambda: held_out.in_order(arm.recipe.batch_size),
            class_weights=class_weights_of(torch.from_numpy(images.labels), classes),
        )
        return loop.fit(
            self._graph,
            data,
            recipe=arm.recipe,
            measure=measure,
            machine=workshop.machine,
            checkpoint=checkpoint,
            fingerprint=fingerprint,
            on_step=lambda seen: workshop.watcher.advance(3 * seen * arm.spec.params_m),
        )


def head_data(arm: Arm, train: Manifest, val: Manifest, extractor: Extractor) -> heads.HeadData:
    """Cached features of train (as many views as the recipe asks for) and validation."""
    if arm.recipe.views > 0:
        views = range(arm.recipe.views)
        features = stack_views(extractor, train, preset(arm.recipe.augment), views=views, seed=arm.seed)
    else:
        features = extractor.features(train)[None]
    return heads.HeadData(
        train=features,
        train_labels=train.labels,
        groups=np.array(train.column("group"), dtype=np.int64),
        val=extractor.features(val),
        val_labels=val.labels,
        classes=len(train.classes),
    )


def _head_recipe(recipe: Recipe) -> Recipe:
    """The probe's recipe with the epochs and batches of the recipe whose head it prepares."""
    return replace(RECIPES["probe"], epochs=recipe.epochs, batch_size=recipe.batch_size)


def set_head(network: Classifier, head: heads.Head) -> None:
    """Put a fitted head on a network."""
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))


def weights_facts(arm: Arm, workshop: Workshop) -> dict[str, str] | None:
    """What a record says about weights. Those of the catalog are ImageNet-1k's; a timm model's may be others."""
    found = workshop.weights(arm)
    if found is None:
        return None
    trained_on = "" if arm.spec.name.startswith(TIMM_PREFIX) else "ImageNet-1k, from "
    origin = trained_on + {"weights-dir": "weights folder"}.get(found.origin, found.origin)
    return {"file": found.path.name, "sha256": found.sha256, "origin": origin, "licence": found.licence}
