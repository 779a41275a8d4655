"""A learning curve's view -> its figure: the metric against the logarithm of the number of patients."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet, label_ends, quiet
from xenograft.reporting.learning_view import Json, LearningView

_LEFT, _TOP, _HEIGHT, _NAMES = 0.55, 0.12, 3.1, 1.55
_REACH = 0.04
_EARLY = 0.8  # share of the width


def learning_curve(view: LearningView) -> Drawing:
    """Curves with bands, repeats as points, the fitted law dotted beyond the data, targets as thin lines."""
    sheet = Sheet(_TOP + _HEIGHT + 0.5, stamps=view.stamps)
    axes = sheet.axes(_LEFT, _TOP, sheet.width - _LEFT - _NAMES, _HEIGHT)
    axes.set_xscale("log")
    for _, colour, curve in view.curves:
        _draw(axes, curve, colour)
    _frame(axes, view)
    _label(axes, view)
    return sheet.finish(
        name="learning-curve",
        title=f"{view.metric[0].upper()}{view.metric[1:]} on the test set by number of labelled {view.unit}",
        caption=_caption(view),
    )


def _draw(axes: Axes, curve: Json, colour: str) -> None:
    points = curve["points"]
    sizes = [p["size"] for p in points]
    low, high = (
        np.array([np.nan if p[key] is None else p[key] for p in points], dtype=float) for key in ("low", "high")
    )
    axes.fill_between(sizes, low, high, color=colour, alpha=0.13, linewidth=0)
    for point in points:
        axes.plot(
            [point["size"]] * len(point["values"]), point["values"], "o", color=colour, markersize=2.0, alpha=0.55,
            markeredgewidth=0,
        )  # fmt: skip
    line = style.line(curve["recipe"], transfer=curve["transfer"])
    axes.plot(sizes, [p["value"] for p in points], color=colour, **line)
    look = style.marker(curve["recipe"], colour, transfer=curve["transfer"])
    axes.plot(sizes, [p["value"] for p in points], linestyle="none", **look)
    if curve["law"] is not None:
        drawn = curve["law"]["drawn"]
        beyond = [(n, v) for n, v in zip(drawn["sizes"], drawn["value"], strict=True) if n > sizes[-1]]
        axes.plot(*zip(*beyond, strict=True), color=colour, linewidth=1.1, linestyle=(0, (1, 1.8)))


def _frame(axes: Axes, view: LearningView) -> None:
    curves = [curve for _, _, curve in view.curves]
    sizes = [point["size"] for curve in curves for point in curve["points"]]
    drawn = [n for curve in curves if curve["law"] is not None for n in curve["law"]["drawn"]["sizes"]]
    left, right = min(sizes), max([*sizes, *drawn])
    axes.set_xlim(left / 1.15, right * 1.08)
    values = [v for c in curves for p in c["points"] for v in (*p["values"], p["low"], p["high"]) if v is not None] + [
        v for c in curves if c["law"] is not None for v in c["law"]["drawn"]["value"] if v is not None
    ]
    margin = 0.04 * max(0.02, max(values) - min(values))
    floor, ceiling = min(values) - margin, min(1.0, max(values) + margin)
    shown = [t for t in view.record["targets"] if floor < t < ceiling]
    axes.set_ylim(floor, ceiling)
    axes.xaxis.set_major_locator(FixedLocator(ticks(left / 1.15, right * 1.08)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    quiet(axes)
    for target in shown:
        axes.axhline(target, color=style.SOFT, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
    axes.set_xlabel(f"Labelled {view.unit} for training (logarithmic)")
    axes.set_ylabel(view.metric[0].upper() + view.metric[1:])


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within a range; 1 alone where that would be more than nine.

    >>> ticks(25, 700)
    [50, 100, 200, 500]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [factor * 10**power for power in powers for factor in (1, 2, 5) if low <= factor * 10**power <= high]
    return every if len(every) <= 9 else [n for n in every if math.log10(n).is_integer()]


def _label(axes: Axes, view: LearningView) -> None:
    """Names at the right border; beside its end for a curve that stops early, as a leader would look like a curve."""
    ends = []
    for name, colour, curve in view.curves:
        size, value = _end(curve)
        place = _place(axes, size)
        left, right = axes.get_xlim()
        if (place - left) / (right - left) > _EARLY:
            ends.append((place, value, name, colour))
        else:
            axes.text(size * 1.12, value, name, color=style.ink(colour), fontsize=6.8, va="center", ha="left")
    label_ends(axes, ends, height=_HEIGHT, reach=_REACH)


def _end(curve: Json) -> tuple[float, float]:
    """Where a curve's drawing ends: its law's last value, or its last point."""
    if curve["law"] is not None:
        drawn = curve["law"]["drawn"]
        return drawn["sizes"][-1], drawn["value"][-1]
    return curve["points"][-1]["size"], curve["points"][-1]["value"]


def _place(axes: Axes, size: float) -> float:
    """The abscissa at which a linear axis with the same limits would show this size."""
    left, right = axes.get_xlim()
    return left + (right - left) * math.log(size / left) / math.log(right / left)


def _caption(view: LearningView) -> str:
    record = view.record
    targets = " Grey dashes: the targets asked for." if record["targets"] else ""
    return (
        f"Line: mean over repeats; small points: single repeats (nested subsets of {view.unit}, another order and seed "
        f"each). Filled, solid: pretrained weights; open, dashed: random weights. Band: pointwise {view.level} "
        f"interval of the mean, {record['resamples']:,} resamples of test patients; it does not hold the variation of "
        f"training subsets. Dotted: the fitted power law beyond the data, an extrapolation, up to "
        f"{record['farthest']:g} times the largest size.{targets} The vertical scale does not begin at zero. "
        f"Test: {view.test}."
    )
