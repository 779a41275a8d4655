"""A whole probe, command to report, against 20 epochs of the usual loop."""

from __future__ import annotations

import argparse
import sys
from itertools import count
from pathlib import Path
from typing import Any

import fresh
import harness
import made
from harness import Measured, at_least, number
from ours import compare_command

EPOCHS = 20
BOUNDS = {0: 150.0, 4: 60.0, 20: 12.0}
"""Views of each training image -> how many times as fast as the usual loop."""

_MARKS = count()


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = harness.options(__doc__)
    options.add_argument("--backbone", default="mobilenet_v2", metavar="NAME", help="(mobilenet_v2)")
    options.add_argument("--views", default="0,4,20", metavar="A,B", help="which of 0, 4, 20 (all); 20 takes longest")
    options.add_argument(
        "--usual-images", type=harness.whole, metavar="N", help="measure the usual epoch on N images and scale it up"
    )
    options.add_argument("--usual-repeats", type=harness.whole, default=1, metavar="N", help="of the usual epoch (1)")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure."""
    args = harness.parse(parser(), arguments)
    views = [int(word) for word in args.views.split(",")]
    if args.quick:
        args.backbone, args.usual_images, views = "shufflenet_v2_x1_0", 32, [0]
    with harness.scratch() as scratch:
        data = made.data_of(args, scratch)
        report = harness.report(
            "probe", "a whole probe against 20 usual epochs", args,
            data=made.described(args, data), backbone=args.backbone,
        )  # fmt: skip
        weights_dir, weights = made.weights_of(args, scratch, (args.backbone,))
        report.notes.append(made.weights_note(weights))
        epochs = usual_epochs(args, data, weights["paths"][args.backbone])
        report.values["usual epoch"] = epochs
        report.notes.append(_about(epochs[-1]))
        epoch = harness.median_of(len(epochs), iter([found["seconds"] for found in epochs]).__next__)
        for number_of_views in views:
            found = ours(args, data, scratch, weights_dir, number_of_views)
            report.values[f"{number_of_views} views"] = found.values
            report.rows.append(judged(number_of_views, found, epoch))
    return harness.finish(report, args)


def usual_epochs(args: argparse.Namespace, data: Path, weights: str) -> list[dict[str, Any]]:
    """The usual epoch, as often as asked."""
    harness.say("one epoch of the usual loop")
    answers = []
    for _ in range(args.usual_repeats):
        answers.append(
            fresh.call(
                "usual_loop:epoch_seconds",
                backbone=args.backbone,
                folder=data,
                images=args.usual_images,
                weights=weights,
            )
        )
        harness.say(f"usual epoch: {answers[-1]['seconds']:.1f} s")
    return answers


def ours(args: argparse.Namespace, data: Path, scratch: Path, weights_dir: Path, views: int) -> Measured:
    """Seconds from the command to the finished report, with empty caches."""

    def once() -> float:
        place = scratch / f"probe-{next(_MARKS)}"
        command = compare_command(
            data, backbones=args.backbone, weights_dir=weights_dir, cache=place / "cache", output=place / "study",
            seeds=1, **({"views": views} if views else {}),
        )  # fmt: skip
        seconds = harness.wall(command)
        harness.say(f"{views} views: {seconds:.1f} s")
        return seconds

    return harness.median_of(args.repeats, once)


def judged(views: int, found: Measured, epoch: Measured) -> harness.Row:
    """One row: both sides train for 20 epochs."""
    what = f"{views} augmented views" if views else "the image itself"
    usual = EPOCHS * epoch.median
    bound = at_least(BOUNDS[views]) if views in BOUNDS else None
    against = f"{EPOCHS} usual epochs {number(usual)} s"
    return harness.row(what, found.median, "s", against=against, ratio=usual / found.median, bound=bound)


def _about(epoch: dict[str, Any]) -> str:
    train, test = epoch["train"], epoch["test"]
    return (
        f"The usual epoch was measured on {train['measured']} of {train['of']} training and {test['measured']} of "
        f"{test['of']} test images and scaled to all; 20 epochs are 20 times one. Ours is the whole command: "
        "interpreter, imports, reading, compiling, embedding, 20 epochs of the head, bootstrap, report."
    )


if __name__ == "__main__":
    sys.exit(main())
