"""``xenograft demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = "  xenograft demo\n  xenograft demo -o /tmp/demo"


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "demo", _EXAMPLES)
    parser.add_argument("-o", "--output", type=Path, default=Path("xenograft-demo"), help="folder (xenograft-demo)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.demo` and show what it made."""
    from xenograft.cli import display
    from xenograft.demonstration import demo

    with display.progress() as watcher:
        result = demo(args.output, watcher=watcher)
    display.study_table(result.study)
    display.predictions(result.predictions)
    display.said(f"The bundle gives the trained network's probabilities within {result.drift:.1e}.")
    display.wrote("Predictions", args.output / "predictions.csv")
    display.wrote("Bundle", result.bundle)
    display.wrote("Report, open this page in a browser", result.page)
