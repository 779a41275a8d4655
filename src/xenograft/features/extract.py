"""(manifest, frozen backbone, engine) -> features, through the store: an image is embedded once, ever."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.augment import NONE, Augment
from xenograft.data.batches import PixelSource
from xenograft.data.manifest import Manifest
from xenograft.data.prepared import pixel_facts
from xenograft.data.preprocess import Preprocess
from xenograft.errors import LabelError, Notice, printable
from xenograft.features.engine import Engine, EngineChoice
from xenograft.rowstore import RowStore, ShardWriter
from xenograft.storage import sha256_of

Array = NDArray[np.float32]
Progress = Callable[[int], None]


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
        pixels: where prepared images come from.
        cache: folder of the feature store, or None for memory only.
        progress: called with the number of images embedded since the last call.
        say: gets a line when another process holds the store. keys: of the stores used so far; may be shared.
        expected: images that will be asked for in all, as far as the caller knows; see `EngineChoice.build`.
        embedded: images embedded so far. compile_seconds: spent on building the engine.
    """

    backbone: FrozenBackbone
    engine: EngineChoice
    pixels: PixelSource
    cache: Path | None = None
    progress: Progress = lambda _: None
    say: Callable[[str], None] = lambda _: None
    keys: set[str] = field(default_factory=set)
    expected: int = 0
    embedded: int = 0
    compile_seconds: float = 0.0
    notices: list[Notice] = field(default_factory=list)
    _built: Engine | None = None
    _in_memory: dict[str, RowStore] = field(default_factory=dict)

    def features(self, manifest: Manifest, *, augment: Augment = NONE, view: int = 0, seed: int = 0) -> Array:
        """(N, D) float32 features in manifest order.

        Raises:
            LabelError: a feature is not finite (L17), naming the image.
        """
        store = self.embed(manifest, augment=augment, view=view, seed=seed)
        features: Array = store.rows(manifest.column("sha256"))
        if not np.isfinite(features).all():
            bad = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise LabelError(
                f"{printable(manifest.column('path')[bad])} has features that are not finite with "
                f"{self.backbone.name} at {self.engine.precision}; check the image and the weights, or use f32",
                code="E-LABEL-17",
            )
        return features

    def embed(self, manifest: Manifest, *, augment: Augment = NONE, view: int = 0, seed: int = 0) -> RowStore:
        """Fill the store with what is missing of these images, in bounded memory, and return it."""
        store = self._store(self.facts(augment, view, seed))
        hashes: list[str] = manifest.column("sha256")
        if store.missing(hashes):
            with store.alone(self.say):
                missing = store.missing(hashes)  # another process may have been faster (P6)
                if missing:
                    self._fill(store, manifest.take(missing), augment=augment, view=view, seed=seed)
        self._notice([*store.notices, *self.pixels.notices])
        self.pixels.notices = []
        store.notices = []
        return store

    def _store(self, facts: dict[str, Any]) -> RowStore:
        """Opened for each call, so that one key at a time is mapped; where nothing can be written, kept."""
        key = sha256_of(facts)
        self.keys.add(key)
        store = self._in_memory.get(key) or RowStore(self.cache, facts)
        if not store.writable:
            self._in_memory[key] = store
        return store

    def facts(self, augment: Augment, view: int, seed: int) -> dict[str, Any]:
        """Everything a feature depends on besides the image's bytes."""
        random = {} if augment == NONE else {"view": view, "seed": seed}
        return {
            "backbone": self.backbone.name,
            "weights": self.backbone.weights,
            "layer": "pooled",
            "preprocess": self.backbone.preprocess.as_json(),
            "decoding": pixel_facts(self.backbone.preprocess),
            "engine": self.engine.as_json(),
            "machine": platform.machine(),
            "augment": augment.as_json() | random,
            "versions": {name: version(name) for name in ("torch", "torchvision", "timm")},
            "format": 3,
        }

    def _fill(self, store: RowStore, manifest: Manifest, *, augment: Augment, view: int, seed: int) -> None:
        engine = self._engine(len(manifest))
        hashes: list[str] = manifest.column("sha256")
        stream = self.pixels.batches(manifest, size=engine.batch_size, augment=augment, view=view, seed=seed)
        writer = ShardWriter(store)
        start = 0
        for part in self._counted(engine.embed(stream)):
            writer.put(hashes[start : start + len(part)], part)
            start += len(part)
        writer.flush()

    def _engine(self, images: int) -> Engine:
        if self._built is None:
            started = time.perf_counter()
            self._built = self.engine.build(self.backbone.graph(), images=max(images, self.expected))
            self.compile_seconds += time.perf_counter() - started
        return self._built

    def _counted(self, parts: Iterator[Array]) -> Iterator[Array]:
        for part in parts:
            self.embedded += len(part)
            self.progress(len(part))
            yield part

    def _notice(self, notices: list[Notice]) -> None:
        self.notices += [notice for notice in notices if notice not in self.notices]
