"""From JPEG files to features, cold: the usual loop, the bare engine, and xenograft from files to its store."""

from __future__ import annotations

import argparse
import statistics
import sys
from itertools import count
from pathlib import Path
from typing import Any

import fresh
import harness
import made
from harness import Measured, at_least, number

_MARKS = count()


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--backbones", default="paper", metavar="A,B", help="torchvision names (default: the paper's)")
    options.add_argument(
        "--usual-images", type=harness.whole, default=256, metavar="N", help="for the usual loop (256)"
    )
    options.add_argument("--bare-seconds", type=float, default=5.0, metavar="S", help="for the bare engine (5)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure every backbone."""
    from xenograft.backbones.catalog import parse_backbones

    args = harness.parse(parser(), arguments)
    names = ("shufflenet_v2_x1_0",) if args.quick else parse_backbones(args.backbones)
    if args.quick:
        args.usual_images, args.bare_seconds = 16, 0.5
    with harness.scratch() as scratch:
        data = made.data_of(args, scratch)
        report = harness.report(
            "embed", "files to features", args,
            data=made.described(args, data), usual_images=args.usual_images, bare_seconds=args.bare_seconds,
        )  # fmt: skip
        weights_dir, weights = made.weights_of(args, scratch, names)
        report.notes += [made.weights_note(weights), *_NOTES]
        for name in names:
            report.values[name] = measure(args, name, data, scratch, weights_dir, weights["paths"][name])
            harness.say(f"{name}: {report.values[name]['medians']}")
    report.rows = rows(report.values)
    return harness.finish(report, args)


_NOTES = (
    "cold: listing, reading, checking and splitting, then embedding, with empty caches; the operating system's own "
    "file cache is warm for every side.",
    "The engine's compile time, once for each backbone and process, is left out of the first ratio and in the second.",
)


def measure(
    args: argparse.Namespace, name: str, data: Path, scratch: Path, weights_dir: Path, weights: str
) -> dict[str, Any]:
    """Every value of one backbone, the three sides in turn."""
    parts: list[dict[str, float]] = []

    def cold() -> float:
        cache = scratch / f"cache-{next(_MARKS)}"
        parts.append(fresh.call("ours:cold", backbone=name, data=data, cache=cache, weights_dir=weights_dir))
        return parts[-1]["images"] / (parts[-1]["seconds_read"] + parts[-1]["seconds_embed"])

    found = harness.interleaved(
        args.repeats,
        {
            "usual": lambda: usual(args, name, data, weights),
            "bare": lambda: bare(args, name, weights_dir),
            "cold": cold,
        },
    )
    compiled = [part["images"] / sum(v for k, v in part.items() if k.startswith("seconds")) for part in parts]
    found["with compile"] = Measured(statistics.median(compiled), tuple(compiled))
    medians = {side: round(measured.median, 2) for side, measured in found.items()}
    return {"medians": medians, "all": {side: measured.values for side, measured in found.items()}, "parts": parts}


def usual(args: argparse.Namespace, name: str, data: Path, weights: str) -> float:
    """Images per second of the usual loop."""
    warm_up = min(32, args.usual_images)
    answer = fresh.call(
        "usual_loop:embed_rate", backbone=name, folder=data, images=args.usual_images, warm_up=warm_up, weights=weights
    )
    return float(answer["rate"])


def bare(args: argparse.Namespace, name: str, weights_dir: Path) -> float:
    """Images per second of the engine alone."""
    answer = fresh.call("ours:bare_rate", backbone=name, weights_dir=weights_dir, seconds=args.bare_seconds)
    return float(answer["rate"])


def rows(values: dict[str, Any]) -> list[harness.Row]:
    """Three rows for each backbone, and the means."""
    lines, gains, shares, whole = [], [], [], []
    for name, found in values.items():
        rate = found["medians"]
        gains.append(rate["cold"] / rate["usual"])
        shares.append(rate["cold"] / rate["bare"])
        whole.append(rate["with compile"] / rate["usual"])
        loop, engine = (
            f"{label} {number(rate[k])}/s" for label, k in (("usual loop", "usual"), ("bare engine", "bare"))
        )
        lines += [
            _row(f"{name}, cold", rate["cold"], loop, gains[-1], 5),
            _row(f"{name}, cold with compile", rate["with compile"], loop, whole[-1], None),
            _row(f"{name}, share of the bare engine", rate["cold"], engine, shares[-1], 0.85),
        ]
    return [
        *lines,
        _mean("geometric mean over the usual loop", gains, 10),
        _mean("geometric mean with compile", whole, None),
        _mean("geometric mean of the shares", shares, 0.85),
    ]


def _row(what: str, rate: float, against: str, ratio: float, least: float | None) -> harness.Row:
    bound = at_least(least) if least is not None else None
    return harness.row(what, rate, "images/s", against=against, ratio=ratio, bound=bound)


def _mean(what: str, ratios: list[float], least: float | None) -> harness.Row:
    bound = at_least(least) if least is not None else None
    return harness.row(what, harness.geometric_mean(ratios), "×", bound=bound)


if __name__ == "__main__":
    sys.exit(main())
