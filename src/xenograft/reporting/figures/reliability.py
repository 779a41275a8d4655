"""Reliability -> a panel for each model: observed share against score, and the scores by class.

Of findings a panel for each, with the curves of all models.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json
from xenograft.reporting.figures.panels import HEAD, SIDE, Panels, Spot, assemble, unit_ticks

_POSITIVE, _NEGATIVE = "#D55E00", "#56B4E9"
_BARS = 0.66  # inches of the histogram
_DOTTED = 1  # models whose bins are drawn in one panel; more would hide each other


def reliability_panels(view: EvaluationView) -> Panels | None:
    """None for more than two classes that exclude each other."""
    if view.multi_label:
        return _by_finding(view)
    if not view.binary:
        return None
    return assemble(
        [
            (
                f"Reliability of {name}",
                partial(_panel, name=name, colour=colour, found=model["reliability"], classes=view.classes),
            )
            for name, colour, model in view.models
        ],
        HEAD + SIDE + 0.12 + _BARS + 0.4,
        name="figure-reliability",
        title="Observed share against predicted probability, scores as given",
        caption=f"Across: predicted probability of {view.classes[1]}. Up: share of images that truly are "
        f"{view.classes[1]}. {_diagonal(view)} Below: how many images of each class have which score, "
        f"{view.classes[1]} upwards and {view.classes[0]} downwards, heights as square roots of the counts. "
        f"{view.size}.",
    )


def _by_finding(view: EvaluationView) -> Panels:
    several = len(view.models) > _DOTTED
    colours = [(name, colour) for name, colour, _ in view.models]
    panels = [
        (
            f"Reliability of {finding}",
            partial(
                _finding,
                name=finding,
                curves=[
                    (colour, model["findings"][str(k)]["reliability"]) for _, colour, model in view.models
                ],
                dots=not several,
            ),
        )
        for k, finding in enumerate(view.classes)
    ]  # fmt: skip
    words = ", ".join(f"{name} {_WORDS.get(colour, colour)}" for name, colour in colours)
    return assemble(
        panels,
        HEAD + SIDE + 0.4,
        name="figure-reliability",
        title="Observed share against predicted probability by finding, scores as given",
        caption="Across: predicted probability. Up: share of images that have the finding. "
        f"{_diagonal(view, dots=not several)}{f' Models: {words}.' if several else ''} Each finding on the images "
        "where it is known.",
    )


_WORDS = dict(
    zip(style.COLOURS, ("blue", "vermilion", "green", "pink", "orange", "sky blue", "black", "grey"), strict=True)
)


def _diagonal(view: EvaluationView, *, dots: bool = True) -> str:
    entry = view.models[0][2]["findings"]["0"] if view.multi_label else view.models[0][2]
    resamples = entry["calibration"]["resamples"]
    return (
        "On the grey diagonal the probabilities mean what they say; below it they are too high, above it too low. "
        + (
            f"Dots: bins of equally many images, bars: {view.level} intervals of their shares with patients as "
            "clusters (Wilson). "
            if dots
            else ""
        )
        + f"Line and band: smooth curve and its pointwise {view.level} interval by patient-cluster bootstrap, "
        f"{resamples:,} resamples; it smooths over steep places"
        + (", so where dots and line part, the dots are right." if dots else ".")
    )


def _curve(axes: Axes, found: Json, colour: str, *, dots: bool) -> None:
    curve = found["curve"]
    at, low, high, share = (_numbers(curve[key]) for key in ("scores", "low", "high", "share"))
    axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(at, share, color=colour, linewidth=1.3, zorder=3)
    for group in found["bins"] if dots else ():
        axes.plot([group["score"]] * 2, [group["low"], group["high"]], color=style.INK, linewidth=0.8, zorder=4)
        axes.plot([group["score"]], [group["share"]], "o", color=style.INK, markersize=2.6, zorder=5)


def _square(spot: Spot) -> Axes:
    axes = spot.axes(SIDE)
    axes.plot([0, 1], [0, 1], color="#9a9a9a", linewidth=0.8, zorder=1)
    unit_ticks(axes)
    axes.text(0.97, 0.05, "too high", color="#777777", fontsize=6.2, ha="right")
    axes.text(0.03, 0.93, "too low", color="#777777", fontsize=6.2)
    return axes


def _finding(spot: Spot, *, name: str, curves: Sequence[tuple[str, Json]], dots: bool) -> None:
    spot.head(name, style.INK)
    axes = _square(spot)
    for colour, found in curves:
        _curve(axes, found, colour, dots=dots)
    axes.set_ylabel("Observed share", labelpad=2)
    axes.set_xlabel("Predicted probability", labelpad=1)


def _panel(spot: Spot, *, name: str, colour: str, found: Json, classes: Sequence[str]) -> None:
    spot.head(name, colour)
    axes = _square(spot)
    _curve(axes, found, colour, dots=True)
    axes.tick_params(labelbottom=False)
    axes.set_ylabel(f"Observed share of {_short(classes[1])}", labelpad=2)
    bars = spot.axes(_BARS, below=SIDE + 0.12)
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
    bars.set_xlabel(f"Predicted probability of {_short(classes[1])}", labelpad=1)
    for y, words, ink in ((0.92, classes[1], _POSITIVE), (0.08, classes[0], "#2679AB")):
        side = 0.03 if y > 0.5 else 0.97
        bars.text(
            side, y, _short(words), color=ink, fontsize=6.4, transform=bars.transAxes, va="center",
            ha="left" if y > 0.5 else "right",
        )  # fmt: skip


def _numbers(values: Any) -> Any:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
