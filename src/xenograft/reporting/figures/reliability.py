"""Reliability of two classes -> a panel for each model: observed share against score, and the scores by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json
from xenograft.reporting.figures.panels import HEAD, LEFT, SIDE, WIDTH, Panels, unit_ticks
from xenograft.reporting.figures.panels import panel as new_panel

_POSITIVE, _NEGATIVE = "#D55E00", "#56B4E9"
_BARS = 0.66  # inches of the histogram


def reliability_panels(view: EvaluationView) -> Panels | None:
    """None for more than two classes."""
    if not view.binary:
        return None
    svgs = tuple(
        _panel(view, name, colour, model["reliability"], f"reliability-{i}")
        for i, (name, colour, model) in enumerate(view.models)
    )
    return Panels(
        name="figure-reliability",
        title="Observed share against predicted probability, scores as given",
        caption=f"Across: predicted probability of {view.classes[1]}. Up: share of images that truly are "
        f"{view.classes[1]}. On the grey diagonal the probabilities mean what they say; below it they are too high, "
        f"above it too low. Dots: bins of equally many images, bars: {view.level} intervals of their shares with "
        f"patients as clusters (Wilson). Line and band: smooth curve and its pointwise {view.level} interval by "
        f"patient-cluster bootstrap, {view.record['resamples']:,} resamples; it smooths over steep places, so where "
        f"dots and line part, the dots are right. Below: how many images of each class have "
        f"which score, {view.classes[1]} upwards and {view.classes[0]} downwards, heights as square roots of the "
        f"counts. {view.size}.",
        svgs=svgs,
    )


def _panel(view: EvaluationView, name: str, colour: str, found: Json, identifier: str) -> str:
    height = SIDE + 0.4 + _BARS + 0.12
    sheet, axes = new_panel(height, name, colour)
    axes.set_position((LEFT / WIDTH, 1 - (HEAD + SIDE) / (HEAD + height), SIDE / WIDTH, SIDE / (HEAD + height)))
    axes.plot([0, 1], [0, 1], color="#9a9a9a", linewidth=0.8, zorder=1)
    curve = found["curve"]
    at, low, high, share = (_numbers(curve[key]) for key in ("scores", "low", "high", "share"))
    axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(at, share, color=colour, linewidth=1.3, zorder=3)
    for group in found["bins"]:
        axes.plot([group["score"]] * 2, [group["low"], group["high"]], color=style.INK, linewidth=0.8, zorder=4)
        axes.plot([group["score"]], [group["share"]], "o", color=style.INK, markersize=2.6, zorder=5)
    unit_ticks(axes)
    axes.tick_params(labelbottom=False)
    axes.set_ylabel(f"Observed share of {_short(view.classes[1])}", labelpad=2)
    axes.text(0.97, 0.05, "too high", color="#777777", fontsize=6.2, ha="right")
    axes.text(0.03, 0.93, "too low", color="#777777", fontsize=6.2)
    bars = sheet.axes(LEFT, HEAD + SIDE + 0.12, SIDE, _BARS)
    up, down = (np.sqrt(np.array(found[side], dtype=float)) for side in ("positives", "negatives"))
    top = max(up.max(), down.max(), 1.0)
    edges = np.linspace(0, 1, up.size + 1)[:-1]
    look: dict[str, Any] = {"width": 1 / up.size * 0.86, "align": "edge"}
    bars.bar(edges, up, color=_POSITIVE, **look)
    bars.bar(edges, -down, color=_NEGATIVE, **look)
    bars.axhline(0, color=style.INK, linewidth=0.5)
    unit_ticks(bars, which="x")
    bars.set(ylim=(-1.7 * top, 1.7 * top), yticks=[])
    bars.spines["left"].set_visible(False)
    bars.set_xlabel(f"Predicted probability of {_short(view.classes[1])}", labelpad=1)
    for y, words, ink in ((0.92, view.classes[1], _POSITIVE), (0.08, view.classes[0], "#2679AB")):
        side = 0.03 if y > 0.5 else 0.97
        bars.text(
            side, y, _short(words), color=ink, fontsize=6.4, transform=bars.transAxes, va="center",
            ha="left" if y > 0.5 else "right",
        )  # fmt: skip
    return sheet.panel(name=identifier, label=f"Reliability of {name}")


def _numbers(values: Any) -> Any:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
