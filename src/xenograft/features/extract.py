"""(manifest, backbone, preprocess, engine) -> features, through the store: an image is embedded once, ever."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.augment import NONE, Augment
from xenograft.data.batches import batches
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.errors import LabelError, Notice, printable
from xenograft.features.engine import EngineChoice
from xenograft.features.store import FeatureStore
from xenograft.storage import sha256_of

Array = NDArray[np.float32]
Progress = Callable[[int, int], None]

_SHARD = 512  # images per shard: what an interrupted run may have to embed again
_BATCH = 8


@dataclass(frozen=True, slots=True)
class FrozenBackbone:
    """What identifies a frozen network, and how to get it once it is needed.

    Args:
        name: catalog name. weights: sha256 of the weights file, or ``random:<seed>``.
        graph: builds the `PixelGraph`; called only when something must be embedded.
    """

    name: str
    weights: str
    preprocess: Preprocess
    graph: Callable[[], Any]


@dataclass(slots=True)
class Extractor:
    """Embeds manifests with one frozen backbone; the engine is built at the first miss and kept.

    Args:
        cache: folder of the feature store, or None for memory only.
        progress: called with the number of images embedded since the last call, and of those in all.
    """

    backbone: FrozenBackbone
    engine: EngineChoice
    cache: Path | None = None
    threads: int = 2
    progress: Progress | None = None
    embedded: int = 0
    notices: list[Notice] = field(default_factory=list)
    _built: Any = None
    _stores: dict[str, FeatureStore] = field(default_factory=dict)

    def features(self, manifest: Manifest, *, augment: Augment = NONE, view: int = 0, seed: int = 0) -> Array:
        """(N, D) float32 features in manifest order.

        Raises:
            LabelError: a feature is not finite (L17), naming the image.
        """
        facts = self.facts(augment, view, seed)
        key = sha256_of(facts)
        if key not in self._stores:
            self._stores[key] = FeatureStore(self.cache, facts)
            self.notices.extend(self._stores[key].notices)
        store = self._stores[key]
        hashes: list[str] = manifest.column("sha256")
        if store.missing(hashes):
            with store.lock() or nullcontext():
                store.refresh()  # another process may have been faster (P6)
                self._fill(store, manifest.take(store.missing(hashes)), augment=augment, view=view, seed=seed)
        features = store.rows(hashes)
        if not np.isfinite(features).all():
            bad = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise LabelError(
                f"{printable(manifest.column('path')[bad])} has features that are not finite with "
                f"{self.backbone.name} at {self.engine.precision}; check the image and the weights, or use f32",
                code="E-LABEL-17",
            )
        return features

    def facts(self, augment: Augment, view: int, seed: int) -> dict[str, Any]:
        """Everything a feature depends on besides the image's bytes."""
        random = {} if augment == NONE else {"view": view, "seed": seed}
        libraries = ("numpy", "opencv-python-headless", "pillow", "torch", "torchvision", "timm")
        return {
            "backbone": self.backbone.name,
            "weights": self.backbone.weights,
            "layer": "pooled",
            "preprocess": self.backbone.preprocess.as_json(),
            "engine": self.engine.as_json(),
            "machine": platform.machine(),
            "augment": augment.as_json() | random,
            "versions": {name: version(name) for name in libraries},
            "format": 1,
        }

    def _fill(self, store: FeatureStore, manifest: Manifest, *, augment: Augment, view: int, seed: int) -> None:
        if self._built is None:
            self._built = self.engine.build(self.backbone.graph())
        hashes: list[str] = manifest.column("sha256")
        stream = batches(
            manifest, self.backbone.preprocess, size=_BATCH, threads=self.threads, augment=augment, view=view, seed=seed
        )
        start = 0
        for shard in _shards(self._counted(self._built.embed(stream), len(manifest)), _SHARD // _BATCH):
            store.add(hashes[start : start + len(shard)], shard)
            start += len(shard)

    def _counted(self, parts: Iterator[Array], total: int) -> Iterator[Array]:
        for part in parts:
            self.embedded += len(part)
            if self.progress is not None:
                self.progress(len(part), total)
            yield part


def _shards(parts: Iterator[Array], count: int) -> Iterator[Array]:
    while chunk := list(islice(parts, count)):
        yield np.concatenate(chunk)


def stack_views(
    extractor: Extractor, manifest: Manifest, augment: Augment, *, views: Sequence[int], seed: int
) -> Array:
    """(V, N, D): the features of several random views of each image (the paper's recipe: one view an epoch, §5.7)."""
    return np.stack([extractor.features(manifest, augment=augment, view=view, seed=seed) for view in views])
