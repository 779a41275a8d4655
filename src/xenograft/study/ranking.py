"""The conductor of a ranking: data, features of train and validation by every candidate, scores, then the record."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from xenograft.caching import trim
from xenograft.study.ranking_images import ranking_images
from xenograft.study.ranking_notices import NO_INTERVAL
from xenograft.study.ranking_plan import RankingPlan
from xenograft.study.reading import read_data
from xenograft.study.run import open_pixels, plan
from xenograft.study.watch import Watcher

Json = dict[str, Any]
_SCORING = 0.3  # what all scores of an image are taken for in a progress bar, in passes through the network


def run_ranking(asked: RankingPlan, *, cache: Path, watcher: Watcher, command: str) -> Json:
    """Score every candidate on train and validation, and return the record of all of it; test is never looked at.

    Args:
        asked: see `RankingPlan`. cache: for features, facts about files, weights and measured rates.

    Raises:
        XenograftError: the data or the weights cannot be used (see the fault catalogue).
    """
    started = time.perf_counter()
    config, arms = asked.config, list(plan(asked.config))
    pixels = open_pixels(config, cache)
    manifest = read_data(config, pixels, cache=cache, watcher=watcher, preprocesses=[arm.preprocess for arm in arms])
    images = ranking_images(manifest, limit=asked.limit)
    # late: torch takes seconds to load, which a mistake in DATA need not wait for
    from xenograft.study import runs
    from xenograft.study.ranking_record import Candidate, ranking_record
    from xenograft.study.ranking_scores import score_candidates
    from xenograft.study.ranking_usable import usable
    from xenograft.study.rates import Rates
    from xenograft.study.workshop import weights_facts

    workshop = runs.make_workshop(config, pixels, cache=cache, watcher=watcher)
    for arm in arms:
        workshop.weights(arm)  # a missing file is said before minutes of work, not after
    asked, arms = usable(asked, arms)
    reading, rates = time.perf_counter() - started, Rates(cache)
    costs = [arm.cost(len(images)) for arm in arms]
    watcher.total((1 + _SCORING) * sum(costs))
    candidates, tables = [], []
    for arm, cost in zip(arms, costs, strict=True):
        began = time.perf_counter()
        watcher.begin(f"features of {arm.spec.title}", cost)
        extractor = workshop.extractor(arm)
        tables.append(extractor.features(images))
        spent = time.perf_counter() - began
        watcher.end(f"features of {arm.spec.title}: {extractor.embedded} of {len(images)} computed in {spent:.1f} s")
        rate = rates.embedding(arm.spec, arm.preprocess.size, workshop.engine, channels=arm.preprocess.channels)
        candidates.append(Candidate(arm, weights_facts(arm, workshop), rate, spent, extractor.embedded))
    began = time.perf_counter()
    watcher.begin(f"scores of {len(arms)} backbones", _SCORING * sum(costs))
    scores = score_candidates(
        tables,
        images.labels,
        np.array(images.column("group"), dtype=np.int64),
        drawn=asked.drawn,
        resamples=asked.resamples,
        workers=_cores(),
        done=lambda share: watcher.advance(share * _SCORING * sum(costs)),
    )
    scoring = time.perf_counter() - began
    watcher.end(f"scores of {len(arms)} backbones: {scoring:.1f} s")
    trim(cache, config.cache_bytes, workshop.keys())
    record = ranking_record(asked, manifest, images, candidates, scores, engine=workshop.engine_facts())
    for notice in record["data"]["notices"]:
        if notice["code"] == NO_INTERVAL:  # the others were said when the data were read
            watcher.say(f"{notice['code']} {notice['message']}")
    spent_on = {"reading": reading, "features": sum(c.seconds for c in candidates), "scores": scoring}
    seconds = {key: round(value, 3) for key, value in spent_on.items()}
    return {"command": command, **record, "seconds": seconds | {"all": round(time.perf_counter() - started, 3)}}


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())
