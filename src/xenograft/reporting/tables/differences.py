"""Paired comparisons -> their table."""

from __future__ import annotations

from typing import Any

from xenograft.reporting import pairs, style
from xenograft.reporting.findings import mean_note
from xenograft.reporting.groups import View
from xenograft.reporting.p_values import p_text
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

_HEADINGS = {"recipes": "Recipes of one backbone", "backbones": "Backbones by one recipe"}


def differences(view: View) -> Table | None:
    """One row per comparison and measure; None where nothing was compared."""
    ordered = sorted(view.study.record.comparisons, key=pairs.order)
    if not ordered:
        return None
    mean = f" {mean_note(view)}" if view.multi_label else ""
    blocks = []
    for family in dict.fromkeys(c["family"] for c in ordered):
        mine = [c for c in ordered if c["family"] == family]
        rows = tuple(_row(c, first=i == 0 or pairs.arms(mine[i - 1]) != pairs.arms(c)) for i, c in enumerate(mine))
        blocks.append(Block(_HEADINGS[family], rows, key=family))
    return Table(
        name="table-differences",
        title=f"Paired differences on the test set ({view.test_size()})",
        caption=f"First minus second, on the same images; {view.level} intervals, not adjusted. {_tested(ordered)} "
        f"Differences of rates are in percentage points.{mean}",
        columns=(
            Column("Compared", words=True, csv=("backbone_a", "recipe_a", "backbone_b", "recipe_b", "lr_scale")),
            Column("Measure", words=True, csv=("metric",)),
            Column("Difference", csv=("difference",)),
            Column("Interval", csv=("low", "high", "test")),
            Column("Bootstrap", csv=("bootstrap_low", "bootstrap_high", "resamples")),
            Column("p", csv=("p",)),
            Column("p, adjusted", csv=("p_holm", "comparisons")),
            Column("Reading", words=True, csv=("reading",)),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def _tested(comparisons: list[dict[str, Any]]) -> str:
    """Which tests, and what p was adjusted for."""
    tests = {style.metric_name(c["metric"]): c["test"] for c in comparisons}
    said = "; ".join(f"{metric}: {test}" for metric, test in tests.items())
    counts = sorted({c["of"] for c in comparisons})
    of = (
        pairs.adjusted(counts[0]).replace("of the study", "of the study by the same measure")
        if len(counts) == 1
        else f"adjusted for all {counts[0]} to {counts[-1]} comparisons of the study by the same measure (Holm)"
    )
    least = 2 / (min(c["resamples"] for c in comparisons) + 1) * counts[-1]
    floor = f" An adjusted p from resamples cannot be below {least:.3f}." if least > 0.01 else ""
    return f"{said}. p: two-sided; {of}.{floor}"


def _row(c: dict[str, Any], *, first: bool) -> Row:
    a, b = pairs.arms(c)
    metric = c["metric"]
    low, high = c.get("low"), c.get("high")
    drawn = c.get("bootstrap") or (c if "bootstrap" in c["test"] else {})
    ends = (drawn.get("low"), drawn.get("high"))
    return Row(
        (
            Cell(
                f"{pairs.head(c)}: {pairs.name(c)}" if first else "",
                raw=(a.backbone, a.recipe, b.backbone, b.recipe, a.lr_scale),
            ),
            Cell(style.metric_name(metric), raw=(metric,)),
            Cell(style.number(c.get("difference"), metric=metric, signed=True), raw=(c.get("difference"),)),
            Cell(style.interval(low, high, metric=metric, signed=True), raw=(low, high, c["test"])),
            Cell(style.interval(*ends, metric=metric, signed=True), raw=(*ends, c.get("resamples"))),
            Cell(p_text(c.get("p")), raw=(c.get("p"),)),
            Cell(p_text(c.get("p_holm")), raw=(c.get("p_holm"), c["of"])),
            Cell(pairs.reading(c), raw=(pairs.reading(c),)),
        )
    )
