"""Material -> findings on single images: what was left out, converted, or looks wrong beside the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.auditing.finding import Finding, Severity
from xenograft.auditing.material import Material
from xenograft.data.facts import Skip
from xenograft.data.glance import SIDE, STATISTICS
from xenograft.data.readers import NOTE_TEXT
from xenograft.errors import listed, printable

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

_MOST = 20
_SMALL_SIDE = 64  # the smallest input of the networks that are carried over
_UNEVEN = 4.0
_LONG = 3.0
_GRAY_LEVELS = 3 / 255
_FRACTION = 6.0
_HALF = 0.5
_FAR = 5.0
_TO_SD = 1.4826  # median absolute deviation -> standard deviation of a normal distribution
_LEAST_SPREAD = 0.05
_NEGATIVE = 0.3
_ALIKE = 0.8
_FEW = 10

# code, title, what the files are, codes of skips, advice
# fmt: off
_LEFT_OUT: tuple[tuple[str, str, str, frozenset[str], str], ...] = (
    ("A-QUAL-01", "Empty files", "files are empty (zero bytes)", frozenset({"S-FILE-01"}),
     "Copy or export them again; an interrupted copy is the usual cause."),
    ("A-QUAL-02", "Damaged or cut files", "files are damaged or cut",
     frozenset({"S-FILE-02", "S-FILE-13", "S-FILE-25", "S-DICOM-02", "S-DICOM-06", "S-DICOM-07"}),
     "Copy or export them again from the source, then run the audit once more."),
    ("A-QUAL-03", "Files that are no images", "files have an image's name but hold something else",
     frozenset({"S-FILE-04", "S-FILE-14", "S-DICOM-01"}),
     "Remove them, or export the image itself as PNG, TIFF or JPEG."),
    ("A-QUAL-04", "Images below the smallest side", "images are smaller than the smallest accepted side",
     frozenset({"S-FILE-09"}), "They are often previews: use the full-size images."),
    ("A-QUAL-05", "Files too large to be read", "files declare more pixels or bytes than are read",
     frozenset({"S-FILE-10", "S-FILE-11", "S-FILE-26"}),
     "Check that they come from where you think, and export them smaller."),
)
_OTHERS_ADVICE = "Read the reason beside each path; every image that is left out changes whom the results speak for."

# code, title, what was done, codes of notes, severity, advice
_NOTED: tuple[tuple[str, str, str, frozenset[str], Severity, str], ...] = (
    ("A-QUAL-07", "Constant images", "have the same value in every pixel", frozenset({"W-FILE-20"}), "warning",
     "Look at them and remove them: there is nothing to learn from an empty image."),
    ("A-QUAL-08", "Wrong file extensions", "hold another format than their name's ending says; read by content",
     frozenset({"W-FILE-03"}), "note", "Rename them; other programs may refuse them or read them wrongly."),
    ("A-QUAL-09", "Images turned by their EXIF orientation", "were turned upright because their EXIF tag says so",
     frozenset({"W-FILE-08"}), "note",
     "Look at one of them; other programs may ignore the tag and see the image on its side."),
    ("A-QUAL-10", "Palettes, transparency and print colours",
     "stored a palette, transparency or CMYK colours and were converted", frozenset({"W-FILE-05", "W-FILE-07"}), "note",
     "Check that nothing was hidden below the transparency, and export from the source as gray or RGB."),
)
# fmt: on
_ELSEWHERE = frozenset({"W-FILE-22", "W-FILE-23"})  # said by the checks on privacy


def check(material: Material) -> list[Finding]:
    """All checks on single images, ``A-QUAL-01`` to ``A-QUAL-20``, in order; each is listed whatever it found.

    Inverted images are those whose projection on the first principal direction of all thumbnails has the other sign
    than most: common anatomy is that direction, however many images are inverted.
    """
    return [
        *_skips(material),
        *_notes(material),
        _other_notes(material),
        _tiny(material),
        _uneven(material),
        _elongated(material),
        *_mixtures(material),
        _blank(material),
        _saturated(material),
        _inverted(material),
    ]


def _skips(material: Material) -> list[Finding]:
    skipped = material.manifest.skipped
    total = len(material) + len(skipped)
    findings = []
    for code, title, what, codes, advice in _LEFT_OUT:
        found = [skip for skip in skipped if skip.code in codes]
        findings.append(_left_out(code, title, what, found, total, advice))
    known = frozenset().union(*(codes for *_, codes, _ in _LEFT_OUT))
    rest = [skip for skip in skipped if skip.code not in known]
    what = "files were left out for other reasons"
    return [*findings, _left_out("A-QUAL-06", "Other files left out", what, rest, total, _OTHERS_ADVICE)]


def _left_out(code: str, title: str, what: str, found: Sequence[Skip], total: int, advice: str) -> Finding:
    if not found:
        return Finding(code, "passed", title, f"None of {total:,} files.", total=total)
    shown = found[:_MOST]
    by_code = dict(Counter(skip.code for skip in found).most_common())
    return Finding(
        code,
        "warning",
        title,
        f"{len(found):,} of {total:,} {what} and were left out, for example {printable(shown[0].path)}: "
        f"{printable(shown[0].reason)}.",
        advice,
        len(found),
        total,
        tuple((printable(skip.path),) for skip in shown),
        {"codes": by_code, "reasons": [f"{skip.code} {printable(skip.reason)}" for skip in shown]},
    )


def _notes(material: Material) -> list[Finding]:
    notes: list[str] = material.manifest.column("notes")
    return [
        _flagged(
            material,
            np.array([not codes.isdisjoint(note.split()) for note in notes], dtype=np.bool_),
            code=code,
            title=title,
            what=what,
            advice=advice,
            severity=severity,
        )
        for code, title, what, codes, severity, advice in _NOTED
    ]


def _other_notes(material: Material) -> Finding:
    """MONOCHROME1, several windows, mapped floats...: whatever else a reader noted, counted by code."""
    code, title = "A-QUAL-11", "Other conversions while reading"
    handled = _ELSEWHERE.union(*(codes for _, _, _, codes, _, _ in _NOTED))
    rows = [[note for note in notes.split() if note not in handled] for notes in material.manifest.column("notes")]
    counts = Counter(note for row in rows for note in row)
    return _flagged(
        material,
        np.array([bool(row) for row in rows], dtype=np.bool_),
        code=code,
        title=title,
        what="were converted while they were read: "
        + "; ".join(
            f"{n:,} x {name} ({NOTE_TEXT.get(name, 'see docs/faults.md')})" for name, n in counts.most_common()
        ),
        advice="Nothing needs to be done if this is what you expect of these files; look at one image of each kind.",
        severity="note",
        numbers={"codes": dict(counts.most_common())},
    )


def _tiny(material: Material) -> Finding:
    shorter = np.minimum(material.numbers("width"), material.numbers("height"))
    small = shorter < _SMALL_SIDE
    return _flagged(
        material,
        small,
        code="A-QUAL-12",
        title="Tiny images",
        what=f"have a side below {_SMALL_SIDE} pixels (smallest {shorter.min():.0f}): every network enlarges them",
        advice="Use the full-size images if there are any; a set that is small throughout can be used, but fine "
        "structures are lost.",
        severity="note" if small.all() else "warning",
        numbers={"smallest_side": float(shorter.min()), "median_side": float(np.median(shorter))},
    )


def _uneven(material: Material) -> Finding:
    side = np.sqrt(material.numbers("width") * material.numbers("height"))
    low, high = (float(value) for value in np.percentile(side, (1, 99)))
    apart = high > _UNEVEN * low
    message = f"Image sides (root of width times height) lie between {low:.0f} and {high:.0f} pixels, 98 of 100 images"
    return Finding(
        "A-QUAL-13",
        "note" if apart else "passed",
        "Uneven image sizes",
        message + (f": the largest are more than {_UNEVEN:.0f} times the smallest." if apart else "."),
        "Images of different sizes lose different amounts of detail when they are brought to one; look whether "
        "sizes differ between classes or sites."
        if apart
        else "",
        int(((side < low) | (side > high)).sum()) if apart else 0,
        len(material),
        _examples(material, np.array([side.argmin(), side.argmax()])) if apart else (),
        {"p01": low, "median": float(np.median(side)), "p99": high},
    )


def _elongated(material: Material) -> Finding:
    width, height = material.numbers("width"), material.numbers("height")
    ratio = np.maximum(width, height) / np.minimum(width, height)
    return _flagged(
        material,
        ratio > _LONG,
        code="A-QUAL-14",
        title="Extreme aspect ratios",
        what=f"are more than {_LONG:.0f} times as long as wide (up to {ratio.max():.1f} times)",
        advice="Look at them: strips, montages and screen captures are usual causes; squeezing them to a "
        "square distorts them.",
        worst=ratio,
        numbers={"largest": float(ratio.max()), "median": float(np.median(ratio))},
    )


def _mixtures(material: Material) -> list[Finding]:
    bits = np.array([f"{value} bits" for value in material.manifest.column("bits")])
    colour = np.where(np.array(material.manifest.column("colour"), dtype=np.bool_), "colour", "gray")
    mode = np.array([printable(value) for value in material.manifest.column("mode")])
    export = "Export all images the same way; a network can tell the kinds apart, and takes them for the disease."
    return [
        _mixed(material, bits, "A-QUAL-15", "Mixed bit depths", "warning", export),
        _mixed(material, colour, "A-QUAL-16", "Mixed colour and gray images", "warning", export),
        _mixed(
            material,
            mode,
            "A-QUAL-17",
            "Mixed ways of storing pixels",
            "note",
            "Find out why: files from several sources or programs are the usual cause.",
        ),
    ]


def _mixed(
    material: Material, kinds: NDArray[np.str_], code: str, title: str, severity: Severity, advice: str
) -> Finding:
    names, kind, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return Finding(code, "passed", title, f"All {len(material):,} images: {names[0]}.", total=len(material))
    classes = [printable(name) for name in material.members]
    of_class = [np.bincount(kind[chosen], minlength=len(names)) for chosen in material.members.values()]
    table = np.stack(of_class, axis=1)
    order = np.argsort(-counts, kind="stable")
    rare = kind != order[0]
    share = 1 - table[order[0]] / np.maximum(1, table.sum(axis=0))
    said = ", ".join(f"{counts[k]:,} {names[k]}" for k in order[:5])
    shares = [f"{name} {part:.1%}" for name, part in zip(classes, share, strict=True)]
    return Finding(
        code,
        severity,
        title,
        f"{said}; other than {names[order[0]]}, by class: {listed(shares)}.",
        advice,
        int(rare.sum()),
        len(material),
        _examples(material, np.flatnonzero(rare)),
        {str(names[k]): dict(zip(classes, table[k].tolist(), strict=True)) for k in order},
    )


def _blank(material: Material) -> Finding:
    # a deep image says nothing about contrast by its stored values: 12 bits may fill a sixteenth of the range
    deep = material.numbers("bits") > 8
    spread = np.where(deep, _contrast(material.glances.thumbnails), _statistic(material, "sd"))
    low = np.where(deep, 0.0, _GRAY_LEVELS)
    for depth in (deep, ~deep):
        if depth.any():
            low[depth] = np.maximum(low[depth], np.median(spread[depth]) / _FRACTION)
    constant = np.array(["W-FILE-20" in notes for notes in material.manifest.column("notes")], dtype=np.bool_)
    return _flagged(
        material,
        (spread < low) & ~constant,
        code="A-QUAL-18",
        title="Almost blank images",
        what=f"have less than a sixth of the usual contrast, or less than three of 256 gray levels "
        f"(standard deviation; the set's median is {np.median(spread):.3f} of the range)",
        advice="Look at them, and remove those that show nothing; failed exposures and wrong windows are usual causes.",
        worst=-spread,
        numbers={"median": float(np.median(spread)), "lowest": float(spread.min())},
    )


def _saturated(material: Material) -> Finding:
    white, black = _statistic(material, "white"), _statistic(material, "black")
    far = [(share > _HALF) & (share > _outlying(share)) for share in (white, black)]
    medians = {"median_white": float(np.median(white)), "median_black": float(np.median(black))}
    finding = _flagged(
        material,
        far[0] | far[1],
        code="A-QUAL-19",
        title="Saturated images",
        what=f"have more than half of their pixels at one end of the scale ({far[0].sum():,} at the highest value, "
        f"{far[1].sum():,} at the lowest), unlike the rest of the set",
        advice="Look at them: clipped conversions from 16 to 8 bits and wrong windows lose what is needed.",
        worst=np.maximum(white, black),
        numbers=medians,
    )
    if finding.severity == "passed" and medians["median_white"] > _HALF:
        return Finding(
            finding.code,
            "note",
            finding.title,
            f"Half of the images have more than {medians['median_white']:.0%} of their pixels at their highest value.",
            "Usual on a white ground; otherwise the conversion to 8 bits has clipped them: export them again.",
            int((white > _HALF).sum()),
            len(material),
            numbers=medians,
        )
    return finding


def _outlying(share: Floats) -> float:
    """Above this a share is far from the rest; black backgrounds of a whole set are no outliers."""
    middle = float(np.median(share))
    return middle + _FAR * max(_LEAST_SPREAD, _TO_SD * float(np.median(np.abs(share - middle))))


def _inverted(material: Material) -> Finding:
    code, title = "A-QUAL-20", "Inverted images"
    fit = _along_common(material.glances.thumbnails)
    if len(fit) < _FEW or (alike := float((np.abs(fit) >= _NEGATIVE).mean())) < _ALIKE:
        reason = (
            f"{len(fit)} images are too few to know what they have in common."
            if len(fit) < _FEW
            else f"Only {alike:.0%} of the images share one layout, so bright and dark cannot be compared between them."
        )
        return Finding(code, "not_applicable", title, reason, total=len(fit))
    negative = fit < -_NEGATIVE
    classes = [f"{printable(name)} {negative[chosen].sum():,}" for name, chosen in material.members.items()]
    return _flagged(
        material,
        negative,
        code=code,
        title=title,
        what=f"are dark where most are bright, like a photographic negative (by class: {listed(classes)})",
        advice="Look at them; invert them or export them again with the photometric interpretation applied.",
        worst=-fit,
        numbers={"median_correlation": float(np.median(np.abs(fit)))},
    )


def _along_common(thumbnails: Floats) -> NDArray[np.float64]:
    """(N,) correlation of each thumbnail with what all have in common, its sign such that most are positive.

    The first eigenvector of the uncentred second moments: unlike a mean it does not vanish when half are inverted.
    """
    side = SIDE // 2
    small = thumbnails.reshape(-1, side, 2, side, 2).mean(axis=(2, 4), dtype=np.float64).reshape(-1, side * side)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.maximum(1e-9, np.linalg.norm(small, axis=1, keepdims=True))
    fit: NDArray[np.float64] = small @ np.linalg.eigh(small.T @ small)[1][:, -1]
    return fit if (fit < 0).sum() <= (fit > 0).sum() else -fit


def _contrast(thumbnails: Floats) -> NDArray[np.float64]:
    """(N,) standard deviation of each thumbnail."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    square = np.einsum("nk,nk->n", flat, flat, dtype=np.float64) / flat.shape[1]
    deviation: NDArray[np.float64] = np.sqrt(np.maximum(0, square - flat.mean(axis=1, dtype=np.float64) ** 2))
    return deviation


def _statistic(material: Material, name: str) -> Floats:
    return material.glances.statistics[:, STATISTICS.index(name)]


def _flagged(
    material: Material,
    flagged: Mask,
    *,
    code: str,
    title: str,
    what: str,
    advice: str,
    severity: Severity = "warning",
    worst: NDArray[Any] | None = None,
    numbers: dict[str, Any] | None = None,
) -> Finding:
    """A finding on the images of a mask; `worst` (N,) puts the highest first among the examples."""
    total = len(material)
    positions = np.flatnonzero(flagged)
    if not len(positions):
        return Finding(code, "passed", title, f"None of {total:,} images.", total=total, numbers=numbers or {})
    if worst is not None:
        positions = positions[np.argsort(-worst[positions], kind="stable")]
    message = f"{len(positions):,} of {total:,} images {what}."
    examples = _examples(material, positions)
    return Finding(code, severity, title, message, advice, len(positions), total, examples, numbers or {})


def _examples(material: Material, positions: NDArray[np.int64]) -> tuple[tuple[str, ...], ...]:
    return tuple((printable(material.paths[k]),) for k in positions[:_MOST])
