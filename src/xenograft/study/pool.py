"""A study's test predictions -> every metric of its runs on the same resamples of the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.resampled import Cuts, Resampled, Universe, mean
from xenograft.study.record import Predictions, RunRecord, Study


@dataclass(frozen=True, slots=True)
class Pool:
    """The test images of all folds together, and the answers of runs to them.

    Args:
        ids: (N,) image ids, sorted. universe: their labels, patients and resamples.
        rotating: whether folds test on different images.
    """

    study: Study
    ids: NDArray[np.str_]
    universe: Universe
    rotating: bool

    @classmethod
    def of(cls, study: Study, *, resamples: int) -> Pool:
        """Read the first run of each fold.

        Raises:
            DataError: runs of one fold predicted different test images.
        """
        first: dict[int | None, Predictions] = {}
        for run in study.runs:
            found = study.predictions(run.id, "test")
            known = first.setdefault(run.fold, found)
            if not np.array_equal(known.ids, found.ids):
                raise _other_images()
        ids = np.concatenate([p.ids for p in first.values()])
        kept, at = np.unique(ids, return_index=True)
        labels = np.concatenate([p.labels for p in first.values()])[at]
        patients = np.concatenate([p.patients for p in first.values()])[at]
        rotating = len(first) > 1 and len(kept) > len(next(iter(first.values())).ids)
        return cls(study, kept, Universe(labels, patients, resamples=resamples), rotating)

    def predictions(self, run: RunRecord) -> Predictions:
        """A run's test predictions."""
        return self.study.predictions(run.id, "test")

    def resample(self, answers: Predictions, thresholds: Cuts) -> Resampled:
        """Metrics of one set of answers."""
        at = np.searchsorted(self.ids, answers.ids)
        if at.max() >= len(self.ids) or not np.array_equal(self.ids[at], answers.ids):
            raise _other_images()
        return self.universe.resample(answers.probabilities, thresholds, at)

    def arm(self, runs: Sequence[RunRecord]) -> Resampled:
        """Means over an arm's runs, within each resample."""
        return mean([self.resample(self.predictions(run), run.thresholds) for run in runs])


def place(run: RunRecord) -> dict[str, Any]:
    """The arm of a run, as records name it."""
    return {"backbone": run.backbone, "recipe": run.recipe, "lr_scale": run.lr_scale}


def _other_images() -> DataError:
    return DataError("runs of one study predicted different test images; run the study again", code="E-LABEL-18")
