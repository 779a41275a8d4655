"""Material -> the scorecard of a classifier that sees no anatomy: what every model of a study has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from xenograft.auditing.material import Material
from xenograft.auditing.trivial import trivial_baseline, trivial_features
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.threshold import thresholds_for

_SEED = 0
_UNUSED = 20  # resamples for an interval over validation and test together, which nobody needs


def baseline(material: Material, *, resamples: int) -> dict[str, Any]:
    """Logistic regression on properties of files and gray values: fitted on train, thresholds from validation.

    Returns:
        ``families`` (what it sees), ``thresholds`` and ``test``, a scorecard as every run has one.
    """
    train, val, test = (np.flatnonzero(material.splits == split) for split in ("train", "val", "test"))
    held_out = np.concatenate([val, test])
    probabilities = trivial_baseline(material, train, held_out, resamples=_UNUSED, seed=_SEED)["probabilities"]
    on_val, on_test = probabilities[: len(val)], probabilities[len(val) :]
    thresholds = thresholds_for(material.labels[val], on_val)
    card = scorecard(
        material.labels[test],
        on_test,
        material.patients[test],
        thresholds=thresholds,
        resamples=resamples,
        rng=np.random.default_rng([_SEED, len(test)]),
    )
    families = list(dict.fromkeys(trivial_features(material).families))
    return {"families": families, "thresholds": thresholds, "test": card}
