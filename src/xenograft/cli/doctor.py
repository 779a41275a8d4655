"""``xenograft doctor``."""

from __future__ import annotations

import argparse

from xenograft.cli import options

_EXAMPLES = "  xenograft doctor\n  xenograft doctor --weights-dir weights/"


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(
        verbs, "doctor", "what this machine offers: devices, engines, weights, cache, advice", _EXAMPLES
    )
    options.add_folders(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.doctor` and show what it found."""
    from xenograft.cli import display
    from xenograft.diagnosis import doctor

    display.diagnosis(doctor(weights_dir=args.weights_dir, cache_dir=args.cache_dir))
