"""``xenograft cache info|clear|verify``."""

from __future__ import annotations

import argparse

from xenograft.cli import options

_EXAMPLES = """\
  xenograft cache info
  xenograft cache verify
  xenograft cache clear --pixels        decoded images only; features stay"""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "cache", _EXAMPLES)
    parser.add_argument(
        "action",
        choices=("info", "clear", "verify"),
        help="info: what is there; clear: remove it, without asking; verify: hash every shard, set damaged ones aside",
    )
    group = parser.add_argument_group("clear (default: features, pixels and facts, which the next run makes again)")
    group.add_argument("--features", action="store_true", help="features of frozen backbones")
    group.add_argument("--pixels", action="store_true", help="decoded images")
    group.add_argument("--glances", action="store_true", help="thumbnails and gray values, for audits")
    group.add_argument("--unpacked", action="store_true", help="images of NPZ files, Parquet and volumes")
    group.add_argument("--facts", action="store_true", help="what inspection found out about image files")
    group.add_argument("--weights", action="store_true", help="downloaded weights, which must then be fetched again")
    group.add_argument("--hub", action="store_true", help="data of Hugging Face, which must then be fetched again")
    options.add_cache(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call one of `xenograft.cache_info`, `cache_clear` and `cache_verify`, and show what it gave."""
    from xenograft import api, caching
    from xenograft.cli import display
    from xenograft.errors import UsageError

    folder = api.cache_folder(args.cache_dir)
    kinds = [kind for kind in caching.KINDS if getattr(args, kind)]
    if kinds and args.action != "clear":
        raise UsageError(f"--{kinds[0]} belongs to cache clear; cache {args.action} takes none", code="E-USAGE-16")
    if args.action == "info":
        display.cache_table(api.cache_info(args.cache_dir), folder)
    elif args.action == "verify":
        display.cache_checked(api.cache_verify(args.cache_dir), folder)
    else:
        display.cache_cleared(api.cache_clear(args.cache_dir, kinds=kinds or None), folder)
