"""``xenograft compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EPILOG = """\
  xenograft compare chest/ --backbones mobilenet_v2,efficientnet_lite0 --recipes probe,scratch -o study
  xenograft compare chest/ --backbones paper --recipes scratch,probe --seeds 3 -o study      the paper's Table 2
  xenograft compare chest/ --backbones paper --recipes scratch,probe --lr-scales 1,0.1       and its Table 3
  xenograft compare labels.csv --images images/ --patient-column patient --recipes probe,random -o study
  xenograft compare --config study.toml -o study

backbones: resnet18 resnet50 densenet161 shufflenet_v2_x1_0 mobilenet_v2 resnext50_32x4d wide_resnet50_2
  inception_v3 (together: paper), squeezenet1_1, efficientnet_lite0 to 2, or timm:NAME
recipes (what moves and how quickly: docs/recipes.md):
{recipes}

A study that was stopped goes on with the same command; finished runs are not repeated."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "compare", _EPILOG.format(recipes=_recipes()))
    parser.add_argument("data", nargs="?", type=Path, help="folder, table, NPZ, hf:OWNER/NAME or kaggle:OWNER/NAME")
    parser.add_argument("-o", "--output", type=Path, default=Path("study"), help="folder of the study (study)")
    parser.add_argument("--config", type=Path, metavar="TOML", help="file with the same keys; options given here win")
    parser.add_argument("--backbones", metavar="A,B", help="default: efficientnet_lite0, whose weights are installed")
    parser.add_argument("--recipes", metavar="A,B", help="default: probe,scratch")
    parser.add_argument("--seeds", type=int, metavar="N", help="runs per arm (3)")
    parser.add_argument(
        "--folds", type=int, metavar="K",
        help="cross-validate by patient: each of K parts validates once, and tests once if no test split is named",
    )  # fmt: skip
    parser.add_argument("--lr-scales", "--lr-scale", metavar="A,B", help="factors on the learning rates (1)")
    parser.add_argument(
        "--robustness", action="store_true", default=None,
        help="measure the run that validation chooses on test images changed by degrees (minutes)",
    )  # fmt: skip
    options.add_operating_point(parser)
    options.add_recalibration(parser)
    options.add_training(parser)
    options.add_pixels(parser)
    options.add_reading(parser)
    options.add_machine(parser)
    parser.set_defaults(run=run)


def _recipes() -> str:
    from xenograft.train.recipes import RECIPES

    width = max(map(len, RECIPES))
    return "\n".join(f"  {name:<{width}}  {recipe.summary}" for name, recipe in RECIPES.items())


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.compare` and show the table."""
    from xenograft.api import compare
    from xenograft.cli import display

    given = options.settings(args, "data", "output", "config")
    with display.progress() as watcher:
        study = compare(
            args.data,
            output=args.output,
            config=args.config,
            watcher=watcher,
            command=options.command_line(),
            **given,
        )
    display.study_table(study)
    display.wrote("Records of every run", args.output / "runs")
    display.wrote("Tables and figures", args.output / "report")
    display.wrote("Report, open this page in a browser", args.output / "report" / "index.html")
