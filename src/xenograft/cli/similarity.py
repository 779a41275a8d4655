"""``xenograft similarity``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft similarity photos/ chest/ --backbone mobilenet_v2
  xenograft similarity photos/ chest/ --backbone mobilenet_v2,squeezenet1_1 --random 3 --limit 200
  xenograft similarity photos/ chest/ --backbone mobilenet_v2 --after full,partial --seeds 3 --train-limit 200

NATURAL is a folder of photographs, at any depth; MEDICAL whatever compare reads, or a folder without classes. Labels
are needed for --after alone, which trains on MEDICAL's training patients and measures the images of its test split,
before and after. Without it, the test split is measured where the data name one, else all images; choose with --split.
Photographs in colour are used as luminance, as medical images are, unless --colour is given.
Distances mean something only beside yardsticks: halves of one set, and images of noise. See docs/similarity.md."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "similarity", _EXAMPLES)
    parser.add_argument("natural", help="folder of natural images, or a table, NPZ or hub name")
    parser.add_argument("medical", help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("similarity"), help="folder (similarity)")
    parser.add_argument(
        "--backbone", "--backbones", dest="backbones", metavar="A,B", default="efficientnet_lite0",
        help="default: efficientnet_lite0, whose weights are installed",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, default=300, metavar="N", help="images of each set, whole patients (300)")
    parser.add_argument("--random", type=int, default=1, metavar="N", help="networks with random weights beside (1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw of images and resamples (0)")
    parser.add_argument("--split", metavar="NAME", help="of MEDICAL: train, val, test or all")
    parser.add_argument("--resamples", type=int, metavar="N", help="bootstrap resamples (1000)")
    group = parser.add_argument_group("before and after training (Proposition 5)")
    group.add_argument(
        "--after", default="", metavar="A,B", help="recipes that change features: full, partial, lp_ft ..."
    )
    group.add_argument("--seeds", type=int, metavar="N", help="networks of each recipe (1)")
    group.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's (20)")
    group.add_argument("--train-limit", type=int, metavar="N", help="training patients at most (default: all)")
    options.add_pixels(parser)
    options.add_reading(parser)
    group = parser.add_argument_group("machine")
    group.add_argument("--threads", type=int, metavar="N", help="threads that decode images (2)")
    group.add_argument("--precision", choices=("auto", "bf16", "f32"), help="of training; features are measured at f32")
    group.add_argument("--offline", action="store_true", default=None, help="never download weights or data")
    options.add_folders(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.feature_similarity` and show a table for each backbone and the answers."""
    from xenograft.cli import display
    from xenograft.comparing_sets import feature_similarity
    from xenograft.reporting import similarity_words
    from xenograft.reporting.tables import similarity_brief

    with display.progress() as watcher:
        result = feature_similarity(
            args.natural, args.medical, output=args.output, watcher=watcher, command=options.command_line(),
            **options.settings(args, "natural", "medical", "output"),
        )  # fmt: skip
    record = result.record
    if record["natural"]["synthetic"] or record["medical"]["synthetic"]:
        display.said("SYNTHETIC images: results say nothing about patients")
    for title, heads, rows in similarity_brief.tables(record):
        display.said(title)
        display.table(heads, rows)
    display.said(similarity_brief.NOTE)
    for question, sentence in similarity_words.answers(record):
        display.said(f"{question} {sentence}".strip())
    display.wrote("Every number", result.table)
    display.wrote("Everything, for programs", result.json)
    display.wrote("Similarity, open this page in a browser", result.page)
