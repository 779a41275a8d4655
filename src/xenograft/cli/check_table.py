"""``xenograft check-table``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from xenograft.cli import options
from xenograft.errors import UsageError, listed, printable

if TYPE_CHECKING:
    from xenograft.evaluation.recovered import Estimate, Reading
    from xenograft.reporting.checked_table import PairCheck, RowCheck, TableCheck

_EXAMPLES = """\
  xenograft check-table table.csv --positives 390 --negatives 234 -o table.json
  xenograft check-table table.csv --positives 390 --negatives 234 --within model
  xenograft check-table --accuracy 90.9 --recall 98.7 --precision 88.1 --positives 390 --negatives 234

TABLE is a CSV with a header: columns that name the rows (model, arm, ...) and metrics in per cent or as fractions, with
the digits that were printed. Which confusion counts can be behind a row is found by trying all of them; no model and no
image is needed. See docs/published-table.md for what the answers mean."""

_METRICS = {
    "accuracy": ("--accuracy",),
    "precision": ("--precision", "--ppv"),
    "recall": ("--recall", "--sensitivity"),
    "specificity": ("--specificity",),
    "npv": ("--npv",),
    "f1": ("--f1",),
    "g_mean": ("--g-mean",),
    "balanced_accuracy": ("--balanced-accuracy",),
    "mcc": ("--mcc",),
}
_NAMES = {
    "accuracy": "accuracy",
    "precision": "PPV (precision)",
    "recall": "sensitivity (recall)",
    "specificity": "specificity",
    "npv": "NPV",
    "f1": "F1",
    "g_mean": "G-mean",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "MCC",
}
_SHOWN = {"accuracy": "accuracy", "recall": "sensitivity", "specificity": "specificity", "f1": "F1", "mcc": "MCC"}
_CONVENTIONS = {
    "other": "of the other class",
    "macro": "plain means over both classes (macro)",
    "weighted": "means over both classes weighted by their size",
}
_RULES = {"cut": "cut instead of rounded", "mixed": "some cut and some rounded"}
_MOST_COUNTS = 4
_MOST_PAIRS = 25


def add(verbs: options.Verbs) -> None:
    """Register the verb."""
    parser = options.verb(verbs, "check-table", _EXAMPLES)
    parser.add_argument("table", nargs="?", type=Path, help="CSV of published rows; or give one row by its numbers")
    parser.add_argument("--positives", type=int, metavar="N", required=True, help="positive images in the test set")
    parser.add_argument("--negatives", type=int, metavar="N", required=True, help="negative images in the test set")
    row = parser.add_argument_group("one row, as printed")
    for name, flags in _METRICS.items():
        row.add_argument(*flags, dest=name, metavar="X", help=_NAMES[name])
    parser.add_argument(
        "--digits",
        metavar="N",
        help="decimals as printed, where the file lost zeros: 1, or accuracy=1,f1=3 (default: the most in a column)",
    )
    parser.add_argument("--ignore", metavar="A,B", default="", help="metrics not to look at, such as g_mean")
    parser.add_argument(
        "--within", metavar="A,B", default="", help="compare only rows that are equal in these columns (default: all)"
    )
    parser.add_argument("--level", type=float, default=0.95, help="of intervals and tests (0.95)")
    parser.add_argument("-o", "--output", type=Path, help="write all of it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Call `xenograft.check_table` and show what was found."""
    from xenograft.api import check_table
    from xenograft.cli import display

    row = {name: text for name in _METRICS if (text := getattr(args, name)) is not None}
    if (args.table is None) == (not row):
        raise UsageError(
            "give either TABLE or the numbers of one row, such as --accuracy 90.9 --recall 98.7", code="E-USAGE-23"
        )
    found = check_table(
        args.table if args.table is not None else [row],
        positives=args.positives,
        negatives=args.negatives,
        digits=_digits(args.digits),
        ignore=_list(args.ignore),
        within=_list(args.within),
        level=args.level,
        output=args.output,
    )
    if args.table is None:
        _show_row(found.rows[0], found)
    else:
        _show_rows(found)
        _show_pairs(found)
    display.said(_caution())
    if args.output is not None:
        display.wrote("All of it for programs", args.output)


def _list(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _digits(text: str | None) -> int | dict[str, int] | None:
    if text is None:
        return None
    try:
        if "=" not in text:
            return int(text)
        return {name.strip(): int(number) for name, number in (part.split("=") for part in text.split(","))}
    except ValueError as error:
        raise UsageError(f"--digits: got {text!r}; allowed: 1, or accuracy=1,f1=3", code="E-USAGE-23") from error


def _show_row(row: RowCheck, found: TableCheck) -> None:
    """One row in full: every metric, also those that were not printed."""
    from xenograft.cli import display

    display.said(_verdict(row))
    for line in _counts(row):
        display.said(line)
    if row.estimates:
        display.table(
            ("metric", "printed", "from the counts", f"{found.level:.0%} interval"),
            [
                (_NAMES[name], row.row.texts.get(name, ""), _value(one), _interval(one))
                for name, one in row.estimates.items()
            ],
        )


def _show_rows(found: TableCheck) -> None:
    from xenograft.cli import display

    rows = []
    for row in found.rows:
        cells = [_cell(row.estimates[name]) if _telling(row) else "-" for name in _SHOWN]
        rows.append((printable(row.row.name), "\n".join(_short(row)), *cells, _mark(row)))
    display.table(("row", "TP/FP/FN/TN", *_SHOWN.values(), "printed numbers"), rows)
    impossible = [row for row in found.rows if not row.recovery.possible]
    display.said(
        f"{len(found.rows)} rows on {found.positives} positive and {found.negatives} negative images; "
        f"{len(impossible)} impossible as printed; in brackets {found.level:.0%} intervals"
    )
    if impossible:
        display.said(
            "Impossible: no confusion matrix gives all numbers of the row. But for: one gives the others and is shown. "
            "Unless: one gives all of them as those of the other class, or as means over both."
        )
    if found.ignored:
        display.said(f"not looked at: {listed(found.ignored, most=20)}")


def _show_pairs(found: TableCheck) -> None:
    """Differences in accuracy, the surest first."""
    from xenograft.cli import display
    from xenograft.reporting.checked_table import VERDICTS

    if not found.pairs:
        return
    pairs = sorted(found.pairs, key=lambda pair: (pair.worst, pair.unpaired, pair.best))
    display.said("")
    display.table(
        ("difference in accuracy", "points", f"{found.level:.0%} interval", "unpaired p", "McNemar p", "verdict"),
        [_pair(pair, found) for pair in pairs[:_MOST_PAIRS]],
    )
    if len(pairs) > _MOST_PAIRS:
        display.said(f"and {len(pairs) - _MOST_PAIRS} less sure ones; -o writes all")
    among = f" within {', '.join(found.within)}" if found.within else ""
    display.said(
        f"{len(pairs)} pairs{among}; p adjusted for all of them (Holm), intervals not. McNemar p: from the most to the "
        "least overlap of errors that the counts allow."
    )
    for verdict, text in VERDICTS.items():
        display.said(f"  {verdict:8} {sum(pair.verdict == verdict for pair in pairs):4}  {text}")
    if found.not_compared:
        display.said(f"not compared, no number of right answers gives their accuracy: {listed(found.not_compared)}")


def _pair(pair: PairCheck, found: TableCheck) -> tuple[str, ...]:
    from xenograft.reporting.p_values import p_text

    of = pair.pair
    points = f"{100 * of.least:+.1f}" + (f" to {100 * of.most:+.1f}" if of.most > of.least else "")
    names = " - ".join(printable(found.rows[i].row.name) for i in (pair.a, pair.b))
    return (
        names, points, f"{100 * of.low:+.1f} to {100 * of.high:+.1f}", p_text(pair.unpaired),
        f"{p_text(pair.best)} to {p_text(pair.worst)}", pair.verdict,
    )  # fmt: skip


def _verdict(row: RowCheck) -> str:
    """What the printed numbers are worth together, as a sentence."""
    found = row.recovery
    if found.possible:
        several = len(found.counts)
        matrices = "exactly one confusion matrix" if several == 1 else f"{several} confusion matrices"
        return f"These numbers agree with {matrices}{_by(found.readings[0])}."
    parts = ["No confusion matrix gives these numbers."]
    if found.readings:
        parts.append(f"They are possible without {_left_out(row)}.")
    else:
        parts.append("Leaving out one or two of them does not help.")
    if found.conventions:
        conventions = " or ".join(_CONVENTIONS[name] for name in found.conventions)
        parts.append(f"All are possible if they are {conventions}.")
    return " ".join(parts)


def _counts(row: RowCheck) -> list[str]:
    """Possible counts, in words."""
    lines = []
    for reading in row.recovery.readings:
        without = f" without {_join(reading.left_out)}" if reading.left_out else ""
        for tp, fp, fn, tn in reading.counts[:_MOST_COUNTS].tolist():
            lines.append(f"  TP {tp}, FP {fp}, FN {fn}, TN {tn}{without}")
        if len(reading.counts) > _MOST_COUNTS:
            lines.append(f"  and {len(reading.counts) - _MOST_COUNTS} more{without}")
    return lines


def _short(row: RowCheck) -> list[str]:
    if not _telling(row):
        return ["none"]
    counts = row.recovery.counts
    if len(counts) > _MOST_COUNTS:
        tp, fp = counts[:, 0], counts[:, 1]
        return [f"{len(counts)} possible", f"TP {tp.min()}-{tp.max()}", f"FP {fp.min()}-{fp.max()}"]
    return ["/".join(map(str, cells)) for cells in counts.tolist()]


def _telling(row: RowCheck) -> bool:
    """At most one number had to be left out; without two, there are counts for nearly everything."""
    return bool(row.recovery.readings) and len(row.recovery.readings[0].left_out) <= 1


def _mark(row: RowCheck) -> str:
    found = row.recovery
    if found.possible:
        return f"agree{_by(found.readings[0])}"
    ways = []
    if found.readings:
        singles = [reading.left_out[0].replace("_", " ") for reading in found.readings]
        ways.append(f"but for {' or '.join(singles)}" if _telling(row) else "but for two numbers")
    ways += [f"unless {name}" for name in found.conventions]
    return ", ".join(["impossible", *ways]).replace("impossible, but", "impossible but")


def _by(reading: Reading) -> str:
    """How digits were made, where it is not plain rounding."""
    return "" if "rounded" in reading.rules else f", {_RULES[reading.rules[0]]}"


def _left_out(row: RowCheck) -> str:
    return " or without ".join(_join(reading.left_out) for reading in row.recovery.readings)


def _join(names: tuple[str, ...]) -> str:
    return " and ".join(_NAMES[name] for name in names)


def _cell(one: Estimate) -> str:
    return f"{_value(one)} ({one.low:.3f}-{one.high:.3f})"


def _value(one: Estimate) -> str:
    return "-".join(dict.fromkeys((f"{one.least:.3f}", f"{one.most:.3f}")))


def _interval(one: Estimate) -> str:
    return f"{one.low:.3f} to {one.high:.3f}" if one.low == one.low else "undefined"  # nan: of no images


def _caution() -> str:
    from xenograft.reporting.checked_table import CAUTION

    return CAUTION
