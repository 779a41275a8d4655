"""Seconds from files to features for more and more images: they should grow along a straight line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import fresh
import harness
import made
from harness import Measured, at_most

_MARKS = count()


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--backbone", default="squeezenet1_1", metavar="NAME", help="(squeezenet1_1)")
    options.add_argument("--counts", default="5000,10000,20000,40000", metavar="A,B", help="images (5k, 10k, 20k, 40k)")
    options.add_argument("--size", type=harness.whole, default=64, metavar="PX", help="side of images and input (64)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure; `--data` is not used, the images are made."""
    args = harness.parse(parser(), arguments)
    counts = [60, 120, 180] if args.quick else [int(word) for word in args.counts.split(",")]
    if len(counts) < 3:
        raise SystemExit("--counts: a line through fewer than three points says nothing")
    report = harness.report("scaling", "time against number of images", args, backbone=args.backbone, size=args.size)
    with harness.scratch() as scratch:
        weights_dir, weights = made.weights_of(args, scratch, (args.backbone,))
        report.notes += [made.weights_note(weights), _NOTE]
        folders = {number: _images(scratch, number, args.size) for number in counts}
        found = measure(args, folders, scratch, weights_dir)
    report.values = {str(number): measured.values for number, measured in found.items()}
    report.rows = rows({number: measured.median for number, measured in found.items()})
    return harness.finish(report, args)


_NOTE = (
    "Reading, compiling and embedding, cold, without imports. The line (a start, and seconds per image) is fitted with "
    "equal weight for equal relative error."
)


def _images(scratch: Path, number: int, size: int) -> Path:
    harness.say(f"making {number} images")
    fresh.call("made:many", folder=scratch / f"images-{number}", count=number, size=size)
    return scratch / f"images-{number}"


def measure(
    args: argparse.Namespace, folders: Mapping[int, Path], scratch: Path, weights_dir: Path
) -> dict[int, Measured]:
    """Seconds by number of images, all sizes in turn."""

    def seconds(folder: Path) -> float:
        found = fresh.call(
            "ours:cold", backbone=args.backbone, data=folder, cache=scratch / f"cache-{next(_MARKS)}",
            weights_dir=weights_dir, size=args.size,
        )  # fmt: skip
        total = sum(value for name, value in found.items() if name.startswith("seconds"))
        harness.say(f"{found['images']} images: {total:.1f} s")
        return float(total)

    measures = {str(n): lambda folder=folder: seconds(folder) for n, folder in folders.items()}
    found = harness.interleaved(args.repeats, measures)
    return {int(name): measured for name, measured in found.items()}


def line(seconds: Mapping[int, float]) -> tuple[float, float]:
    """(start, seconds per image) with the smallest relative errors."""
    import numpy as np

    numbers, values = np.array(list(seconds), dtype=float), np.array(list(seconds.values()))
    slope, start = np.polyfit(numbers, values, 1, w=1 / values)
    return float(start), float(slope)


def rows(seconds: Mapping[int, float]) -> list[harness.Row]:
    """Each size against the line, and the largest distance from it."""
    start, slope = line(seconds)
    away = {number: 100 * (value / (start + slope * number) - 1) for number, value in seconds.items()}
    lines = [
        harness.row(
            f"{n:,} images", value, "s", against=f"{1000 * (value - start) / n:.3f} ms an image after the start"
        )
        for n, value in seconds.items()
    ]
    largest = max(away.values(), key=abs)
    return [
        *lines,
        harness.row("start, by the line", start, "s"),
        harness.row("time for an image, by the line", 1000 * slope, "ms"),
        harness.row("largest distance from the line", abs(largest), "%", bound=at_most(10)),
    ]


if __name__ == "__main__":
    sys.exit(main())
