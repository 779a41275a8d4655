"""``xenograft fit``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options
from xenograft.errors import printable

_MOST = 3
_EXAMPLES = """\
  xenograft fit chest/ -o model
  xenograft fit chest/ --backbone auto -o model
  xenograft fit chest/ --backbone mobilenet_v2 --recipe logistic --weights-dir weights/ --offline -o model
  xenograft fit chest/ --operating-point sensitivity=0.95 -o model"""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "fit", _EXAMPLES)
    parser.add_argument("data", type=Path, help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("bundle"), help="folder of the bundle (bundle)")
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        default="efficientnet_lite0",
        help="any of compare --help (efficientnet_lite0); auto: chosen as by rank, on train and validation",
    )
    parser.add_argument("--recipe", metavar="NAME", default="probe", help="see compare --help (probe)")
    options.add_operating_point(parser)
    options.add_recalibration(parser)
    options.add_training(parser)
    options.add_pixels(parser)
    options.add_reading(parser)
    options.add_machine(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.fit` and show what it made."""
    from xenograft.api import fit
    from xenograft.cli import display

    with display.progress() as watcher:
        result = fit(
            args.data,
            output=args.output,
            watcher=watcher,
            command=options.command_line(),
            **options.settings(args, "data", "output"),
        )
    display.study_table(result.study)
    from xenograft.evaluation.rules import in_words  # late: scipy, which a mistake in DATA need not wait for

    facts = result.bundle.facts
    if facts.chosen_because:
        display.said(f"{printable(facts.chosen_because)}.")
        display.wrote("Ranking of backbones", args.output.with_name(f"{args.output.name}-ranking") / "index.html")
    missing = result.bundle.choices.missing if result.bundle.choices is not None else ()
    if isinstance(facts.threshold, float):
        display.said(f"Operating point: {in_words(facts.threshold_rule)}, probability {facts.threshold:.3f}.")
    for sentence in missing[:_MOST]:
        display.said(f"Not in the bundle: {printable(sentence)}.")
    if len(missing) > _MOST:
        display.said(f"Not in the bundle: {len(missing) - _MOST} more, which MODEL_CARD.md names.")
    display.said(f"The bundle gives the trained network's probabilities within {result.drift:.1e}.")
    display.wrote("Training record, a page for a browser", result.study.folder / "report" / "index.html")
    display.wrote("Bundle", args.output)
