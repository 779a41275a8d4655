"""Paired comparisons -> Table S1."""

from __future__ import annotations

from typing import Any

from xenograft.reporting import style
from xenograft.reporting.findings import mean_note
from xenograft.reporting.groups import View
from xenograft.reporting.p_values import p_text
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table


def differences(view: View) -> Table | None:
    """Table S1, one row per comparison; None where nothing was compared."""
    comparisons = view.study.record.comparisons
    if not comparisons:
        return None
    mean = f" {mean_note(view)}" if view.multi_label else ""
    loss = " For the loss, lower is better." if any(c["metric"] == "loss" for c in comparisons) else ""
    ordered = sorted(comparisons, key=_order)
    rows = tuple(_row(c, first=i == 0 or _pair(ordered[i - 1]) != _pair(c)) for i, c in enumerate(ordered))
    return Table(
        name="table-S1-differences",
        number="Table S1",
        title=f"Paired differences on the test set ({view.test_size()})",
        caption=f"First recipe minus second, on the same images. Interval: {view.level}, paired patient-cluster "
        f"bootstrap. {style.plural(len(rows), 'comparison')} in all; the intervals are not adjusted for their number."
        f"{_tested(ordered)} "
        f"Differences of rates are in percentage points.{loss}{mean}",
        columns=(
            Column("Model", words=True, csv=("backbone",)),
            Column("Recipes", words=True, csv=("a", "b", "lr_scale")),
            Column("Measure", words=True, csv=("metric",)),
            Column("Difference", csv=("difference",)),
            Column("Interval", csv=("low", "high", "resamples")),
            Column("p, adjusted", csv=("p", "p_holm")),
            Column("Reading", words=True, csv=("reading",)),
        ),
        blocks=(Block("", rows),),
    )


def reading(comparison: dict[str, Any]) -> str:
    """What an interval lets one say: which recipe is higher, or that no difference is shown."""
    low, high = comparison.get("low"), comparison.get("high")
    if low is None or high is None:
        return "no interval"
    if low <= 0 <= high:
        return "no difference shown"
    return f"{style.recipe_name(comparison['a'] if low > 0 else comparison['b'])} higher"


def _tested(comparisons: list[dict[str, Any]]) -> str:
    """What the column of p says; nothing where a record has none."""
    known = [c for c in comparisons if c.get("p") is not None]
    if not known:
        return ""
    least = 2 / (min(c["resamples"] for c in known) + 1) * len(known)
    floor = f"; none can be below {least:.3f}" if least > 0.01 else ""
    return f" p: two-sided, from the same resamples, adjusted for all {len(known)} of them (Holm){floor}."


def _pair(c: dict[str, Any]) -> tuple[str, float, str, str]:
    return c["backbone"], float(c["lr_scale"]), c["a"], c["b"]


def _order(c: dict[str, Any]) -> tuple[object, ...]:
    metrics = list(style.METRICS)
    metric = metrics.index(c["metric"]) if c["metric"] in metrics else len(metrics)
    backbone, scale, a, b = _pair(c)
    return (-scale, style.backbone_order(backbone), style.recipe_order(a), style.recipe_order(b), metric)


def _row(c: dict[str, Any], *, first: bool) -> Row:
    backbone, scale, a, b = _pair(c)
    metric = c["metric"]
    name = style.backbone_name(backbone)
    suffix = "" if scale == 1.0 else f" (lr × {scale:g})"
    recipes = f"{style.recipe_name(a)} − {style.recipe_name(b)}{suffix}"
    low, high = c.get("low"), c.get("high")
    return Row(
        (
            Cell(name if first else "", raw=(name,)),
            Cell(recipes if first else "", raw=(a, b, scale)),
            Cell(style.metric_name(metric), raw=(metric,)),
            Cell(style.number(c.get("difference"), metric=metric, signed=True), raw=(c.get("difference"),)),
            Cell(style.interval(low, high, metric=metric, signed=True), raw=(low, high, c.get("resamples"))),
            Cell(p_text(c.get("p_holm")), raw=(c.get("p"), c.get("p_holm"))),
            Cell(reading(c), raw=(reading(c),)),
        )
    )
