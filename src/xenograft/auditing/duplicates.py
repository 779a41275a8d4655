"""Material -> findings on the same picture twice: equal pixels, and nearly equal ones, by split, label and patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.finding import Finding, Severity
from xenograft.auditing.material import Material
from xenograft.auditing.near_copies import TURNS, Pairs, near_pairs
from xenograft.errors import listed, printable

Positions = NDArray[np.int64]

_MOST = 20


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

    How they are found, and what is not found, is told in `xenograft.auditing.near_copies`.
    """
    pairs = near_pairs(material.glances.thumbnails, _Exact.of(material).picture)
    other_split = material.splits[pairs.first] != material.splits[pairs.second]
    other_label = material.contradict(pairs.first, pairs.second)
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
    found = [g for g in same.groups if material.contradict(g[:, None], g[None]).any()]
    if not found:
        what = "a finding both present and absent" if material.multi_label else "two labels"
        return _clear(material, code, title, f"No picture has {what}.")
    message = f"With more than one label, of which at least one must be wrong: {_counted(found)}"
    numbers = {}
    if material.multi_label:
        several = [(material.labels[g] == 0).any(axis=0) & (material.labels[g] == 1).any(axis=0) for g in found]
        times = dict(zip(map(printable, material.manifest.classes), np.sum(several, axis=0).tolist(), strict=True))
        numbers["by_finding"] = {name: many for name, many in times.items() if many}
        worst = sorted(numbers["by_finding"].items(), key=lambda one: -one[1])
        message += f"; both present and absent: {listed([f'{name} of {many:,}' for name, many in worst])}"
    advice = "Look at each, correct the label and remove the copy; find out how many other labels came the same way."
    return _grouped(material, found, code, "error", title, f"{message}.", advice, numbers)


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


def _paired(material: Material, pairs: Pairs, code: str, severity: Severity, title: str, advice: str) -> Finding:
    if len(material) < 2:
        return Finding(code, "not_applicable", title, "There is only one image.", total=len(material))
    some = f" ({pairs.limit})" if pairs.limit else ""
    if not len(pairs.first):
        return _clear(material, code, title, f"No such pair among {len(material):,} images{some}.")
    facts: dict[str, Any] = {"pairs": len(pairs.first), "complete": not pairs.limit}
    facts["images"] = len(np.union1d(pairs.first, pairs.second))
    facts["turned"] = {TURNS[k]: int(n) for k, n in enumerate(np.bincount(pairs.turn)) if k and n}
    said = f"Nearly the same picture: {facts['pairs']:,} pair{'s' * (facts['pairs'] > 1)} of {facts['images']:,} images"
    if material.has_patients:
        facts["different_patients"] = int((material.patients[pairs.first] != material.patients[pairs.second]).sum())
        said += f", {facts['different_patients']:,} under different patient keys"
    said += "".join(f", {many:,} {how}" for how, many in facts["turned"].items())
    facts["correlations"] = [round(float(match), 4) for match in pairs.match[:_MOST]]
    facts["turns"] = [TURNS[k] for k in pairs.turn[:_MOST]]
    shown = zip(pairs.first[:_MOST], pairs.second[:_MOST], strict=True)
    items = tuple((printable(material.paths[a]), printable(material.paths[b])) for a, b in shown)
    return Finding(code, severity, title, f"{said}{some}.", advice, facts["pairs"], len(material), items, facts)
