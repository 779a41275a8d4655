"""Predictions of the same images by several models -> every pair compared, and p adjusted for all of them (Holm)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from xenograft.evaluation.delong import clustered_delong_test, delong_test
from xenograft.evaluation.margin import noninferiority
from xenograft.evaluation.mcnemar import mcnemar
from xenograft.evaluation.multiplicity import holm
from xenograft.evaluation.paired import (
    paired_difference,
    paired_difference_multiclass,
    paired_difference_multilabel,
)
from xenograft.evaluation.threshold import FIXED
from xenograft.study.evaluated_model import Draws
from xenograft.study.scored import Scored

Json = dict[str, Any]


def compared(tables: Sequence[Scored], draws: Draws, *, margin: float | None) -> Json:
    """``comparisons`` and ``adjusted``, see `xenograft.study.evaluated.evaluate_tables`.

    Args:
        tables: of the same images, in the same order. margin: of AUROC, for two classes.
    """
    pairs = [_pair(a, b, draws, margin) for a, b in combinations(tables, 2)]
    several = not tables[0].binary
    found = holm({str(i): (pair["metrics"]["auroc"] if several else pair["clustered_delong"])["p"]
                  for i, pair in enumerate(pairs)})  # fmt: skip
    for i, pair in enumerate(pairs):
        pair["adjusted_p"] = found["adjusted"][str(i)]
    return {
        "comparisons": pairs,
        "adjusted": {
            "test": "bootstrap" if several else "obuchowski",
            "smallest_p": min(1.0, 2 / (draws.resamples + 1)) if several else None,
            "comparisons": found["comparisons"],
            "left_out": found["left_out"],
            "findings": _adjust_findings(pairs) if tables[0].multi_label else None,
        },
    }


def _adjust_findings(pairs: Sequence[Json]) -> Json:
    """Give each finding of each pair its ``adjusted_p``; how many they were."""
    entries = {f"{i} {k}": entry for i, pair in enumerate(pairs) for k, entry in pair["findings"].items()}
    found = holm({name: entry["p"] for name, entry in entries.items()})
    for name, entry in entries.items():
        entry["adjusted_p"] = found["adjusted"][name]
    return {"comparisons": found["comparisons"], "left_out": found["left_out"]}


def _pair(a: Scored, b: Scored, draws: Draws, margin: float | None) -> Json:
    nothing = dict.fromkeys(("delong", "clustered_delong", "margin", "mcnemar", "findings", "adjusted_p"))
    of = _two if a.binary else _findings if a.multi_label else _classes
    found: Json = nothing | {"a": a.name, "b": b.name} | of(a, b, draws)
    if margin is not None:
        tested = found["clustered_delong"]
        found["margin"] = noninferiority(tested["low"], tested["high"], margin=margin, level=draws.level)
    return found


def _two(a: Scored, b: Scored, draws: Draws) -> Json:
    labels, patients, one, two = a.labels, a.patients, a.probabilities[:, 1], b.probabilities[:, 1]
    return {
        "metrics": paired_difference(
            labels, one, two, patients, threshold_a=FIXED, threshold_b=FIXED, rng=draws.rng(8), **draws.options
        ),
        "delong": delong_test(labels, one, two, level=draws.level),
        "clustered_delong": clustered_delong_test(labels, one, two, patients, level=draws.level),
        "mcnemar": mcnemar(*((s >= FIXED) == (labels == 1) for s in (one, two)), level=draws.level),
    }


def _classes(a: Scored, b: Scored, draws: Draws) -> Json:
    right = [table.probabilities.argmax(axis=1) == a.labels for table in (a, b)]
    return {
        "metrics": paired_difference_multiclass(
            a.labels, a.probabilities, b.probabilities, a.patients, rng=draws.rng(8), **draws.options
        ),
        "mcnemar": mcnemar(*right, level=draws.level),
    }


def _findings(a: Scored, b: Scored, draws: Draws) -> Json:
    """Means over findings by bootstrap; each finding by Obuchowski's test on the images where it is known."""
    found = {}
    for k in range(len(a.classes)):
        known = np.flatnonzero(a.labels[:, k] >= 0)
        one, two = (table.probabilities[known, k] for table in (a, b))
        found[str(k)] = clustered_delong_test(a.labels[known, k], one, two, a.patients[known], level=draws.level)
    return {
        "metrics": paired_difference_multilabel(
            a.labels, a.probabilities, b.probabilities, a.patients, rng=draws.rng(8), **draws.options
        ),
        "findings": found,
    }
