"""(arm, both domains) -> a model for each adaptation: features of either domain, and a head that source labels fitted.

No label of the target reaches this file but those of `reference_model`, which is no adaptation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.adaptation.coral import RIDGE, Coral, fit_coral
from xenograft.data.manifest import Manifest
from xenograft.errors import Notice
from xenograft.evaluation.threshold import thresholds_for
from xenograft.features.extract import Extractor
from xenograft.study.arm import Arm, measure
from xenograft.study.domain_shift_data import Domains, sample
from xenograft.study.domain_shift_networks import BATCH, Network, frozen_network, trained_network
from xenograft.study.domain_shift_plan import ADABN, CORAL, NONE, ShiftPlan
from xenograft.study.frozen import head_data
from xenograft.study.runs import train_arm
from xenograft.study.workshop import Workshop
from xenograft.train import heads
from xenograft.train.head_data import Head, HeadData, Views
from xenograft.train.objective import objective_of
from xenograft.train.recipes import RECIPES
from xenograft.train.schedule import stages_open

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
Features = Callable[[Manifest], Array]
REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class ShiftModel:
    """A model for two domains.

    Args:
        adaptation: of the plan, or ``reference``. head: on features. of_source, of_target: features of images of that
            domain. thresholds: policy -> threshold, chosen on validation images of the domain that it was trained on.
        validation: these images. val: (N, C) their probabilities. facts: for the record. notices: of training.
    """

    adaptation: str
    head: Head
    of_source: Features
    of_target: Features
    thresholds: dict[str, float | list[float]]
    validation: Manifest
    val: Floats
    facts: dict[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


def adapted_models(arm: Arm, domains: Domains, plan: ShiftPlan, workshop: Workshop, keys: set[str]) -> list[ShiftModel]:
    """The arm without adaptation, and with each that the plan asks for."""
    train, val = (domains.source.subset(split) for split in ("train", "val"))
    made = (
        _Frozen(arm, train, val, domains.adapting, workshop, keys)
        if arm.recipe.frozen
        else _Tuned(arm, train, val, domains.adapting, workshop)
    )
    models = [made.plain()]
    if ADABN in plan.adaptations:
        models.append(made.adabn())
    if CORAL in plan.adaptations:
        models.append(made.coral(align_means=plan.align_means))
    return models


def reference_model(arm: Arm, domains: Domains, workshop: Workshop, keys: set[str]) -> ShiftModel:
    """The arm trained on the target's own training labels, its threshold chosen on the target's validation images."""
    train, val = (domains.target.subset(split) for split in ("train", "val"))
    extractor = frozen_network(arm, workshop, keys).extractor(workshop)
    head = _fitted(arm, head_data(arm, train, val, extractor))
    return _model(REFERENCE, head, extractor.features, extractor.features, val, {})


class _Frozen:
    """Heads on frozen features."""

    def __init__(
        self, arm: Arm, train: Manifest, val: Manifest, adapting: Manifest, workshop: Workshop, keys: set[str]
    ) -> None:
        self._arm, self._train, self._val, self._adapting = arm, train, val, adapting
        self._workshop = workshop
        self._network = frozen_network(arm, workshop, keys)
        self._extractor = self._network.extractor(workshop)
        self._data = head_data(arm, train, val, self._extractor)

    def plain(self) -> ShiftModel:
        """No adaptation."""
        features = self._extractor.features
        return _model(NONE, _fitted(self._arm, self._data), features, features, self._val, {})

    def adabn(self) -> ShiftModel:
        """Each domain through its own statistics: the head meets features of one normalisation, as in Li et al."""
        source = self._network.normalised_by(self._train, self._train, self._workshop)
        target = self._network.normalised_by(self._adapting, self._train, self._workshop)
        head = _fitted(self._arm, head_data(self._arm, self._train, self._val, source))
        facts = _batch_norm_facts(self._adapting, self._train)
        return _model(ADABN, head, source.features, target.features, self._val, facts)

    def coral(self, *, align_means: bool) -> ShiftModel:
        """Source features aligned before the head is fitted."""
        aligned = _aligned(self._extractor, self._train, self._adapting, align_means=align_means)
        data = _mapped(self._data, aligned)
        return _coral_model(
            _fitted(self._arm, data), aligned, self._extractor, self._val, self._adapting, align_means=align_means
        )


class _Tuned:
    """A network that was trained on the source."""

    def __init__(self, arm: Arm, train: Manifest, val: Manifest, adapting: Manifest, workshop: Workshop) -> None:
        self._arm, self._train, self._val, self._adapting = arm, train, val, adapting
        self._workshop = workshop
        trained = train_arm(arm, train, val, workshop)
        tensors = trained.tensors()
        self._notices = tuple(trained.notices)
        self._network: Network = trained_network(arm, tensors, workshop)
        self._extractor = self._network.extractor(workshop)
        self._head = Head(
            tensors["head.weight"].float().numpy(),
            tensors["head.bias"].float().numpy(),
            objective_of(len(train.classes)),
            history=trained.history,
            best_epoch=trained.best_epoch,
        )

    def plain(self) -> ShiftModel:
        """As it was trained."""
        features = self._extractor.features
        return _model(NONE, self._head, features, features, self._val, {}, self._notices)

    def adabn(self) -> ShiftModel:
        """Its running statistics are the source's; the target gets its own."""
        target = self._network.normalised_by(self._adapting, self._train, self._workshop)
        facts = _batch_norm_facts(self._adapting, None)
        notices = still_frozen(self._arm, self._head.best_epoch, len(self._workshop.backbone(self._arm).stages()))
        return _model(ADABN, self._head, self._extractor.features, target.features, self._val, facts, notices)

    def coral(self, *, align_means: bool) -> ShiftModel:
        """A new head, by the probe's recipe, on aligned features of the trained network."""
        aligned = _aligned(self._extractor, self._train, self._adapting, align_means=align_means)
        data = HeadData(
            train=self._extractor.features(self._train)[None],
            train_labels=self._train.labels,
            groups=np.array(self._train.column("group"), dtype=np.int64),
            val=self._extractor.features(self._val),
            val_labels=self._val.labels,
            objective=self._head.objective,
        )
        recipe = RECIPES["probe"]
        head = heads.fit_linear(_mapped(data, aligned), recipe=recipe, seed=self._arm.seed, measure=measure)
        return _coral_model(
            head, aligned, self._extractor, self._val, self._adapting, align_means=align_means, refitted=True
        )


def still_frozen(arm: Arm, best_epoch: int, stages: int) -> tuple[Notice, ...]:
    """A notice where gradual unfreezing had not reached every stage by the epoch that was kept (from 1).

    A stage that never trained normalises by ImageNet's statistics, not the source's: AdaBN then changes more than the
    step from source to target.
    """
    recipe = arm.recipe
    if not recipe.unfreeze_every:
        return ()
    begun = stages_open(best_epoch - 1, stages=stages, epochs=recipe.epochs, every=recipe.unfreeze_every)
    if begun >= stages:
        return ()
    text = (
        f"{arm.id}: in the epoch that was kept ({best_epoch}), {stages - begun} of {stages} stages had not begun to "
        "train and normalised by ImageNet's statistics; there AdaBN replaces those, not the source's"
    )
    return (Notice("W-MODEL-38", text),)


@dataclass(frozen=True, slots=True)
class _AlignedViews:
    """Each view aligned when it is asked for."""

    views: Views
    coral: Coral

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int, /) -> Array:
        return self.coral.apply(self.views[index])

    def __iter__(self) -> Iterator[Array]:
        return (self[index] for index in range(len(self)))


def _aligned(extractor: Extractor, train: Manifest, adapting: Manifest, *, align_means: bool) -> Coral:
    return fit_coral(extractor.features(train), extractor.features(adapting), align_means=align_means)


def _mapped(data: HeadData, coral: Coral) -> HeadData:
    return HeadData(
        train=_AlignedViews(data.train, coral),
        train_labels=data.train_labels,
        groups=data.groups,
        val=coral.apply(data.val),
        val_labels=data.val_labels,
        objective=data.objective,
    )


def _fitted(arm: Arm, data: HeadData) -> Head:
    """A head by the arm's recipe."""
    if arm.recipe.solver == "logistic":
        return heads.fit_logistic(data, seed=arm.seed)
    return heads.fit_linear(data, recipe=arm.recipe, seed=arm.seed, measure=measure)


def _coral_model(
    head: Head,
    coral: Coral,
    extractor: Extractor,
    val: Manifest,
    adapting: Manifest,
    *,
    align_means: bool,
    refitted: bool = False,
) -> ShiftModel:
    facts = {
        "images": len(adapting),
        "ridge": RIDGE,
        "align_means": align_means,
        "head": "fitted anew by the probe's recipe" if refitted else "fitted on aligned features",
    }
    return _model(CORAL, head, lambda images: coral.apply(extractor.features(images)), extractor.features, val, facts)


def _batch_norm_facts(adapting: Manifest, source: Manifest | None) -> dict[str, Any]:
    return {
        "images": len(sample(adapting)),
        "batch": BATCH,
        "source_images": None if source is None else len(sample(source)),
        "head": "as trained" if source is None else "fitted on features of the source's own statistics",
    }


def _model(
    adaptation: str,
    head: Head,
    of_source: Features,
    of_target: Features,
    val: Manifest,
    facts: dict[str, Any],
    notices: tuple[Notice, ...] = (),
) -> ShiftModel:
    """With what validation chooses: images of the domain that trained it, as its head meets them."""
    scores = head.probabilities((of_target if adaptation == REFERENCE else of_source)(val))
    return ShiftModel(
        adaptation, head, of_source, of_target, thresholds_for(val.labels, scores), val, scores, facts, notices
    )
