"""A ranking's view -> its figure: the score with its interval against images per second, and the Pareto front."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet, label_ends, quiet
from xenograft.reporting.figures.learning_curve import ticks
from xenograft.reporting.ranking_view import RankingView

_LEFT, _TOP, _NAMES = 0.62, 0.12, 1.75
_LOW, _PER_NAME = 2.9, 0.17  # inches
_REACH = 0.05
_WIDER = 1.25  # of the range of rates, to either side


def pareto(view: RankingView) -> Drawing:
    """A point for each candidate whose score is defined."""
    height = max(_LOW, _PER_NAME * len(view.ranked))
    sheet = Sheet(_TOP + height + 0.5, stamps=view.stamps)
    axes = sheet.axes(_LEFT, _TOP, sheet.width - _LEFT - _NAMES, height)
    axes.set_xscale("log")
    _draw(axes, view)
    _frame(axes, view)
    _label(axes, view, height)
    chosen = "" if view.chosen is None else f" Ringed: {view.name(view.chosen)}, which is chosen."
    return sheet.finish(
        name="pareto",
        title=f"{view.heading} against speed",
        caption=f"Bars: {view.level} interval. Line: the Pareto front, candidates than which no other is both at "
        f"least as good and at least as quick; open points lie behind it.{chosen} Speed: images per second through "
        "the frozen network, logarithmic. The vertical scale does not begin at zero.",
    )


def _draw(axes: Axes, view: RankingView) -> None:
    colours = view.colours()
    front = sorted((r["images_per_second"], r["value"]) for r in view.ranked if r["pareto"])
    axes.plot(*zip(*front, strict=True), color=style.SOFT, linewidth=0.9, drawstyle="steps-pre", zorder=1)
    for row in view.ranked:
        x, colour = row["images_per_second"], colours[row["backbone"]]
        if row["low"] is not None:
            axes.plot([x, x], [row["low"], row["high"]], color=colour, linewidth=1.2, zorder=2)
        axes.plot(
            [x], [row["value"]], "o", markersize=5.5, markeredgecolor=colour, markeredgewidth=1.1,
            markerfacecolor=colour if row["pareto"] else "white", zorder=3,
        )  # fmt: skip
        if view.chosen is not None and row["backbone"] == view.chosen["backbone"]:
            axes.plot([x], [row["value"]], "o", markersize=10, markeredgecolor=style.INK, markeredgewidth=0.9,
                      markerfacecolor="none", zorder=2)  # fmt: skip


def _frame(axes: Axes, view: RankingView) -> None:
    rates = [row["images_per_second"] for row in view.ranked]
    left, right = min(rates) / _WIDER, max(rates) * _WIDER
    axes.set_xlim(left, right)
    ends = [v for row in view.ranked for v in (row["value"], row["low"], row["high"]) if v is not None]
    margin = 0.06 * (max(ends) - min(ends)) or 0.05 * max(abs(ends[0]), 1e-6)
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.xaxis.set_major_locator(FixedLocator(_marks(left, right)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.3g}" if n < 1000 else f"{n:,.0f}"))
    quiet(axes)
    axes.set_xlabel("Images per second (logarithmic)")
    axes.set_ylabel(view.heading)


def _marks(left: float, right: float) -> list[float]:
    """At least two numbers to read a logarithmic axis by, however narrow it is."""
    found = ticks(left, right)
    if len(found) >= 3:
        return found
    step = 10 ** math.floor(math.log10(right - left))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if (right - left) / s <= 6)
    return [k * step for k in range(math.ceil(left / step), math.floor(right / step) + 1)]


def _label(axes: Axes, view: RankingView, height: float) -> None:
    colours, (left, right) = view.colours(), axes.get_xlim()
    ends = []
    for row in view.ranked:
        share = math.log(row["images_per_second"] / left) / math.log(right / left)
        # `label_ends` measures on a linear axis with the same limits
        ends.append((left + (right - left) * share, row["value"], view.name(row), colours[row["backbone"]]))
    label_ends(axes, ends, height=height, reach=_REACH)
