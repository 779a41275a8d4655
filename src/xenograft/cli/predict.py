"""``xenograft predict``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from xenograft.cli import options

if TYPE_CHECKING:
    from xenograft.bundle import Bundle

_EXAMPLES = """\
  xenograft predict model new_images/ -o predictions.csv
  xenograft predict model a.png b.jpeg -o predictions.csv
  xenograft predict model new_images/ --refer -o predictions.csv
  xenograft predict model new_images/ --threshold-rule fixed -o predictions.csv

The table holds for each image the answer, the advice (answer, or refer: a person should look), the prediction set
behind it, raw and recalibrated probabilities, and the threshold; docs/bundles.md says what each means."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "predict", _EXAMPLES)
    parser.add_argument("bundle", type=Path, help="folder made by fit")
    parser.add_argument("images", type=Path, nargs="+", help="files and folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("predictions.csv"), help="(predictions.csv)")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="f32 equals training (f32)")
    parser.add_argument(
        "--threshold-rule", metavar="NAME",
        help="another operating point of the bundle, e.g. fixed, youden or sensitivity=0.95 (default: that of fit)",
    )  # fmt: skip
    parser.add_argument(
        "--refer", action="store_true",
        help="write refer instead of an answer where a person should look; of findings, ? before their names",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _operating_point(bundle: Bundle) -> str:
    """Where answers begin, for the line that counts them."""
    from xenograft.evaluation.rules import in_words

    threshold, rule = bundle.facts.threshold, bundle.facts.threshold_rule
    if threshold is None:
        return "the most probable class"
    cut = "a threshold for each" if isinstance(threshold, list) else f"threshold {threshold:.3f}"
    return f"{cut}: {in_words(rule)}"


def run(args: argparse.Namespace) -> None:
    """Load the bundle, predict, write the CSV."""
    from collections import Counter
    from itertools import chain

    from xenograft.bundle import NOTHING, REFER, Bundle, find_images, write_predictions_csv
    from xenograft.cli import display
    from xenograft.errors import printable

    bundle = Bundle.load(args.bundle, precision=args.precision)
    if args.threshold_rule is not None:
        bundle = bundle.at(args.threshold_rule)
    if args.refer:
        bundle.check_refer()
    paths = find_images(args.images)
    with display.bar("predicting", len(paths)) as step:
        answers = []
        for answer in bundle.predict(paths):
            answers.append(answer)
            step(1)
    answered, failed = write_predictions_csv(args.output, bundle, answers, refer=args.refer)
    labels = [answer.label for answer in answers if not answer.error]
    names = [*bundle.facts.classes, *([NOTHING] if bundle.facts.multi_label else [])]
    counts = Counter(chain(*(label.split("|") for label in labels)) if bundle.facts.multi_label else labels)
    display.said(
        f"{answered} images: {', '.join(f'{printable(name)} {counts[name]}' for name in names)} "
        f"({_operating_point(bundle)})"
    )
    referred = sum(answer.advice == REFER for answer in answers)
    if bundle.choices is not None and bundle.choices.conformal is not None:
        where = "of one or more findings " if bundle.facts.multi_label else ""
        display.said(
            f"{referred} of them are to be referred: the prediction set {where}is not exactly the answer, so a person "
            "should look."
        )
        display.said(
            f"Sets hold the truth for {bundle.choices.conformal.coverage:.0%} of new patients, class by class, if they "
            "are like those of validation; elsewhere nothing is promised."
        )
    if failed:
        first = next(answer for answer in answers if answer.error)
        display.said(f"{failed} files could not be read; each has its reason in the column error, e.g. {first.error}")
    if bundle.facts.data["synthetic"]:
        display.said("This bundle was trained on synthetic phantom images; its answers say nothing about patients.")
    display.wrote("Predictions", args.output)
