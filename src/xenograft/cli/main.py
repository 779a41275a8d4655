"""``xenograft VERB ...``: parse, call one function, say what was written. Imports nothing heavy before a verb runs."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from xenograft import __version__
from xenograft.cli.options import VERBS
from xenograft.errors import XenograftError

_DESCRIPTION = """\
Carry features learned on real-world images (ImageNet) into medical image classifiers,
and measure honestly what that gains over training from scratch."""

_EXAMPLES = """\
examples:
  xenograft demo                                  everything once, offline, on synthetic images
  xenograft audit chest/                          leaks, copies, shortcuts: before anything is trained
  xenograft compare chest/ --recipes probe,scratch --seeds 3 -o study
  xenograft fit chest/ -o model && xenograft predict model new_images/ -o predictions.csv
  xenograft check-table table.csv --positives 390 --negatives 234
  xenograft weights list                          which weights are here, where missing ones belong

"xenograft VERB --help" tells more about a verb."""


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The command line with the options of one verb; of the others, names and summaries, so that little is loaded."""
    parser = argparse.ArgumentParser(
        prog="xenograft",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"xenograft {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        if name == verb:
            importlib.import_module(f"xenograft.cli.{name.replace('-', '_')}").add(verbs)
        else:
            verbs.add_parser(name, help=summary)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0; 2 for anything that the user can mend; 130 after Ctrl-C, 143 after SIGTERM.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = build_parser(next((word for word in given if not word.startswith("-")), None)).parse_args(given)
    try:
        signal.signal(signal.SIGTERM, _terminate)
        args.run(args)
    except XenograftError as error:
        if args.debug:
            raise
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "stopped; finished runs and epochs of a study are kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    print(
        "terminated; finished runs and epochs of a study are kept, the same command goes on from there", file=sys.stderr
    )
    raise SystemExit(143)
