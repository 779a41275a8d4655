"""One training step of the whole network on a processor, against plain PyTorch."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import fresh
import harness
from harness import at_least, number

BOUNDS = {"mobilenet_v2": 2.0, "resnet18": 3.0}


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--steps", type=harness.whole, default=3, metavar="N", help="timed after one warm-up (3)")
    options.add_argument("--batch", type=harness.whole, default=64, metavar="N", help="(64)")
    options.add_argument("--size", type=harness.whole, default=224, metavar="PX", help="(224)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure; neither data nor weights are used."""
    args = harness.parse(parser(), arguments, repeats=1)
    if args.quick:
        args.steps, args.batch, args.size = 1, 4, 64
    report = harness.report(
        "training", "one step: forward, backward, AdamW", args, batch=args.batch, size=args.size, steps=args.steps
    )
    report.notes.append(_NOTE)
    for backbone in ("mobilenet_v2",) if args.quick else BOUNDS:
        found = measure(args, backbone)
        report.values[backbone] = found
        report.rows += rows(backbone, found)
    return harness.finish(report, args)


_NOTE = (
    "Plain PyTorch: fp32, NCHW, default allocator, the batch ready in memory. Ours: what the recipe scratch does, from "
    "uint8 pixels. Each in its own process; the median of the steps after the first."
)


def measure(args: argparse.Namespace, backbone: str) -> dict[str, Any]:
    """Seconds of a step and peak memory of both sides, in turn."""
    peaks: dict[str, list[float]] = {"usual": [], "ours": []}
    steps: dict[str, list[Any]] = {"usual": [], "ours": []}

    def once(side: str, what: str) -> float:
        answer = fresh.call(what, backbone=backbone, steps=args.steps, batch=args.batch, size=args.size)
        peaks[side].append(answer["peak_mb"])
        steps[side].append(answer["steps"])
        harness.say(f"{backbone} {side}: {answer['seconds']:.2f} s {answer.get('on', '')}")
        return float(answer["seconds"])

    found = harness.interleaved(
        args.repeats,
        {
            "usual": lambda: once("usual", "usual_loop:training_steps"),
            "ours": lambda: once("ours", "ours:training_steps"),
        },
    )
    medians = {side: measured.median for side, measured in found.items()}
    return {"medians": medians, "steps": steps, "peaks": {side: max(mb) for side, mb in peaks.items()}}


def rows(backbone: str, found: dict[str, Any]) -> list[harness.Row]:
    """Time with its bound, memory without."""
    seconds, peaks = found["medians"], {side: mb / 1024 for side, mb in found["peaks"].items()}
    time_row = harness.row(
        f"{backbone}, one step", seconds["ours"], "s", against=f"plain PyTorch {number(seconds['usual'])} s",
        ratio=seconds["usual"] / seconds["ours"], bound=at_least(BOUNDS[backbone]),
    )  # fmt: skip
    memory_row = harness.row(
        f"{backbone}, peak memory", peaks["ours"], "GiB", against=f"plain PyTorch {number(peaks['usual'])} GiB",
        ratio=peaks["ours"] / peaks["usual"],
    )  # fmt: skip
    return [time_row, memory_row]


if __name__ == "__main__":
    sys.exit(main())
