"""(two feature sets) -> D of the paper's Eq. 9, the mean distance over all pairs, beside that within each set.

D alone has no scale: twice the features, twice D. Its scale is the mean distance of two rows of one set, so three
numbers stand beside it (for Euclidean distance they are those of Székely and Rizzo 2013,
doi:10.1016/j.jspi.2013.03.018):

- ``excess``: between minus the mean of both within. For Euclidean distance half the energy distance, zero exactly
  where the two distributions are equal. For squared Euclidean |mean_a - mean_b|^2, without the bias of small sets; for
  cosine half of that of the unit vectors: these two see means only, and are zero also where only the spread differs.
- ``ratio``: between over the mean of both within; 1 for one and the same distribution, no unit.
- ``inhomogeneity``: excess over between, 0 for one distribution, below 1; small samples may fall below 0.

| distance | metric (Assumption 3) | does not change with | form |
|---|---|---|---|
| euclidean | yes | rotation, translation; scales | tiles |
| sqeuclidean | no | rotation, translation; scales squared | closed |
| cosine | no | rotation, scaling of any row | closed |
| mahalanobis | yes | rotation, translation, scaling; any linear map without shrinkage | tiles |
| sqmahalanobis | no | the same | closed |

The order of rows and of columns changes none. Within-set means leave out a row's distance to itself. Pairs of two
images of one patient count; their share is about one in the number of patients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import Floats, ratio, wrong
from xenograft.similarity.covariance import Shrinkage, pooled_covariance, whitening
from xenograft.similarity.euclidean_tile import TileRows, distances, tile_rows
from xenograft.similarity.feature_sets import Extent, Features, FeatureSet, check_pair, check_row_weights
from xenograft.similarity.pair_sums import pairs_between, pairs_within, sum_between, sum_within

Distance = Literal["euclidean", "sqeuclidean", "cosine", "mahalanobis", "sqmahalanobis"]
DISTANCES: tuple[Distance, ...] = get_args(Distance)

_FEW_PAIRS = 1 << 24  # below it float64 throughout: it takes a second or so


class PairwiseDistance(TypedDict):
    """Mean distances and what they are beside each other; see the module. ratio is None where within is 0."""

    between: float
    within_a: float
    within_b: float
    excess: float
    ratio: float | None
    inhomogeneity: float | None


def pairwise(
    a: Features,
    b: Features,
    *,
    distance: Distance = "euclidean",
    shrinkage: Shrinkage = "ledoit-wolf",
    covariance: Floats | None = None,
) -> PairwiseDistance:
    """D(F_C, F_M) of Eq. 9 with both within-set means; exact, no sampling, no matrix of all pairs.

    Closed forms cost N D; tiles cost (N + M)^2 D / 2 on as many cores as BLAS may use, and hold some 100 MB whatever N
    is. Beyond 16 million pairs they are multiplied in float32: means are then good to 1e-6.

    Args:
        a: (N, D) of any real type, N >= 2. b: (M, D).
        distance: one of `DISTANCES`.
        shrinkage: of the pooled within-set covariance of Mahalanobis distance; see `pooled_covariance`.
        covariance: (D, D) to use instead, such as that of a reference set.

    Raises:
        DataError: wrong shapes, nan or infinite, a row of zeros for cosine, or a covariance without inverse.
    """
    found = pairwise_draws(a, b, distance=distance, shrinkage=shrinkage, covariance=covariance)
    values = {name: float(drawn[0]) for name, drawn in found.items()}
    known = {name: None if np.isnan(value) else value for name, value in values.items()}
    return PairwiseDistance(
        between=values["between"], within_a=values["within_a"], within_b=values["within_b"], excess=values["excess"],
        ratio=known["ratio"], inhomogeneity=known["inhomogeneity"],
    )  # fmt: skip


def pairwise_draws(
    a: Features,
    b: Features,
    weights_a: NDArray[Any] | None = None,
    weights_b: NDArray[Any] | None = None,
    *,
    distance: Distance = "euclidean",
    shrinkage: Shrinkage = "ledoit-wolf",
    covariance: Floats | None = None,
) -> dict[str, Floats]:
    """The numbers of `pairwise` for R weightings of the rows, in one pass over the pairs.

    A resample is a weighting: how often each row was drawn. A row is never a pair with its own copy, so that the
    within-set mean of a bootstrap stays unbiased. The covariance is that of all rows in every weighting.

    Args:
        weights_a: (R, N), not negative; None counts every row once. weights_b: (R, M).

    Returns:
        ``between``, ``within_a``, ``within_b``, ``excess``, ``ratio``, ``inhomogeneity``: (R,); nan for 0/0, and where
        a weighting leaves one row.

    Raises:
        DataError: as `pairwise`, or weights of other shapes.
    """
    first, second = check_pair(a, b)
    tables = (
        check_row_weights(weights_a, len(first), "weights_a"),
        check_row_weights(weights_b, len(second), "weights_b"),
    )
    if len(tables[0]) != len(tables[1]):
        raise wrong("weights_b", f"{len(tables[1])} lines", f"as many as weights_a has, {len(tables[0])}")
    first, second = as_euclidean(first, second, distance, shrinkage, covariance)
    means = _by_tiles if distance in {"euclidean", "mahalanobis"} else _closed
    between, within_a, within_b = means(first, second, *tables)
    if distance == "cosine":
        between, within_a, within_b = between / 2, within_a / 2, within_b / 2  # 1 - u.v = |u - v|^2 / 2
    within = (within_a + within_b) / 2
    excess = between - within
    return {
        "between": between, "within_a": within_a, "within_b": within_b, "excess": excess,
        "ratio": ratio(between, within), "inhomogeneity": ratio(excess, between),
    }  # fmt: skip


def as_euclidean(
    a: FeatureSet, b: FeatureSet, distance: Distance, shrinkage: Shrinkage, covariance: Floats | None
) -> tuple[FeatureSet, FeatureSet]:
    """Both sets in the space where the distance is Euclidean, its square, or, for cosine, half its square.

    Raises:
        DataError: an unknown distance, or a covariance that does not fit or has no inverse.
    """
    if distance not in DISTANCES:
        raise wrong("distance", f"{distance!r}", ", ".join(DISTANCES))
    if distance == "cosine":
        return a.then(_unit), b.then(_unit)
    if distance in {"mahalanobis", "sqmahalanobis"}:
        root = whitening(pooled_covariance(a, b, shrinkage=shrinkage) if covariance is None else covariance)
        if len(root) != a.array.shape[1]:
            raise wrong("covariance", f"shape {root.shape}", f"{(a.array.shape[1],) * 2}, the features' own")
        return a.then(lambda block: block @ root), b.then(lambda block: block @ root)
    return a, b


def _unit(block: Floats) -> Floats:
    largest = np.abs(block).max(axis=1, keepdims=True)
    if not largest.all():
        raise DataError(
            f"features: got {int((largest == 0).sum())} rows of zeros, which have no direction; allowed for cosine: "
            "rows with a value other than 0; leave them out, or use another distance",
            code="E-DATA-05",
        )
    scaled = block / largest  # squares of tiny numbers vanish
    unit: Floats = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def _by_tiles(a: FeatureSet, b: FeatureSet, weights_a: Floats, weights_b: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean Euclidean distance between, within a, within b."""
    in_a, in_b = a.extent(), b.extent()
    centre = (in_a.mean + in_b.mean) / 2
    size = max(in_a.reach(centre), in_b.reach(centre))
    if size == 0:
        between = np.zeros(len(weights_a))
    else:
        near, far = _scaled(a, centre, size), _scaled(b, centre, size)
        total = sum_between(near, far, distances, weights_a, weights_b, ready=_ready(len(a) * len(b)))
        between = size * total / pairs_between(weights_a, weights_b)
    return between, _within_by_tiles(a, in_a, weights_a), _within_by_tiles(b, in_b, weights_b)


def _within_by_tiles(a: FeatureSet, extent: Extent, weights: Floats) -> Floats:
    size = extent.reach(extent.mean)
    if size == 0:
        return np.zeros(len(weights))
    total = sum_within(_scaled(a, extent.mean, size), distances, weights, ready=_ready(len(a) ** 2))
    return size * ratio(total, pairs_within(weights))


def _scaled(a: FeatureSet, centre: Floats, size: float) -> FeatureSet:
    """Divided by their largest number, squares of the centred rows stay in the range of float32."""
    return a.then(lambda block: (block - centre) / size)


def _ready(pairs: int) -> Callable[[Floats], TileRows]:
    single = pairs > _FEW_PAIRS
    return lambda block: tile_rows(block, single=single)


def _closed(a: FeatureSet, b: FeatureSet, weights_a: Floats, weights_b: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean squared distance between, within a, within b: |mean_a - mean_b|^2 and the traces of both covariances."""
    mean_a, spread_a, within_a = _moments(a, weights_a)
    mean_b, spread_b, within_b = _moments(b, weights_b)
    gap = mean_a - mean_b
    return np.einsum("rd,rd->r", gap, gap) + spread_a + spread_b, within_a, within_b


def _moments(a: FeatureSet, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """(R, D) mean, (R,) trace of the covariance about it, (R,) mean squared distance of two different rows."""
    centre = a.mean()
    count = weights.sum(axis=1)
    shift = np.zeros((len(weights), len(centre)))
    squares = np.zeros(len(weights))
    for rows, block in a.blocks():
        centred = block - centre
        shift += weights[:, rows] @ centred
        squares += weights[:, rows] @ np.einsum("nd,nd->n", centred, centred)
    shift /= count[:, None]
    spread = np.maximum(squares - count * np.einsum("rd,rd->r", shift, shift), 0)
    return centre + shift, spread / count, ratio(2 * count * spread, pairs_within(weights))
