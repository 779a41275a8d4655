"""(features of N images by two networks or layers) -> centred kernel alignment: linear, debiased, RBF, in minibatches.

CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) for the kernel matrices K and L of the two representations (Kornblith et
al. 2019, arXiv:1905.00414). The plain estimate is biased upwards: with more features than images even unrelated
representations come near 1. The debiased one puts the unbiased HSIC (Song et al. 2012, JMLR 13:1393) in its
place (Nguyen et al. 2021, arXiv:2010.15327); its expectation for unrelated representations is near 0.

Invariances, of every function here: rotation and reflection of either feature space, translation, one scale factor for
all features, the order of the images (the same in both). Not: a factor of its own for each feature. A single direction
of large variance decides the linear forms: a high CKA says that the main directions agree, not that all do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from xenograft.evaluation.metrics import Floats, wrong
from xenograft.similarity.feature_sets import Features
from xenograft.similarity.representation import CONSTANT, centred, check_same_images, largest, minus_mean

Kernel: TypeAlias = Literal["linear", "rbf"]

UNBIASED_LEAST = 4  # images: the unbiased HSIC divides by n - 3

_CLOSE = 1e-6  # of the squared lengths: a difference below it keeps less than ten digits
_PAIRS = 4096


class _Alignment(NamedTuple):
    """Three HSICs up to a common factor: between the two sets, and of each with itself."""

    between: float
    first: float
    second: float

    def ratio(self) -> float:
        norm = math.sqrt(self.first) * math.sqrt(self.second)
        return min(1.0, max(-1.0, self.between / norm)) if norm > 0 else math.nan


def linear_cka(first: Features, second: Features, *, debiased: bool = False) -> float:
    """Linear CKA (Kornblith et al. 2019).

    In feature space, O(N D1 D2), where both have fewer features than images; else by the N x N Gram matrices,
    O(N^2 (D1 + D2)). Both give the same number.

    Args:
        first: (N, D1) features. second: (N, D2) of the same images. N >= 2, or 4 if `debiased`.
        debiased: with the unbiased HSIC; the plain one is for comparison with published numbers.

    Returns:
        In [0, 1], or [-1, 1] if debiased; nan where a representation does not vary, or, if debiased, where all pairs
        of its images are alike.

    Raises:
        DataError: E-DATA-05, wrong shapes, nan, infinity or beyond 1e100.
    """
    pair = check_same_images(first, second, least=UNBIASED_LEAST if debiased else 2)
    one, other = (centred(features) for features in pair)
    if max(one.shape[1], other.shape[1]) < len(one):
        return _in_feature_space(one, other, debiased=debiased).ratio()
    return _of_grams(one @ one.T, other @ other.T, debiased=debiased).ratio()


def rbf_cka(first: Features, second: Features, *, bandwidth: float = 1.0, debiased: bool = False) -> float:
    """CKA with the kernel exp(-|a - b|^2 / (2 s^2)), s = `bandwidth` x the median distance of two images.

    O(N^2 (D1 + D2)) time and five N x N matrices of memory: 1 GB for 5,000 images. Where the median is 0, since most
    images are duplicates, the median of the distances above 0 is taken.

    Args:
        first: (N, D1) features. second: (N, D2) of the same images. N >= 2, or 4 if `debiased`.
        bandwidth: above 0. Small values look at near neighbours only; Kornblith et al. tried 0.2 to 0.8.
        debiased: as in `linear_cka`.

    Returns and raises: as `linear_cka`.
    """
    _check_bandwidth(bandwidth)
    pair = check_same_images(first, second, least=UNBIASED_LEAST if debiased else 2)
    one, other = (_Gram(features, "rbf", bandwidth)(features) for features in pair)
    return _of_grams(one, other, debiased=debiased).ratio()


def minibatch_cka(
    batches: Iterable[tuple[Features, Features]], *, kernel: Kernel = "linear", bandwidth: float = 1.0
) -> float:
    """Debiased CKA of any number of images, in the memory of one batch (Nguyen et al. 2021).

    The unbiased HSICs are averaged over batches before the quotient is taken, each weighted by its number of images.
    Batches must be random samples: in folder order each holds one class, and what separates classes is not seen.

    Args:
        batches: pairs (n, D1), (n, D2) with n >= 4, the same D1 and D2 throughout.
        kernel: ``linear`` or ``rbf``. bandwidth: of ``rbf``, as in `rbf_cka`; the first batch gives the medians.

    Returns:
        In [-1, 1]; nan where a representation does not vary within batches.

    Raises:
        DataError: E-DATA-05, no batch, wrong shapes, nan, infinity or beyond 1e100.
    """
    if kernel not in ("linear", "rbf"):
        raise wrong("kernel", repr(kernel), "'linear' or 'rbf'")
    _check_bandwidth(bandwidth)
    grams: list[_Gram] = []
    total = np.zeros(3)
    for first, second in batches:
        pair = check_same_images(first, second, least=UNBIASED_LEAST)
        grams = grams or [_Gram(features, kernel, bandwidth) for features in pair]
        one, other = (gram(features) for gram, features in zip(grams, pair, strict=True))
        total += np.asarray(_of_grams(one, other, debiased=True)) / (len(one) - 3)
    if not grams:
        raise wrong("batches", "none", "at least one pair of arrays")
    return _Alignment(*total.tolist()).ratio()


class _Gram:
    """(n, D) features -> (n, n) kernel matrix, its unit and bandwidth fixed by the features it was made with."""

    def __init__(self, features: Floats, kernel: Kernel, bandwidth: float) -> None:
        self._unit = largest(features)
        self._width = features.shape[1]
        scaled = minus_mean(features / self._unit)
        self._bandwidth = bandwidth * _median_distance(_square_distances(scaled)) if kernel == "rbf" else None

    def __call__(self, features: Floats) -> Floats:
        if features.shape[1] != self._width:
            raise wrong("batches", f"{features.shape[1]} features", f"{self._width}, as in the first batch")
        scaled = minus_mean(features / self._unit)
        if self._bandwidth is None:
            return scaled @ scaled.T
        return _rbf(_square_distances(scaled), self._bandwidth)


def _in_feature_space(one: Floats, other: Floats, *, debiased: bool) -> _Alignment:
    """Of centred features: |B'A|^2 is the sum of products of the two Gram matrices, which are never made."""
    lengths = [np.einsum("ij,ij->i", features, features) for features in (one, other)]
    pairs = [(one, other, *lengths), (one, one, lengths[0], lengths[0]), (other, other, lengths[1], lengths[1])]
    return _Alignment(
        *(_hsic(float(np.square(b.T @ a).sum()), k, l, debiased=debiased) for a, b, k, l in pairs)  # noqa: E741
    )


def _of_grams(one: Floats, other: Floats, *, debiased: bool) -> _Alignment:
    """Of kernel matrices (n, n), centred here; the unbiased HSIC does not see additive rows and columns either."""
    a, b = _double_centred(one), _double_centred(other)
    pairs = [(a, b), (a, a), (b, b)]
    return _Alignment(*(_hsic(float((k * m).sum()), k.diagonal(), m.diagonal(), debiased=debiased) for k, m in pairs))


def _hsic(product: float, first: Floats, second: Floats, *, debiased: bool) -> float:
    """HSIC up to a factor, from the sum of products of two centred kernel matrices and their diagonals (n,).

    Debiased: n (n - 3) HSIC_1 of Song et al. (2012). In a centred matrix, rows sum to 0, so without its diagonal
    k they sum to -k, and the formula needs nothing else.
    """
    if not debiased:
        return product
    n = len(first)
    unbiased = product - n / (n - 2) * float(first @ second) + first.sum() * second.sum() / ((n - 1) * (n - 2))
    return float(unbiased) if abs(unbiased) > CONSTANT * product else 0.0


def _double_centred(gram: Floats) -> Floats:
    means = gram.mean(axis=0)
    centred_gram: Floats = gram - means - means[:, None] + means.mean()
    return centred_gram


def _rbf(squares: Floats, bandwidth: float) -> Floats:
    if bandwidth == 0:  # all images alike
        return np.ones_like(squares)
    kernel: Floats = np.exp(squares / (-2 * bandwidth**2))
    return kernel


def _median_distance(squares: Floats) -> float:
    """Median distance of two different images; of those that differ, where most do not; 0 where none does."""
    distances = np.sqrt(squares[np.triu_indices(len(squares), 1)])
    return float(np.median(distances)) or float(np.median(distances[distances > 0])) if distances.any() else 0.0


def _square_distances(features: Floats) -> Floats:
    """(n, n) squared distances by one matrix product; those that would lose digits in it, again by differences."""
    lengths = np.einsum("ij,ij->i", features, features)
    sums = lengths[:, None] + lengths
    squares: Floats = sums - 2 * (features @ features.T)
    near, to = np.nonzero(np.triu(squares <= _CLOSE * sums, 1))
    for start in range(0, len(near), _PAIRS):
        some = slice(start, start + _PAIRS)
        exact = np.square(features[near[some]] - features[to[some]]).sum(axis=1)
        squares[near[some], to[some]] = squares[to[some], near[some]] = exact
    np.fill_diagonal(squares, 0.0)
    return squares


def _check_bandwidth(bandwidth: float) -> None:
    if not 0 < bandwidth < math.inf:
        raise wrong("bandwidth", f"{bandwidth}", "a number above 0")
