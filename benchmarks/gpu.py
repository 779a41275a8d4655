"""On a GPU: images per second of each backbone, and the share of time the GPU waits."""

from __future__ import annotations

import argparse
import sys
from itertools import count
from pathlib import Path
from typing import Any

import fresh
import harness
import made

_MARKS = count()


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--backbones", default="paper", metavar="A,B", help="default: the paper's eight")
    options.add_argument("--seconds", type=float, default=5.0, metavar="S", help="for each backbone in memory (5)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure, or say that there is nothing to measure on."""
    import torch

    from xenograft.backbones.catalog import parse_backbones

    args = harness.parse(parser(), arguments)
    if not torch.cuda.is_available():
        print("gpu: no CUDA GPU is here; nothing was measured")
        return 0
    names = ("shufflenet_v2_x1_0",) if args.quick else parse_backbones(args.backbones)
    with harness.scratch() as scratch:
        data = made.data_of(args, scratch)
        report = harness.report("gpu", "embedding on a GPU", args, data=made.described(args, data))
        weights_dir, weights = made.weights_of(args, scratch, names)
        report.notes += [made.weights_note(weights), _NOTE]
        for name in names:
            report.values[name] = measure(args, name, data, scratch, weights_dir)
            report.rows += rows(name, report.values[name])
    return harness.finish(report, args)


_NOTE = (
    "In memory: random pixels. From files: after reading and checking, without compiling. Waiting is the share of time "
    "outside the network's forward passes, by CUDA events; gaps between kernels inside a pass are not seen."
)


def measure(args: argparse.Namespace, name: str, data: Path, scratch: Path, weights_dir: Path) -> dict[str, Any]:
    """Medians of rate and waiting, in memory and from files."""
    waits: dict[str, list[float]] = {"memory": [], "files": []}

    def once(side: str, what: str, **options: Any) -> float:
        answer = fresh.call(what, backbone=name, weights_dir=weights_dir, **options)
        waits[side].append(answer["waits"])
        harness.say(f"{name} {side}: {answer['rate']:.0f} images/s")
        return float(answer["rate"])

    def from_files() -> float:
        return once("files", "ours:gpu_cold", data=data, cache=scratch / f"cache-{next(_MARKS)}")

    seconds = 1.0 if args.quick else args.seconds
    rates = harness.interleaved(
        args.repeats, {"memory": lambda: once("memory", "ours:gpu_rate", seconds=seconds), "files": from_files}
    )
    waiting = {side: harness.median_of(len(found), iter(found).__next__) for side, found in waits.items()}
    medians = {side: (rates[side].median, 100 * waiting[side].median) for side in rates}
    return {"medians": medians, "rates": {side: rates[side].values for side in rates}, "waits": waits}


def rows(name: str, found: dict[str, Any]) -> list[harness.Row]:
    """Rate and waiting, in memory and from files."""
    words = {"memory": "in memory", "files": "from files"}
    return [
        harness.row(f"{name}, {words[side]}", rate, "images/s", against=f"the GPU waits {waits:.0f} % of the time")
        for side, (rate, waits) in found["medians"].items()
    ]


if __name__ == "__main__":
    sys.exit(main())
