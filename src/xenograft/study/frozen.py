"""A frozen arm: (train, validation) -> a head on cached features. No test image can reach this file's choices."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.data.augment import preset
from xenograft.data.manifest import Manifest
from xenograft.features.extract import Extractor, stack_views
from xenograft.study.arm import Arm, Clock, measure
from xenograft.study.workshop import Workshop
from xenograft.train import heads


class FrozenArm:
    """A head on cached features of a backbone that never changes (Eq. 15)."""

    def __init__(self, arm: Arm, train: Manifest, val: Manifest, workshop: Workshop) -> None:
        clock = Clock()
        self._arm, self._workshop, self._clock = arm, workshop, clock
        self._extractor = workshop.extractor(arm)
        with clock("embed"):
            data = head_data(arm, train, val, self._extractor)
        with clock("fit"):
            if arm.recipe.solver == "logistic":
                self.head = heads.fit_logistic(data, seed=arm.seed)
            else:
                self.head = heads.fit_linear(data, recipe=arm.recipe, seed=arm.seed, measure=measure)
        self.history, self.best_epoch, self.chosen = self.head.history, self.head.best_epoch, self.head.chosen
        self.notices = list(self._extractor.notices)
        self.timings = clock.timings

    def predict(self, manifest: Manifest) -> NDArray[np.float64]:
        """(N, C) probabilities in manifest order."""
        with self._clock("embed"):
            features = self._extractor.features(manifest)
        return self.head.probabilities(features)

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, to keep."""
        return {"head.weight": torch.from_numpy(self.head.weight), "head.bias": torch.from_numpy(self.head.bias)}


def head_data(arm: Arm, train: Manifest, val: Manifest, extractor: Extractor) -> heads.HeadData:
    """Cached features of train (as many views as the recipe asks for) and validation."""
    if arm.recipe.views > 0:
        views = range(arm.recipe.views)
        features = stack_views(extractor, train, preset(arm.recipe.augment), views=views, seed=arm.seed)
    else:
        features = extractor.features(train)[None]
    return heads.HeadData(
        train=features,
        train_labels=train.labels,
        groups=np.array(train.column("group"), dtype=np.int64),
        val=extractor.features(val),
        val_labels=val.labels,
        classes=len(train.classes),
    )
