"""An audit -> ``index.html``: one page without scripts or network, pictures inside it. Loads no plotting library."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from xenograft.auditing.finding import Finding
from xenograft.auditing.near_copies import TURNS
from xenograft.auditing.record import Audit
from xenograft.data.prepared import file_prepared
from xenograft.data.preprocess import Preprocess
from xenograft.errors import FileError
from xenograft.reporting.templating import environment
from xenograft.storage import atomic_write, safe_join

SHOWN = 8
"""Examples of one finding that the page shows."""

_IN_GROUP = 4  # pictures of one example
_THUMBNAIL = Preprocess(size=112, fit="pad")
_WIDTH, _HEIGHT = 300, 110  # of one histogram, in SVG units
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
_SHORTCUT = "A-SHORT-"
_HEADINGS = {
    "error": "Errors: results on these data would be wrong",
    "warning": "Warnings: look at these before you trust a result",
    "note": "Notes: worth knowing",
}


def render(audit: Audit, folder: Path, *, root: Path) -> Path:
    """Write the page of an audit and return its path.

    Args:
        folder: of the audit. root: folder of the images, for thumbnails; files that went away have none.
    """
    drawn = dict.fromkeys(name for of_classes in audit.histograms.values() for name in of_classes)
    lines = [name for name in audit.classes if name in drawn]
    lines = [*(name for name in drawn if name not in lines), *lines]
    html = (
        environment()
        .get_template("audit.html.j2")
        .render(
            audit=audit,
            tally=audit.tally(),
            headings=_HEADINGS,
            shown=SHOWN,
            in_group=_IN_GROUP,
            as_it_is=TURNS[0],
            sentence=_sentence,
            thumbnails=_thumbnails(root, audit),
            histograms=[(split, _histogram(of_classes, lines)) for split, of_classes in audit.histograms.items()],
            colours=dict(zip(lines, _COLOURS * (1 + len(lines) // len(_COLOURS)), strict=False)),
            bars=[bar for finding in audit.findings if (bar := _bar(finding)) is not None],
        )
    )
    return atomic_write(folder / "index.html", html)


def _thumbnails(root: Path, audit: Audit) -> dict[str, str]:
    """Path, or its stand-in -> data URI, for the examples that the page shows."""
    shown = [f for f in audit.findings if not f.numbers.get("sensitive")]
    wanted = {name for f in shown for item in f.items[:SHOWN] for name in item[:_IN_GROUP]}
    paths = {stand_in.shown: path for path, stand_in in audit.hidden.items()}
    found = {}
    for name in wanted:
        try:
            path = safe_join(root, paths.get(name, name))
            if path.is_file():
                pixels = file_prepared(path, _THUMBNAIL)[0]
                encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
                found[name] = "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
        except (FileError, OSError, ValueError):
            continue
    return found


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "!")) else ".") if text else ""


def _histogram(of_classes: Mapping[str, Sequence[float]], classes: Sequence[str]) -> list[tuple[str, str]]:
    """(class, points of an SVG line) of one split; the highest bin of all fills the height, the ends left out.

    Black surroundings and burned-out letters would else hide everything between them.
    """
    top = max(max(shares[1:-1], default=0.0) for shares in of_classes.values()) or 1.0
    lines = []
    for name in classes:
        if name in of_classes:
            shares = of_classes[name]
            step = _WIDTH / (len(shares) - 1)
            points = (f"{k * step:.1f},{_HEIGHT * (1 - min(1.0, s / top)):.1f}" for k, s in enumerate(shares))
            lines.append((name, " ".join(points)))
    return lines


def _bar(finding: Finding) -> dict[str, Any] | None:
    """What one line of the shortcut figure shows, or None for other findings."""
    if not finding.code.startswith(_SHORTCUT):
        return None
    name = finding.title.removesuffix(" alone predicts the label")
    intervals = [(key, finding.numbers[key]) for key in ("pooled", "test") if finding.numbers.get(key)]
    known = [(key, i) for key, i in intervals if None not in (i["value"], i["low"], i["high"])]
    label = finding.numbers.get("finding", "")
    return {"name": name, "label": label, "severity": finding.severity, "intervals": known} if known else None
