"""``xenograft rank``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft rank chest/ --weights-dir weights/ --offline
  xenograft rank chest/ --backbones mobilenet_v2,resnet18,timm:vit_tiny_patch16_224
  xenograft rank chest/ --score logme --limit 0

Trains nothing: computes features of the training and validation images once, and scores how well each candidate's tell
the classes apart, by patient. Test is never looked at. Features stay in the cache, so that compare and fit find them
there. fit --backbone auto takes what this chooses. docs/choosing-a-backbone.md says what the scores are."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "rank", _EXAMPLES)
    parser.add_argument("data", type=Path, help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("ranking"), help="folder (ranking)")
    parser.add_argument("--backbones", metavar="A,B", help="default: all of the catalog whose weights are at hand")
    parser.add_argument(
        "--score",
        metavar="NAME",
        help="that ranks, such as logme; docs/choosing-a-backbone.md names them and the default",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="images to look at, whole patients (3000); 0: all")
    parser.add_argument("--resamples", type=int, metavar="N", help="halves of the patients for an interval (25)")
    parser.add_argument(
        "--every-interval", action="store_true", default=None,
        help="intervals of all scores, not only of the one that ranks (minutes)",
    )  # fmt: skip
    options.add_pixels(parser)
    options.add_reading(parser)
    options.add_machine(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.rank` and show the table and the choice."""
    from xenograft.cli import display
    from xenograft.ranking import rank
    from xenograft.reporting import ranking_words
    from xenograft.reporting.ranking_view import RankingView
    from xenograft.reporting.tables import ranking as tables

    with display.progress() as watcher:
        result = rank(
            args.data, output=args.output, watcher=watcher, command=options.command_line(),
            **options.settings(args, "data", "output"),
        )  # fmt: skip
    view = RankingView(result.record)
    for stamp in view.stamps:
        display.said(stamp)
    display.table(*tables.brief(view))
    display.said(f"{view.heading} of {view.images}; test was not looked at.")
    display.said(ranking_words.which(view))
    display.said(ranking_words.sure(view))
    if view.record["left_out"]:
        names = ", ".join(row["backbone"] for row in view.record["left_out"])
        display.said(f"Left out (the page says why): {names}")
    display.wrote("Every candidate", result.table)
    display.wrote("Everything, for programs", result.json)
    display.wrote("Ranking, open this page in a browser", result.page)
