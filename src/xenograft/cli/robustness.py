"""``xenograft robustness``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft robustness model chest/                              nine changes, five levels each, of the test split
  xenograft robustness model chest/ --changes noise,jpeg --limit 200
  xenograft robustness model other_hospital/ --split all -o other

BUNDLE is a folder made by fit. Of the data it was trained on, only the test split is measured: give the reading options
that fit was given. Images of other data must have the bundle's classes. Every image goes through the model once for
each change and level, 46 times with all of them; --precision bf16 is faster on processors that have it."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "robustness", _EXAMPLES)
    parser.add_argument("bundle", type=Path, help="folder made by fit")
    parser.add_argument("data", type=Path, help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("robustness"), help="folder (robustness)")
    parser.add_argument(
        "--changes", metavar="A,B",
        help="of brightness, contrast, gamma, blur, noise, rotation, crop, jpeg, resolution (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("test", "train", "val", "all"), help="(test, or all images of data without splits)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="images at most, of patients drawn at random (all)")
    parser.add_argument("--amount", type=float, metavar="A", help="loss that counts as too much (0.02)")
    parser.add_argument("--resamples", type=int, metavar="N", help="bootstrap resamples (2000)")
    options.add_reading(parser)
    group = parser.add_argument_group("machine")
    group.add_argument("--precision", choices=("f32", "bf16"), help="f32 equals training (f32)")
    group.add_argument("--threads", type=int, metavar="N", help="threads that decode and change images")
    group.add_argument("--offline", action="store_true", default=None, help="never download data")
    options.add_cache(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.robustness` and show what it found."""
    from xenograft.cli import display
    from xenograft.perturbing import robustness
    from xenograft.reporting.robustness_words import robustness_words
    from xenograft.reporting.tables.robustness import summary

    with display.progress() as watcher:
        result = robustness(
            args.bundle,
            args.data,
            output=args.output,
            watcher=watcher,
            command=options.command_line(),
            **options.settings(args, "bundle", "data", "output"),
        )
    record = result.record
    for notice in record["data"]["notices"]:
        display.said(notice)
    found = summary(record)
    display.table(
        [column.label for column in found.columns],
        [[" ".join((cell.text, *cell.notes)) for cell in row.cells] for row in found.blocks[0].rows],
    )
    for sentence in robustness_words(record):
        display.said(sentence)
    rate = record["passes"] / record["seconds"]
    display.said(f"{record['passes']:,} images through the model in {record['seconds']:.0f} s, {rate:.0f} a second")
    display.wrote("Tables and figures", result.page.parent)
    display.wrote("Everything, for programs", result.json)
    display.wrote("Robustness, open this page in a browser", result.page)
