"""``xenograft domain-shift``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft domain-shift ours/ theirs/ --backbones mobilenet_v2
  xenograft domain-shift ours.csv theirs.csv --recipes probe,full --adapt adabn --seeds 3 -o shift
  xenograft domain-shift ours/ archive/ --adapt coral --adapt-on test

Trains and chooses on SOURCE, measures on the test images of SOURCE and of TARGET, before and after adaptation to
unlabelled images of TARGET: adabn re-estimates batch norm, coral aligns the covariance of features. TARGET's labels
measure at the end, and train the reference; no adaptation sees them. Both need the same class names. Two sites of one
table: write the rows of each site to a table of its own, and give both. Reading options apply to both data sets."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "domain-shift", _EXAMPLES)
    parser.add_argument("source", type=Path, help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("target", type=Path, help="another domain, of the same classes")
    parser.add_argument("-o", "--output", type=Path, default=Path("domain-shift"), help="folder (domain-shift)")
    parser.add_argument("--backbones", metavar="A,B", help="default: efficientnet_lite0, whose weights are installed")
    parser.add_argument("--recipes", metavar="A,B", help="default: probe; see compare")
    parser.add_argument("--adapt", metavar="A,B", help="of adabn, coral, or none alone (default: adabn,coral)")
    parser.add_argument(
        "--adapt-on", metavar="SPLIT",
        help="what adaptation sees of TARGET, unlabelled: train, or test, the very images that are measured (train)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-means", dest="align_means", action="store_false", default=None,
        help="coral: align the covariance alone, as where prevalence differs",
    )  # fmt: skip
    parser.add_argument(
        "--no-reference", dest="reference", action="store_false", default=None,
        help="do not train on TARGET's own labels for comparison",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds of each recipe (3)")
    options.add_training(parser)
    options.add_pixels(parser)
    options.add_reading(parser)
    options.add_machine(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.domain_shift` and show what it found."""
    from xenograft.cli import display
    from xenograft.reporting import domain_shift_words
    from xenograft.reporting.domain_shift_view import ShiftView
    from xenograft.reporting.tables import domain_shift as tables
    from xenograft.shifting import domain_shift

    with display.progress() as watcher:
        result = domain_shift(
            args.source, args.target, output=args.output, watcher=watcher, command=options.command_line(),
            **options.settings(args, "source", "target", "output"),
        )  # fmt: skip
    view = ShiftView(result.record)
    for stamp in view.stamps:
        display.said(stamp)
    display.table(*tables.brief(view))
    for sentence in domain_shift_words.answers(view):
        display.said(sentence)
    display.said(domain_shift_words.seen(view))
    display.wrote("Predictions, for xenograft evaluate", result.predictions)
    display.wrote("Figure", result.figure)
    display.wrote("Everything, for programs", result.json)
    display.wrote("Domain shift, open this page in a browser", result.page)
