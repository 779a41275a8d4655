"""What logits mean, and what training them minimises: two classes on one logit, several classes, several findings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional


class Objective(ABC):
    """K logits per image, the labels that they answer, and the class-weighted loss between the two (§5.8).

    Labels are (N,) class indices, or of several findings (N, L): 1 present, 0 absent, -1 unknown. The gradient of the
    loss by the logits is (answers - targets) * weights / known.

    Attributes:
        outputs: K. multi_label: whether the logits are findings, any number of which an image may have.
    """

    outputs: int
    multi_label: ClassVar[bool] = False

    @abstractmethod
    def class_weights(self, labels: Tensor) -> Tensor:
        """(C,) or (L, 2) weights of the values that labels take, so that each value counts the same in training."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        """The mean of the weighted losses of all known labels; (N, K) logits."""

    @abstractmethod
    def known(self, labels: Tensor) -> int | Tensor:
        """How many labels are known: what the loss is the mean over."""

    @abstractmethod
    def share(self, part: Tensor, labels: Tensor) -> float | Tensor:
        """What the mean loss of a part counts in that of the whole batch; both as labels."""

    @abstractmethod
    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How many known labels the logits get right, at threshold 0.5 or as the largest."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, K) logits -> float64 probabilities: (N, C), rows summing to one, or (N, L), each finding its own."""

    @abstractmethod
    def answers(self, logits: Tensor, *, out: Tensor) -> Tensor:
        """(N, K) logits -> (N, K) probabilities at their precision, to be compared with the targets."""

    @abstractmethod
    def targets(self, labels: Tensor) -> Tensor:
        """Labels -> (N, K) float32, what the answers should be."""

    @abstractmethod
    def weights(self, labels: Tensor, class_weights: Tensor) -> Tensor:
        """Labels -> (N, 1) or (N, K), what the answers count; nothing where the label is unknown."""


def objective_of(classes: int, multi_label: bool = False) -> Objective:
    """The objective of a data set: two classes share one logit, more have one each, and so have findings.

    Args:
        classes: number of classes, or of findings.
    """
    if multi_label:
        return MultiLabel(classes)
    return Binary() if classes == 2 else MultiClass(classes)


def balanced(labels: Tensor, classes: int) -> Tensor:
    """(C,) weights N / (C * N_c): every class contributes equally to the loss."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()


class _OneClass(Objective):
    """Each image has one class, and it is known."""

    def loss(self, logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        """The mean over the images."""
        return (self._losses(logits, labels) * class_weights[labels]).mean()

    def known(self, labels: Tensor) -> int:
        """The number of images."""
        return len(labels)

    def share(self, part: Tensor, labels: Tensor) -> float:
        """By images."""
        return len(part) / len(labels)

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The number of images with the right class."""
        return (self._decided(logits) == labels).sum()

    def weights(self, labels: Tensor, class_weights: Tensor) -> Tensor:
        """(N, 1)."""
        return class_weights[labels][:, None]

    @abstractmethod
    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,) without weights."""

    @abstractmethod
    def _decided(self, logits: Tensor) -> Tensor:
        """(N,) class indices."""


@dataclass(frozen=True, slots=True)
class Binary(_OneClass):
    """Two classes on one logit, the second one being positive."""

    outputs: int = field(default=1, init=False)

    def class_weights(self, labels: Tensor) -> Tensor:
        """(2,)."""
        return balanced(labels, 2)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, 2)."""
        positive = torch.sigmoid(logits.double())
        return torch.cat([1.0 - positive, positive], dim=1)

    def answers(self, logits: Tensor, *, out: Tensor) -> Tensor:
        """(N, 1), of the second class."""
        return torch.sigmoid(logits, out=out)

    def targets(self, labels: Tensor) -> Tensor:
        """(N, 1)."""
        return labels[:, None].float()

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        truth = labels.to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")

    def _decided(self, logits: Tensor) -> Tensor:
        return (logits[:, 0] > 0).long()


@dataclass(frozen=True, slots=True)
class MultiClass(_OneClass):
    """Several classes that exclude each other, a logit for each."""

    outputs: int

    def class_weights(self, labels: Tensor) -> Tensor:
        """(C,)."""
        return balanced(labels, self.outputs)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, C)."""
        return torch.softmax(logits.double(), dim=1)

    def answers(self, logits: Tensor, *, out: Tensor) -> Tensor:
        """(N, C)."""
        return torch.softmax(logits, 1, out=out)

    def targets(self, labels: Tensor) -> Tensor:
        """(N, C), one of each row is one."""
        return functional.one_hot(labels, self.outputs).float()

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, reduction="none")

    def _decided(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)


@dataclass(frozen=True, slots=True)
class MultiLabel(Objective):
    """Several findings, any number of which an image may have, a logit for each; unknown ones are left out."""

    outputs: int
    multi_label: ClassVar[bool] = True

    def class_weights(self, labels: Tensor) -> Tensor:
        """(L, 2) weights n / (2 n_c) of absent and present among the n images of which the finding is known.

        A value that none of them has weighs nothing: only validation could show it, and no epoch can have learned it.
        """
        counts = torch.stack([(labels == 0).sum(0), (labels == 1).sum(0)], dim=1)
        weights = counts.sum(1, keepdim=True) / (2 * counts.clamp(min=1))
        return torch.where(counts > 0, weights, 0.0).float()

    def loss(self, logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        """The mean over the known labels of all findings; 0 where there are none."""
        truth = self.targets(labels).to(logits.dtype)
        losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return (losses * self.weights(labels, class_weights)).sum() / self.known(labels).clamp(min=1)

    def known(self, labels: Tensor) -> Tensor:
        """Over all findings; stays on the labels' device, which is not waited for."""
        return (labels >= 0).sum()

    def share(self, part: Tensor, labels: Tensor) -> Tensor:
        """By known labels: parts of equal size may have more of them or fewer."""
        return self.known(part) / self.known(labels).clamp(min=1)

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Over all findings."""
        return ((logits > 0) == labels).sum()  # -1 equals neither

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, L)."""
        return torch.sigmoid(logits.double())

    def answers(self, logits: Tensor, *, out: Tensor) -> Tensor:
        """(N, L)."""
        return torch.sigmoid(logits, out=out)

    def targets(self, labels: Tensor) -> Tensor:
        """(N, L)."""
        return (labels == 1).float()

    def weights(self, labels: Tensor, class_weights: Tensor) -> Tensor:
        """(N, L)."""
        of_value = torch.where(labels == 1, class_weights[:, 1], class_weights[:, 0])
        return torch.where(labels >= 0, of_value, 0.0)
