"""The only gradient loop: (network, batches, validation) -> the network of its best epoch, and the history."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from xenograft.errors import ProcessError
from xenograft.storage import atomic_write
from xenograft.train.network import decisions_of, loss_of, probabilities_of
from xenograft.train.recipes import Recipe

Epoch = Callable[[int], Iterator[tuple[Tensor, Tensor]]]
Measure = Callable[[NDArray[np.int64], NDArray[np.float64]], dict[str, float]]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What the loop trains on; features and images look the same to it.

    Args:
        epoch: number (from 0) -> batches of (inputs, labels), the same ones each time it is called with that number.
        steps: batches per epoch.
        validation: a function without arguments -> batches of (inputs, labels) in a fixed order.
        class_weights: (C,), see `class_weights_of`.
    """

    epoch: Epoch
    steps: int
    validation: Callable[[], Iterator[tuple[Tensor, Tensor]]]
    class_weights: Tensor


@dataclass(slots=True)
class Fitted:
    """What came out: `history` as in RunRecord, and the epoch (from 1) with the lowest validation loss."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the loop computes. device: ``cpu``, ``cuda`` or ``mps``; bf16: autocast to bfloat16."""

    device: str = "cpu"
    bf16: bool = False


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
        ProcessError: the loss is not finite before any epoch was finished (P15).
    """
    network.to(machine.device)
    optimiser = _optimiser(network, recipe)
    fitted, best = _resume(checkpoint, fingerprint, network, optimiser)
    total = recipe.epochs * data.steps
    for epoch in range(len(fitted.history), recipe.epochs):
        if _patience_is_out(fitted, recipe):
            break
        started = time.perf_counter()
        trained = _train_epoch(network, data, optimiser, epoch, total, recipe, machine, on_step)
        validated = _validate(network, data, measure, machine) if trained is not None else None
        if trained is None or validated is None:
            fitted.stopped = f"the loss was not finite in epoch {epoch + 1}; the best epoch before it was kept"
            break
        row: dict[str, Any] = {"epoch": epoch + 1, **trained, **validated}
        row["seconds"] = round(time.perf_counter() - started, 3)
        fitted.history.append(row)
        if row["selection_loss"] <= min(r["selection_loss"] for r in fitted.history):
            fitted.best_epoch, best = epoch + 1, _state(network)
        if checkpoint is not None:
            _save(checkpoint, fingerprint, network, optimiser, best, fitted)
    if not fitted.history:
        raise ProcessError(
            f"the loss was not finite in the first epoch at learning rate {max(recipe.head_lr, recipe.backbone_lr):g}; "
            "lower it with --lr-scale",
            code="E-PROC-15",
        )
    network.load_state_dict(best)
    network.eval()
    return fitted


def predict(
    network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], machine: Machine
) -> tuple[NDArray[np.int64], NDArray[np.float64], Tensor]:
    """(N,) labels, (N, C) probabilities and (N, K) logits of a network in evaluation mode."""
    network.eval()
    labels, logits = [], []
    with torch.inference_mode():
        for inputs, truth in batches:
            with torch.autocast(machine.device, torch.bfloat16, enabled=machine.bf16):
                logits.append(network(inputs.to(machine.device)).float().cpu())
            labels.append(truth.cpu())
    joined = torch.cat(logits)
    return torch.cat(labels).numpy(), probabilities_of(joined).numpy(), joined


def _train_epoch(
    network: nn.Module,
    data: TrainingData,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    total: int,
    recipe: Recipe,
    machine: Machine,
    on_step: Callable[[int], None] | None,
) -> dict[str, float] | None:
    """One pass; None when the loss stopped being finite. Loss and accuracy are those met on the way (§5.9)."""
    network.train()
    weights = data.class_weights.to(machine.device)
    sums = torch.zeros(2, device=machine.device)
    seen = 0
    for index, (inputs, labels) in enumerate(data.epoch(epoch)):
        _set_learning_rate(optimiser, epoch * data.steps + index, total, recipe)
        inputs, labels = inputs.to(machine.device), labels.to(machine.device)  # noqa: PLW2901 - the same, elsewhere
        with torch.autocast(machine.device, torch.bfloat16, enabled=machine.bf16):
            logits = network(inputs)
        loss = loss_of(logits.float(), labels, weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            right = (decisions_of(logits) == labels).sum()
            sums += torch.stack([loss.detach() * len(labels), right.float()])
        seen += len(labels)
        if on_step is not None:
            on_step(len(labels))
    mean = (sums / seen).tolist()
    if not math.isfinite(mean[0]):
        return None
    return {"train_loss": mean[0], "train_accuracy": mean[1]}


def _validate(network: nn.Module, data: TrainingData, measure: Measure, machine: Machine) -> dict[str, float] | None:
    """Validation's measures; None when the network's answers are not finite any more."""
    labels, probabilities, logits = predict(network, data.validation(), machine)
    if not bool(torch.isfinite(logits).all()):
        return None
    balanced = float(loss_of(logits, torch.from_numpy(labels), data.class_weights))
    measured = {f"val_{name}": value for name, value in measure(labels, probabilities).items()}
    # the class-weighted loss chooses the epoch: it is proper, smooth, and blind to prevalence
    return {**measured, "selection_loss": balanced}


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Head and backbone as two groups; frozen parameters in none."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in named if _in_backbone(name)], "peak": recipe.backbone_lr},
        {"params": [p for name, p in named if not _in_backbone(name)], "peak": recipe.head_lr},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.head_lr, momentum=0.9, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(groups, lr=recipe.head_lr, weight_decay=recipe.weight_decay)


def _in_backbone(name: str) -> bool:
    return "backbone." in name


def _set_learning_rate(optimiser: torch.optim.Optimizer, step: int, total: int, recipe: Recipe) -> None:
    """Linear warm-up, then a cosine to zero: a function of the step alone."""
    warm = max(1, round(recipe.warmup * total))
    share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share


def _patience_is_out(fitted: Fitted, recipe: Recipe) -> bool:
    return 0 < recipe.patience <= len(fitted.history) - fitted.best_epoch


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _save(
    path: Path,
    fingerprint: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    best: dict[str, Tensor],
    fitted: Fitted,
) -> None:
    """Network, optimiser and best epoch as one safetensors file: no pickle, written whole or not at all."""
    tensors = {f"network/{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{k}": torch.as_tensor(v) for k, v in state.items() if v is not None}
    facts = {"history": fitted.history, "best_epoch": fitted.best_epoch, "stopped": fitted.stopped}
    about = {"facts": json.dumps(facts), "fingerprint": fingerprint}
    data = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, about)
    atomic_write(path, data)


def _resume(
    path: Path | None, fingerprint: str, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[Fitted, dict[str, Tensor]]:
    """Continue from `path` where it holds this very run; else start."""
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
    try:
        if path is None or not path.is_file():
            return Fitted(), _state(network)
        with safe_open(path, framework="pt") as stored:
            about = stored.metadata()
            if about["fingerprint"] != fingerprint:
                return Fitted(), _state(network)
            facts = json.loads(about["facts"])
            for key in stored.keys():  # noqa: SIM118 - safe_open is no mapping
                group, _, name = key.partition("/")
                groups[group][name] = stored.get_tensor(key).clone()  # or the file stays mapped and cannot be replaced
    except (SafetensorError, KeyError, ValueError):  # a damaged checkpoint costs its epochs, nothing else
        return Fitted(), _state(network)
    network.load_state_dict(groups["network"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimiser"].items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    device = next(network.parameters()).device
    return Fitted(**facts), {k: v.to(device) for k, v in groups["best"].items()}
