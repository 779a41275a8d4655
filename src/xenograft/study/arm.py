"""One arm of a study, and what training it gives: the records that the conductor passes around."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xenograft.backbones.catalog import BackboneSpec
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.errors import Notice
from xenograft.evaluation.metrics import binary_metrics, multiclass_metrics
from xenograft.evaluation.multilabel import multilabel_metrics
from xenograft.train.recipes import Recipe

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Arm:
    """What to train. `recipe` holds every override and the learning-rate scale already."""

    spec: BackboneSpec
    recipe: Recipe
    seed: int
    lr_scale: float
    preprocess: Preprocess
    fold: int | None = None

    @property
    def id(self) -> str:
        """Folder name: unique among the arms of a study, safe on every file system."""
        backbone = self.spec.name.replace(":", "_").replace("/", "_")
        fold = "" if self.fold is None else f"-fold{self.fold}"
        return f"{backbone}-{self.recipe.name}-lr{self.lr_scale:g}{fold}-seed{self.seed}"

    def cost(self, images: int) -> float:
        """Units of work for `images` training images, to forecast by: passes weighted by the network's parameters."""
        views = max(1, self.recipe.views)
        passes = views if self.recipe.frozen else 3 * self.recipe.epochs
        return images * passes * self.spec.params_m


class Trained(Protocol):
    """A trained classifier and how it came to be."""

    history: list[dict[str, Any]]
    best_epoch: int
    chosen: dict[str, float]
    notices: list[Notice]
    timings: dict[str, float]
    engine: Mapping[str, str | int]

    def predict(self, manifest: Manifest) -> NDArray[np.float64]:
        """(N, C) probabilities in manifest order, or (N, L) of findings."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, to keep: the head alone where the backbone was frozen."""
        ...


def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """``loss``, ``accuracy``, ``f1`` and ``auroc`` at the end of an epoch (§5.9).

    Of findings, (N, L) labels in {1, 0, -1}, the means over those that have both values.
    """
    if labels.ndim == 2:
        both = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
        found = multilabel_metrics(labels[:, both], probabilities[:, both])
    elif probabilities.shape[1] == 2:
        found = binary_metrics(labels, probabilities[:, 1], threshold=0.5)
    else:
        found = multiclass_metrics(labels, probabilities)
    return {name: float(found[name]) for name in ("loss", "accuracy", "f1", "auroc")}


class Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        started = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - started
