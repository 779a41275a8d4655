"""``xenograft evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from xenograft.cli import options

_EXAMPLES = """\
  xenograft evaluate predictions.csv --labels labels.csv
  xenograft evaluate ours.csv theirs.csv --validation ours_val.csv theirs_val.csv --margin 0.02
  xenograft evaluate study/runs/*/predictions.parquet --prevalence 0.05 --operating-point sensitivity=0.95
  xenograft evaluate findings.csv --finding Effusion

A table holds an image a row: its id or path, its true class (or --labels), its patient if known, and either a column
p_CLASS for each class or one column score, the probability of the positive class. Any program's predictions will do.
Findings, of which an image has any number, have a column p_NAME each and their truth in columns label_NAME or NAME
(1, 0 or blank), or in one column label (Effusion|Mass). --finding takes one of them as a question of two classes.
Thresholds and recalibration are chosen on validation tables alone; without them only 0.5, and a threshold that the
table itself names, are measured."""

_SHOWN = {
    "results": ("average_precision", "precision"),
    "finding_areas": ("average_precision",),
    "calibration": ("brier",),
    "comparisons": ("f1", "auroc_by_patient", "p_auroc_images", "only_first_right"),
    "subgroups": (),
}
"""Tables that the terminal shows, and columns that it has no room for."""


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "evaluate", _EXAMPLES)
    parser.add_argument("predictions", type=Path, nargs="+", help="CSV, TSV, JSON lines or Parquet, of one test set")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="table with the true class of each image")
    parser.add_argument("--validation", type=Path, nargs="+", metavar="FILE", help="validation tables, one for each")
    parser.add_argument("--positive", metavar="CLASS", help="the positive class of two")
    parser.add_argument("--finding", metavar="NAME", help="one of several findings, evaluated as two classes")
    parser.add_argument("--split", choices=("train", "val", "test"), help="rows of this split (test, where named)")
    parser.add_argument("--prevalence", type=float, metavar="P", help="of the positive class, for PPV and NPV")
    parser.add_argument("--margin", type=float, metavar="M", help="largest loss of AUROC that would not matter")
    parser.add_argument(
        "--operating-point", metavar="RULE", help="chooses a threshold on validation: sensitivity=0.95, cost=10:1@0.05"
    )
    options.add_recalibration(parser)
    parser.add_argument("--by", metavar="A,B", help="columns whose levels are subgroups, e.g. sex,age,site")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap (2000)")
    parser.add_argument("-o", "--output", type=Path, default=Path("evaluation"), help="folder (evaluation)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.evaluate` and show what it found."""
    from xenograft.cli import display
    from xenograft.evaluating import evaluate
    from xenograft.reporting import evaluation_page
    from xenograft.reporting.evaluation_view import EvaluationView
    from xenograft.reporting.terminal_table import plain

    result = evaluate(
        args.predictions,
        labels=args.labels,
        validation=args.validation,
        positive=args.positive,
        finding=args.finding,
        split=args.split,
        prevalence=args.prevalence,
        margin=args.margin,
        operating_point=args.operating_point,
        recalibration=args.recalibration or "auto",
        by=[] if args.by is None else [name for name in args.by.split(",") if name.strip()],
        resamples=args.resamples,
        output=args.output,
        command=options.command_line(),
    )
    record = result.record
    for notice in record["notices"]:
        display.said(notice)
    shown = evaluation_page.tables_of(EvaluationView.of(record))
    for name, without in _SHOWN.items():
        if name in shown:
            display.table(*plain(shown[name], without=without))
    patients = f"{record['patients']} patients" if record["patients_known"] else "patients not named"
    display.said(
        f"{record['images']} images, {patients}; intervals: {record['level']:.0%}, patient-cluster bootstrap, "
        f"{record['resamples']:,} resamples"
    )
    for table in result.tables:
        display.wrote("Table", table)
    display.wrote("All tables (CSV, LaTeX) and figures (SVG, PDF)", result.page.parent)
    display.wrote("Everything, for programs", result.json)
    display.wrote("Evaluation, open this page in a browser", result.page)
