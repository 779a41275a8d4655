"""(candidates, their scores) -> the record of a ranking: order, differences to the best, cost, and the choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft import __version__
from xenograft.data.manifest import Manifest
from xenograft.evaluation.uncertainty import LEVEL
from xenograft.study.arm import Arm
from xenograft.study.describe import now
from xenograft.study.ranking_notices import outside_test, without_interval
from xenograft.study.ranking_plan import RankingPlan
from xenograft.study.ranking_scores import Scores
from xenograft.study.rates import Rate, gmacs_at
from xenograft.transferability.resampled import subsample_interval
from xenograft.transferability.scores import SCORES

Json = dict[str, Any]
Floats = NDArray[np.float64]
_PLACES = frozenset({"data", "images", "weights_dir", "cache_dir"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backbone, its weights, how quickly it embeds, and what embedding took in this call (seconds, images)."""

    arm: Arm
    weights: dict[str, str] | None
    rate: Rate
    seconds: float
    embedded: int


def ranking_record(
    asked: RankingPlan,
    manifest: Manifest,
    images: Manifest,
    candidates: Sequence[Candidate],
    scores: Scores,
    *,
    engine: dict[str, str | int],
) -> Json:
    """Everything about a ranking that JSON can hold.

    Args:
        images: of `ranking_images`. scores: of `score_candidates`, in the order of the candidates.

    Returns:
        ``candidates``: best first by ``score``, undefined last; each with ``value``, ``low``, ``high``, ``behind`` (how
        far the best is ahead, with its interval on the same halves of patients; None for the best), ``tied`` (that
        interval holds 0, or there is no difference: it cannot be told apart from the best; None where there is no
        interval to say so), ``images_per_second`` and its ``basis``, ``pareto`` (no other candidate is at least as good
        and as quick, and one of them more), ``scores`` (all of them). ``choice``: the quickest of those that are tied
        with the best, or None where the score is undefined for all. Of test there is nothing, nor where anything lies
        on this machine.
    """
    rows = [_row(k, candidates[k], scores, asked) for k in range(len(candidates))]
    order = sorted(range(len(rows)), key=lambda k: (rows[k]["value"] is None, -(rows[k]["value"] or 0.0), k))
    drawn = scores.drawn[asked.score]
    for k in order:
        rows[k] |= _against_best(k, order[0], rows, drawn, scores.share)
        rows[k]["pareto"] = _on_front(rows[k], rows)
    ranked = [rows[k] for k in order]
    notices = (*outside_test(manifest), *without_interval(ranked, images))
    return {
        "program": f"xenograft {__version__}",
        "created": now(),
        "score": asked.score,
        "level": LEVEL,
        "resamples": asked.resamples,
        "share": scores.share,
        "limit": asked.limit,
        "data": _data(manifest, images) | {"notices": [asdict(notice) for notice in notices]},
        "scores": {
            name: {"label": row.label, "range": row.range, "citation": row.citation, "drawn": name in scores.drawn}
            for name, row in SCORES.items()
        },
        "candidates": ranked,
        "left_out": [{"backbone": name, "why": why} for name, why in asked.left_out],
        "choice": _choice(ranked),
        "engine": engine,
        "config": {key: value for key, value in asked.config.as_json().items() if key not in _PLACES},
    }


def _row(k: int, candidate: Candidate, scores: Scores, asked: RankingPlan) -> Json:
    spec, size = candidate.arm.spec, candidate.arm.preprocess.size
    found = {name: _entry(name, *scores.points[k][name], k, scores) for name in SCORES}
    main = found[asked.score]
    return {
        "backbone": spec.name,
        "title": spec.title,
        "value": main["value"],
        "low": main["low"],
        "high": main["high"],
        "why": main["why"],
        "images_per_second": round(candidate.rate.images_per_second, 3),
        "basis": candidate.rate.basis,
        "params_m": spec.params_m,
        "gmacs": round(gmacs_at(spec, size), 4),
        "gmacs_known": bool(spec.gmacs),
        "width": spec.width,
        "size": size,
        "weights": candidate.weights,
        "embedded": candidate.embedded,
        "seconds": {"features": round(candidate.seconds, 3), "scores": round(float(scores.seconds[k]), 3)},
        "scores": found,
    }


def _entry(name: str, value: float | None, why: str | None, k: int, scores: Scores) -> Json:
    low, high = _interval(value, scores.drawn[name][:, k] if name in scores.drawn else None, scores.share)
    least, most = SCORES[name].low, SCORES[name].high
    return {
        "value": value,
        "low": low if low is None or least is None else max(low, least),
        "high": high if high is None or most is None else min(high, most),
        "why": why,
    }


def _interval(value: float | None, drawn: Floats | None, share: float) -> tuple[float | None, float | None]:
    if value is None or drawn is None:
        return None, None
    low, high = subsample_interval(value, drawn, share=share)
    return (None, None) if math.isnan(low) else (low, high)


def _against_best(k: int, best: int, rows: Sequence[Json], drawn: Floats, share: float) -> Json:
    """How far the best is ahead; the best itself is tied with itself."""
    if rows[k]["value"] is None:
        return {"behind": None, "tied": False}
    if k == best:
        return {"behind": None, "tied": True}
    ahead = rows[best]["value"] - rows[k]["value"]
    low, high = _interval(ahead, drawn[:, best] - drawn[:, k], share)
    tied = True if ahead == 0 else None if low is None else low <= 0
    return {"behind": {"value": ahead, "low": low, "high": high}, "tied": tied}


def _on_front(row: Json, rows: Sequence[Json]) -> bool:
    if row["value"] is None:
        return False
    mine = (row["value"], row["images_per_second"])
    others = ((r["value"], r["images_per_second"]) for r in rows if r["value"] is not None)
    return not any(o != mine and o[0] >= mine[0] and o[1] >= mine[1] for o in others)


def _choice(ranked: Sequence[Json]) -> Json | None:
    tied = [row for row in ranked if row["tied"]]  # without an interval only equals: chance is no excuse to take less
    if not tied:
        return None
    chosen = max(tied, key=lambda row: row["images_per_second"])  # of equals, the better
    return {
        "backbone": chosen["backbone"],
        "best": ranked[0]["backbone"],
        "tied": [row["backbone"] for row in tied],
        "candidates": sum(row["value"] is not None for row in ranked),
    }


def _data(manifest: Manifest, images: Manifest) -> Json:
    """Of train and validation alone: a record that held anything of test would not show that it played no part."""
    whole = {split: size for split, size in manifest.sizes().items() if split != "test"}
    return {
        "name": manifest.name,
        "classes": list(manifest.classes),
        "counts": [int(count) for count in np.bincount(images.labels, minlength=len(manifest.classes))],
        "images": len(images),
        "patients": len(np.unique(images.patients)),
        "of_images": sum(size["images"] for size in whole.values()),
        "of_patients": sum(size["patients"] for size in whole.values()),
        "sizes": whole,
        "patients_known": manifest.patients_known,
        "patient_rule": manifest.patient_rule,
        "split_rule": manifest.split_rule,
        "synthetic": manifest.synthetic,
        "leak_allowed": manifest.leak_allowed,
        "facts": list(manifest.facts),
        "images_sha256": images.sha256,
    }
