"""Features in, a linear head on raw features out: the records between them, and how features are standardised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from xenograft.errors import ProcessError
from xenograft.train.objective import Objective

Array = NDArray[np.float32]

_CHUNK = 1024  # rows in float64 at once


class Views(Protocol):
    """V views of the same images; one may be read only when it is asked for. An array (V, N, D) is one too."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Array:
        """(N, D) float32."""
        ...


@dataclass(frozen=True, slots=True)
class HeadData:
    """Features to fit a head on.

    Args:
        train: V views (N, D) of the training images. train_labels: (N,) or (N, L). groups: (N,) patient groups.
        val: (M, D). val_labels: (M,) or (M, L). objective: what labels and logits are.
    """

    train: Views
    train_labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    val: Array
    val_labels: NDArray[np.int64]
    objective: Objective


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer on raw pooled features.

    Args:
        weight: (K, D). bias: (K,). objective: what its logits mean.
        history, best_epoch: as in RunRecord. chosen: what cross-validation chose, e.g. the strength.
        stopped: why training ended early, or nothing. With best_epoch 0 not even one epoch was finished.
        seconds: its share of the time that fitting it, or the stack that it was fitted in, took.
    """

    weight: Array
    bias: Array
    objective: Objective
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    chosen: dict[str, float] = field(default_factory=dict)
    stopped: str = ""
    seconds: float = 0.0

    def probabilities(self, features: Array) -> NDArray[np.float64]:
        """(N, D) -> (N, C) or (N, L)."""
        logits = features.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return self.objective.probabilities(torch.from_numpy(logits)).numpy()

    def usable(self) -> Head:
        """This head.

        Raises:
            ProcessError: its loss was not finite before any epoch was finished (P15).
        """
        if self.stopped and self.best_epoch == 0:
            raise ProcessError(self.stopped, code="E-PROC-15")
        return self


@dataclass(frozen=True, slots=True)
class Standard:
    """(D,) mean and scale that features are standardised with."""

    mean: Array
    scale: Array

    def apply(self, features: Array, *, out: Array | None = None) -> Array:
        """(N, D) -> (N, D), new or in `out`."""
        centred = np.subtract(features, self.mean, out=out)
        return np.divide(centred, self.scale, out=centred)

    def folded(self, weight: Array, bias: Array) -> tuple[Array, Array]:
        """The layer on raw features that equals this layer on standardised ones."""
        raw = weight / self.scale
        return raw, (bias - raw @ self.mean).astype(np.float32)


def standard_of(views: Views) -> Standard:
    """Mean and standard deviation over views and images; a feature that never moves keeps scale one.

    One pass in float64, merging the moments of pieces (Chan et al. 1979), so that one view is in memory at a time.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for index in range(len(views)):
        view = views[index]
        for start in range(0, len(view), _CHUNK):
            piece = view[start : start + _CHUNK].astype(np.float64)
            centre = piece.mean(axis=0)
            shift, both = centre - mean, count + len(piece)
            squares = squares + ((piece - centre) ** 2).sum(axis=0) + shift**2 * (count * len(piece) / both)
            mean, count = mean + shift * (len(piece) / both), both
    scale = np.sqrt(squares / count)
    dead = scale <= 1e-6 * scale.max()
    return Standard(mean.astype(np.float32), np.where(dead, 1.0, scale).astype(np.float32))
