"""Peak resident memory of extraction, and how it grows from 5,000 to 50,000 images."""

from __future__ import annotations

import argparse
import sys
from itertools import count
from pathlib import Path
from typing import Any

import fresh
import harness
import made
from harness import Measured, at_most

_SMALL = 64
_MARKS = count()


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--backbone", default="densenet161", metavar="NAME", help="(densenet161)")
    options.add_argument("--images", type=harness.whole, default=5000, metavar="N", help="the fewer images (5000)")
    options.add_argument("--factor", type=harness.whole, default=10, metavar="K", help="K times as many (10)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure: once at full size, and twice at 64 px, where many images take minutes."""
    args = harness.parse(parser(), arguments, repeats=1)
    if args.quick:
        args.backbone, args.images, args.factor = "shufflenet_v2_x1_0", 60, 2
    side = _SMALL if args.quick else 224
    many = args.images * args.factor
    report = harness.report(
        "memory", "peak resident memory", args, backbone=args.backbone, images=f"{args.images}, {many}"
    )
    with harness.scratch() as scratch:
        weights_dir, weights = made.weights_of(args, scratch, (args.backbone,))
        report.notes += [made.weights_note(weights), _NOTE]
        data = made.data_of(args, scratch) if args.data is not None else images(scratch, args.images, side)
        full = peak(args, data, scratch, weights_dir, None if side == 224 else side)
        few = peak(args, images(scratch, args.images, _SMALL), scratch, weights_dir, _SMALL)
        lots = peak(args, images(scratch, many, _SMALL), scratch, weights_dir, _SMALL)
    report.values = {"full size": full.values, "few": few.values, "many": lots.values}
    report.rows = rows(args, full, few, lots, sum(made.sizes(data).values()) if args.data is not None else args.images)
    return harness.finish(report, args)


_NOTE = "The whole process, imports and compiling included, by the kernel's own high-water mark (VmHWM)."


def images(scratch: Path, many: int, side: int) -> Path:
    """Made images, all different."""
    folder = scratch / f"images-{many}-{side}"
    if not folder.is_dir():
        harness.say(f"making {many} images of {side} px")
        fresh.call("made:many", folder=folder, count=many, size=side)
    return folder


def peak(args: argparse.Namespace, data: Path, scratch: Path, weights_dir: Path, size: int | None) -> Measured:
    """MiB, each time in a fresh process with empty caches."""

    def once() -> float:
        found: dict[str, Any] = fresh.call(
            "ours:cold", backbone=args.backbone, data=data, cache=scratch / f"cache-{next(_MARKS)}",
            weights_dir=weights_dir, size=size,
        )  # fmt: skip
        harness.say(f"{found['images']} images: {found['peak_mb']:.0f} MiB")
        return float(found["peak_mb"])

    return harness.median_of(args.repeats, once)


def rows(
    args: argparse.Namespace, full: Measured, few: Measured, lots: Measured, images_full: int
) -> list[harness.Row]:
    """The peak and its growth."""
    many = args.images * args.factor
    growth = 100 * (lots.median / few.median - 1)
    return [
        harness.row(
            f"{images_full:,} images at {_SMALL if args.quick else 224} px", full.median / 1024, "GiB", bound=at_most(2)
        ),
        harness.row(f"{args.images:,} images at {_SMALL} px", few.median / 1024, "GiB"),
        harness.row(f"{many:,} images at {_SMALL} px", lots.median / 1024, "GiB"),
        harness.row(f"growth from {args.images:,} to {many:,} images", growth, "%", bound=at_most(10)),
    ]


if __name__ == "__main__":
    sys.exit(main())
