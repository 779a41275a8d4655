"""Material -> findings on the same picture twice: equal pixels, and nearly equal ones, by split, label and patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.alignment import WAVES, fine_match, high_pass, resampled, rough_fit
from xenograft.auditing.finding import Finding, Severity
from xenograft.auditing.material import Material
from xenograft.data.glance import SIDE
from xenograft.errors import listed, printable

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]

_MOST = 20
_BLANK = 1.5 / 255  # a thumbnail with less contrast than this looks like any other one
_LOW, _HIGH = 8, 20  # frequencies per axis: to propose pairs, to confirm them
_SHRINK = 10  # images' worth of "nothing in common" in the mean, for small sets
_ONE_PICTURE = 0.02
_LIKELY, _LIKELY_CROP = 0.6, 0.8
_ZOOM, _CORNER = 0.92, 0.06  # crops that are proposed: 4 % of each side, 6 % of two sides; the rest is alignment
_PAIRS_PER_IMAGE = 20
_ROUGHLY_PER_IMAGE, _FINELY_PER_IMAGE = 1.0, 0.1
_MIRRORED = 0.25  # of that for mirror images: hardly any are cropped too
_CROPS_UPTO = 20_000  # images; proposing crops takes five times as long as all the rest
_CELLS = 1 << 24  # similarities held at once: 64 MB
_CHUNK = 1024
_SAME = 0.92


def check(material: Material) -> list[Finding]:
    """Checks for copies, ``A-DUP-01`` to ``A-DUP-07``, in order; each is listed whatever it found."""
    return [*exact(material), *near(material)]


def exact(material: Material) -> list[Finding]:
    """The cheap part, ``A-DUP-01`` to ``A-DUP-04``: images with equal decoded pixels, whatever their format."""
    same = _Exact.of(material)
    return [
        _exact_across(material, same),
        _exact_inside(material, same),
        _exact_labels(material, same),
        _exact_patients(material, same),
    ]


def near(material: Material) -> list[Finding]:
    """``A-DUP-05`` to ``A-DUP-07``: images that are nearly equal, exact copies counted once.

    They are proposed by the lowest 8 x 8 frequencies of the thumbnails' cosine transform, as in a perceptual hash
    (Zauner 2010), but whitened over the set, so that common anatomy does not count, and compared as numbers instead of
    bits: as they are, mirrored left to right, and (up to 20,000 images) cropped at all sides or at a corner. The
    likeliest are aligned, see `xenograft.auditing.alignment`, and confirmed by a correlation of at least 0.92 in fine
    detail. Copies that were compressed, scaled, brightened or blurred a little are found; most crops up to 3 % of a
    side; rotations are not. All pairs are compared, a block at a time: 0.2 GB and 8 KB an image beside the thumbnails.
    """
    pairs = _near_pairs(material.glances.thumbnails, _Exact.of(material).picture)
    other_split = material.splits[pairs.first] != material.splits[pairs.second]
    other_label = material.labels[pairs.first] != material.labels[pairs.second]
    across = "Look at the pairs; if they show the same picture, keep both in one split, or remove one."
    inside = (
        "Look at some pairs; copies count twice, and several patient keys for one picture mean that keys are wrong."
    )
    labels = "Look at the pairs; if they show the same picture, one of its labels is wrong."
    title = "Nearly identical pictures"
    return [
        _paired(material, pairs.where(other_split), "A-DUP-05", "warning", f"{title} across splits", across),
        _paired(material, pairs.where(~other_split), "A-DUP-06", "note", f"{title} inside a split", inside),
        _paired(material, pairs.where(other_label), "A-DUP-07", "warning", f"{title} with different labels", labels),
    ]


@dataclass(frozen=True, slots=True)
class _Exact:
    """Which images show the same picture: `picture` (N,) its number; `groups` positions of each that occurs twice."""

    picture: Positions
    groups: tuple[Positions, ...]

    @classmethod
    def of(cls, material: Material) -> _Exact:
        hashes = np.array(material.manifest.column("pixels_sha256"), dtype=np.str_)
        _, picture, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        groups = np.split(np.argsort(picture, kind="stable"), np.cumsum(counts)[:-1])
        return cls(picture.astype(np.int64), tuple(sorted((g for g in groups if len(g) > 1), key=lambda g: int(g[0]))))

    def differing(self, keys: NDArray[Any]) -> list[Positions]:
        """Groups whose images do not all have the same key."""
        return [group for group in self.groups if (keys[group] != keys[group[0]]).any()]


def _exact_across(material: Material, same: _Exact) -> Finding:
    code, title = "A-DUP-01", "Identical pictures across splits"
    found = same.differing(material.splits)
    if not found:
        made = "" if material.declared_splits else "; they were made here, where identical pictures are never cut apart"
        return _clear(material, code, title, f"No picture lies in two splits{made}.")
    splits = listed(sorted({str(s) for group in found for s in material.splits[group]}))
    message = f"In more than one split ({splits}): {_counted(found)}."
    advice = "Keep each picture in one split only: results on a picture that was seen in training say nothing."
    return _grouped(material, found, code, "error", title, message, advice)


def _exact_inside(material: Material, same: _Exact) -> Finding:
    code, title = "A-DUP-02", "Identical pictures inside a split"
    splits = material.splits
    found = [g[splits[g] == s] for g in same.groups for s in np.unique(splits[g]) if (splits[g] == s).sum() > 1]
    if not found:
        return _clear(material, code, title, "No picture occurs twice in one split.")
    files = np.array(material.manifest.column("sha256"), dtype=np.str_)
    bytewise = sum(len(part) - len(np.unique(files[part])) for part in found)
    extra = {str(s): sum(len(p) - 1 for p in found if splits[p[0]] == s) for s in np.unique(splits)}
    where = listed([f"{n:,} in {split}" for split, n in extra.items() if n])
    message = (
        f"More than once in one split: {_counted(found)}, so that {sum(extra.values()):,} are extra ({where}); "
        f"{bytewise:,} of these equal byte for byte."
    )
    advice = "Remove the extra copies, above all from test: a picture that counts twice makes intervals too narrow."
    numbers = {"extra": sum(extra.values()), "extra_byte_identical": bytewise, "extra_by_split": extra}
    severity: Severity = "warning" if extra.get("test") else "note"
    return _grouped(material, found, code, severity, title, message, advice, numbers)


def _exact_labels(material: Material, same: _Exact) -> Finding:
    code, title = "A-DUP-03", "Identical pictures with different labels"
    found = same.differing(material.labels)
    if not found:
        return _clear(material, code, title, "No picture has two labels.")
    message = f"With more than one label, of which at least one must be wrong: {_counted(found)}."
    advice = "Look at each, correct the label and remove the copy; find out how many other labels came the same way."
    return _grouped(material, found, code, "error", title, message, advice)


def _exact_patients(material: Material, same: _Exact) -> Finding:
    code, title = "A-DUP-04", "Identical pictures of different patients"
    if not material.has_patients:
        return Finding(code, "not_applicable", title, "The data set gives no patient keys.", total=len(material))
    found = same.differing(material.patients)
    if not found:
        return _clear(material, code, title, "No picture belongs to two patients.")
    message = f"Under more than one patient key: {_counted(found)}."
    advice = "Look at them: the keys may be wrong, or one patient has several; then other images may be leaking too."
    return _grouped(material, found, code, "warning", title, message, advice)


def _counted(groups: Sequence[Positions]) -> str:
    return f"{len(groups):,} picture{'s' * (len(groups) > 1)} ({_size(groups):,} images)"


def _size(groups: Sequence[Positions]) -> int:
    return sum(map(len, groups))


def _grouped(
    material: Material,
    groups: Sequence[Positions],
    code: str,
    severity: Severity,
    title: str,
    message: str,
    advice: str,
    numbers: dict[str, Any] | None = None,
) -> Finding:
    items = tuple(tuple(printable(material.paths[k]) for k in group[:_MOST]) for group in groups[:_MOST])
    facts = {"groups": len(groups), "images": _size(groups)} | (numbers or {})
    return Finding(code, severity, title, message, advice, _size(groups), len(material), items, facts)


def _clear(material: Material, code: str, title: str, message: str) -> Finding:
    return Finding(code, "passed", title, message, total=len(material))


# near copies


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Near copies, the most alike first.

    Args:
        first, second: (P,) positions. match: (P,) correlation of their high-passed thumbnails. mirrored: (P,).
        limit: what could not be looked for among so many images, or nothing.
    """

    first: Positions
    second: Positions
    match: Floats
    mirrored: NDArray[np.bool_]
    limit: str

    def where(self, chosen: NDArray[np.bool_]) -> _Pairs:
        """Some of them."""
        return _Pairs(self.first[chosen], self.second[chosen], self.match[chosen], self.mirrored[chosen], self.limit)


def _paired(material: Material, pairs: _Pairs, code: str, severity: Severity, title: str, advice: str) -> Finding:
    if len(material) < 2:
        return Finding(code, "not_applicable", title, "There is only one image.", total=len(material))
    some = f" ({pairs.limit})" if pairs.limit else ""
    if not len(pairs.first):
        return _clear(material, code, title, f"No such pair among {len(material):,} images{some}.")
    facts: dict[str, Any] = {"pairs": len(pairs.first), "complete": not pairs.limit}
    facts["images"] = len(np.union1d(pairs.first, pairs.second))
    facts["mirrored"] = int(pairs.mirrored.sum())
    said = f"Nearly the same picture: {facts['pairs']:,} pair{'s' * (facts['pairs'] > 1)} of {facts['images']:,} images"
    if material.has_patients:
        facts["different_patients"] = int((material.patients[pairs.first] != material.patients[pairs.second]).sum())
        said += f", {facts['different_patients']:,} under different patient keys"
    said += f", {facts['mirrored']:,} mirrored left to right" if facts["mirrored"] else ""
    facts["correlations"] = [round(float(match), 4) for match in pairs.match[:_MOST]]
    shown = zip(pairs.first[:_MOST], pairs.second[:_MOST], strict=True)
    items = tuple((printable(material.paths[a]), printable(material.paths[b])) for a, b in shown)
    return Finding(code, severity, title, f"{said}{some}.", advice, facts["pairs"], len(material), items, facts)


def _near_pairs(thumbnails: Floats, picture: Positions) -> _Pairs:
    """Pairs of thumbnails (N, 32, 32) that show nearly the same picture; of equal `picture` (N,) only the first."""
    known = np.sort(np.unique(picture, return_index=True)[1])
    known = known[_contrast(thumbnails[known]) > _BLANK]
    images = thumbnails if len(known) == len(thumbnails) else thumbnails[known]
    found: list[tuple[Positions, Floats, NDArray[np.bool_]]] = []
    limits: list[str] = []
    for mirrored in (False, True) if len(images) > 1 else ():
        codes, limit = _candidates(images, mirrored=mirrored)
        limits += [limit] if limit and limit not in limits else []
        match = _confirmed(images, codes, mirrored=mirrored)
        same = match >= _SAME
        found.append((codes[same], match[same], np.full(int(same.sum()), mirrored)))
    if not found:
        nothing = np.empty(0, np.int64)
        return _Pairs(nothing, nothing, nothing.astype(np.float32), nothing.astype(np.bool_), "")
    codes, match, flipped = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(-match, kind="stable")
    order = order[np.sort(np.unique(codes[order], return_index=True)[1])]  # a symmetric picture is found both ways
    first, second = np.divmod(codes[order], len(images))
    return _Pairs(known[first], known[second], match[order], flipped[order], "; ".join(limits))


def _candidates(images: Floats, *, mirrored: bool) -> tuple[Positions, str]:
    """first * N + second of the likely pairs, first < second, likeliest first; and what was left out, if anything."""
    count = len(images)
    spectra = _spectra(images, WAVES[:_LOW], WAVES[:_LOW])
    mean = spectra.mean(axis=0) * (count / (count + _SHRINK))
    if np.sum((spectra - mean) ** 2) < _ONE_PICTURE * np.sum(spectra**2):
        mean = np.zeros_like(mean)  # a film of one view: what is common is the picture itself
    scale = np.sqrt(np.mean((spectra - mean) ** 2, axis=0)) + np.float32(1e-6)
    base = _unit((spectra - mean) / scale)
    if mirrored:
        other = _unit((_spectra(images, WAVES[:_LOW], WAVES[:_LOW, ::-1]) - mean) / scale)
        parts = [_likely(other, base, _LIKELY, one_way=True)]
    else:
        parts = [_likely(base, base, _LIKELY, one_way=True)]
        for wave_y, wave_x in _crops() if count <= _CROPS_UPTO else ():
            crop = _unit((_spectra(images, wave_y, wave_x) - mean) / scale)
            parts.append(_likely(crop, base, _LIKELY_CROP, one_way=False))
    codes, values, whole = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((codes, -values))
    order = order[np.sort(np.unique(codes[order], return_index=True)[1])]
    most = _PAIRS_PER_IMAGE * count
    if not whole.all() or len(order) > most:
        return codes[order[:most]], "so many images look alike that only the likeliest pairs were compared"
    return codes[order], "crops of 3 % or more were not looked for in so large a set" if count > _CROPS_UPTO else ""


def _likely(query: Floats, base: Floats, floor: float, *, one_way: bool) -> tuple[Positions, Floats, NDArray[np.bool_]]:
    """Codes of the pairs whose likeness is above a floor, or of the likeliest; these likenesses; whether it is all."""
    count, most, whole = len(base), _PAIRS_PER_IMAGE * len(base), True
    codes, values = np.empty(0, np.int64), np.empty(0, np.float32)
    step = max(1, _CELLS // count)
    for start in range(0, count, step):
        past = start if one_way else 0
        likeness = query[start : start + step] @ base[past:].T
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


def _confirmed(images: Floats, codes: Positions, *, mirrored: bool) -> Floats:
    """(P,) correlation of high-passed thumbnails; the likeliest of those that fail are aligned and compared again."""
    side = slice(None, None, -1 if mirrored else None)
    band = high_pass(_HIGH).ravel()[1:]
    fine = _unit(_spectra(images, WAVES[:_HIGH], WAVES[:_HIGH]) * band)
    other = _unit(_spectra(images, WAVES[:_HIGH], WAVES[:_HIGH, side]) * band) if mirrored else fine
    first, second = np.divmod(codes, len(images))
    match = np.empty(len(codes), dtype=np.float32)
    for part in _chunks(np.arange(len(codes))):
        match[part] = np.einsum("pk,pk->p", fine[first[part]], other[second[part]])
    size = len(images) * (_MIRRORED if mirrored else 1)
    again = np.flatnonzero(match < _SAME)[: max(_CHUNK, int(_ROUGHLY_PER_IMAGE * size))]
    fit, likeness = np.empty((len(again), 4), np.float32), np.empty(len(again), np.float32)
    for part in _chunks(np.arange(len(again))):
        rows = again[part]
        fit[part], likeness[part] = rough_fit(images[first[rows]], images[second[rows]][:, :, side])
    best = np.argsort(-likeness, kind="stable")[: max(_CHUNK, int(_FINELY_PER_IMAGE * size))]
    for part in _chunks(best):
        rows = again[part]
        match[rows] = fine_match(images[first[rows]], images[second[rows]][:, :, side], fit[part])
    return match


def _chunks(rows: Positions) -> list[Positions]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def _spectra(images: Floats, wave_y: Floats, wave_x: Floats) -> Floats:
    """(N, S * S - 1) of length one: coefficients of S waves per axis, without the mean."""
    basis = np.einsum("vy,ux->vuyx", wave_y, wave_x).reshape(-1, SIDE * SIDE)[1:]
    return _unit(images.reshape(len(images), -1) @ basis.T)


def _contrast(images: Floats) -> Floats:
    """(N,) standard deviation of each thumbnail."""
    deviation: Floats = images.reshape(len(images), -1).std(axis=1)
    return deviation


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(np.float32(1e-9), length)
    return unit
