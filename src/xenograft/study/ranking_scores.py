"""(features of every candidate, labels, patients) -> every score, and its values on halves of the patients.

All candidates are scored on the same halves and the same folds, so that they differ by the backbone alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from xenograft.transferability.cross_validated import Fold, grouped_folds
from xenograft.transferability.resampled import share_drawn, subsamples
from xenograft.transferability.scores import SCORES, Material
from xenograft.transferability.task import Undefined, check_groups

Features = NDArray[np.float32]
Index = NDArray[np.int64]
Answer = tuple[float | None, str | None]

_WORTH_PROCESSES = 200_000_000  # numbers to go through; starting processes takes as long as a tenth of that
_SEED = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """What `score_candidates` found.

    Args:
        points: for each candidate name -> (value, None) or (None, why).
        drawn: name -> (R, K) values on halves of the patients, nan where undefined. seconds: (K,) spent on each.
        share: of the patients that a half holds, see `xenograft.transferability.resampled.share_drawn`.
    """

    points: list[dict[str, Answer]]
    drawn: dict[str, NDArray[np.float64]]
    seconds: NDArray[np.float64]
    share: float


@dataclass(frozen=True, slots=True)
class _Job:
    """Scores of some candidates on some images (None: all of them)."""

    candidates: tuple[int, ...]
    names: tuple[str, ...]
    at: NDArray[np.intp] | None = None


_Result = list[tuple[dict[str, Answer], float]]


def score_candidates(
    tables: Sequence[Features],
    labels: Index,
    groups: Index,
    *,
    drawn: Sequence[str],
    resamples: int,
    workers: int = 1,
    done: Callable[[float], None] = lambda _: None,
) -> Scores:
    """Every score of every candidate, and those of `drawn` on halves of the patients as well.

    Args:
        tables: K arrays (N, D_k). labels: (N,) class index. groups: (N,) patients.
        drawn: names of scores. resamples: R halves. workers: processes; the numbers do not depend on it.
        done: called with the share of the work in [0, 1] that is finished since the last call.
    """
    everyone = tuple(range(len(tables)))
    halves = list(subsamples(labels, groups, resamples=resamples, seed=_SEED))
    jobs = [_Job((k,), tuple(SCORES)) for k in everyone]  # the long ones first, for even use of the processes
    jobs += [_Job(everyone, tuple(drawn), at) for at in halves]
    size = sum(table.size for table in tables) * (len(SCORES) + len(halves) * len(drawn) / 2)
    results = _run(jobs, tables, labels, groups, workers if size > _WORTH_PROCESSES else 1)
    points: list[dict[str, Answer]] = []
    values = {name: np.full((len(halves), len(tables)), np.nan) for name in drawn}
    seconds = np.zeros(len(tables))
    for number, (job, result) in enumerate(zip(jobs, results, strict=True)):
        for k, (found, spent) in zip(job.candidates, result, strict=True):
            seconds[k] += spent
            if job.at is None:
                points.append(found)
                continue
            for name, (value, _) in found.items():
                values[name][number - len(tables), k] = np.nan if value is None else value
        done(1 / len(jobs))
    return Scores(points, values, seconds, share_drawn(groups, halves))


def _run(
    jobs: Sequence[_Job], tables: Sequence[Features], labels: Index, groups: Index, workers: int
) -> Iterator[_Result]:
    if workers < 2:
        yield from (_one(job, tables, labels, groups) for job in jobs)
        return
    from joblib import Parallel, delayed  # late: half a second, which small sets do not need

    # its pool never runs the caller's script again, and large arrays are mapped instead of copied
    pool: Any = Parallel(n_jobs=min(workers, len(jobs)), return_as="generator", batch_size=1)
    yield from pool(delayed(_one)(job, tables, labels, groups) for job in jobs)


def _one(job: _Job, tables: Sequence[Features], labels: Index, groups: Index) -> _Result:
    truth, owner = (labels, groups) if job.at is None else (labels[job.at], groups[job.at])
    with threadpool_limits(1):  # the processes use the cores; and sums then do not depend on how many there are
        folds = _folds(truth, owner) if any(SCORES[name].needs_groups for name in job.names) else []
        results: _Result = []
        for k in job.candidates:
            started = time.perf_counter()
            features = tables[k] if job.at is None else tables[k][job.at]
            material = Material(features, truth, owner, None, _folds=list(folds))
            found = {name: _answer(name, material) for name in job.names}
            results.append((found, time.perf_counter() - started))
    return results


def _folds(labels: Index, groups: Index) -> list[Fold]:
    """The same for all candidates; none where there are none, which each score then says."""
    present = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    try:
        return grouped_folds(present, check_groups(groups, size=len(labels)), seed=_SEED)
    except Undefined:
        return []


def _answer(name: str, material: Material) -> Answer:
    try:
        return SCORES[name].compute(material), None
    except Undefined as reason:
        return None, str(reason.args[0])
