"""``xenograft weights list|verify``."""

from __future__ import annotations

import argparse

from xenograft.cli import options
from xenograft.errors import WeightsError

_EXAMPLES = """\
  xenograft weights list
  xenograft weights list --backbones paper --weights-dir weights/
  xenograft weights verify --weights-dir weights/"""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "weights", _EXAMPLES)
    parser.add_argument("action", choices=("list", "verify"), help="list: what is here; verify: hash every file")
    parser.add_argument("--backbones", metavar="A,B", help="default: every backbone of the catalog")
    options.add_folders(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.weights` and show the rows."""
    from xenograft.api import cache_folder, weights
    from xenograft.backbones.weights import cache_folder as weights_folder
    from xenograft.cli import display

    verify = args.action == "verify"
    rows = weights(args.backbones, weights_dir=args.weights_dir, cache_dir=args.cache_dir, verify=verify)
    display.weights_table(rows)
    missing = [row for row in rows if row.state == "missing"]
    if missing:
        folder = weights_folder(cache_folder(args.cache_dir))
        display.said(f"Missing files go into {folder}, or into any folder named with --weights-dir:")
        for row in missing:
            display.said(f"  {row.files[0]}  from {row.url or 'its publisher'}")
    if bad := [row.name for row in rows if row.state in ("mismatch", "unreadable")]:
        raise WeightsError(f"{', '.join(bad)}: not the published files; fetch them again", code="E-MODEL-04")
