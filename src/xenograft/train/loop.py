"""The only gradient loop: (network, batches, validation) -> the network of its best epoch, and the history."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xenograft.errors import ProcessError
from xenograft.train.checkpoint import Fitted, resume, save_checkpoint, state_of
from xenograft.train.machine import Machine, moved, pays_to_compile
from xenograft.train.moving import Unfreezing, parameter_groups
from xenograft.train.objective import Objective
from xenograft.train.penalty import StartingPoint
from xenograft.train.recipes import Recipe
from xenograft.train.schedule import patience_is_out, share_of_peak
from xenograft.train.step import Step
from xenograft.train.validation import Measure, diverged, never_finite, validation_row

__all__ = ["Fitted", "Machine", "Measure", "TrainingData", "fit", "predict"]

Epoch = Callable[[int], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What the loop trains on; features and images look the same to it.

    Args:
        epoch: number (from 0) -> batches of (inputs, labels), the same ones each time it is called with that number.
        steps: batches per epoch.
        validation: a function without arguments -> batches of (inputs, labels) in a fixed order.
        objective: what labels and logits are. class_weights: see `Objective.class_weights`.
    """

    epoch: Epoch
    steps: int
    validation: Callable[[], Iterator[tuple[Tensor, Tensor]]]
    objective: Objective
    class_weights: Tensor


def fit(
    network: nn.Module,
    data: TrainingData,
    *,
    recipe: Recipe,
    measure: Measure,
    machine: Machine,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    on_step: Callable[[int], None] | None = None,
) -> Fitted:
    """Train `network` in place and leave it at the epoch that validation chose.

    Exactly resumable: batches depend on the epoch's number alone, the learning rate on the step's, so a checkpoint
    after each epoch holds everything (P2). It is removed by the caller, once the result is safe.

    Args:
        measure: (labels, probabilities) -> ``loss``, ``accuracy``, ``f1``, ``auroc`` on validation.
        checkpoint: file to resume from and to write to. on_step: called with the number of images of each step.
        fingerprint: of everything the run depends on; a checkpoint with another one, or a damaged one, is not taken.

    Raises:
        ProcessError: the loss is not finite before any epoch was finished (P15), or memory ran out twice (P11).
    """
    network.to(machine.device)
    network.to(memory_format=torch.channels_last)
    optimiser = _optimiser(network, recipe, machine.device)
    total = recipe.epochs * data.steps
    unfreezing, start = Unfreezing(network, recipe), StartingPoint(network, recipe)
    fitted, best = resume(checkpoint, fingerprint, network, optimiser)
    if not fitted.history:
        fitted.micro_batch = machine.micro_batch
    step = Step(
        network,
        machine.with_parts(fitted.micro_batch),
        data.objective,
        data.class_weights,
        may_halve=fitted.micro_batch == machine.micro_batch,
        compiled=pays_to_compile(machine.device, total - unfreezing.epochs * data.steps),
    )
    for epoch in range(len(fitted.history), recipe.epochs):
        if patience_is_out(len(fitted.history), max(fitted.best_epoch, unfreezing.epochs), recipe.patience):
            break
        started = time.perf_counter()
        unfreezing.begin(epoch)
        step.eager = epoch < unfreezing.epochs
        trained = _train_epoch(step, data, optimiser, epoch, total, recipe, start, on_step)
        fitted.micro_batch = step.machine.micro_batch
        fitted.notices += step.take_notices()
        validated = _validate(network, data, measure, step.machine) if trained is not None else None
        if trained is None or validated is None:
            fitted.stopped = diverged(epoch + 1)
            break
        row: dict[str, Any] = {"epoch": epoch + 1, **trained, **validated}
        row["seconds"] = round(time.perf_counter() - started, 3)
        fitted.history.append(row)
        if row["selection_loss"] <= min(r["selection_loss"] for r in fitted.history):
            fitted.best_epoch, best = epoch + 1, state_of(network)
        if checkpoint is not None:
            save_checkpoint(checkpoint, fingerprint, network, optimiser, best, fitted)
    if not fitted.history:
        raise ProcessError(never_finite(max(recipe.head_lr, recipe.backbone_lr)), code="E-PROC-15")
    network.load_state_dict(best)
    network.eval()
    return fitted


def predict(
    network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], machine: Machine, objective: Objective
) -> tuple[NDArray[np.int64], NDArray[np.float64], Tensor]:
    """Labels, probabilities and (N, K) logits of a network in evaluation mode, as the objective has them."""
    network.eval()
    labels, logits = [], []
    with torch.inference_mode():
        for inputs, truth in batches:
            for part in torch.split(inputs, machine.parts(len(inputs))):
                with torch.autocast(machine.device, torch.bfloat16, enabled=machine.bf16):
                    logits.append(network(moved(part, machine.device)).float())
            labels.append(truth)
        joined = torch.cat(logits).cpu()  # once: the device is not waited for between batches
    return torch.cat(labels).cpu().numpy(), objective.probabilities(joined).numpy(), joined


def _train_epoch(
    step: Step,
    data: TrainingData,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    total: int,
    recipe: Recipe,
    start: StartingPoint,
    on_step: Callable[[int], None] | None,
) -> dict[str, float] | None:
    """One pass; None when the loss stopped being finite. Loss and accuracy are those met on the way (§5.9)."""
    step.network.train()
    sums = torch.zeros(2, device=step.machine.device)
    seen: int | Tensor = 0
    for index, (inputs, labels) in enumerate(data.epoch(epoch)):
        share = share_of_peak(epoch * data.steps + index, total, recipe.warmup)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * share
        sums += step(inputs, labels)
        start.add_gradients()
        optimiser.step()
        seen = seen + data.objective.known(labels)
        if on_step is not None:
            on_step(len(labels))
    mean = (sums / seen).tolist()
    if not math.isfinite(mean[0]):
        return None
    return {"train_loss": mean[0], "train_accuracy": mean[1]}


def _validate(network: nn.Module, data: TrainingData, measure: Measure, machine: Machine) -> dict[str, float] | None:
    """Validation's measures; None when the network's answers are not finite any more."""
    labels, _, logits = predict(network, data.validation(), machine, data.objective)
    return validation_row(torch.from_numpy(labels), logits, data.objective, data.class_weights, measure)


def _optimiser(network: nn.Module, recipe: Recipe, device: str) -> torch.optim.Optimizer:
    """One kernel for all parameters that learn, where torch has it."""
    groups = parameter_groups(network, recipe)
    # torch's fused SGD fails where some parameters of a group have moved before and others have not
    fused = device in {"cpu", "cuda"} and not (recipe.unfreeze_every and recipe.optimiser == "sgd")
    options: dict[str, Any] = {"lr": recipe.head_lr, "weight_decay": recipe.weight_decay}
    options |= {"fused": fused, "foreach": not fused}
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, **options)
    return torch.optim.AdamW(groups, **options)
