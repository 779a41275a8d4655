"""A study's arms, data and workshop -> its forecast; and what its runs took -> the record of rates."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from xenograft.data.augment import NONE, preset
from xenograft.data.manifest import Manifest
from xenograft.rowstore import RowStore
from xenograft.study.arm import Arm
from xenograft.study.forecast import VALIDATION, Features, Forecast, Images, Pace, forecast
from xenograft.study.frozen import feature_key
from xenograft.study.rates import Rates
from xenograft.study.record import RunRecord
from xenograft.study.tuned import planned_machine
from xenograft.study.workshop import Workshop

_IMAGES, _SECONDS = 200, 3.0  # from which on a run says how quick this machine is


def outlook(arms: Sequence[Arm], manifest: Manifest, workshop: Workshop) -> Forecast:
    """How long these arms take, by the rates in the workshop's cache and what is stored there.

    Args:
        manifest: read already, so that reading takes no more time.
    """
    subsets = {split: manifest.subset(split) for split in ("train", "val", "test")}
    images = Images(*(len(subset) for subset in subsets.values()))

    def stored(arm: Arm, features: Features) -> float:
        return _stored_share(arm, features, subsets[features.split], workshop)

    return forecast(arms, images, pace=pace(Rates(workshop.cache), workshop), stored=stored)


def units_of_work(arms: Sequence[Arm], images: int) -> list[float]:
    """How far each arm moves a progress bar; frozen arms after the first on the same features pay for their head alone.

    Args:
        images: for training.
    """
    seen = set()
    costs = []
    for arm in arms:
        known = arm.recipe.frozen and feature_key(arm) in seen
        costs.append(arm.cost(images) * (0.02 if known else 1.0))
        seen.add(feature_key(arm))
    return costs


def pace(rates: Rates, workshop: Workshop) -> Pace:
    """The speeds of arms as this workshop would run them."""
    return Pace(
        embedding=lambda arm: rates.embedding(
            arm.spec, arm.preprocess.size, workshop.engine, channels=arm.preprocess.channels
        ),
        training=lambda arm: rates.training(
            arm.spec, arm.preprocess.size, planned_machine(arm, workshop), trainable=arm.recipe.trainable
        ),
    )


class RateKeeper:
    """Watches a study's arms and records what they show about this machine.

    Args:
        images: counts of the study's splits.
    """

    def __init__(self, workshop: Workshop, manifest: Manifest) -> None:
        self._workshop = workshop
        self._rates = Rates(workshop.cache)
        self._counts = Images(*(len(manifest.where(split)) for split in ("train", "val", "test")))
        self._before = (0, 0.0)

    def begin(self, arm: Arm) -> None:
        """An arm starts."""
        if arm.recipe.frozen:
            extractor = self._workshop.extractor(arm)
            self._before = extractor.embedded, extractor.compile_seconds

    def end(self, arm: Arm, run: RunRecord) -> None:
        """It is done."""
        if arm.recipe.frozen:
            self._embedded(arm, run)
        elif run.history and not arm.recipe.unfreeze_every:  # its epochs are not alike
            self._trained(arm, run)

    def _embedded(self, arm: Arm, run: RunRecord) -> None:
        """Random views cost more than the network alone, so they do not count."""
        extractor = self._workshop.extractor(arm)
        images = extractor.embedded - self._before[0]
        seconds = run.timings.get("embed", 0.0) - (extractor.compile_seconds - self._before[1])
        if not arm.recipe.views and images >= _IMAGES and seconds >= _SECONDS:
            size, channels = arm.preprocess.size, arm.preprocess.channels
            self._rates.record_embedding(arm.spec, size, extractor.engine, images / seconds, channels=channels)

    def _trained(self, arm: Arm, run: RunRecord) -> None:
        """The epochs' own seconds hold training and validation, and nothing of an earlier, stopped process."""
        seconds = median(row["seconds"] for row in run.history)
        if self._counts.train >= _IMAGES and seconds * len(run.history) >= _SECONDS:
            rate = (self._counts.train + self._counts.val / VALIDATION) / seconds
            machine = planned_machine(arm, self._workshop)
            self._rates.record_training(arm.spec, arm.preprocess.size, machine, rate, trainable=arm.recipe.trainable)


def _stored_share(arm: Arm, features: Features, subset: Manifest, workshop: Workshop) -> float:
    """Share in [0, 1] of a set of features that lies in the cache."""
    extractor = workshop.extractor(arm)
    hashes = list(dict.fromkeys(subset.column("sha256")))
    augment = preset(features.augment) if features.views else NONE
    shares = []
    for view in range(max(1, features.views)):
        store = RowStore(extractor.cache, extractor.facts(augment, view, features.seed or 0))
        shares.append(np.mean([store.has(content) for content in hashes]))
    return float(np.mean(shares))
