"""Abstention cards -> a panel for each model: errors among the answered images against the share answered."""

from __future__ import annotations

from functools import partial

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView, Json
from xenograft.reporting.figures.panels import HEAD, Panels, Spot, assemble

_HIGH = 1.45  # inches of the axes


def risk_coverage_panels(view: EvaluationView) -> Panels | None:
    """Error against share answered, on one scale, with the cut-off chosen on validation; None for findings."""
    if view.multi_label:
        return None
    cards = [model["abstention"] for _, _, model in view.models]
    highest = max([0.01, *(point["risk"]["high"] or 0 for card in cards for point in card["curve"])])
    marked = any(_marked(card) for card in cards)
    confidence = "their distance from the threshold" if view.binary else "their highest probability"
    return assemble(
        [
            (
                f"Errors against share answered, {name}",
                partial(_panel, name=name, colour=colour, card=model["abstention"], highest=highest),
            )
            for name, colour, model in view.models
        ],
        HEAD + _HIGH + 0.4,
        name="figure-coverage",
        title="Errors among the answered images, if the least confident are left to people",
        caption=f"Images are answered in order of confidence ({confidence}). Across: share of images answered. Up: "
        f"share of these answers that are wrong. Band: pointwise {view.level} interval by patient-cluster bootstrap, "
        f"{view.record['resamples']:,} resamples; where no error was seen it has no width, which does not prove that "
        "there are none."
        + (" Dotted, with a diamond: the cut-off chosen on validation, and what it does on test." if marked else "")
        + f" {view.size}.",
    )


def _marked(card: Json) -> bool:
    """Whether a cut-off was found that answers something on test."""
    found = card["at_target"]
    return found is not None and bool(found["coverage"]["value"]) and found["risk"]["value"] is not None


def _panel(spot: Spot, *, name: str, colour: str, card: Json, highest: float) -> None:
    spot.head(name, colour)
    axes = spot.axes(_HIGH)
    points = [point for point in card["curve"] if point["risk"]["value"] is not None]
    share = [100 * point["coverage"] for point in points]
    banded = [point for point in points if None not in (point["risk"]["low"], point["risk"]["high"])]
    axes.fill_between(
        [100 * point["coverage"] for point in banded],
        [100 * point["risk"]["low"] for point in banded],
        [100 * point["risk"]["high"] for point in banded],
        color=colour, alpha=0.18, linewidth=0,
    )  # fmt: skip
    axes.plot(share, [100 * point["risk"]["value"] for point in points], color=colour, linewidth=1.4)
    if _marked(card):
        found = card["at_target"]
        at, risk = 100 * found["coverage"]["value"], 100 * found["risk"]["value"]
        axes.axvline(at, color=style.INK, linewidth=0.7, linestyle=(0, (1, 1.6)))
        axes.plot([at], [risk], "D", color=style.INK, markersize=3.6)
        target = f"cut for {100 * found['chosen']['target']:g} %"
        axes.text(at - 2, 104 * highest, target, fontsize=6.4, ha="right", va="top")
    axes.set(xlim=(0, 102), ylim=(-2 * highest, 108 * highest), xticks=(0, 25, 50, 75, 100))
    axes.locator_params(axis="y", nbins=4)
    axes.set_xlabel("Images answered (%)", labelpad=1)
    axes.set_ylabel("Wrong answers (%)", labelpad=2)
