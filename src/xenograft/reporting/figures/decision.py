"""Net benefit of two classes -> a panel for each model: acting on its answer, on all, on none, and where it helps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json
from xenograft.reporting.figures.panels import HEAD, Panels, Spot, assemble, unit_ticks

_ALL, _HELPS = "#8a8a8a", "#009E73"
_HIGH = 1.65  # inches of the axes


def decision_panels(view: EvaluationView) -> Panels | None:
    """None but for two classes."""
    if not view.binary:
        return None
    prevalence = view.record["prevalence"]
    stated = "that of the images" if prevalence is None else f"the stated {100 * prevalence:g} %"
    return assemble(
        [
            (f"Net benefit of {name}", partial(_panel, name=name, colour=colour, curve=model["decision_curve"]))
            for name, colour, model in view.models
        ],
        HEAD + _HIGH + 0.4,
        name="figure-decision",
        title="Net benefit of acting on the model's answer",
        caption="Across: the threshold probability, that is how sure one wants to be before acting: at 0.2, one case "
        "found is worth four needless actions. Up: net benefit, cases found per image less needless actions in the "
        f"same unit. Coloured: act where the probability is at or above the threshold; band: pointwise {view.level} "
        f"interval by patient-cluster bootstrap, {view.record['resamples']:,} resamples. Grey dashes: act on every "
        "image. Black: act on none. Green bar: the model's interval lies wholly above the better of these two. Share "
        f"of {view.classes[1]}: {stated}. {view.size}.",
    )


def helps(curve: Json) -> list[tuple[float, float]]:
    """Ranges (first, last) of neighbouring grid points where the model's gain over all and none is above 0 for sure."""
    return _runs(curve["grid"], [low is not None and low > 0 for low in curve["model_over_default"]["low"]])


def harms(curve: Json) -> list[tuple[float, float]]:
    """Ranges where the gain is surely below 0."""
    return _runs(curve["grid"], [high is not None and high < 0 for high in curve["model_over_default"]["high"]])


def _runs(grid: Sequence[float], marks: Sequence[bool]) -> list[tuple[float, float]]:
    edges = [k for k, (a, b) in enumerate(pairwise([False, *marks, False])) if a != b]
    return [(grid[start], grid[stop - 1]) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _panel(spot: Spot, *, name: str, colour: str, curve: Json) -> None:
    spot.head(name, colour)
    axes = spot.axes(_HIGH)
    grid = np.array(curve["grid"])
    model, low, high, everybody = (
        np.array([np.nan if v is None else v for v in values], dtype=float)
        for values in (curve["model"]["value"], curve["model"]["low"], curve["model"]["high"], curve["all"]["value"])
    )
    top = float(np.nanmax([np.nanmax(high), np.nanmax(everybody), 0.01]))
    axes.fill_between(grid, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(grid, everybody, color=_ALL, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.plot([0, 1], [0, 0], color=style.INK, linewidth=0.8)
    axes.plot(grid, model, color=colour, linewidth=1.4)
    floor = -0.22 * top
    for start, stop in helps(curve):
        axes.plot([start - 0.005, stop + 0.005], [floor * 0.72] * 2, color=_HELPS, linewidth=3.2, solid_capstyle="butt")
    unit_ticks(axes, which="x")
    axes.set_ylim(floor, 1.08 * top)
    axes.locator_params(axis="y", nbins=4)
    axes.set_xlabel("Threshold probability", labelpad=1)
    axes.set_ylabel("Net benefit", labelpad=2)
