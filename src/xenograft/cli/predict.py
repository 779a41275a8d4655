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
    parser = options.verb(verbs, "predict", _EXAMPLES)
    parser.add_argument("bundle", type=Path, help="folder made by fit")
    parser.add_argument("images", type=Path, nargs="+", help="files and folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("predictions.csv"), help="(predictions.csv)")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="f32 equals training (f32)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Load the bundle, predict, write the CSV."""
    from collections import Counter
    from itertools import chain

    from xenograft.bundle import NOTHING, Bundle, find_images, write_predictions_csv
    from xenograft.cli import display
    from xenograft.errors import printable

    bundle = Bundle.load(args.bundle, precision=args.precision)
    paths = find_images(args.images)
    with display.bar("predicting", len(paths)) as step:
        answers = []
        for answer in bundle.predict(paths):
            answers.append(answer)
            step(1)
    answered, failed = write_predictions_csv(args.output, bundle, answers)
    labels = [answer.label for answer in answers if not answer.error]
    names = [*bundle.facts.classes, *([NOTHING] if bundle.facts.multi_label else [])]
    counts = Counter(chain(*(label.split("|") for label in labels)) if bundle.facts.multi_label else labels)
    display.said(f"{answered} images: " + ", ".join(f"{printable(name)} {counts[name]}" for name in names))
    if failed:
        first = next(answer for answer in answers if answer.error)
        display.said(f"{failed} files could not be read; each has its reason in the column error, e.g. {first.error}")
    if bundle.facts.data["synthetic"]:
        display.said("This bundle was trained on synthetic phantom images; its answers say nothing about patients.")
    display.wrote("Predictions", args.output)
