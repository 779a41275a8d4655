"""Paired differences -> Figure S1, a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.figures.results import FOOT, HEAD, ROW, bare, name_rows, rows_of
from xenograft.reporting.findings import mean_note
from xenograft.reporting.groups import View

_PREFERRED = ("auroc", "accuracy", "f1")
Pair = tuple[str, float, str, str]


def pairs(view: View) -> list[Pair]:
    """Compared pairs in order: backbone, learning-rate scale, first recipe, second recipe."""
    found = {(c["backbone"], float(c["lr_scale"]), c["a"], c["b"]) for c in view.study.record.comparisons}
    return sorted(
        found, key=lambda p: (-p[1], style.backbone_order(p[0]), style.recipe_order(p[2]), style.recipe_order(p[3]))
    )


def forest(view: View) -> Drawing | None:
    """Figure S1; None where nothing was compared."""
    known = [c for c in view.study.record.comparisons if c.get("difference") is not None]
    metrics = _metrics(known)
    if not metrics:
        return None
    rows = [p for p in pairs(view) if any(_pair(c) == p for c in known)]
    places = rows_of([f"{backbone} {scale}" for backbone, scale, _, _ in rows])
    depth = places[-1] + ROW
    sheet = Sheet(HEAD + depth + FOOT, stamps=view.stamps)
    names = name_rows(sheet, view, [(p[0], pair_name(p)) for p in rows], places)
    width = (sheet.width - names - 0.12 - 0.22 * (len(metrics) - 1)) / len(metrics)
    for i, metric in enumerate(metrics):
        axes = sheet.axes(names + i * (width + 0.22), HEAD, width, depth)
        unit = 100 if metric in style.PERCENT else 1
        for c in known:
            if c["metric"] != metric:
                continue
            place = places[rows.index(_pair(c))]
            colour = view.colours.get(c["backbone"], style.INK)
            if c.get("low") is not None and c.get("high") is not None:
                axes.plot([unit * c["low"], unit * c["high"]], [place, place], color=colour, linewidth=1.2)
            axes.plot([unit * c["difference"]], [place], "o", color=colour, markersize=4.6)
        axes.axvline(0, color=style.INK, linewidth=0.9)
        bare(axes, places)
        axes.set_title(style.metric_name(metric) + (" (points)" if metric in style.PERCENT else ""), pad=4)
        axes.set_ylim(depth, 0)
    mean = f" {mean_note(view)}" if view.multi_label else ""
    return sheet.finish(
        name="figure-S1-differences",
        number="Figure S1",
        title="Paired differences on the test set",
        caption=f"Each row is the first recipe minus the second, on the same {view.test_size()}: right of zero, the "
        f"first is higher. Bar: {view.level} interval, paired patient-cluster bootstrap. An interval that crosses zero "
        f"means that these data do not show a difference.{mean}",
    )


def pair_name(pair: Pair) -> str:
    """``probe − scratch``, with the learning-rate scale where it is not 1."""
    _, scale, a, b = pair
    suffix = "" if scale == 1.0 else f" (lr × {scale:g})"
    return f"{style.recipe_name(a)} − {style.recipe_name(b)}{suffix}"


def _pair(comparison: dict[str, Any]) -> Pair:
    return comparison["backbone"], float(comparison["lr_scale"]), comparison["a"], comparison["b"]


def _metrics(comparisons: Sequence[dict[str, Any]]) -> list[str]:
    """At most three metrics; the loss only where there is nothing else, since lower is better there."""
    found = list(dict.fromkeys(c["metric"] for c in comparisons))
    ordered = [m for m in _PREFERRED if m in found] + [m for m in found if m not in _PREFERRED and m != "loss"]
    return ordered[:3] or found[:1]
