"""A whole audit: images a second on given data, beside a plain pass over the files; time against number of images."""

from __future__ import annotations

import argparse
import sys
from itertools import count
from pathlib import Path

import fresh
import harness
import made
from harness import at_least, number
from scaling import rows

_NOTE = (
    "Ours: the command `xenograft audit DATA` with an empty cache, from its start to the page, imports included. The "
    "plain pass: Pillow, two threads, imports not counted: SHA-256 of the bytes, the whole image in gray, a thumbnail "
    "of 32 x 32 and its cosine transform; it looks for nothing."
)
_MARKS = count()


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument(
        "--counts", default="5000,10000,20000,50000", metavar="A,B", help="made images (5k, 10k, 20k, 50k)"
    )
    options.add_argument("--size", type=harness.whole, default=64, metavar="PX", help="their side (64)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure the given data, then made images in growing numbers."""
    args = harness.parse(parser(), arguments)
    counts = [60, 120, 180] if args.quick else [int(word) for word in args.counts.split(",")]
    if len(counts) < 3:
        raise SystemExit("--counts: a line through fewer than three points says nothing")
    with harness.scratch() as scratch:
        data = made.data_of(args, scratch)
        report = harness.report("audit", "a whole audit", args, data=made.described(args, data), size=args.size)
        report.notes.append(_NOTE)
        files = sorted(str(path) for path in data.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
        found = harness.interleaved(
            args.repeats,
            {
                "ours": lambda: len(files) / seconds(data, scratch),
                "plain": lambda: float(fresh.call("usual_loop:plain_pass", files=files)["rate"]),
            },
        )
        report.values = {side: measured.values for side, measured in found.items()}
        ours, plain = found["ours"].median, found["plain"].median
        report.rows = [
            harness.row("command to page", ours, "images/s", bound=at_least(400)),
            harness.row("against a plain pass", ours, "images/s", against=f"{number(plain)}/s", ratio=ours / plain),
        ]
        sets = {amount: _images(scratch, amount, args.size) for amount in counts}
        measures = {str(n): lambda folder=folder: seconds(folder, scratch) for n, folder in sets.items()}
        grown = harness.interleaved(args.repeats, measures)
        report.values |= {amount: measured.values for amount, measured in grown.items()}
        report.rows += rows({int(amount): measured.median for amount, measured in grown.items()})
    return harness.finish(report, args)


def seconds(data: Path, scratch: Path) -> float:
    """Of one audit of `data`, everything cold."""
    mark = next(_MARKS)
    spent = harness.wall(
        [sys.executable, "-m", "xenograft", "audit", str(data), "--cache-dir", str(scratch / f"cache-{mark}"),
         "-o", str(scratch / f"audit-{mark}")]
    )  # fmt: skip
    harness.say(f"{data.name}: {spent:.1f} s")
    return spent


def _images(scratch: Path, amount: int, size: int) -> Path:
    harness.say(f"making {amount} images")
    fresh.call("made:distinct", folder=scratch / f"images-{amount}", count=amount, size=size)
    return scratch / f"images-{amount}"


if __name__ == "__main__":
    sys.exit(main())
