"""(two feature sets) -> how well a probe tells them apart: AUROC of rows that it was not fitted on.

Lopez-Paz and Oquab (2017, arXiv:1610.06545), with AUROC in place of accuracy, which needs no threshold and no balance.
0.5: a linear probe cannot tell the sets apart; 1: it always can. A probe on natural and medical images nearly always
can, so 1 says little; how fast it falls under fine-tuning, or by layer, says more.
"""

from __future__ import annotations

import warnings
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from xenograft.evaluation.delong import clustered_delong_interval
from xenograft.evaluation.metrics import Floats, wrong
from xenograft.evaluation.uncertainty import LEVEL
from xenograft.similarity.feature_sets import Features, check_joint_groups, check_pair

_PENALTY = 0.01  # on squared weights, beside the mean loss of an image: the same for any number of rows
_WORTH_SHARING = 1 << 28  # bytes; with fewer, BLAS's threads wait for each other longer than they work


class TwoSample(TypedDict):
    """AUROC of b against a in [0, 1], with its interval.

    Args:
        low, high: of the level; None where DeLong's variance is undefined. method: see `delong_interval`.
        folds: how many. groups: how many patients the interval counts.
    """

    auroc: float
    low: float | None
    high: float | None
    method: str | None
    folds: int
    groups: int


def two_sample(
    a: Features,
    b: Features,
    *,
    groups_a: NDArray[Any] | None = None,
    groups_b: NDArray[Any] | None = None,
    folds: int = 5,
    seed: int = 0,
    level: float = LEVEL,
) -> TwoSample:
    """Cross-validated AUROC of a logistic probe that is asked which set a row is from.

    Features are standardised by the rows that the probe is fitted on. Scores are ranked within their fold, because the
    probes of two folds have different offsets: joined as they are, they would put the AUROC of equal sets below 0.5.
    The interval is DeLong's, by patient: that of these rows given these probes. It leaves out that other rows would fit
    other probes; in simulation with equal sets of 30 to 300 patients its 95 % intervals hold 0.5 in 83 to 90 of 100.
    The result changes with neither the translation nor the scale of a feature; with rotation it does, a little, through
    the standardising. Folds are dealt by the order of the rows. Costs N D for each step of each probe.

    Args:
        a: (N, D) of any real type. b: (M, D).
        groups_a: (N,) patients, never cut by a fold. groups_b: (M,); the same key is the same patient in both sets.
        folds: 2 or more; each set needs as many patients.
        seed: of the dealing of folds.

    Raises:
        DataError: wrong shapes, nan or infinite, too few patients, or a level out of range.
    """
    first, second = check_pair(a, b)
    group = check_joint_groups(groups_a, groups_b, (len(first), len(second)))
    truth = np.repeat([0, 1], [len(first), len(second)])
    if folds < 2:
        raise wrong("folds", f"{folds}", "2 or more")
    joined = np.concatenate([first.rows(), second.rows()])
    fold = _dealt(truth, group, folds, seed)
    score = np.empty(len(truth))
    with threadpool_limits(1 if joined.nbytes < _WORTH_SHARING else None, user_api="blas"):
        for held_out in range(folds):
            test = fold == held_out
            score[test] = _ranks(_probe(joined[~test], truth[~test], joined[test], held_out))
    found = clustered_delong_interval(truth, score, group, level=level)
    return {
        "auroc": cast("float", found["value"]), "low": found["low"], "high": found["high"], "method": found["method"],
        "folds": folds, "groups": len(np.unique(group)),
    }  # fmt: skip


def _dealt(truth: NDArray[np.intp], group: NDArray[np.intp], folds: int, seed: int) -> NDArray[np.intp]:
    """(N,) fold of each row: no group cut, both sets in every fold."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    for value, name in enumerate("ab"):
        if (have := len(np.unique(group[truth == value]))) < folds:
            raise wrong("folds", f"{folds}", f"at most {have}, the patients of {name}")
    fold = np.empty(len(truth), dtype=np.intp)
    alone = group.max() + 1 == len(group)  # with nothing to keep together, the slow dealing of groups is not needed
    dealer = (StratifiedKFold if alone else StratifiedGroupKFold)(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few rows; what it would do is checked below
        for number, (_, held_out) in enumerate(dealer.split(truth, truth, group)):
            fold[held_out] = number
    held = np.array([np.bincount(truth[fold == number], minlength=2) for number in range(folds)])
    if not held.all():
        raise wrong("folds", f"{folds}, one of which holds rows of one set only", "fewer folds, or more patients")
    return fold


def _probe(rows: Floats, truth: NDArray[np.intp], unseen: Floats, seed: int) -> Floats:
    """(n,) scores of unseen rows: the more, the more like b."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    centre = rows.mean(axis=0)
    spread = np.abs(rows - centre).max(axis=0)
    spread[spread == 0] = 1  # a constant feature says nothing; its size must not either
    spread *= np.maximum(((rows - centre) / spread).std(axis=0), np.finfo(np.float64).tiny)
    spread[~(spread > 0)] = 1
    weight = len(truth) / (2 * np.bincount(truth, minlength=2))
    probe = LogisticRegression(
        C=1 / (_PENALTY * len(truth)), class_weight=dict(enumerate(weight)), max_iter=500, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its order of rows has long settled by then
        probe.fit((rows - centre) / spread, truth)
    scores: Floats = probe.decision_function((unseen - centre) / spread)
    return scores


def _ranks(scores: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks: Floats = (rankdata(scores) - 0.5) / len(scores)
    return ranks
