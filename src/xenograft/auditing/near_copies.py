"""Thumbnails -> pairs that show nearly the same picture, also mirrored or turned by quarters.

Pairs are proposed by the lowest 8 x 8 frequencies of the thumbnails' cosine transform, as in a perceptual hash (Zauner
2010), but whitened over the set, so that common anatomy does not count, and compared as numbers instead of bits: as
they are, in the seven other ways to lay a square, and (up to 60,000 images) cropped at all sides or at a corner; turned
and cropped ones by 6 x 6 frequencies. The likeliest are aligned, see `xenograft.auditing.alignment`, and confirmed by a
correlation of at least 0.90 in fine detail.

Every pair is compared, a block of matrix products at a time, which at 50,000 images is half a minute of one core; what
follows looks at no more than a fixed number of pairs an image. Beside the thumbnails it takes 0.2 GB and 8 KB an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.alignment import WAVES, fine_match, high_pass, resampled, rough_fit
from xenograft.data.glance import SIDE

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]

TURNS = (
    "as it is",
    "mirrored left to right",
    "mirrored top to bottom",
    "turned by 180 degrees",
    "mirrored along the diagonal",
    "turned by 90 degrees anticlockwise",
    "turned by 90 degrees clockwise",
    "mirrored along the other diagonal",
)
"""What was done to one of a pair: bit 1 mirrors left to right, bit 2 top to bottom, bit 4 then swaps both axes."""

SAME = 0.90
"""Correlation in fine detail from which two thumbnails show the same picture."""

_BLANK = 1.5 / 255  # a thumbnail with less contrast than this looks like any other one
_LOW, _LOWER, _HIGH = 8, 6, 20  # frequencies per axis: to propose pairs, turned or cropped ones, and to confirm them
_SHRINK = 10  # images' worth of "nothing in common" in the mean, for small sets
_ONE_PICTURE = 0.02
_LIKELY, _LIKELY_CHANGED = 0.6, 0.8
_ZOOM, _CORNER = 0.92, 0.06  # crops that are proposed: 4 % of each side, 6 % of two sides; the rest is alignment
_PAIRS_PER_IMAGE = 20
_ROUGHLY_PER_IMAGE, _FINELY_PER_IMAGE = 1.0, 0.1
_ALIGNED = (1.0, 0.25, 0.05)  # of that as they are, mirrored, and turned: hardly any of these are cropped too
_CROPS_UPTO = 60_000  # images; proposing crops takes as long as all the rest
_CELLS = 1 << 24  # similarities held at once: 64 MB
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Pairs:
    """Near copies, the most alike first.

    Args:
        first, second: (P,) positions. match: (P,) correlation of their high-passed thumbnails.
        turn: (P,) how the second lies beside the first, an index of `TURNS`.
        limit: what could not be looked for among so many images, or nothing.
    """

    first: Positions
    second: Positions
    match: Floats
    turn: Positions
    limit: str

    def where(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Some of them."""
        return Pairs(self.first[chosen], self.second[chosen], self.match[chosen], self.turn[chosen], self.limit)


def near_pairs(thumbnails: Floats, picture: Positions) -> Pairs:
    """Pairs of thumbnails (N, 32, 32) that show nearly the same picture; of equal `picture` (N,) only the first."""
    known = np.sort(np.unique(picture, return_index=True)[1])
    known = known[_contrast(thumbnails[known]) > _BLANK]
    images = thumbnails if len(known) == len(thumbnails) else thumbnails[known]
    nothing = np.empty(0, np.int64)
    found = [(nothing, nothing.astype(np.float32), nothing)]
    limits: list[str] = []
    fine = _unit(_spectra(images, WAVES[:_HIGH], WAVES[:_HIGH]) * high_pass(_HIGH).ravel()[1:])
    for turn, (codes, limit) in enumerate(_proposed(images)) if len(images) > 1 else ():
        limits += [limit] if limit and limit not in limits else []
        match = _confirmed(images, fine, codes, turn)
        same = match >= SAME
        found.append((codes[same], match[same], np.full(int(same.sum()), turn)))
    codes, match, turns = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(-match, kind="stable")
    order = order[np.sort(np.unique(codes[order], return_index=True)[1])]  # a symmetric picture is found several ways
    first, second = np.divmod(codes[order], max(1, len(images)))
    return Pairs(known[first], known[second], match[order], turns[order], "; ".join(limits))


def _proposed(images: Floats) -> Iterator[tuple[Positions, str]]:
    """For each of `TURNS`: first * N + second of the likely pairs, the likeliest first; and what was left out, if any.

    Of a pair, `first` < `second`, and `first` is the one that is turned.
    """
    whole, lower = _Whitened.of(images, _LOW), _Whitened.of(images, _LOWER)
    base, small = whole.seen(images), lower.seen(images)
    crops = len(images) <= _CROPS_UPTO
    for turn in range(len(TURNS)):
        if turn > 1:
            parts = [_likely(lower.seen(images, turn=turn), small, _LIKELY_CHANGED, one_way=True)]
        else:
            parts = [_likely(whole.seen(images, turn=turn) if turn else base, base, _LIKELY, one_way=True)]
        for waves in _crops() if crops and not turn else ():
            parts.append(_likely(lower.seen(images, waves), small, _LIKELY_CHANGED, one_way=False))
        codes, values, complete = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((codes, -values))
        order = order[np.sort(np.unique(codes[order], return_index=True)[1])]
        most = _PAIRS_PER_IMAGE * len(images)
        if not complete.all() or len(order) > most:
            yield codes[order[:most]], "so many images look alike that only the likeliest pairs were compared"
        else:
            yield codes[order], "" if crops else "crops of 3 % or more were not looked for in so large a set"


@dataclass(frozen=True, slots=True)
class _Whitened:
    """What the lowest `size` x `size` frequencies of a set have in common: `mean` and `scale` of each."""

    size: int
    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, images: Floats, size: int) -> _Whitened:
        count = len(images)
        spectra = _spectra(images, WAVES[:size], WAVES[:size])
        mean = spectra.mean(axis=0) * (count / (count + _SHRINK))
        if np.sum((spectra - mean) ** 2) < _ONE_PICTURE * np.sum(spectra**2):
            mean = np.zeros_like(mean)  # a film of one view: what is common is the picture itself
        return cls(size, mean, np.sqrt(np.mean((spectra - mean) ** 2, axis=0)) + np.float32(1e-6))

    def seen(self, images: Floats, waves: tuple[Floats, Floats] | None = None, turn: int = 0) -> Floats:
        """(N, size * size - 1) of length one: images that were turned, or seen through other waves in y and x."""
        wave_y, wave_x = waves or (WAVES, WAVES)
        spectra = _turned_spectra(_spectra(images, wave_y[: self.size], wave_x[: self.size]), turn)
        return _unit((spectra - self.mean) / self.scale)


def _likely(query: Floats, base: Floats, floor: float, *, one_way: bool) -> tuple[Positions, Floats, NDArray[np.bool_]]:
    """Codes of the pairs whose likeness is above a floor, or of the likeliest; these likenesses; whether it is all."""
    count, most, whole = len(base), _PAIRS_PER_IMAGE * len(base), True
    codes, values = np.empty(0, np.int64), np.empty(0, np.float32)
    step = max(1, _CELLS // count)
    room = np.empty(min(step, count) * count, np.float32)
    turned = np.ascontiguousarray(base.T)
    for start in range(0, count, step):
        past, rows = start if one_way else 0, min(step, count - start)
        likeness = room[: rows * (count - past)].reshape(rows, -1)
        np.matmul(query[start : start + rows], turned[:, past:], out=likeness)
        flat = np.flatnonzero(likeness > floor)
        row, column = np.divmod(flat, likeness.shape[1])
        row, column = row + start, column + past
        fresh = column > row if one_way else column != row
        found = np.minimum(row, column) * count + np.maximum(row, column)
        codes = np.concatenate([codes, found[fresh]])
        values = np.concatenate([values, likeness.ravel()[flat[fresh]]])
        if len(values) > 2 * most:
            keep = np.argpartition(-values, most)[:most]
            codes, values, whole = codes[keep], values[keep], False
            floor = float(values.min())
    return codes, values, np.array([whole])


def _crops() -> Iterator[tuple[Floats, Floats]]:
    """Waves in y and x that see an image as if it had been cropped: on all sides, or at one of four corners."""
    yield resampled(WAVES[:_LOW], _ZOOM, 0), resampled(WAVES[:_LOW], _ZOOM, 0)
    for to_y, to_x in product((-_CORNER, _CORNER), repeat=2):
        yield resampled(WAVES[:_LOW], 1 - _CORNER, to_y), resampled(WAVES[:_LOW], 1 - _CORNER, to_x)


def _confirmed(images: Floats, fine: Floats, codes: Positions, turn: int) -> Floats:
    """(P,) correlation of `fine` detail (N, K); the likeliest of those that fail are aligned and compared again."""
    first, second = np.divmod(codes, len(images))
    match = np.empty(len(codes), dtype=np.float32)
    for part in _chunks(np.arange(len(codes))):
        match[part] = np.einsum("pk,pk->p", _turned_spectra(fine[first[part]], turn), fine[second[part]])
    size = len(images) * _ALIGNED[min(turn, 2)]
    again = np.flatnonzero(match < SAME)[: max(_CHUNK, int(_ROUGHLY_PER_IMAGE * size))]
    fit, likeness = np.empty((len(again), 4), np.float32), np.empty(len(again), np.float32)
    for part in _chunks(np.arange(len(again))):
        rows = again[part]
        fit[part], likeness[part] = rough_fit(_turned(images[first[rows]], turn), images[second[rows]])
    best = np.argsort(-likeness, kind="stable")[: max(_CHUNK, int(_FINELY_PER_IMAGE * size))]
    for part in _chunks(best):
        rows = again[part]
        match[rows] = fine_match(_turned(images[first[rows]], turn), images[second[rows]], fit[part])
    return match


def _chunks(rows: Positions) -> list[Positions]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def _turned(images: Floats, turn: int) -> Floats:
    """(P, S, S) images as `TURNS` says."""
    images = images[:, :: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
    return np.ascontiguousarray(images.transpose(0, 2, 1) if turn & 4 else images)


def _spectra(images: Floats, wave_y: Floats, wave_x: Floats) -> Floats:
    """(N, S * S - 1) of length one: coefficients of S waves per axis, without the mean."""
    basis = np.einsum("vy,ux->vuyx", wave_y, wave_x).reshape(-1, SIDE * SIDE)[1:]
    return _unit(images.reshape(-1, SIDE * SIDE) @ basis.T)


def _turned_spectra(spectra: Floats, turn: int) -> Floats:
    """What `_spectra` would be of the turned images: odd waves change their sign, axes are swapped."""
    size = math.isqrt(spectra.shape[1] + 1)
    v, u = np.divmod(np.arange(1, size * size), size)
    if turn & 4:
        v, u = u, v
    sign = np.where(((v & 1) * (turn >> 1 & 1) + (u & 1) * (turn & 1)) & 1, -1, 1).astype(np.float32)
    return np.asarray(spectra[:, v * size + u - 1] * sign, dtype=np.float32)


def _contrast(images: Floats) -> Floats:
    """(N,) standard deviation of each thumbnail."""
    deviation: Floats = images.reshape(-1, SIDE * SIDE).std(axis=1)
    return deviation


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(np.float32(1e-9), length)
    return unit
