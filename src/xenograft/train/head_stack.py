"""(features, jobs) -> heads: many linear heads on the same features, fitted at once by the paper's recipe.

The loop's arithmetic without its generality: a linear layer's gradient is known in closed form. A head's result does
not depend, to the last bit, on which others are fitted along with it: matrix products are taken per head, and what is
computed over the whole stack is single additions, products, quotients and square roots, which IEEE 754 defines exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.train.checkpoint import Fitted
from xenograft.train.head_data import Array, Head, HeadData, standard_of
from xenograft.train.recipes import Recipe
from xenograft.train.schedule import patience_is_out, share_of_peak
from xenograft.train.validation import Measure, diverged, never_finite, validation_row

_ALIGNED = 16  # floats in a cache line
_BETA1, _BETA2, _EPSILON, _MOMENTUM = 0.9, 0.999, 1e-8, 0.9


@dataclass(frozen=True, slots=True)
class Job:
    """One head to fit. The seed draws its first weights and the order of its images."""

    recipe: Recipe
    seed: int


def fit_stack(data: HeadData, jobs: Sequence[Job], *, measure: Measure) -> list[Head]:
    """The paper's head (§5.5-5.6) for each job: one linear layer, gradient descent, the epoch chosen on validation.

    Features are taken as they are, or standardised with the training images' statistics where the recipe says so; the
    layer is folded back afterwards, so that it always applies to raw features. Jobs that differ in more than seed and
    learning rate are fitted one kind after the other. One view of the images is in memory at a time.

    Args:
        measure: (labels, probabilities) -> ``loss``, ``accuracy``, ``f1``, ``auroc`` on validation.

    Returns:
        A head for each job, in order. One whose loss was not finite says so in ``stopped``; see `Head.usable`.
    """
    started = time.perf_counter()
    kinds: dict[Recipe, list[int]] = {}
    for index, job in enumerate(jobs):
        kinds.setdefault(replace(job.recipe, name="", summary="", head_lr=0.0, backbone_lr=0.0), []).append(index)
    fitted: dict[int, Head] = {}
    with torch.inference_mode(), _one_thread():
        for indices in kinds.values():
            stack = _Stack(data, [jobs[index] for index in indices], measure)
            fitted |= zip(indices, stack.fit(), strict=True)
    seconds = (time.perf_counter() - started) / max(1, len(jobs))
    return [replace(fitted[index], seconds=seconds) for index in range(len(jobs))]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Products this small are not worth sharing: threads would wait for each other, the longer the busier the machine.

    The order of sums, and so the result, does not depend on the number of cores either.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Layers:
    """R linear layers as rows (R, P) of one matrix: weight (K, D), bias (K,), and zeros up to a whole cache line.

    Without them rows would start at different places of a cache line, and a matrix product may add in another order.
    """

    def __init__(self, count: int, outputs: int, width: int) -> None:
        size = outputs * width
        self.rows = torch.zeros(count, -(-(size + outputs) // _ALIGNED) * _ALIGNED)
        self.weights = [row[:size].view(outputs, width) for row in self.rows]
        self.biases = [row[size : size + outputs] for row in self.rows]


class _AdamW:
    """torch.optim.AdamW on rows (R, P), each with its own learning rate (R, 1). NumPy's square root is exact."""

    def __init__(self, rows: Array, weight_decay: float) -> None:
        self._rows, self._weight_decay, self._steps = rows, weight_decay, 0
        self._mean, self._square, self._scratch = (np.zeros_like(rows) for _ in range(3))

    def step(self, gradients: Array, rates: NDArray[np.float64]) -> None:
        self._steps += 1
        scratch, corrected = self._scratch, rates / (1 - _BETA1**self._steps)
        self._mean *= _BETA1
        self._mean += np.multiply(gradients, 1 - _BETA1, out=scratch)
        np.multiply(gradients, gradients, out=scratch)
        scratch *= 1 - _BETA2
        self._square *= _BETA2
        self._square += scratch
        np.sqrt(self._square, out=scratch)
        scratch /= (1 - _BETA2**self._steps) ** 0.5
        scratch += _EPSILON
        np.divide(self._mean, scratch, out=scratch)
        scratch *= corrected.astype(np.float32)
        self._rows *= (1 - rates * self._weight_decay).astype(np.float32)
        self._rows -= scratch


class _SGD:
    """torch.optim.SGD with momentum on rows (R, P), each with its own learning rate (R, 1)."""

    def __init__(self, rows: Array, weight_decay: float) -> None:
        self._rows, self._weight_decay = rows, weight_decay
        self._velocity, self._scratch = np.zeros_like(rows), np.zeros_like(rows)

    def step(self, gradients: Array, rates: NDArray[np.float64]) -> None:
        self._velocity *= _MOMENTUM
        self._velocity += np.multiply(self._rows, self._weight_decay, out=self._scratch)
        self._velocity += gradients
        self._rows -= np.multiply(self._velocity, rates.astype(np.float32), out=self._scratch)


@dataclass(frozen=True, slots=True)
class _Order:
    """One seed's epoch: the images' places (N,), and in their order labels, targets (N, K) and their weights."""

    heads: list[int]
    places: NDArray[np.int64]
    labels: Tensor
    targets: Tensor
    weights: Tensor


class _Stack:
    """R heads that differ in seed and learning rate alone."""

    def __init__(self, data: HeadData, jobs: Sequence[Job], measure: Measure) -> None:
        self._data, self._jobs, self._measure, self._recipe = data, jobs, measure, jobs[0].recipe
        self._objective = data.objective
        self._standard = standard_of(data.train) if self._recipe.standardise else None
        self._read_labels()
        self._val = torch.tensor(self._prepared(data.val))  # a copy, because only torch's memory is always aligned
        self._make_layers(len(jobs), data.objective.outputs, data.val.shape[1])
        self._results = [Fitted() for _ in jobs]
        self._best = self._layers.rows.clone()
        self._view: tuple[int, Array] | None = None

    def fit(self) -> list[Head]:
        """Every epoch of every head that goes on learning."""
        with np.errstate(all="ignore"):  # a head that diverged is found by its loss
            for epoch in range(self._recipe.epochs):
                learning = [r for r in range(len(self._jobs)) if self._goes_on(self._results[r])]
                if not learning:
                    break
                self._epoch(epoch, learning)
        return [self._head(r) for r in range(len(self._jobs))]

    def _read_labels(self) -> None:
        self._labels, self._val_labels = torch.tensor(self._data.train_labels), torch.tensor(self._data.val_labels)
        self._class_weights = self._objective.class_weights(self._labels)
        self._targets = self._objective.targets(self._labels)
        self._weights = self._objective.weights(self._labels, self._class_weights)

    def _make_layers(self, count: int, outputs: int, width: int) -> None:
        self._layers, self._gradients = _Layers(count, outputs, width), _Layers(count, outputs, width)
        for weight, job in zip(self._layers.weights, self._jobs, strict=True):
            generator = torch.Generator().manual_seed(job.seed)
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.01)
        kind = _SGD if self._recipe.optimiser == "sgd" else _AdamW
        self._optimiser = kind(self._layers.rows.numpy(), self._recipe.weight_decay)
        size = self._recipe.batch_size
        self._batch = torch.empty(size, width)
        self._answers, self._errors = torch.empty(size, outputs), torch.empty(size, outputs)
        self._logits = [torch.empty(len(self._labels), outputs) for _ in self._jobs]

    def _goes_on(self, result: Fitted) -> bool:
        return not result.stopped and not patience_is_out(len(result.history), result.best_epoch, self._recipe.patience)

    def _epoch(self, epoch: int, learning: list[int]) -> None:
        """One pass over the images and one over validation; the time is divided among the heads."""
        started = time.perf_counter()
        orders = self._orders(epoch, learning)
        self._train(epoch, orders)
        for order in orders:
            for r in order.heads:
                self._judge(r, epoch, order.labels)
        seconds = round((time.perf_counter() - started) / len(learning), 4)
        for r in learning:
            if not self._results[r].stopped:
                self._results[r].history[-1]["seconds"] = seconds

    def _orders(self, epoch: int, learning: list[int]) -> list[_Order]:
        """Heads of one seed see the same batches."""
        by_seed: dict[int, list[int]] = {}
        for r in learning:
            by_seed.setdefault(self._jobs[r].seed, []).append(r)
        return [self._order(seed * 100_003 + epoch, heads) for seed, heads in by_seed.items()]

    def _order(self, seed: int, heads: list[int]) -> _Order:
        order = torch.randperm(len(self._labels), generator=torch.Generator().manual_seed(seed))
        return _Order(heads, order.numpy(), self._labels[order], self._targets[order], self._weights[order])

    def _train(self, epoch: int, orders: list[_Order]) -> None:
        view, size, count = self._view_of(epoch), self._recipe.batch_size, len(self._labels)
        steps = -(-count // size)
        peaks = np.array([[job.recipe.head_lr] for job in self._jobs])
        for index in range(steps):
            part = slice(index * size, min((index + 1) * size, count))
            for order in orders:
                self._differentiate(view, order, part)
            share = share_of_peak(epoch * steps + index, self._recipe.epochs * steps, self._recipe.warmup)
            self._optimiser.step(self._gradients.rows.numpy(), peaks * share)

    def _differentiate(self, view: Array, order: _Order, part: slice) -> None:
        """The gradient of the class-weighted loss (§5.8) for all heads that see this batch."""
        count = part.stop - part.start
        batch, answers, errors = self._batch[:count], self._answers[:count], self._errors[:count]
        np.take(view, order.places[part], axis=0, out=batch.numpy(), mode="clip")  # other modes copy twice
        if self._standard is not None:
            self._standard.apply(batch.numpy(), out=batch.numpy())
        targets, weights = order.targets[part], order.weights[part]
        known = max(1, int(self._objective.known(order.labels[part])))
        for r in order.heads:
            torch.mm(batch, self._layers.weights[r].t(), out=answers)
            answers.add_(self._layers.biases[r])
            self._logits[r][part] = answers
            self._objective.answers(answers, out=errors).sub_(targets).mul_(weights).div_(known)
            torch.mm(errors.t(), batch, out=self._gradients.weights[r])
            torch.sum(errors, dim=0, out=self._gradients.biases[r])

    def _judge(self, r: int, epoch: int, labels: Tensor) -> None:
        """A row of history, or the reason to stop. Loss and accuracy on train are those met on the way (§5.9)."""
        result, logits = self._results[r], self._logits[r]
        loss = float(self._objective.loss(logits, labels, self._class_weights))
        validated = self._validate(r) if math.isfinite(loss) else None
        if validated is None:
            first = not result.history
            result.stopped = never_finite(self._jobs[r].recipe.head_lr) if first else diverged(epoch + 1)
            return
        accuracy = float(self._objective.right(logits, labels) / self._objective.known(labels))
        result.history.append({"epoch": epoch + 1, "train_loss": loss, "train_accuracy": accuracy, **validated})
        if validated["selection_loss"] <= min(row["selection_loss"] for row in result.history):
            result.best_epoch = epoch + 1
            self._best[r] = self._layers.rows[r]

    def _validate(self, r: int) -> dict[str, float] | None:
        logits = torch.mm(self._val, self._layers.weights[r].t()).add_(self._layers.biases[r])
        return validation_row(self._val_labels, logits, self._objective, self._class_weights, self._measure)

    def _head(self, r: int) -> Head:
        result, size = self._results[r], self._layers.weights[r].numel()
        row, shape = self._best[r].numpy(), self._layers.weights[r].shape
        weight, bias = row[:size].reshape(shape).copy(), row[size : size + shape[0]].copy()
        if self._standard is not None:
            weight, bias = self._standard.folded(weight, bias)
        return Head(weight, bias, self._objective, result.history, result.best_epoch, stopped=result.stopped)

    def _view_of(self, epoch: int) -> Array:
        """(N, D) features that an epoch sees."""
        index = epoch % len(self._data.train)
        if self._view is None or self._view[0] != index:
            self._view = None  # the last one leaves memory before the next one comes
            self._view = index, np.ascontiguousarray(self._data.train[index])
        return self._view[1]

    def _prepared(self, features: Array) -> Array:
        return np.ascontiguousarray(features) if self._standard is None else self._standard.apply(features)
