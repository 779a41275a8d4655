"""What every network of a comparison is measured on: images, patients, resamples, and the shop that builds networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from xenograft.backbones.build import Backbone
from xenograft.backbones.graph import PixelGraph
from xenograft.data.preprocess import Preprocess
from xenograft.features.layers import stage_features
from xenograft.study.arm import Clock
from xenograft.study.similarity_measures import Ruler
from xenograft.study.similarity_plan import SimilarityPlan
from xenograft.study.similarity_sets import NOISE, SETS, ImageSet, noise_like
from xenograft.study.workshop import Workshop

Stages = Mapping[str, Mapping[str, NDArray[np.float32]]]
"""stage -> set -> (N, D) features."""

_BATCH = 64


@dataclass(slots=True)
class Material:
    """What every network of a comparison is measured on.

    Args:
        sets: natural and medical. ruler: the resamples of all measures. clock: seconds by stage of the work.
    """

    asked: SimilarityPlan
    sets: Mapping[str, ImageSet]
    ruler: Ruler
    workshop: Workshop
    clock: Clock
    _pixels: dict[Preprocess, dict[str, NDArray[np.uint8]]] = field(default_factory=dict)

    def pixels(self, preprocess: Preprocess) -> dict[str, NDArray[np.uint8]]:
        """Set -> (N, C, S, S) uint8; noise is made in the likeness of the medical images."""
        if preprocess not in self._pixels:
            self._pixels.clear()  # 50 kB an image; backbones of one size come one after the other
            source = self.workshop.sources.of(preprocess)
            found = {name: source.everything(images.used) for name, images in self.sets.items()}
            found[NOISE] = noise_like(found["medical"], len(self.ruler.groups[NOISE]), seed=self.asked.seed)
            self._pixels[preprocess] = found
        return self._pixels[preprocess]

    def features(self, backbone: Backbone, preprocess: Preprocess, *, noise: bool = True) -> Stages:
        """Stage -> set -> features of a network, at f32."""
        graph = PixelGraph(backbone, preprocess).to(self.workshop.machine.device)
        graph = graph.to(memory_format=torch.channels_last)
        names = (*SETS, NOISE) if noise else SETS
        with self.clock("features"):
            found = {name: stage_features(graph, self._told(self.pixels(preprocess)[name], backbone)) for name in names}
        return {stage: {name: found[name][stage] for name in names} for stage in found["natural"]}

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time inside as measuring; BLAS has one thread, as in small products threads only wait."""
        with self.clock("measuring"), threadpool_limits(1, user_api="blas"):
            yield

    def _told(self, images: NDArray[np.uint8], backbone: Backbone) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            yield batch
            self.workshop.watcher.advance(len(batch) * backbone.spec.params_m)
