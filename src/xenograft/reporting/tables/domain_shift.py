"""A domain-shift view -> the tables of its page, and the one of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.domain_shift_view import ADAPTATIONS, METRICS, POLICIES, Json, ShiftView, entry, text
from xenograft.reporting.p_values import p_text
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

_SPLITS = ("train", "val", "test")


def measures(view: ShiftView, policy: str | None = None) -> Table:
    """Every arm on the test images of both domains.

    Args:
        policy: of decisions; None takes each group's main one.
    """
    metrics = [m for m in METRICS if view.two_classes or m not in {"slope", "in_the_large"}]
    columns = [
        Column("Model", words=True, csv=("backbone", "recipe")),
        Column("Test of", words=True, csv=("domain",)),
        Column("Adaptation", words=True, csv=("adaptation",)),
        *(Column(METRICS[m], csv=(m, f"{m}_low", f"{m}_high")) for m in metrics),
    ]
    rows = []
    for group in view.record["groups"]:
        every = [(d, a, card) for d, a, card, _ in view.rows(group)]
        every += [
            ("source", arm["adaptation"], arm["source"])
            for arm in group["arms"]
            if arm["adaptation"] != "none" and arm["source"] is not None
        ]
        for i, (domain, adaptation, card) in enumerate(every):
            named = view.model(group) if i == 0 else ""
            used = policy or group["policy"]
            rows.append(
                Row(
                    (
                        Cell(named, raw=(printable(group["backbone"]), group["recipe"])),
                        Cell(domain),
                        Cell(ADAPTATIONS[adaptation], raw=(adaptation,)),
                        *(_number(entry(card, m, used), m) for m in metrics),
                    )
                )
            )
    decided = POLICIES[policy or view.record["policy"]]
    return Table(
        name="measures" if policy is None else f"measures-{policy}",
        title=f"Both test sets; decisions by {decided}",
        caption=f"Small: {view.level} intervals, {view.record['resamples']:,} resamples of test patients. Accuracy, "
        f"sensitivity and specificity in per cent. {_calibration(view)}Source: {view.size('source')}; target: "
        f"{view.size('target')}. An adapted model on the source is what adaptation leaves of it there.",
        columns=tuple(columns),
        blocks=(Block("", tuple(rows)),),
    )


def _calibration(view: ShiftView) -> str:
    if not view.two_classes:
        return "Sensitivity and specificity are means over classes; Brier sums over classes. "
    return (
        "Brier: mean squared error of the probability, lower is better. Slope 1 and in the large 0: calibrated; in the "
        "large above 0, probabilities are too low as a whole. "
    )


def differences(view: ShiftView) -> Table | None:
    """Adapted minus not adapted on the target's test images."""
    rows = []
    for group in view.record["groups"]:
        for i, row in enumerate(group["differences"]):
            metric = row["metric"]
            rows.append(
                (
                    Cell(view.model(group) if i == 0 else "", raw=(printable(group["backbone"]), group["recipe"])),
                    Cell(f"{ADAPTATIONS[row['adaptation']]} − not adapted", raw=(row["adaptation"],)),
                    Cell(METRICS[metric], raw=(metric,)),
                    Cell(
                        style.number(row["difference"], metric=metric, signed=True),
                        (style.interval(row["low"], row["high"], metric=metric, signed=True),),
                        raw=(row["difference"], row["low"], row["high"]),
                    ),
                    Cell("" if row["p"] is None else p_text(row["p"]), raw=(row["p"],)),
                    Cell("" if row["p_holm"] is None else p_text(row["p_holm"]), raw=(row["p_holm"],)),
                )
            )
    if not rows:
        return None
    columns = [
        Column("Model", words=True, csv=("backbone", "recipe")),
        Column("Difference", words=True, csv=("adaptation",)),
        Column("Metric", words=True, csv=("metric",)),
        Column("Value", csv=("difference", "low", "high")),
        Column("p", csv=("p",)),
        Column("Adjusted p", csv=("p_holm",)),
    ]
    return _table(
        "differences",
        "What adaptation changes on the target's test images",
        f"Paired: both models on the same resamples of {view.size('target')}; {view.level} intervals, not adjusted. p: "
        f"two-sided, by the same bootstrap, for AUROC, accuracy and Brier; adjusted by Holm over all "
        f"{view.record['tests']} of them. A lower Brier score is better.",
        columns,
        rows,
    )


def distances(view: ShiftView) -> Table | None:
    """How far apart the domains are in the features of each arm."""
    rows = []
    for group in view.record["groups"]:
        known = [arm for arm in group["arms"] if arm["apart"] is not None]
        for i, arm in enumerate(known):
            found = arm["apart"]
            rows.append(
                (
                    Cell(view.model(group) if i == 0 else "", raw=(printable(group["backbone"]), group["recipe"])),
                    Cell(ADAPTATIONS[arm["adaptation"]], raw=(arm["adaptation"],)),
                    _number(found["two_sample"], "two_sample"),
                    _number(found["ratio"], "ratio"),
                    Cell(f"{found['images'][0]:,} and {found['images'][1]:,}", raw=tuple(found["images"])),
                )
            )
    if not rows:
        return None
    columns = [
        Column("Model", words=True, csv=("backbone", "recipe")),
        Column("Adaptation", words=True, csv=("adaptation",)),
        Column("Told apart (AUROC)", csv=("two_sample", "two_sample_low", "two_sample_high")),
        Column("D ratio", csv=("ratio", "ratio_low", "ratio_high")),
        Column("Test images", csv=("source_images", "target_images")),
    ]
    of_one = " Features of the first seed's models alone." if view.record["seeds"] > 1 else ""
    return _table(
        "distances",
        "How far apart the domains are in the features",
        "Told apart: how well a linear probe tells source from target test images, cross-validated by patient; 0.5 "
        "means not at all, 1 always. D ratio: mean distance between the domains (Eq. 9, Euclidean) over that within "
        f"them; 1 for one distribution. {view.level} intervals by patient.{of_one}",
        columns,
        rows,
    )


def domains(view: ShiftView) -> Table:
    """Images and patients of each split and class."""
    classes = list(view.record["classes"])
    rows = []
    for name in ("source", "target"):
        counts = view.record[name]["counts"]
        splits = [split for split in _SPLITS if split in counts]
        for i, split in enumerate(splits):
            cells = [
                Cell(
                    f"{counts[split][c]['images']:,}",
                    (style.plural(counts[split][c]["patients"], "patient"),),
                    raw=(counts[split][c]["images"], counts[split][c]["patients"]),
                )
                for c in classes
            ]
            named = f"{name}: {view.domain(name)}" if i == 0 else ""
            rows.append(
                (Cell(named, raw=(name, view.domain(name))), Cell(style.split_name(split), raw=(split,)), *cells)
            )
    columns = [
        Column("Domain", words=True, csv=("domain", "data")),
        Column("Split", words=True, csv=("split",)),
        *(Column(printable(c), csv=(f"images_{printable(c)}", f"patients_{printable(c)}")) for c in classes),
    ]
    return _table("domains", "The two domains", "Images of each class, and their patients.", columns, rows)


def brief(view: ShiftView) -> tuple[tuple[str, ...], list[list[str]]]:
    """The table of the terminal: headings and rows of text."""
    rows = []
    for group in view.record["groups"]:
        for i, (domain, adaptation, card, _) in enumerate(view.rows(group)):
            used = group["policy"]
            rows.append(
                [
                    view.model(group) if i == 0 else "",
                    domain,
                    ADAPTATIONS[adaptation],
                    text(entry(card, "auroc", used), "auroc"),
                    *(text(entry(card, m, used), m) for m in ("accuracy", "brier")),
                ]
            )
    return ("model", "test of", "adaptation", f"AUROC ({view.level} CI)", "accuracy, %", "Brier"), rows


def _number(found: Json | None, metric: str) -> Cell:
    if found is None:
        return Cell(style.MISSING, raw=("", "", ""))
    ends = style.interval(found["low"], found["high"], metric=metric)
    return Cell(
        style.number(found["value"], metric=metric),
        (ends,) if ends else (),
        raw=(found["value"], found["low"], found["high"]),
    )


def _table(name: str, title: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Table:
    return Table(name, title, caption, tuple(columns), (Block("", tuple(Row(tuple(row)) for row in rows)),))
