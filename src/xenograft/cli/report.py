"""``xenograft report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = "  xenograft report study\n  xenograft report study -o page"


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "report", _EXAMPLES)
    parser.add_argument("study", type=Path, help="folder made by compare")
    parser.add_argument("-o", "--output", type=Path, help="folder of the page (STUDY/report)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.report`."""
    from xenograft.api import report
    from xenograft.cli import display

    page = report(args.study, output=args.output)
    display.wrote("Report, open this page in a browser", page)
