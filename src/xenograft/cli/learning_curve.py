"""``xenograft learning-curve``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft learning-curve chest/ --backbones mobilenet_v2
  xenograft learning-curve chest/ --backbones mobilenet_v2 --recipes scratch --sizes 20,50,100,200 --repeats 2
  xenograft learning-curve chest/ --backbones mobilenet_v2 --sizes 10,20,50,100,200,500,1000 --targets 0.90,0.95

Trains on nested subsets of the training patients, stratified by class, and measures each on the whole test split.
Validation grows with the subset. Frozen recipes (probe, logistic, random) compute features once, so that their curve
takes seconds; the others really train at every size: name the sizes that this machine can train.
Curves of one folder are drawn together: the second command adds scratch to what the first one made. What was finished
is not repeated."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "learning-curve", _EXAMPLES)
    parser.add_argument("data", type=Path, help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("learning-curve"), help="folder (learning-curve)")
    parser.add_argument("--backbones", metavar="A,B", help="default: efficientnet_lite0, whose weights are installed")
    parser.add_argument("--recipes", metavar="A,B", help="default: probe; see compare")
    parser.add_argument(
        "--sizes", metavar="A,B", help="training patients (default: doubling, from ten of every class to all)"
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="random orders of the patients (5)")
    parser.add_argument("--targets", default="0.90,0.95", metavar="A,B", help="AUROC to reach (0.90,0.95)")
    parser.add_argument(
        "--least-steps", type=int, metavar="N", help="more epochs for small sizes, until they take N steps (none)"
    )
    options.add_training(parser)
    options.add_pixels(parser)
    options.add_reading(parser)
    options.add_machine(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.learning_curve` and show the table and the answers."""
    from xenograft.cli import display
    from xenograft.learning import learning_curve
    from xenograft.reporting import learning_words
    from xenograft.reporting.learning_view import LearningView
    from xenograft.reporting.tables import learning as tables

    with display.progress() as watcher:
        result = learning_curve(
            args.data, output=args.output, watcher=watcher, command=options.command_line(),
            **options.settings(args, "data", "output"),
        )  # fmt: skip
    view = LearningView(result.record)
    for stamp in view.stamps:
        display.said(stamp)
    display.table(*tables.brief(view))
    display.said(f"Test split: {view.test}; intervals by resampling its patients")
    for question, sentence in learning_words.answers(view):
        display.said(f"{question} {sentence}".strip() if question else sentence)
    display.wrote("Every point", result.table)
    display.wrote("Figure", result.figure)
    display.wrote("Everything, for programs", result.json)
    display.wrote("Learning curve, open this page in a browser", result.page)
