"""A backbone under a linear head, and what its logits mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from xenograft.backbones.build import Backbone


class Classifier(nn.Module):
    """The paper's model (§5.5): the network without its last layer, and a fully connected layer in its place.

    Two classes share one logit (the second class is positive); more have one each.
    """

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.spec.width, outputs(classes))
        nn.init.zeros_(self.head.weight)  # every class equally likely at the start, whatever the seed
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised -> (N, K) logits."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def outputs(classes: int) -> int:
    """Number of logits: one for two classes."""
    return 1 if classes == 2 else classes


def loss_of(logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """Class-weighted binary cross-entropy on one logit, or cross-entropy on several; the mean over the batch (§5.8)."""
    weights = class_weights[labels]
    if logits.shape[1] == 1:
        losses = functional.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction="none")
    else:
        losses = functional.cross_entropy(logits, labels, reduction="none")
    return (losses * weights).mean()


def decisions_of(logits: Tensor) -> Tensor:
    """(N, K) logits -> (N,) class index at threshold 0.5, or the largest."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def probabilities_of(logits: Tensor) -> Tensor:
    """(N, K) logits -> (N, C) float64 probabilities."""
    logits = logits.double()
    if logits.shape[1] == 1:
        positive = torch.sigmoid(logits)
        return torch.cat([1.0 - positive, positive], dim=1)
    return torch.softmax(logits, dim=1)


def class_weights_of(labels: Tensor, classes: int) -> Tensor:
    """(C,) weights N / (C * N_c): every class contributes equally to the loss."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()
