"""Originals to network input: reduced decoding and one gray channel, against Pillow's full decoding and resizing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import fresh
import harness
from harness import at_least, number

_SUFFIXES = {".jpg", ".jpeg"}


def main(arguments: list[str] | None = None) -> int:
    """Measure; `--data` is any folder of JPEG files here."""
    args = harness.parse(harness.options(__doc__), arguments, repeats=5)
    with harness.scratch() as scratch:
        files = jpegs(args, scratch)
        kind = args.data.name if args.data is not None else "made JPEG of 1.8 megapixels"
        report = harness.report(
            "decode", "original-size JPEG to 224 x 224", args, data=f"{kind}, {len(files)} files", threads=2
        )
        found = measure(args, files, report)
    report.values = {side: measured.values for side, measured in found.items()}
    report.rows = [judged(side, found) for side in ("Pillow, RGB", "Pillow, gray")]
    report.rows.append(harness.row("ours, were 224 px enough", found["ours at 224"].median, "images/s"))
    return harness.finish(report, args)


def jpegs(args: argparse.Namespace, scratch: Path) -> list[str]:
    """The files to decode."""
    folder = args.data
    if folder is None:
        folder = scratch / "originals"
        harness.say("making large JPEG files")
        fresh.call("made:originals", folder=folder, count=4 if args.quick else 60)
    files = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise SystemExit("--data holds no JPEG files")
    return files[:8] if args.quick else files


def measure(args: argparse.Namespace, files: list[str], report: harness.Report) -> dict[str, harness.Measured]:
    """Images per second of all sides, in turn, each in its own process."""
    working = []

    def ours(**options: Any) -> float:
        answer = fresh.call("ours:decode_rate", files=files, **options)
        working.append(answer["working"])
        return float(answer["rate"])

    def pillow(*, gray: bool) -> float:
        return float(fresh.call("usual_loop:decode_rate", files=files, gray=gray)["rate"])

    found = harness.interleaved(
        args.repeats,
        {
            "Pillow, RGB": lambda: pillow(gray=False),
            "Pillow, gray": lambda: pillow(gray=True),
            "ours": ours,
            "ours at 224": lambda: ours(working=224),
        },
    )
    report.notes.append(
        f"Ours is what a study does for 224 px: JPEG decoded at the smallest scale that keeps {working[0]} px on the "
        "shorter side, luminance alone where the file allows it, averaged down to 224 px. Pillow: the whole image."
    )
    return found


def judged(side: str, found: dict[str, harness.Measured]) -> harness.Row:
    """Ours against one side."""
    ours, other = found["ours"].median, found[side].median
    against = f"{side} {number(other)}/s"
    return harness.row(f"against {side}", ours, "images/s", against=against, ratio=ours / other, bound=at_least(3))


if __name__ == "__main__":
    sys.exit(main())
