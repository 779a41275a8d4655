"""Options that several verbs share, and their way into keyword arguments."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

Verbs = Any  # argparse's own type for sub-parsers is private


VERBS = {
    "demo": "everything once, offline, in about a minute: synthetic images, probe against scratch, report, bundle",
    "audit": "look for what makes results on a data set wrong",
    "compare": "compare backbones and recipes on one data set, with a report",
    "rank": "which backbone for my data, by scores that need no training, with cost beside quality",
    "fit": "train one model and write it as a bundle that predicts anywhere",
    "predict": "run a bundle on images and folders, without torch",
    "learning-curve": "metric against the number of labelled patients, and whether more of them would help",
    "evaluate": "intervals, calibration, abstention and tests from any predictions",
    "domain-shift": "train on one site, test on another, before and after unsupervised adaptation",
    "robustness": "what graded changes of the images (noise, blur, rotation ...) do to a bundle's answers",
    "similarity": "how alike the features of natural and medical images are, by network and stage (Propositions 4, 5)",
    "report": "render a study's page, figures and tables again",
    "check-table": "what published numbers can mean: counts, intervals, real differences",
    "weights": "which pretrained weights are here, and where missing ones belong",
    "cache": "what the cache holds, whether it is intact, and emptying it",
    "doctor": "what this machine offers: devices, engines, rates, weights, cache, advice",
}
"""Every verb and what it does, in the order of the help. The module of a verb has its name, ``-`` being ``_``."""


def verb(verbs: Verbs, name: str, examples: str) -> argparse.ArgumentParser:
    """A sub-command with ``--debug``."""
    summary = VERBS[name]
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        allow_abbrev=False,  # --seed must not mean --seeds
        description=summary[0].upper() + summary[1:] + ".",
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback instead of one line")
    return parser


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How a data set is read and split."""
    group = parser.add_argument_group("reading the data")
    group.add_argument("--images", type=Path, metavar="DIR", help="folder of a table's images (default: the table's)")
    group.add_argument(
        "--label-column", metavar="NAME", help="column of a table with the class; A,B,C: one finding (1, 0) in each"
    )
    group.add_argument("--patient-column", metavar="NAME", help="column of a table with the patient")
    group.add_argument("--patient-regex", metavar="REGEX", help="patient key inside the path, e.g. '(P[0-9]+)_'")
    group.add_argument(
        "--catalog",
        metavar="NAME",
        help="known data set such as chest_xray, pathmnist or ham10000; none (default: recognise)",
    )
    group.add_argument("--positive", metavar="CLASS", help="the positive class of two")
    group.add_argument("--val", type=float, metavar="SHARE", help="validation share of train, if not given (0.15)")
    group.add_argument("--test", type=float, metavar="SHARE", help="test share of all, if not given (0.2)")
    group.add_argument("--split-seed", type=int, metavar="N", help="seed of these splits (0)")
    group.add_argument("--max-skip", type=float, metavar="SHARE", help="unreadable files to accept (0.01)")
    group.add_argument("--min-side", type=int, metavar="PX", help="smallest image side to accept (16)")
    group.add_argument(
        "--frame", metavar="N", help="of multi-frame DICOM files: first, middle, a number from 1 on, or all as images"
    )
    group.add_argument(
        "--window", metavar="C,W", help="of DICOM files: centre,width or a name: the file's own, lung, bone, brain ..."
    )
    group.add_argument(
        "--slices", metavar="AXIS:WHICH", help="of volumes: 2:middle, 2:all, 0:5 for every fifth (default: 2:middle)"
    )
    group.add_argument(
        "--allow-leak", action="store_true", default=None, help="go on although splits leak; every page is stamped"
    )


def add_pixels(parser: argparse.ArgumentParser) -> None:
    """From pixels to the network."""
    group = parser.add_argument_group("images")
    group.add_argument("--normalise", choices=("weights", "paper"), help="the weights' own mean and sd, or 0.5/0.5")
    group.add_argument("--fit", choices=("squash", "pad", "crop"), help="geometry (default: squash, the whole image)")
    group.add_argument("--size", type=int, metavar="PX", help="input side (default: the backbone's)")
    group.add_argument("--colour", action="store_true", default=None, help="keep colour (default: gray, replicated)")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Overrides of the recipes."""
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's (20)")
    group.add_argument("--batch-size", type=int, metavar="N", help="images per training step, instead of 64")
    group.add_argument(
        "--micro-batch", type=int, metavar="N",
        help="images per pass; gradients add up to a step (default: by memory; 16 on a processor)",
    )  # fmt: skip
    group.add_argument(
        "--views", type=int, metavar="N",
        help="frozen backbones: augmented views of each training image (0: the image itself; 20: as in the paper)",
    )  # fmt: skip
    group.add_argument("--augment", choices=("paper", "none"), help="augmentation preset")
    group.add_argument("--resamples", type=int, metavar="N", help="bootstrap resamples (2000)")


def add_operating_point(parser: argparse.ArgumentParser) -> None:
    """A threshold by rule."""
    parser.add_argument(
        "--operating-point", metavar="RULE",
        help="one more threshold, chosen on validation: sensitivity=0.95, specificity=0.90, cost=10:1 (miss:alarm)",
    )  # fmt: skip


def add_recalibration(parser: argparse.ArgumentParser) -> None:
    """How probabilities are mended on validation."""
    parser.add_argument(
        "--recalibration", choices=("auto", "platt", "temperature", "isotonic"),
        help="of probabilities, fitted on validation (auto: Platt for two classes, a temperature for more)",
    )  # fmt: skip


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Engines, weights and caches."""
    group = parser.add_argument_group("machine")
    add_engine(group)
    group.add_argument("--threads", type=int, metavar="N", help="threads that decode images (2)")
    group.add_argument("--offline", action="store_true", default=None, help="never download weights or data")
    add_folders(parser)
    parser.add_argument(
        "--cache-limit", metavar="SIZE",
        help="features and decoded images to keep, least recently used go first (20G); 0: decoded images are not kept, "
        "and nothing but what is in use",
    )  # fmt: skip


def add_engine(parser: argparse._ActionsContainer) -> None:
    """What computes."""
    parser.add_argument("--engine", choices=("auto", "openvino", "torch"), help="what embeds with a frozen backbone")
    parser.add_argument(
        "--precision", choices=("auto", "bf16", "f16", "f32"), help="of embedding; training takes bf16 or f32"
    )


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Where weights and the cache lie."""
    parser.add_argument("--weights-dir", type=Path, metavar="DIR", help="folder with weight files")
    add_cache(parser)


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Where the cache lies."""
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="cache (default: $XENOGRAFT_CACHE or the user's)")


def settings(args: argparse.Namespace, *without: str) -> dict[str, Any]:
    """The options that the user gave, as keyword arguments."""
    own = {"run", "verb", "debug", *without}
    return {key: value for key, value in vars(args).items() if key not in own and value is not None}


def command_line() -> str:
    """The command as it was typed, for the record."""
    return shlex.join(["xenograft", *sys.argv[1:]])
