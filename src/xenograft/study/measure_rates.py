"""(backbone, engine or machine) -> images per second, measured for a few seconds on random images and weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.backbones.build import Trainable, build
from xenograft.backbones.catalog import BackboneSpec
from xenograft.backbones.graph import PixelGraph
from xenograft.backbones.gray import summed_over_channels
from xenograft.data.augment import preset
from xenograft.data.preprocess import Preprocess
from xenograft.features.engine import EngineChoice
from xenograft.study.arm import measure
from xenograft.train import loop
from xenograft.train.allocator import keep_freed_memory
from xenograft.train.device_images import placed
from xenograft.train.images import ImageSet
from xenograft.train.machine import Machine
from xenograft.train.network import Classifier
from xenograft.train.objective import Binary
from xenograft.train.recipes import Recipe, lookup

Progress = Callable[[float], None]

_WARM_BATCHES = 4
_WARM_STEPS = 2
_HELD_BATCHES = 4  # of random images in memory; augmentation makes each step's its own


def measure_embedding(
    spec: BackboneSpec,
    engine: EngineChoice,
    *,
    size: int | None = None,
    seconds: float = 10.0,
    progress: Progress = lambda _: None,
) -> float:
    """Images per second of a frozen backbone, prepared gray images being in memory.

    Args:
        size: input side in pixels; None takes the backbone's. seconds: to measure, after building and warming up.
        progress: called with the seconds measured since the last call.
    """
    preprocess = _preprocess(spec, size)
    built = engine.build(summed_over_channels(PixelGraph(build(spec, tensors=None, seed=0), preprocess).eval()))
    shape = (built.batch_size, preprocess.channels, preprocess.size, preprocess.size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for _ in built.embed([pixels] * _WARM_BATCHES):
        pass
    started = time.perf_counter()
    images = sum(len(part) for part in built.embed(_repeated(pixels, seconds, progress)))
    return images / (time.perf_counter() - started)


def measure_training(
    spec: BackboneSpec,
    machine: Machine,
    *,
    size: int | None = None,
    seconds: float = 10.0,
    trainable: Trainable = "all",
    batch_size: int = 64,
    progress: Progress = lambda _: None,
) -> float:
    """Images per second of training steps with the paper's augmentation, through the one gradient loop.

    Args:
        size, seconds, progress: as for `measure_embedding`. trainable: see `Recipe`.
        batch_size: images per step; where the machine takes them in parts, a step of one part is measured.
    """
    if machine.device == "cpu":
        keep_freed_memory()
    preprocess = _preprocess(spec, size)
    recipe = _recipe(machine.micro_batch or batch_size)
    network = Classifier(build(spec, tensors=None, seed=0), Binary())
    network.backbone.freeze(trainable)
    drill = _Drill(_random_images(preprocess, recipe.batch_size), machine, recipe, seconds, progress)
    loop.fit(PixelGraph(network, preprocess), drill.data(), recipe=recipe, measure=measure, machine=machine)
    return drill.images / drill.seconds


class _Drill:
    """One epoch that ends when enough seconds were measured.

    The loop asks for a batch when it has finished the last one, so the source of batches is where its steps are timed.
    """

    def __init__(self, images: ImageSet, machine: Machine, recipe: Recipe, seconds: float, progress: Progress) -> None:
        self._images = placed([images], machine.device)[0]
        self._device, self._recipe = machine.device, recipe
        self._wanted, self._progress = seconds, progress
        self.images, self.seconds = 0, 0.0

    def data(self) -> loop.TrainingData:
        """What the loop trains on; so few steps are announced that nothing is compiled for them."""
        size = self._recipe.batch_size
        weights = Binary().class_weights(torch.from_numpy(self._images.labels))
        return loop.TrainingData(self._epoch, _HELD_BATCHES, lambda: self._images.in_order(size), Binary(), weights)

    def _epoch(self, _number: int) -> Iterator[tuple[Tensor, Tensor]]:
        stream = self._stream()
        for _ in range(_WARM_STEPS):
            yield next(stream)
        started = self._now()
        while self.seconds < self._wanted or not self.images:
            inputs, labels = next(stream)
            yield inputs, labels
            self.images += len(labels)
            before, self.seconds = self.seconds, self._now() - started
            self._progress(self.seconds - before)

    def _stream(self) -> Iterator[tuple[Tensor, Tensor]]:
        size, augment = self._recipe.batch_size, preset(self._recipe.augment)
        epochs = (self._images.epoch(number, batch_size=size, augment=augment, seed=0, threads=2) for number in count())
        return chain.from_iterable(epochs)

    def _now(self) -> float:
        """Seconds, when the device has done all that it was told."""
        if self._device == "cuda":
            torch.cuda.synchronize()
        elif self._device == "mps":
            torch.mps.synchronize()
        return time.perf_counter()


def _repeated(pixels: NDArray[np.uint8], seconds: float, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    """The same batch until the time is up, and at least once."""
    started = last = time.perf_counter()
    while True:
        yield pixels
        now = time.perf_counter()
        progress(now - last)
        last = now
        if now - started >= seconds:
            return


def _preprocess(spec: BackboneSpec, size: int | None) -> Preprocess:
    return Preprocess(size=size or spec.size, mean=spec.mean, std=spec.std, channels=1)


def _recipe(batch_size: int) -> Recipe:
    """Scratch with steps so small that noise cannot make them diverge; they cost the same."""
    return replace(lookup("scratch"), epochs=1, batch_size=batch_size, head_lr=1e-6, backbone_lr=1e-6)


def _random_images(preprocess: Preprocess, batch_size: int) -> ImageSet:
    number = _HELD_BATCHES * batch_size
    shape = (number, preprocess.channels, preprocess.size, preprocess.size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return ImageSet(pixels, np.arange(number, dtype=np.int64) % 2, tuple(f"{k:064x}" for k in range(number)))
