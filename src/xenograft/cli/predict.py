"""``xenograft predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft predict model new_images/ -o predictions.csv
  xenograft predict model a.png b.jpeg -o predictions.csv"""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "predict", "run a bundle on images and folders, without torch", _EXAMPLES)
    parser.add_argument("bundle", type=Path, help="folder made by fit")
    parser.add_argument("images", type=Path, nargs="+", help="files and folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("predictions.csv"), help="(predictions.csv)")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="f32 equals training (f32)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Load the bundle, predict, write the CSV."""
    from collections import Counter

    from xenograft.bundle import Bundle, find_images, write_predictions_csv
    from xenograft.cli import display

    bundle = Bundle.load(args.bundle, precision=args.precision)
    paths = find_images(args.images)
    with display.bar("predicting", len(paths)) as step:
        answers = []
        for answer in bundle.predict(paths):
            answers.append(answer)
            step(1)
    answered, failed = write_predictions_csv(args.output, bundle, answers)
    counts = Counter(answer.label for answer in answers if not answer.error)
    display.said(f"{answered} images: " + ", ".join(f"{name} {counts[name]}" for name in bundle.facts.classes))
    if failed:
        first = next(answer for answer in answers if answer.error)
        display.said(f"{failed} files could not be read; each has its reason in the column error, e.g. {first.error}")
    if bundle.facts.data["synthetic"]:
        display.said("This bundle was trained on synthetic phantom images; its answers say nothing about patients.")
    display.wrote("Predictions", args.output)
