"""A frozen arm: (train, validation) -> a head on cached features. No test image can reach this file's choices."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xenograft.data.augment import Augment, preset
from xenograft.data.manifest import Manifest
from xenograft.errors import Notice
from xenograft.features.extract import Extractor
from xenograft.study.arm import Arm, Clock, measure
from xenograft.study.workshop import Workshop
from xenograft.train import heads
from xenograft.train.head_data import Views
from xenograft.train.head_stack import Job, fit_stack
from xenograft.train.objective import objective_of

Array = NDArray[np.float32]


class FrozenArm:
    """A head on cached features of a backbone that never changes (Eq. 15).

    The first arm of several on the same features fits the heads of all that the workshop has still to run.
    """

    def __init__(self, arm: Arm, train: Manifest, val: Manifest, workshop: Workshop) -> None:
        self._clock = Clock()
        self._extractor = workshop.extractor(arm)
        self.head = self._fitted(arm, train, val, workshop)
        self.history, self.best_epoch, self.chosen = self.head.history, self.head.best_epoch, self.head.chosen
        self.notices = list(self._extractor.notices)
        if self.head.stopped:
            self.notices.append(Notice("W-PROC-15", self.head.stopped))
        self.timings = self._clock.timings
        self.engine: Mapping[str, str | int] = workshop.engine_facts()

    def predict(self, manifest: Manifest) -> NDArray[np.float64]:
        """(N, C) probabilities in manifest order, or (N, L) of findings."""
        with self._clock("embed"):
            features = self._extractor.features(manifest)
        return self.head.probabilities(features)

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, to keep."""
        return {"head.weight": torch.from_numpy(self.head.weight), "head.bias": torch.from_numpy(self.head.bias)}

    def _fitted(self, arm: Arm, train: Manifest, val: Manifest, workshop: Workshop) -> heads.Head:
        """The arm's head, fitted now or along with an earlier arm's; the time of a stack is divided among its heads."""
        if arm.id not in workshop.heads:
            with self._clock("embed"):
                data = head_data(arm, train, val, self._extractor)
            if arm.recipe.solver == "logistic":
                with self._clock("fit"):
                    return heads.fit_logistic(data, seed=arm.seed)
            arms = [arm, *siblings(arm, workshop)]
            fitted = fit_stack(data, [Job(each.recipe, each.seed) for each in arms], measure=measure)
            workshop.heads.update(zip((each.id for each in arms), fitted, strict=True))
        head = workshop.heads.pop(arm.id)
        self._clock.timings["fit"] = head.seconds
        return head.usable()


class FeatureViews:
    """The features of several random views of each image (the paper's recipe: one view an epoch, §5.7).

    They are read one view at a time: 20 views of 50,000 images at 2,208 features would be 9 GB.
    """

    def __init__(self, extractor: Extractor, manifest: Manifest, augment: Augment, *, views: int, seed: int) -> None:
        self._extractor, self._manifest = extractor, manifest
        self._random: list[dict[str, Any]] = [{"augment": augment, "view": view, "seed": seed} for view in range(views)]

    def __len__(self) -> int:
        return len(self._random)

    def __getitem__(self, index: int, /) -> Array:
        """(N, D) features of one view, embedded where they are not stored yet."""
        return self._extractor.features(self._manifest, **self._random[index])

    def embed(self) -> None:
        """Store every view, in order."""
        for view in self._random:
            self._extractor.embed(self._manifest, **view)


def head_data(arm: Arm, train: Manifest, val: Manifest, extractor: Extractor) -> heads.HeadData:
    """Features of train (as many views as the recipe asks for) and validation, all of them embedded."""
    extractor.expected = len(train) * max(1, arm.recipe.views) + len(val)
    return heads.HeadData(
        train=_views(arm, train, extractor),
        train_labels=train.labels,
        groups=np.array(train.column("group"), dtype=np.int64),
        val=extractor.features(val),
        val_labels=val.labels,
        objective=objective_of(len(train.classes), train.multi_label),
    )


def _views(arm: Arm, train: Manifest, extractor: Extractor) -> Views:
    if arm.recipe.views == 0:
        return extractor.features(train)[None]
    views = FeatureViews(extractor, train, preset(arm.recipe.augment), views=arm.recipe.views, seed=arm.seed)
    views.embed()  # before fitting begins, which then only reads
    return views


def feature_key(arm: Arm) -> Hashable:
    """Equal for arms of one study whose frozen features are the same."""
    recipe = arm.recipe
    seed = None if recipe.pretrained and recipe.views == 0 else arm.seed  # nothing random, the same for every seed
    return arm.spec.name, recipe.pretrained, recipe.views, recipe.augment, arm.preprocess, seed


def siblings(arm: Arm, workshop: Workshop) -> list[Arm]:
    """The other arms to run whose heads are trained by gradient descent on the same features."""
    return [
        other
        for other in workshop.arms
        if other.id != arm.id
        and other.recipe.frozen
        and other.recipe.solver == "gradient"
        and other.fold == arm.fold
        and feature_key(other) == feature_key(arm)
    ]
