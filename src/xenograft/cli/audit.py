"""``xenograft audit``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft audit chest/                                    copies, leaks, shortcuts, drift: seconds per thousand images
  xenograft audit chest/ --backbone efficientnet_lite0      and likely label errors and outliers, from its features
  xenograft audit labels.csv --images images/ --patient-column patient -o audit
  xenograft audit chest/ --strict || echo "do not train on this"

Nothing is repaired or changed. Open the page it names, from the top: errors make results wrong, warnings are what
reviewers ask about. A check that could not be made is listed as such and never counted as passed. Names that may
identify people are shown nowhere but in sensitive.csv."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "audit", _EXAMPLES)
    parser.add_argument("data", type=Path, help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("audit"), help="folder of the audit (audit)")
    parser.add_argument("--backbone", metavar="NAME", help="look at its features too (default: pixels only)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where there is an error")
    options.add_reading(parser)
    options.add_machine(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.audit` and show what was found."""
    from xenograft.api import audit
    from xenograft.cli import display

    given = options.settings(args, "data", "output", "backbone", "strict")
    with display.progress() as watcher:
        result = audit(
            args.data,
            output=args.output,
            backbone=args.backbone,
            watcher=watcher,
            command=options.command_line(),
            **given,
        )
    display.audit_findings(result.audit)
    if result.sensitive is not None:
        display.wrote("What could identify people, not to be passed on", result.sensitive)
    display.wrote("Findings for programs", result.json)
    display.wrote("Audit, open this page in a browser", result.page)
    if args.strict and result.audit.tally()["error"]:
        raise SystemExit(1)
