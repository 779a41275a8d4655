"""``xenograft doctor``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft doctor                                       what is here, and how quick it is (ten seconds)
  xenograft doctor chest/ --backbones paper --training   how long a study of these images will take
  xenograft doctor --no-rates --weights-dir weights/     facts alone, at once

The rates are kept in the cache, so that compare can say before it starts how long it will take."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "doctor", _EXAMPLES)
    parser.add_argument("data", nargs="?", type=Path, help="folder of images to predict a study's duration for")
    parser.add_argument(
        "--backbones", metavar="A,B", default="efficientnet_lite0", help="to measure (efficientnet_lite0), or 'paper'"
    )
    parser.add_argument("--seconds", type=_seconds, metavar="N", default=10.0, help="to measure each for (10)")
    parser.add_argument("--training", action="store_true", help="measure training steps as well")
    parser.add_argument("--no-rates", action="store_true", help="measure nothing")
    options.add_engine(parser)
    options.add_folders(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.doctor`, measure, and show what was found."""
    from xenograft import diagnosis
    from xenograft.backbones.catalog import parse_backbones
    from xenograft.cli import display

    backbones = parse_backbones(args.backbones)
    chosen = {"engine": args.engine or "auto", "precision": args.precision or "auto", "cache_dir": args.cache_dir}
    counted = diagnosis.count_images(args.data) if args.data is not None else None
    display.diagnosis(diagnosis.doctor(weights_dir=args.weights_dir, cache_dir=args.cache_dir))
    if not args.no_rates:
        with display.progress() as watcher:
            found = diagnosis.measure_speeds(
                backbones, seconds=args.seconds, training=args.training, watcher=watcher, **chosen
            )
        display.speeds(found, images=counted[0] if counted else diagnosis.USUAL_IMAGES)
    elif counted is None:
        return
    files, size = counted or (diagnosis.USUAL_IMAGES, 0)
    display.foreseen(diagnosis.foresee(backbones, files=files, size=size, **chosen), images=files)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("more than 0 seconds are needed")
    return seconds
