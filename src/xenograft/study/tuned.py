"""An arm whose backbone moves, wholly or in part. No test image can reach this file's choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.backbones import batchnorm
from xenograft.backbones.build import build
from xenograft.backbones.graph import PixelGraph
from xenograft.data.augment import NONE, preset
from xenograft.data.manifest import Manifest
from xenograft.errors import Notice
from xenograft.study.arm import Arm, Clock, measure
from xenograft.study.frozen import head_data
from xenograft.study.workshop import Workshop
from xenograft.train import heads, loop
from xenograft.train.allocator import keep_freed_memory
from xenograft.train.device_images import placed
from xenograft.train.images import ImageSet
from xenograft.train.lora import Adapters, targets
from xenograft.train.machine import Machine, choose_machine, total_memory
from xenograft.train.network import Classifier
from xenograft.train.objective import objective_of
from xenograft.train.recipes import RECIPES, Recipe


class TunedArm:
    """A network whose backbone moves, wholly or in part.

    `engine` says what it was trained and is run with, as `engine_facts` do; memory that ran out shows in it.
    """

    def __init__(
        self,
        arm: Arm,
        train: Manifest,
        val: Manifest,
        workshop: Workshop,
        checkpoint: Path | None,
        fingerprint: str,
    ) -> None:
        clock = Clock()
        self._arm, self._workshop = arm, workshop
        self._machine = planned_machine(arm, workshop)
        self._adapters: Adapters | None = None
        self.notices: list[Notice] = []
        self.chosen: dict[str, float] = {}
        self.timings = clock.timings
        with clock("read"):
            images, held_out = workshop.images(train, arm.preprocess), workshop.images(val, arm.preprocess)
        with clock("fit"):
            self._network = self._prepared(train, val, images)
            self._graph = PixelGraph(self._network, arm.preprocess)
            fitted = self._fit(images, held_out, checkpoint, fingerprint)
        self.history, self.best_epoch = fitted.history, fitted.best_epoch
        self._machine = self._machine.with_parts(fitted.micro_batch)
        self.engine: Mapping[str, str | int] = engine_facts(arm, self._machine)
        self.notices += fitted.notices
        if fitted.stopped:
            self.notices.append(Notice("W-PROC-15", fitted.stopped))

    def predict(self, manifest: Manifest) -> NDArray[np.float64]:
        """(N, C) probabilities in manifest order, or (N, L) of findings."""
        images = self._workshop.images(manifest, self._arm.preprocess)
        batches = images.in_order(self._arm.recipe.batch_size)
        return loop.predict(self._graph, batches, self._machine, self._network.objective)[1]

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, to keep."""
        return {name: tensor.detach().cpu() for name, tensor in self._network.state_dict().items()}

    def _prepared(self, train: Manifest, val: Manifest, images: ImageSet) -> Classifier:
        """The network before its first step: weights, head, frozen stages."""
        arm = self._arm
        network = Classifier(self._workshop.backbone(arm), objective_of(len(train.classes), train.multi_label))
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
        if arm.recipe.lora_rank:
            rank, alpha = arm.recipe.lora_rank, arm.recipe.lora_alpha
            self._adapters = Adapters(network.backbone, rank=rank, alpha=alpha, seed=arm.seed)
        network.backbone.freeze(arm.recipe.trainable)
        return network

    def _fit(self, images: ImageSet, held_out: ImageSet, checkpoint: Path | None, fingerprint: str) -> loop.Fitted:
        arm, workshop, device = self._arm, self._workshop, self._machine.device
        objective = self._network.objective
        if device == "cpu":
            keep_freed_memory()
        augment = preset(arm.recipe.augment)
        train, val = placed([images, held_out], device)
        data = loop.TrainingData(
            epoch=lambda number: train.epoch(
                number, batch_size=arm.recipe.batch_size, augment=augment, seed=arm.seed, threads=workshop.threads
            ),
            steps=train.steps(arm.recipe.batch_size),
            validation=lambda: val.in_order(arm.recipe.batch_size),
            objective=objective,
            class_weights=objective.class_weights(torch.from_numpy(images.labels)),
        )
        fitted = loop.fit(
            self._graph,
            data,
            recipe=arm.recipe,
            measure=measure,
            machine=self._machine,
            checkpoint=checkpoint,
            fingerprint=fingerprint,
            on_step=lambda seen: workshop.watcher.advance(3 * seen * arm.spec.params_m),
        )
        if self._adapters is not None:
            self._adapters.merge()
        return fitted


def check_trainable(arm: Arm) -> None:
    """Build the arm's network with random weights to see whether its recipe can move it: before hours, not after.

    Raises:
        UsageError: it has no normalisation layers (E-USAGE-26), or no attention (E-USAGE-27).
        MissingPackage: its recipe needs an optional package (E-PACKAGE-01).
    """
    if arm.recipe.trainable == "norm":
        build(arm.spec, tensors=None, seed=0).freeze("norm")
    elif arm.recipe.trainable == "lora":
        targets(build(arm.spec, tensors=None, seed=0))


def planned_machine(arm: Arm, workshop: Workshop) -> Machine:
    """How an arm will be trained unless memory runs out: no weights are read, so a fingerprint can hold it."""
    asked = workshop.machine
    return choose_machine(
        arm.spec,
        device=asked.device,
        precision=workshop.precision,
        micro_batch=asked.micro_batch,
        batch_size=arm.recipe.batch_size,
        size=arm.preprocess.size,
        memory=total_memory(asked.device),
    )


def engine_facts(arm: Arm, machine: Machine) -> dict[str, str | int]:
    """What a record and a fingerprint say about a machine; `micro_batch` is the batch where that stays whole."""
    return {
        "name": "torch",
        "precision": machine.precision,
        "device": machine.device,
        "micro_batch": machine.micro_batch or arm.recipe.batch_size,
    }


def _head_recipe(recipe: Recipe) -> Recipe:
    """The probe's recipe with the epochs and batches of the recipe whose head it prepares."""
    return replace(RECIPES["probe"], epochs=recipe.epochs, batch_size=recipe.batch_size)


def set_head(network: Classifier, head: heads.Head) -> None:
    """Put a fitted head on a network."""
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
