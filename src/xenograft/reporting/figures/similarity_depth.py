"""A similarity view -> for one network, every measure against depth, a panel each: the sets beside their yardsticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.figures.canvas import quiet
from xenograft.reporting.figures.panels import HEAD, LEFT, SIDE, Panels, Spot, assemble
from xenograft.reporting.phrases import and_
from xenograft.reporting.similarity_view import MEASURES, PAIRS, SETS, Json, Measure, SimilarityView, at, measured

_HIGH, _FOOT = 1.25, 0.4
_HEIGHT = HEAD + _HIGH + _FOOT
_MARKS = {
    "natural_medical": "o", "natural_natural": "s", "medical_medical": "^", "natural_noise": "D", "medical_noise": "v",
}  # fmt: skip
_DASHED = (0, (3, 1.6))
_SPREAD = 0.11  # of a stage: pairs stand beside each other, so that their bars do not hide each other
_LOGARITHMIC = 4.0  # range of a measure from which its axis is logarithmic
_TICKS = 12
_DECADES, _LONG = 50.0, 1e5
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SHARES = ("two_sample_auroc", "neighbour_overlap")


def similarity_depth(view: SimilarityView, backbone: str) -> Panels | None:
    """Panels of one network; None if it has a single stage. Call it inside `xenograft.reporting.style.drawing`.

    The first panel is the key. Solid with bars: ImageNet weights, all pairs. Dashed: random weights, natural against
    medical alone, and only for measures without unit. The last panel is CKA with the ImageNet weights.
    """
    subjects = [s for s in view.subjects if s["backbone"] == backbone]
    first = next((s for s in subjects if s["state"] == "imagenet"), subjects[0])
    others = [s for s in subjects if s is not first]
    if len(first["stages"]) < 2:
        return None
    found: list[tuple[str, Callable[[Spot], None]]] = [
        (f"{m.name} against depth", partial(_draw, view, m, first, others))
        for m in measured(first["stages"])
        if sum(at(stage, m.key, "natural_medical")["value"] is not None for stage in first["stages"]) > 1
    ]
    if any(stage["cka"] for s in others for stage in s["stages"]):
        found.append(("CKA of random and ImageNet weights against depth", partial(_aligned, view, others)))
    if not found:
        return None
    key = ("What the lines are", partial(_key, first, others))
    return assemble(
        [key, *found], _HEIGHT, name=f"figure-similarity-depth-{style.backbone_key(backbone)}",
        title=f"{view.backbone(first)}: similarity of natural and medical images against depth",
        caption=_caption(view, first, others),
    )  # fmt: skip


def _key(first: Json, others: Sequence[Json], spot: Spot) -> None:
    """A panel of samples, as the page sets panels one by one."""
    spot.head("Lines", style.INK)
    axes = spot.axes(_HIGH)
    axes.set(xlim=(0, 1), ylim=(_HIGH, 0))
    axes.set_axis_off()
    entries = [(words, _look(pair)) for pair, (words, _) in PAIRS.items()]
    if any(s["state"] == "random" for s in others) and first["state"] != "random":
        entries.append(("natural and medical, random weights", _look("natural_medical", random=True)))
    for k, (words, look) in enumerate(entries):
        axes.plot([0.0, 0.07, 0.14], [0.12 + 0.19 * k] * 3, markevery=[1], clip_on=False, **look)
        axes.text(0.19, 0.12 + 0.19 * k, words, fontsize=6.8, va="center")


def _draw(view: SimilarityView, measure: Measure, first: Json, others: Sequence[Json], spot: Spot) -> None:
    axes = _axes(view, measure.name, spot, len(first["stages"]))
    wide = _logarithmic(measure, first)
    shown = [pair for pair in PAIRS if not (wide and measure.same == 0 and _of_one(pair))]
    for pair in reversed(shown):  # natural against medical on top
        shift = _SPREAD * (list(PAIRS).index(pair) - 2) if pair != "natural_medical" else 0.0
        _line(axes, first, measure, pair, shift=shift)
    if measure.scale_free:
        for other in others:
            _line(axes, other, measure, "natural_medical", random=True)
    if measure.same is not None and not (wide and measure.same == 0):
        axes.axhline(measure.same, color=style.SOFT, linewidth=0.6, zorder=0)
    if not wide:
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        return
    axes.set_yscale("log")
    axes.set_ylim(*_reach(measure, [first, *others] if measure.scale_free else [first], shown))
    few = axes.get_ylim()[1] < _DECADES * axes.get_ylim()[0]
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))


def _tick(value: float, _position: int) -> str:
    """``0.1``, ``1,000``, ``10⁷``."""
    if value < _LONG:
        return f"{value:,g}"
    mantissa, exponent = f"{value:.0e}".split("e+")
    power = "10" + str(int(exponent)).translate(_RAISED)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def _of_one(pair: str) -> bool:
    """Whether a pair is two halves of one set."""
    one, other = pair.split("_")
    return one == other


def _logarithmic(measure: Measure, subject: Json) -> bool:
    """Whether a measure covers so much that a linear axis would hide it; shares and AUROC never do."""
    values = [at(stage, measure.key, pair)["value"] for pair in PAIRS for stage in subject["stages"]]
    if measure.key in _SHARES:
        return False
    known = [v for v in values if v is not None and (v > 0 if measure.same == 0 else True)]
    return bool(known) and min(known) > 0 and max(known) > _LOGARITHMIC * min(known)


def _reach(measure: Measure, subjects: Sequence[Json], shown: Sequence[str]) -> tuple[float, float]:
    """Limits of a logarithmic axis: of values, as an interval may reach down to 0."""
    values = [at(stage, measure.key, pair)["value"] for s in subjects for pair in shown for stage in s["stages"]]
    known = [v for v in values if v is not None and v > 0]
    return 0.75 * min(known), 1.35 * max(known)


def _look(pair: str, *, random: bool = False) -> dict[str, Any]:
    colour, main = PAIRS[pair][1], pair == "natural_medical"
    return {
        "color": colour, "linestyle": _DASHED if random else "-", "linewidth": 1.5 if main and not random else 0.9,
        "marker": _MARKS[pair], "markersize": 3.2, "markerfacecolor": "white" if random or not main else colour,
        "markeredgecolor": colour, "markeredgewidth": 0.8,
    }  # fmt: skip


def _line(axes: Axes, subject: Json, measure: Measure, pair: str, *, shift: float = 0.0, random: bool = False) -> None:
    entries = [at(stage, measure.key, pair) for stage in subject["stages"]]
    known = [(x + 1 + shift, e) for x, e in enumerate(entries) if e["value"] is not None]
    colour = PAIRS[pair][1]
    look = _look(pair, random=random)
    axes.plot(
        [x for x, _ in known], [e["value"] for _, e in known], zorder=3 if pair == "natural_medical" else 2, **look
    )
    for x, e in known:
        if e["low"] is not None:
            axes.plot([x, x], [e["low"], e["high"]], color=colour, linewidth=0.8, solid_capstyle="butt", zorder=1.5)


def _aligned(view: SimilarityView, others: Sequence[Json], spot: Spot) -> None:
    """CKA of random weights with ImageNet weights, on the images of each set."""
    count = max(len(s["stages"]) for s in others)
    axes = _axes(view, "CKA with ImageNet weights", spot, count)
    for subject in others:
        for (kind, colour), mark in zip(SETS.items(), "s^", strict=True):
            values = [np.nan if s["cka"] is None else _number(s["cka"][kind]["value"]) for s in subject["stages"]]
            places = np.arange(1, len(values) + 1) + (0.05 if kind == "medical" else -0.05)
            axes.plot(
                places, values, color=colour, linestyle=_DASHED, linewidth=1.1, marker=mark, markersize=3.4,
                markerfacecolor="white", markeredgecolor=colour, markeredgewidth=0.9,
            )  # fmt: skip
            for x, stage in zip(places, subject["stages"], strict=True):
                if stage["cka"] and stage["cka"][kind]["low"] is not None:
                    axes.plot([x, x], [stage["cka"][kind]["low"], stage["cka"][kind]["high"]], color=colour, lw=0.8)
    axes.axhline(0, color=style.SOFT, linewidth=0.6, zorder=0)
    low, _ = axes.get_ylim()
    axes.set_ylim(min(-0.05, low), 1.03)


def _axes(view: SimilarityView, name: str, spot: Spot, stages: int) -> Axes:
    spot.head(name, style.INK)
    if view.stamps:
        right = spot.left + LEFT + SIDE
        spot.sheet.text(right, spot.top + 0.13, "SYNTHETIC", color=style.ALARM, weight="bold", fontsize=6, ha="right")
    axes = spot.axes(_HIGH)
    quiet(axes)
    axes.set_xlim(0.6, stages + 0.4)
    axes.set_xticks(range(1, stages + 1, -(-stages // _TICKS)))
    axes.set_xlabel("stage, from input to output", labelpad=2, fontsize=6.8)
    return axes


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _caption(view: SimilarityView, first: Json, others: Sequence[Json]) -> str:
    names = ", ".join(f"{i} {printable(stage['name'])}" for i, stage in enumerate(first["stages"], start=1))
    state = "random" if first["state"] == "random" else "ImageNet"
    dashed = (
        "Dashed: random weights, natural and medical alone, where a measure has no unit. "
        if any(s["state"] == "random" for s in others)
        else ""
    )
    aligned = (
        "CKA (debiased, linear) compares both weights on the same images of one set, natural (squares) or medical "
        "(triangles): 1, the same up to rotation and scale; 0, unrelated. "
        if any(stage["cka"] for s in others for stage in s["stages"])
        else ""
    )
    shown = measured(first["stages"])
    units = and_([m.short for m in shown if not m.scale_free])
    return (
        f"Solid: {state} weights. {dashed}Bars: {view.level} intervals; of halves, the range over random halvings. "
        f"Thin grey line: what one distribution gives. {aligned}{units} have units of the features, which change from "
        "stage to stage: compare within a stage. Logarithmic where a measure covers much; KID of halves, near 0, is "
        "then not drawn. "
        f"More is closer for {and_([m.short for m in MEASURES.values() if not m.closer_is_less])}, less for all "
        f"others. Stages: {names}."
    )
