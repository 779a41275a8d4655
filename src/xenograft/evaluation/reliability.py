"""(labels, scores, patients) -> the points of a reliability diagram: bins, smooth curve with band, histogram.

The bins and the kernel here are also those of the calibration errors in `calibration`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.sparse import csr_array

from xenograft.evaluation.metrics import Floats, Labels, Scores, check_binary, ratio, wrong
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, percentile_interval

BINS = 10
INTERVALS = 128  # of the curve's grid
BARS = 20
FEWEST = 5.0  # images within reach of the kernel, for a point of the curve to be shown

_NODES = 2048  # a score is split between neighbouring nodes, which widens a bandwidth s by less than 1 / (12 _NODES² s)
_COARSE = 256  # cosines that are enough for bandwidths from _WIDE up: the last is damped by e^-79
_WIDE, _NARROWEST = 1 / 64, 1 / 1024
_HALVINGS = 30
_CLOSE = 1e-6  # of bandwidths


@dataclass(frozen=True, slots=True)
class Bin:
    """Images of neighbouring scores.

    Args:
        score_low: lowest score in it; `score_high` the highest.
        score: mean score.
        share: observed share of positives.
        low: interval of the share, see `clustered_wilson`; `high` alike.
        n: images.
        patients: their patients.
    """

    score_low: float
    score_high: float
    score: float
    share: float
    low: float
    high: float
    n: int
    patients: int


@dataclass(frozen=True, slots=True)
class Curve:
    """The smooth reliability curve on a grid of scores.

    Args:
        bandwidth: standard deviation of the kernel, in units of the score.
        scores: grid from 0 to 1.
        share: share of positives at each, in [0, 1]; None where fewer than `FEWEST` images are within reach.
        low: pointwise interval of the share, None where undefined; `high` alike.
        density: of the scores under the same kernel; integrates to one.
    """

    bandwidth: float
    scores: tuple[float, ...]
    share: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    density: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a reliability diagram shows.

    Args:
        n: images.
        patients: their patients.
        level: of the intervals.
        resamples: behind the curve's band.
        bins: from the lowest scores to the highest.
        curve: smooth counterpart of the bins.
        negatives: counts of class 0 in `BARS` bars of equal width from 0 to 1; `positives` those of class 1.
    """

    n: int
    patients: int
    level: float
    resamples: int
    bins: tuple[Bin, ...]
    curve: Curve
    negatives: tuple[int, ...]
    positives: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as nested mappings and lists."""
        return asdict(self)


def reliability(
    labels: Labels,
    scores: Scores,
    patients: NDArray[Any],
    *,
    bins: int = BINS,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Reliability:
    """Points of the reliability diagram of two classes, or of one finding on the images where it is known.

    The curve is the score plus the kernel mean of label minus score (kernel and bandwidth of SmoothECE, see
    `smooth_error`), so that its mean distance from the diagonal, weighted by the density, is SmoothECE. Its band is the
    percentile interval over resamples of patients at the same bandwidth, point by point; as it knows nothing of the
    curve's smoothing bias, it holds the true share in 87 to 97 % of simulations at 0.95 (390 images). Patients are
    drawn without strata of class: the share of positives is what varies here.

    Args:
        labels: (N,) in {0, 1}.
        scores: (N,) in [0, 1], probability of class 1.
        patients: (N,) patient keys.
        bins: of equal mass, at most; see `equal_mass`.
        resamples: number of bootstrap resamples.
        rng: see `cluster_weights`.
        level: of the intervals.

    Raises:
        DataError: unusable arrays, fewer than one bin, no resample, or a level outside (0, 1).
    """
    truth, probability = check_binary(labels, scores)
    check_bins(bins)
    bars = equal_width(probability, BARS)

    def statistic(weights: Floats) -> dict[str, Floats]:
        return {"share": _curve(truth, probability, weights, bandwidth)[0]}

    everything = np.full((1, truth.size), 1 / truth.size)
    bandwidth = float(smooth_error(probability, everything * (truth - probability))[1][0])
    # Labels as findings (N, 1): one stratum of all patients.
    drawn = bootstrap(statistic, truth[:, None], patients, resamples=resamples, rng=rng)["share"]
    (share,), (density,) = _curve(truth, probability, everything, bandwidth)
    reach = truth.size * density * bandwidth * 2 * math.sqrt(math.pi)  # images, were their weights equal
    shown = reach >= FEWEST
    low, high = np.array([percentile_interval(column, level) for column in drawn.T]).T
    return Reliability(
        n=int(truth.size),
        patients=int(np.unique(patients).size),
        level=float(level),
        resamples=int(resamples),
        bins=_bins(truth, probability, np.asarray(patients), bins, level),
        curve=Curve(
            bandwidth=bandwidth,
            scores=tuple(np.linspace(0, 1, INTERVALS + 1).tolist()),
            share=_known(np.where(shown, share, np.nan)),
            low=_known(np.where(shown, low, np.nan)),
            high=_known(np.where(shown, high, np.nan)),
            density=tuple(np.maximum(density, 0).tolist()),
        ),
        negatives=tuple(np.bincount(bars[truth == 0], minlength=BARS).tolist()),
        positives=tuple(np.bincount(bars[truth == 1], minlength=BARS).tolist()),
    )


def clustered_wilson(positives: Floats, images: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share where several images are one patient's: Wilson's, of the effective number of images.

    A bootstrap interval of a bin without a single positive would be [0, 0], and Wilson's own takes images of one
    patient for independent. So the number of images is divided by the design effect: the variance between patients
    (ratio estimator, linearised) over that of independent images, not below one (Wilson's form is what Franco et al.
    2019, PMC6690503, recommend). Where the share is 0 or 1, or one patient stands alone, the variance cannot be seen,
    and each patient counts once.

    Args:
        positives: (P,) positive images of each patient.
        images: (P,) images of each patient, above zero.
        level: of the interval.
    """
    n, m = float(images.sum()), images.size
    share = float(positives.sum()) / n
    effective = float(m)
    if m > 1 and 0 < share < 1:
        between = m / (m - 1) * float(np.square(positives - share * images).sum()) / n**2
        effective = n / max(1.0, between / (share * (1 - share) / n))
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = share + z2 / (2 * effective)
    half = math.sqrt(z2 * (share * (1 - share) / effective + z2 / (4 * effective**2)))
    scale = 1 + z2 / effective
    # Rounding must not leave an exact 0 or 1 outside.
    return (0.0 if share == 0 else (centre - half) / scale), (1.0 if share == 1 else (centre + half) / scale)


def equal_mass(scores: Floats, bins: int) -> NDArray[np.intp]:
    """Bin (N,) of each score, 0 the lowest: as many images in each as ties allow.

    Equal scores share a bin, so that there may be fewer bins than asked for; none is empty.
    """
    rank = np.searchsorted(np.sort(scores), scores)  # images below
    return np.unique(rank * bins // scores.size, return_inverse=True)[1]


def equal_width(scores: Floats, bins: int) -> NDArray[np.intp]:
    """Bin (N,) of each score, 0 the lowest: [0, 1/bins], then (1/bins, 2/bins] and so on (Guo et al. 2017)."""
    edges = np.linspace(0, 1, bins + 1)
    return np.searchsorted(edges[1:-1], scores)


def binned_error(groups: NDArray[np.intp], residuals: Floats) -> Floats:
    """Sum (B,) over bins of the absolute residual: with labels minus scores the expected calibration error.

    Args:
        groups: (N,) bins.
        residuals: (B, N) share of the image times label minus score.
    """
    images = np.arange(groups.size)
    member = csr_array((np.ones(groups.size), (groups, images)), shape=(groups.max() + 1, groups.size))
    error: Floats = np.abs(member @ residuals.T).sum(axis=0)
    return error


def smooth_error(scores: Floats, residuals: Floats) -> tuple[Floats, Floats]:
    """SmoothECE (Błasiok & Nakkiran 2023, arXiv:2309.12236) and its bandwidth, each (B,).

    At bandwidth s it is the integral over t in [0, 1] of the absolute value of r(t), the sum over images of K(t, score)
    times residual, where K is the Gaussian of standard deviation s whose tails are folded back at 0 and 1. It falls as
    s grows; the bandwidth taken is the one that equals its own error. There is nothing to choose. As the folded
    Gaussian is the heat kernel of the interval, the k-th cosine moment of the residuals is damped by exp(-(pi k s)²/2).
    Bandwidths below 1/1024 are not looked for.

    Args:
        scores: (N,) in [0, 1].
        residuals: (B, N) share of the image times label minus score.
    """
    moments = _moments(scores, residuals)
    coarse = np.ascontiguousarray(moments[:, : _COARSE + 1])
    wide = _error(coarse, _full(coarse, _WIDE)) >= _WIDE
    bandwidth = np.empty(len(moments))
    bandwidth[wide] = _fixed_point(coarse[wide], _WIDE, 1.0)
    bandwidth[~wide] = _fixed_point(moments[~wide], _NARROWEST, _WIDE)
    error = np.empty(len(moments))
    error[wide] = _error(coarse[wide], bandwidth[wide])
    error[~wide] = _error(moments[~wide], bandwidth[~wide])
    return error, bandwidth


def check_bins(bins: int) -> None:
    """DataError unless there is a bin."""
    if bins < 1:
        raise wrong("bins", f"{bins}", "1 or more")


def _bins(truth: NDArray[np.int64], scores: Floats, patients: NDArray[Any], bins: int, level: float) -> tuple[Bin, ...]:
    group = equal_mass(scores, bins)
    owner = np.unique(patients, return_inverse=True)[1]
    rows = []
    for k in range(group.max() + 1):
        inside = group == k
        inside_scores = scores[inside]
        images = np.bincount(owner[inside])
        positives = np.bincount(owner[inside], weights=truth[inside])
        here = images > 0
        low, high = clustered_wilson(positives[here].astype(np.float64), images[here].astype(np.float64), level)
        rows.append(
            Bin(
                score_low=float(inside_scores.min()),
                score_high=float(inside_scores.max()),
                score=float(inside_scores.mean()),
                share=float(truth[inside].mean()),
                low=low,
                high=high,
                n=int(inside.sum()),
                patients=int(here.sum()),
            )
        )
    return tuple(rows)


def _curve(truth: NDArray[np.int64], scores: Floats, weights: Floats, bandwidth: float) -> tuple[Floats, Floats]:
    """Share in [0, 1] and density of each resample on the grid: (B, INTERVALS + 1) each, nan where nothing is near."""
    shares = ratio(weights, np.broadcast_to(weights.sum(axis=1, keepdims=True), weights.shape))
    residual, density = (
        _smooth(moments, _full(moments, bandwidth))[:, :: (moments.shape[1] - 1) // INTERVALS]
        for moments in (_moments(scores, masses) for masses in (shares * (truth - scores), shares))
    )
    grid = np.linspace(0, 1, INTERVALS + 1)
    near = np.where(density > 1e-9, density, 0)  # below, both are rounding errors of the transform
    return np.clip(grid + ratio(residual, near), 0, 1), density


def _moments(scores: Floats, masses: Floats) -> Floats:
    """Sums (B, _NODES + 1) over images of mass (B, N) times cos(pi k score)."""
    place = scores * _NODES
    left = np.minimum(place.astype(np.intp), _NODES - 1)
    right = place - left
    images = np.arange(scores.size)
    split = (np.r_[1 - right, right], (np.r_[left, left + 1], np.r_[images, images]))
    on_nodes = csr_array(split, shape=(_NODES + 1, scores.size)) @ masses.T
    on_nodes[1:-1] *= 0.5  # the transform counts inner nodes twice
    return np.ascontiguousarray(dct(on_nodes, type=1, axis=0).T)


def _smooth(moments: Floats, bandwidth: Floats) -> Floats:
    """Kernel sums at 0, 1/K, ..., 1 from moments (B, K + 1): each row at its own bandwidth (B,)."""
    damping = np.exp(-0.5 * np.square(np.pi * bandwidth[:, None] * np.arange(moments.shape[1])))
    values: Floats = dct(moments * damping, type=1, axis=1)
    return values


def _error(moments: Floats, bandwidth: Floats) -> Floats:
    """Integral (B,) of the absolute smoothed residual, by the trapezoid rule."""
    values = np.abs(_smooth(moments, bandwidth))
    values[:, [0, -1]] *= 0.5
    error: Floats = values.sum(axis=1) / (moments.shape[1] - 1)
    return error


def _fixed_point(moments: Floats, low: float, high: float) -> Floats:
    """The bandwidth (B,) in [low, high] that equals its error, or the end that is nearest to doing so."""
    # The error falls as the bandwidth grows: at one below the answer it bounds the answer from above, and vice versa.
    above = np.clip(_error(moments, _full(moments, low)), low, high)
    below = np.clip(_error(moments, above), low, high)
    for _ in range(_HALVINGS):
        open_ = np.flatnonzero(above - below > _CLOSE)
        if not open_.size:
            break
        middle = (below[open_] + above[open_]) / 2
        error = _error(moments[open_], middle)
        larger = error > middle
        above[open_] = np.where(larger, np.minimum(above[open_], error), middle)
        below[open_] = np.where(larger, middle, np.maximum(below[open_], error))
    return (below + above) / 2


def _full(moments: Floats, bandwidth: float) -> Floats:
    return np.full(len(moments), bandwidth)


def _known(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(v) else float(v) for v in values)
