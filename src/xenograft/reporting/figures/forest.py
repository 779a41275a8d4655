"""Paired differences -> a forest plot of one family: recipes within backbones, or backbones within recipes."""

from __future__ import annotations

from typing import Any

from xenograft.reporting import pairs, style
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.figures.results import FOOT, HEAD, ROW, bare, rows_of
from xenograft.reporting.findings import mean_note
from xenograft.reporting.groups import View
from xenograft.reporting.p_values import p_text

_TEXT = 2.15  # inches: difference and p in figures
_HEADS, _NAMES = (0.6, 1.55), (1.0, 2.35)  # inches at least and at most: what both share; the pair
_LETTER = 0.0575  # inches, of a name
_MOST = 60  # rows of one figure; the table has all
_CITED = {
    "recipes": ("figure-differences", "Paired differences between recipes on the test set"),
    "backbones": ("figure-differences-backbones", "Paired differences between backbones on the test set"),
}


def forest(view: View, family: str = "recipes") -> Drawing | None:
    """One family's differences in AUROC, or in accuracy where there is no AUROC; None where nothing was compared."""
    known = [c for c in view.study.record.comparisons if c["family"] == family and c.get("difference") is not None]
    metric = next((m for m in ("auroc", "accuracy", "f1") if any(c["metric"] == m for c in known)), None)
    if metric is None:
        return None
    every = sorted((c for c in known if c["metric"] == metric), key=pairs.order)
    rows = every[:_MOST]
    heads = [pairs.head(c) for c in rows]
    places = rows_of(heads)
    depth = places[-1] + ROW
    sheet = Sheet(HEAD + depth + FOOT, stamps=view.stamps)
    names = [pairs.name(c) for c in rows]
    indent = _width(heads, *_HEADS, bold=1.12)
    left, right = indent + _width(names, *_NAMES), sheet.width - _TEXT + 0.12
    axes = sheet.axes(left, HEAD, sheet.width - left - _TEXT, depth)
    unit = 100 if metric in style.PERCENT else 1
    for place, c, head, name, before in zip(places, rows, heads, names, ["", *heads], strict=False):
        if head != before:
            sheet.text(0.02, HEAD + place, _cut(head, _HEADS[1] / 1.12), weight="bold", fontsize=7)
        sheet.text(indent, HEAD + place, _cut(name, _NAMES[1]), fontsize=7)
        sheet.text(right, HEAD + place, _figures(c, metric), fontsize=6.8)
        sheet.text(sheet.width - 0.04, HEAD + place, p_text(c.get("p_holm")), fontsize=6.8, ha="right")
        _mark(axes, c, place, unit)
    axes.axvline(0, color=style.INK, linewidth=0.9)
    bare(axes, places)
    axes.set_title(f"{style.metric_name(metric)}{' (points)' if unit == 100 else ''}", pad=4)
    sheet.text(right, HEAD - 0.1, "difference (interval)", fontsize=6.6, color=style.SOFT)
    sheet.text(sheet.width - 0.04, HEAD - 0.1, "adjusted p", fontsize=6.6, color=style.SOFT, ha="right")
    axes.set_ylim(depth, 0)
    stem, title = _CITED[family]
    return sheet.finish(name=stem, title=title, caption=_caption(view, rows, len(every)))


def _width(names: list[str], least: float, most: float, *, bold: float = 1.0) -> float:
    """Inches that the longest name takes, within limits."""
    return min(most, max(least, max(map(len, names)) * _LETTER * bold + 0.15))


def _cut(name: str, width: float) -> str:
    """Of two names as much of each as fits."""
    letters = int((width - 0.15) / _LETTER)
    sides = name.split(" − ")
    each = (letters - 3 * (len(sides) - 1)) // len(sides)
    if len(name) <= letters:
        return name
    return " − ".join(side if len(side) <= each else side[: each - 1] + "…" for side in sides)


def _mark(axes: Any, c: dict[str, Any], place: float, unit: int) -> None:
    """Dot and interval, full where the adjusted p shows a difference."""
    shown = pairs.shown(c)
    colour = style.COLOURS[0] if shown else style.SOFT
    if c.get("low") is not None and c.get("high") is not None:
        axes.plot([unit * c["low"], unit * c["high"]], [place, place], color=colour, linewidth=1.3)
    face = colour if shown else "white"
    axes.plot([unit * c["difference"]], [place], "o", color=colour, markerfacecolor=face, markersize=4.8)


def _figures(c: dict[str, Any], metric: str) -> str:
    value = style.number(c["difference"], metric=metric, signed=True)
    ends = style.interval(c.get("low"), c.get("high"), metric=metric, signed=True)
    return f"{value} ({ends})" if ends else f"{value} (no interval)"


def _caption(view: View, rows: list[dict[str, Any]], every: int) -> str:
    tests = list(dict.fromkeys(c["test"] for c in rows))
    mean = f" {mean_note(view)}" if view.multi_label else ""
    left = f" The first {len(rows)} of {every}; the table has all." if len(rows) < every else ""
    several = " Each arm is the mean over its runs." if view.most_seeds > 1 else ""
    return (
        f"Each row is the first minus the second, on the same {view.test_size()}: right of zero, the first is "
        f"higher.{several} Bar: {view.level} interval, not adjusted ({'; '.join(tests)}). p: two-sided, "
        f"{pairs.adjusted(rows[0]['of'])}. Filled: this p is {pairs.SIGNIFICANT:g} or less. Hollow: these data do "
        f"not show a difference, which is not the same as showing that there is none.{mean}{left}"
    )
