"""(two feature sets) -> squared maximum mean discrepancy, unbiased: of the polynomial kernel it is the KID.

Gretton et al. (2012, jmlr.org/papers/v13/gretton12a.html, Eq. 3); Bińkowski et al. (2018, arXiv:1801.01401) for
images. Unbiased at any size, unlike the Fréchet distance; around 0, and as often below it, for equal distributions.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import Floats, ratio, wrong
from xenograft.similarity.euclidean_tile import squared_distances
from xenograft.similarity.feature_sets import Features, FeatureSet, check_pair, check_row_weights
from xenograft.similarity.pair_sums import OfPairs, pairs_between, pairs_within, sum_between, sum_within

Kernel = Literal["polynomial", "rbf"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)

_MEDIAN_OF = 1000  # rows of each set


class Discrepancy(TypedDict):
    """Squared MMD. bandwidth: sigma of the RBF kernel, None for the polynomial one."""

    mmd2: float
    bandwidth: float | None


def mmd(a: Features, b: Features, *, kernel: Kernel = "polynomial", bandwidth: float | None = None) -> Discrepancy:
    """Unbiased MMD^2: mean kernel within a plus that within b, pairs of a row with itself left out, less twice between.

    ``polynomial`` is that of KID, (x.y / D + 1)^3: sees means, variances and skewness; does not change with rotation
    about the origin, does with translation and scale. ``rbf`` is exp(-|x - y|^2 / (2 sigma^2)), zero in the limit only
    for equal distributions; with sigma from the data it changes with neither rotation, translation nor scale.
    Costs (N + M)^2 D / 2 in tiles of float64; memory does not grow with N.

    Args:
        a: (N, D) of any real type, N >= 2. b: (M, D).
        bandwidth: sigma; None takes the median distance of the joined rows (Gretton et al. 2012, section 8), of at most
            1,000 evenly spaced rows of each set. Only for ``rbf``.

    Raises:
        DataError: wrong shapes, nan or infinite, an unknown kernel, or no bandwidth to be had.
    """
    first, second = check_pair(a, b)
    sigma = _bandwidth(first, second, kernel, bandwidth)
    return {"mmd2": float(_draws(first, second, sigma, None, None)[0]), "bandwidth": sigma}


def mmd_draws(
    a: Features,
    b: Features,
    weights_a: NDArray[Any] | None = None,
    weights_b: NDArray[Any] | None = None,
    *,
    kernel: Kernel = "polynomial",
    bandwidth: float | None = None,
) -> dict[str, Floats]:
    """``mmd2`` (R,) of R weightings of the rows in one pass; the bandwidth is that of all rows in each. nan for one.

    For intervals by `resampling.bootstrap`. They tell how far the distance of two different sets may be off; where the
    sets are alike the statistic is degenerate and its interval too wide. The split halves of `resampling.yardsticks`
    tell whether they are.

    Args:
        weights_a: (R, N), not negative; None counts every row once. weights_b: (R, M).

    Raises:
        DataError: as `mmd`, or weights of other shapes.
    """
    first, second = check_pair(a, b)
    sigma = _bandwidth(first, second, kernel, bandwidth)
    return {"mmd2": _draws(first, second, sigma, weights_a, weights_b)}


def _draws(
    a: FeatureSet,
    b: FeatureSet,
    sigma: float | None,
    weights_a: NDArray[Any] | None,
    weights_b: NDArray[Any] | None,
) -> Floats:
    left, right = check_row_weights(weights_a, len(a), "weights_a"), check_row_weights(weights_b, len(b), "weights_b")
    if len(left) != len(right):
        raise wrong("weights_b", f"{len(right)} lines", f"as many as weights_a has, {len(left)}")
    if sigma is not None:
        centre = (a.mean() + b.mean()) / 2
        a, b = a.then(lambda block: (block - centre) / sigma), b.then(lambda block: (block - centre) / sigma)
    of_pairs: OfPairs = _polynomial if sigma is None else _gaussian
    with np.errstate(invalid="ignore"):
        sums = (
            sum_within(a, of_pairs, left), sum_within(b, of_pairs, right), sum_between(a, b, of_pairs, left, right)
        )  # fmt: skip
    if not np.isfinite(sums).all():
        raise DataError(
            "features: got numbers whose kernel leaves the range of a double; allowed for the polynomial kernel: up to "
            "about 1e50; scale them, or use the rbf kernel",
            code="E-DATA-05",
        )
    within_a, within_b = ratio(sums[0], pairs_within(left)), ratio(sums[1], pairs_within(right))
    found: Floats = within_a + within_b - 2 * sums[2] / pairs_between(left, right)
    return found


def _polynomial(x: Floats, y: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        inner = x @ y.T
        inner /= x.shape[1]
        inner += 1
        cube: Floats = inner * inner * inner
    return cube


def _gaussian(x: Floats, y: Floats) -> Floats:
    squared: Floats = squared_distances(x, y)
    squared *= -0.5
    return np.exp(squared, out=squared)


def _bandwidth(a: FeatureSet, b: FeatureSet, kernel: Kernel, given: float | None) -> float | None:
    if kernel not in KERNELS:
        raise wrong("kernel", f"{kernel!r}", ", ".join(KERNELS))
    if kernel == "polynomial":
        if given is not None:
            raise wrong("bandwidth", f"{given}", "none for the polynomial kernel")
        return None
    if given is not None:
        if not 0 < given < np.inf:
            raise wrong("bandwidth", f"{given}", "a finite number above 0")
        return float(given)
    some = np.concatenate([each.rows(_spaced(len(each))) for each in (a, b)])
    some -= some.mean(axis=0)
    size = float(np.abs(some).max())
    if size > 0:
        squared = squared_distances(some / size, some / size)
        median = size * float(np.sqrt(np.median(squared[np.triu_indices(len(some), 1)])))
        if median > 0:
            return median
    raise DataError(
        "bandwidth: got a median distance of 0, most rows being equal; allowed: rows that differ; give a bandwidth",
        code="E-DATA-05",
    )


def _spaced(count: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, _MEDIAN_OF)).astype(np.intp))
