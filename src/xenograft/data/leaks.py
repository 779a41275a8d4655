"""Manifest -> the same, with splits that leak nothing and hold every class; or what is wrong with them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xenograft.data.manifest import Manifest
from xenograft.errors import LabelError, Notice, listed, printable

_MIN_PER_CLASS = 10


def check_splits(manifest: Manifest, *, allow_leak: bool) -> Manifest:
    """Leaks (L14, L15), missing classes (L12), small splits (L13), repeated images inside a split."""
    patients, pixels = manifest.column("patient"), manifest.column("pixels_sha256")
    leaks = [
        leak
        for leak in (
            _crossing(manifest, patients, patients, code="LABEL-14", what="patients", remedy="split by patient"),
            _crossing(
                manifest,
                pixels,
                manifest.column("path"),
                code="LABEL-15",
                what="identical images",
                remedy="remove the copies",
            ),
        )
        if leak is not None
    ]
    if leaks and not allow_leak:
        raise leaks[0].error()
    notices = [leak.notice() for leak in leaks]
    notices += _few_findings(manifest) if manifest.multi_label else _few_images(manifest)
    hashes = Counter(manifest.column("pixels_sha256"))
    if repeated := [h for h, n in hashes.items() if n > 1]:
        extra = sum(hashes[h] for h in repeated) - len(repeated)
        message = f"{len(repeated)} groups of pixel-identical images ({extra} extra)"
        uncut = "" if any(leak.code == "LABEL-15" for leak in leaks) else "; none is cut by a split"
        notices.append(Notice("W-LABEL-15", message + uncut + _contradictions(manifest, repeated), extra))
    return replace(manifest, notices=(*manifest.notices, *notices), leak_allowed=bool(leaks))


def _few_images(manifest: Manifest) -> list[Notice]:
    """Splits without one of the classes, and with few of one in validation."""
    notices = []
    for split, counts in manifest.counts().items():
        for label, count in counts.items():
            if count["images"] == 0:
                raise LabelError(
                    f"class {printable(label)!r} has no image in split {split}; every split needs every class",
                    code="E-LABEL-12",
                )
            if split == "val" and count["images"] < _MIN_PER_CLASS:
                message = (
                    f"validation has {count['images']} images of class {printable(label)!r}; fewer than "
                    f"{_MIN_PER_CLASS}: no threshold is tuned"
                )
                notices.append(Notice("W-LABEL-13", message, count["images"]))
    return notices


def _few_findings(manifest: Manifest) -> list[Notice]:
    """Findings that few images of validation have, or have not."""
    labels = manifest.labels[manifest.where("val")]
    few = []
    for k, name in enumerate(manifest.classes):
        counts = {word: int((labels[:, k] == value).sum()) for word, value in (("with", 1), ("without", 0))}
        said = [f"{count} {word}" for word, count in counts.items() if count < _MIN_PER_CLASS]
        few += [f"{printable(name)} ({', '.join(said)})"] if said else []
    if not few:
        return []
    message = (
        f"validation has fewer than {_MIN_PER_CLASS} images with or without {len(few)} findings: "
        f"{listed(few, most=20)}; their threshold stays 0.5"
    )
    return [Notice("W-LABEL-13", message, len(few), tuple(few[:5]))]


def _contradictions(manifest: Manifest, repeated: Sequence[str]) -> str:
    """How many groups of pixel-identical images are known to have a finding and not to have it."""
    if not manifest.multi_label:
        return ""
    places: dict[str, list[int]] = {key: [] for key in repeated}
    for position, key in enumerate(manifest.column("pixels_sha256")):
        if key in places:
            places[key].append(position)
    labels = [manifest.labels[at] for at in places.values()]
    differ = sum(bool(((rows == 1).any(axis=0) & (rows == 0).any(axis=0)).any()) for rows in labels)
    return f"; in {differ} of them one image has a finding and another has not" if differ else ""


@dataclass(frozen=True, slots=True)
class _Leak:
    """Patients or pictures in more than one split; `items` names them all."""

    code: str
    message: str
    remedy: str
    items: tuple[str, ...]

    def error(self) -> LabelError:
        return LabelError(
            f"{self.message}; {self.remedy}, or pass --allow-leak, which stamps every page", code=f"E-{self.code}"
        )

    def notice(self) -> Notice:
        items = tuple(map(printable, self.items[:5]))
        return Notice(f"W-{self.code}", f"LEAK ALLOWED: {self.message}", len(self.items), items)


def _crossing(
    manifest: Manifest, keys: Sequence[str], names: Sequence[str], *, code: str, what: str, remedy: str
) -> _Leak | None:
    """The leak of keys that occur in more than one split, or None; named by the first name in each split."""
    where: dict[str, dict[str, str]] = defaultdict(dict)
    for key, split, name in zip(keys, manifest.column("split"), names, strict=True):
        where[key].setdefault(split, name)
    crossing = [inside for inside in where.values() if len(inside) > 1]
    if not crossing:
        return None
    items = tuple(" = ".join(dict.fromkeys(inside.values())) for inside in crossing)
    splits = " and ".join(sorted({split for inside in crossing for split in inside}))
    return _Leak(code, f"{len(crossing)} {what} lie in more than one split ({splits}): {listed(items)}", remedy, items)
