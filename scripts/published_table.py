"""Fill the numbers of docs/published-table.md from `xenograft.check_table`.

Usage: uv run python scripts/published_table.py. Each block of the page between ``<!-- NAME -->`` and ``<!-- /NAME -->``
is written anew; the rest is left as it is.
"""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from importlib import resources
from pathlib import Path

import numpy as np

import xenograft
from xenograft.evaluation.recovered import Estimate, count_metrics, recover
from xenograft.reporting.checked_table import PairCheck, RowCheck, TableCheck
from xenograft.reporting.printed_table import read_rows
from xenograft.storage import atomic_write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "published-table.md"
SIZES = {"positives": 390, "negatives": 234}
NAMES = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "g_mean": "G-mean"}


def main() -> None:
    """Check the paper's tables and write the page."""
    atomic_write(PAGE, filled(PAGE.read_text(encoding="utf-8")))


def filled(page: str) -> str:
    """The page with all of its blocks made anew."""
    text = resources.files("xenograft.reporting").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    four = xenograft.check_table(rows, ignore=["g_mean"], within=["table", "model"], **SIZES)
    same_rate = [{k: v for k, v in row.items() if k != "table"} for row in rows if row["table"] != "3"]
    backbones = xenograft.check_table(same_rate, ignore=["g_mean"], within=["arm"], **SIZES)
    blocks = {
        "rows": "\n\n".join(row_table(four, table) for table in "234"),
        "hidden": hidden_table(four),
        "impossible": impossible(four),
        "sharpness": sharpness(rows, four),
        "g-mean": g_mean(rows, four),
        "gains": f"{tally(four, 'table')}\n\n{pair_table(four, four.pairs)}",
        "backbones": f"{tally(backbones, 'arm')}\n\n{pair_table(backbones, sure(backbones))}",
    }
    for name, block in blocks.items():
        pattern = rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)"
        page, times = re.subn(pattern, lambda _, block=block: f"\n{block}\n\n", page, flags=re.DOTALL)
        if times != 1:
            raise SystemExit(f"{PAGE} has {times} blocks {name}")
    return page


def row_table(found: TableCheck, table: str) -> str:
    """Counts and intervals of one of the paper's tables."""
    lines = [
        f"**Table {table}**",
        "",
        "| backbone | arm | TP / FP / FN / TN | accuracy (%) | sensitivity (%) | specificity (%) | F1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found.rows:
        labels = row.row.labels
        if labels["table"] != table:
            continue
        values = row.estimates
        cells = [percent(values[name]) for name in ("accuracy", "recall", "specificity")] + [fraction(values["f1"])]
        if not row.recovery.possible:
            printed = [f"printed {row.row.texts['accuracy']}", f"printed {row.row.texts['recall']}", "–"]
            cells = [*printed, f"printed {row.row.texts['f1']}"]
        lines.append(f"| {labels['model']} | {labels['arm']} | {counts(row)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def counts(row: RowCheck) -> str:
    """The one confusion matrix of a row, or that there is none."""
    found = row.recovery
    if not found.possible:
        return "none"
    mark = "" if "rounded" in found.readings[0].rules else " ¹"
    return "; ".join(" / ".join(map(str, cells)) for cells in found.counts.tolist()) + mark


def hidden_table(found: TableCheck) -> str:
    """What possible rows of Tables 2 and 4 imply and do not print."""
    lines = [
        "| backbone | arm | normal films called pneumonia | balanced accuracy | MCC | NPV |",
        "|---|---|---|---|---|---|",
    ]
    for row in possible(found):
        if row.row.labels["table"] == "3":
            continue
        fp = sorted({int(cells[1]) for cells in row.recovery.counts})
        share = " or ".join(f"{n} of 234 ({100 * n / 234:.0f} %)" for n in fp)
        cells = [fraction(row.estimates[name]) for name in ("balanced_accuracy", "mcc", "npv")]
        lines.append(f"| {row.row.labels['model']} | {row.row.labels['arm']} | {share} | {' | '.join(cells)} |")
    return "\n".join(lines)


def impossible(found: TableCheck) -> str:
    """Which rows no confusion matrix explains, and what would have to be left out."""
    of = {t: [row for row in found.rows if row.row.labels["table"] == t] for t in "234"}
    agree = {t: sum(row.recovery.possible for row in rows) for t, rows in of.items()}
    lines = [
        "; ".join(f"Table {t}: {agree[t]} of {len(rows)} rows are possible" for t, rows in of.items()) + ".",
        "",
        "| table | backbone | arm | impossible by itself | possible without |",
        "|---|---|---|---|---|",
    ]
    for row in found.rows:
        if row.recovery.possible:
            continue
        sets = [reading.left_out for reading in row.recovery.readings]
        without = " or ".join(" and ".join(NAMES[name] for name in names) for names in sets) or "none or two of them"
        if sets and len(sets[0]) > 1:
            without = "two of the four: " + "; ".join(" and ".join(NAMES[name] for name in names) for names in sets)
        where = " | ".join(row.row.labels[name] for name in ("table", "model", "arm"))
        lines.append(f"| {where} | {alone(row)} | {without} |")
    explained = sum(bool(row.recovery.conventions) for row in found.rows)
    lines += [
        "",
        f"{explained or 'None'} of these rows would be possible if precision, recall and F1 were those of the other "
        "class, or plain or weighted means over both.",
    ]
    return "\n".join(lines)


def alone(row: RowCheck) -> str:
    """Numbers of a row that no count of these films gives, whatever the others are."""
    known = {name: recover({name: number}, **SIZES).possible for name, number in row.row.printed.items()}
    wrong = [f"{NAMES[name]} {row.row.texts[name]}" for name, possible in known.items() if not possible]
    return ", ".join(wrong) or "–"


def sharpness(rows: list[dict[str, str]], found: TableCheck) -> str:
    """How often one last digit that is off by one would be noticed, tried on the possible rows of Table 2."""
    columns = ("accuracy_pct", "precision_pct", "recall_pct", "f1")
    changed = []
    for row, checked in zip(rows, found.rows, strict=True):
        if row["table"] != "2" or not checked.recovery.possible:
            continue
        for column in columns:
            unit = Decimal(1).scaleb(-len(row[column].partition(".")[2]))
            changed += [{c: row[c] for c in columns} | {column: str(Decimal(row[column]) + s * unit)} for s in (-1, 1)]
    seen = [recover(row.printed, **SIZES) for row in read_rows(changed).rows]
    noticed = sum(not found.possible for found in seen)
    return (
        "Tried on the possible rows of Table 2: when one of the four numbers is moved by one unit of its last digit, "
        f"up or down, the row becomes impossible in {noticed} of {len(seen)} cases."
    )


def g_mean(rows: list[dict[str, str]], found: TableCheck) -> str:
    """The printed G-mean beside that of the counts."""
    lines = ["| table | backbone | arm | printed | √(sensitivity · specificity) |", "|---|---|---|---|---|"]
    apart = []
    for row, checked in zip(rows, found.rows, strict=True):
        if not checked.recovery.possible:
            continue
        values = count_metrics(checked.recovery.counts)["g_mean"]
        apart.append(float(np.abs(values - float(row["g_mean"])).min()))
        lines.append(
            f"| {row['table']} | {row['model']} | {row['arm']} | {row['g_mean']} | "
            f"{' or '.join(sorted({f'{value:.3f}' for value in values}))} |"
        )
    equal = sum(difference <= 0.0005 for difference in apart)
    summary = (
        f"Of {len(apart)} possible rows, {equal or 'none'} has printed the G-mean of its counts, rounded; the others "
        f"differ by up to {max(apart):.3f}."
    )
    return "\n".join([summary, "", *lines])


def tally(found: TableCheck, column: str) -> str:
    """Which pairs had which verdict, by what they have in common or in words."""
    lines = [
        f"{len(found.pairs)} comparisons, p adjusted for all of them (Holm). In brackets: how many of each would be "
        "called different if the errors were independent (unpaired test).",
        "",
        f"| {column} | beyond | depends | within |",
        "|---|---|---|---|",
    ]
    for value in dict.fromkeys(found.rows[pair.a].row.labels[column] for pair in found.pairs):
        pairs = [pair for pair in found.pairs if found.rows[pair.a].row.labels[column] == value]
        cells = []
        for verdict in ("beyond", "depends", "within"):
            those = [pair for pair in pairs if pair.verdict == verdict]
            cells.append(f"{len(those)} ({sum(pair.unpaired < 1 - found.level for pair in those)})")
        lines.append(f"| {value} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sure(found: TableCheck) -> list[PairCheck]:
    """The pairs that exceed chance however the errors overlap, largest difference first."""
    pairs = [pair for pair in found.pairs if pair.verdict == "beyond"]
    return sorted(pairs, key=lambda pair: -abs(pair.pair.least + pair.pair.most))


def pair_table(found: TableCheck, pairs: list[PairCheck] | tuple[PairCheck, ...]) -> str:
    """Differences with the better row first."""
    lines = [
        "| better | other | points (95 % interval) | p, unpaired | p, McNemar, from most to least overlap | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        of = pair.pair
        turned = of.least + of.most < 0
        better, other = (pair.b, pair.a) if turned else (pair.a, pair.b)
        ends = sorted(-end if turned else end for end in (of.low, of.high))
        points = sorted({f"{100 * (-end if turned else end):+.1f}" for end in (of.least, of.most)})
        lines.append(
            f"| {found.rows[better].row.name} | {found.rows[other].row.name} | {' to '.join(points)} "
            f"({100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}) | {p(pair.unpaired)} | "
            f"{p(pair.best)} to {p(pair.worst)} | {pair.verdict} |"
        )
    return "\n".join(lines)


def possible(found: TableCheck) -> list[RowCheck]:
    """Rows that one confusion matrix explains."""
    return [row for row in found.rows if row.recovery.possible]


def percent(one: Estimate) -> str:
    """Value and interval in per cent."""
    value = "–".join(dict.fromkeys(f"{100 * end:.1f}" for end in (one.least, one.most)))
    return f"{value} ({100 * one.low:.1f}–{100 * one.high:.1f})"


def fraction(one: Estimate) -> str:
    """Value and interval as fractions."""
    value = "–".join(dict.fromkeys(f"{end:.3f}" for end in (one.least, one.most)))
    return f"{value} ({one.low:.3f}–{one.high:.3f})"


def p(value: float) -> str:
    """A p in three decimals."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


if __name__ == "__main__":
    main()
