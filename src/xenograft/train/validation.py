"""Validation's logits -> its part of an epoch's history row, and what is said when they are not finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.train.objective import Objective

Measure = Callable[[NDArray[np.int64], NDArray[np.float64]], dict[str, float]]


def validation_row(
    labels: Tensor, logits: Tensor, objective: Objective, class_weights: Tensor, measure: Measure
) -> dict[str, float] | None:
    """Validation's measures as ``val_...``, and ``selection_loss``; None when the logits are not finite any more.

    Args:
        labels: (M,) or (M, L). logits: (M, K). class_weights: of the training images.
        measure: (labels, probabilities) -> ``loss``, ``accuracy``, ``f1``, ``auroc``.
    """
    if not bool(torch.isfinite(logits).all()):
        return None
    measured = measure(labels.numpy(), objective.probabilities(logits).numpy())
    # the class-weighted loss chooses the epoch: it is proper, smooth, and blind to prevalence
    balanced = float(objective.loss(logits, labels, class_weights))
    return {**{f"val_{name}": value for name, value in measured.items()}, "selection_loss": balanced}


def diverged(epoch: int) -> str:
    """What is said when the loss was not finite in an epoch (from 1) after others were finished."""
    return f"the loss was not finite in epoch {epoch}; the best epoch before it was kept"


def never_finite(learning_rate: float) -> str:
    """What is said when the loss was not finite before any epoch was finished."""
    return f"the loss was not finite in the first epoch at learning rate {learning_rate:g}; lower it with --lr-scale"
