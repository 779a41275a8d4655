"""(features of two sets) -> one map of both in two dimensions, by PCA or t-SNE, and what was done as facts.

A map is for looking, not for measuring. In PCA distances are those of the two directions it shows, whose share of the
variance is in the facts. In t-SNE they mean little: the distance between groups, their sizes and their density are made
by the method; only who is whose neighbour carries over, and clusters appear in noise too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh
from sklearn.manifold import TSNE

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import Features
from xenograft.similarity.representation import check_representation, largest, minus_mean

PERPLEXITY = 30.0
REDUCED = 50  # principal components that t-SNE starts from (van der Maaten and Hinton 2008, section 4.2)
T_SNE_CAUTION = "Distances between groups, their sizes and their density mean little in t-SNE; only neighbours do."
PCA_CAUTION = "Two directions of many: what lies together here may be far apart in the others."

_START_SPREAD = 1e-4  # standard deviation of the starting map, as in scikit-learn


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A map of two sets.

    Args:
        first: (N, 2) places of the first set's rows. second: (M, 2).
        facts: the method and its settings, rows and features, what to beware of; plain JSON values.
    """

    first: Floats
    second: Floats
    facts: dict[str, Any]


def map_by_pca(first: Features, second: Features) -> Embedding:
    """The first two principal components of both sets together, each in units of the features.

    Deterministic: the sign of a component is such that its largest loading is positive. Invariant under rotation (up to
    sign) and translation. Rows of both sets count equally, so the larger set decides more: pass as many of each.

    Cost: O((N + M) D min(N + M, D)).

    Args:
        first: (N, D), N >= 1. second: (M, D), M >= 1.

    Raises:
        DataError: E-DATA-05, wrong shapes, nan, infinity or beyond 1e100.
    """
    joint, rows = _joint(first, second)
    places, explained = _components(joint, 2)
    facts = {
        "method": "pca",
        "rows": list(rows),
        "features": joint.shape[1],
        "explained": explained,
        "caution": PCA_CAUTION,
    }
    return Embedding(places[: rows[0]], places[rows[0] :], facts)


def map_by_tsne(first: Features, second: Features, *, seed: int = 0, perplexity: float = PERPLEXITY) -> Embedding:
    """t-SNE of both sets together (van der Maaten and Hinton 2008, JMLR 9:2579), by scikit-learn.

    The features are reduced to at most 50 principal components first, and the map starts from the first two (Kobak and
    Berens 2019, doi:10.1038/s41467-019-13056-x), so the same rows in the same order give the same map on the same
    machine. The perplexity is lowered to a third of the other rows where there are few.

    Cost: O((N + M) log(N + M)) for each of 1,000 steps: a minute for 2,000 rows on two busy cores, seconds for some
    hundreds. Draw a sample of more.

    Args:
        first: (N, D), N >= 1. second: (M, D), M >= 1; N + M >= 4. seed: for scikit-learn. perplexity: above 1.

    Raises:
        DataError: E-DATA-05, wrong shapes, nan, infinity or beyond 1e100, or rows that are all equal.
    """
    joint, rows = _joint(first, second)
    count = len(joint)
    if count < 4:
        raise wrong("first and second", f"{count} rows", "4 or more together")
    if not 1 < perplexity < np.inf:
        raise wrong("perplexity", f"{perplexity}", "a number above 1")
    reduced, _ = _components(joint, max(2, min(REDUCED, *joint.shape)))
    spread = float(reduced[:, 0].std())
    if spread == 0:
        raise wrong("first and second", f"{count} rows that are all equal", "rows that differ")
    usable = min(perplexity, (count - 1) / 3)
    reduced /= spread  # neighbours stay what they are, and scikit-learn goes on in float32
    start = (reduced[:, :2] * _START_SPREAD).astype(np.float32)
    method = TSNE(perplexity=usable, init=start, random_state=seed, learning_rate="auto")
    places = method.fit_transform(reduced).astype(np.float64)
    facts = {
        "method": "t-sne",
        "rows": list(rows),
        "features": joint.shape[1],
        "components": reduced.shape[1],
        "start": "pca",
        "perplexity": usable,
        "seed": seed,
        "steps": int(method.n_iter_),
        "divergence": float(method.kl_divergence_),
        "caution": T_SNE_CAUTION,
    }
    return Embedding(places[: rows[0]], places[rows[0] :], facts)


def _joint(first: Features, second: Features) -> tuple[Floats, tuple[int, int]]:
    one = check_representation(first, "first", least=1)
    other = check_representation(second, "second", least=1)
    if one.shape[1] != other.shape[1]:
        raise wrong("second", f"{other.shape[1]} features", f"{one.shape[1]}, as in first")
    return np.concatenate([one, other]), (len(one), len(other))


def _components(joint: Floats, count: int) -> tuple[Floats, list[float] | None]:
    """(rows, count) scores, zero beyond the rank, and the shares of variance; None without any variance.

    By the smaller of the two Gram matrices: a tenth of the time of the whole singular value decomposition, and the
    leading components keep their digits.
    """
    unit = largest(joint)
    moved = minus_mean(joint / unit)
    tall = len(moved) > moved.shape[1]
    gram = moved.T @ moved if tall else moved @ moved.T
    found = min(count, len(gram))
    values, vectors = eigh(gram, subset_by_index=[len(gram) - found, len(gram) - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    values = np.where(values > values[0] * max(moved.shape) * np.finfo(np.float64).eps, values, 0.0)
    loadings = vectors if tall else moved.T @ vectors  # (D, found), of any length
    leading = loadings[np.abs(loadings).argmax(axis=0), np.arange(found)]
    scores = (moved @ vectors if tall else vectors * np.sqrt(values)) * (values > 0)
    places = np.zeros((len(joint), count))
    places[:, :found] = scores * np.where(leading < 0, -unit, unit)
    total = float(np.trace(gram))
    return places, (values / total).tolist() if total > 0 else None
