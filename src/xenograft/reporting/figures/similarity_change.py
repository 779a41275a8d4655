"""A similarity view -> what fine-tuning changed: a forest plot at the last stage, and differences against depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet, quiet
from xenograft.reporting.figures.panels import HEAD, LEFT, SIDE, Panels, Spot, assemble
from xenograft.reporting.phrases import and_
from xenograft.reporting.similarity_view import MEASURES, SETS, Json, Measure, SimilarityView, last, measured, moved

_ABREAST, _NAMES, _GAP = 4, 1.75, 0.18  # measures side by side; inches
_ROW, _TOP, _FOOT = 0.17, 0.34, 0.5
_MOST = 60  # rows of one figure; the table has all
_WAYS = {"yes": style.COLOURS[0], "no": style.COLOURS[1], "untold": style.SOFT}
_HIGH, _BELOW = 1.15, 0.4
_SEEDS = "osD^v<>"


def similarity_changes(view: SimilarityView) -> Drawing | None:
    """After minus before at the last stage: a row for each seed, a column for each measure; None without training.

    Call it inside `xenograft.reporting.style.drawing`.
    """
    every = [(name, c) for name, changes in view.trainings for c in changes]
    if not every:
        return None
    rows = every[:_MOST]
    found = sorted(measured([last(c) for _, c in rows]), key=lambda m: not m.scale_free)
    names = list(dict.fromkeys(name for name, _ in rows))
    places = {i: _ROW * (i + 1 + 1.1 * names.index(name)) for i, (name, _) in enumerate(rows)}
    depth = places[len(rows) - 1] + _ROW
    lines = -(-len(found) // _ABREAST)
    high = _TOP + depth + _FOOT
    sheet = Sheet(lines * high, stamps=view.stamps)
    wide = (sheet.width - _NAMES - 0.1) / _ABREAST
    for k, measure in enumerate(found):
        top = k // _ABREAST * high + _TOP
        if k % _ABREAST == 0:
            _names(sheet, rows, places, top)
        axes = sheet.axes(_NAMES + k % _ABREAST * wide + _GAP / 2, top, wide - _GAP, depth)
        for i, (_, change) in enumerate(rows):
            _mark(axes, measure, last(change)["measures"].get(measure.key), places[i])
        _frame(axes, measure, depth)
    return sheet.finish(
        name="figure-similarity-change",
        title="What fine-tuning changed between natural and medical images, features of the last stage",
        caption=_caption(view, len(rows), len(every)),
    )


def change_depth(view: SimilarityView, name: str, changes: Sequence[Json]) -> Panels | None:
    """One training's differences by stage, a panel for each measure without unit; None if only one stage is known."""
    if len(changes[0]["stages"]) < 2:
        return None
    found = [
        (f"Change of {m.name} against depth", partial(_by_depth, view, m, changes))
        for m in measured(changes[0]["stages"])
        if m.scale_free and sum(m.key in stage["measures"] for stage in changes[0]["stages"]) > 1
    ]
    found.append(("CKA before and after against depth", partial(_aligned, view, changes)))
    slug = "-".join(style.backbone_key(changes[0][key]) for key in ("backbone", "recipe"))
    return assemble(
        found, HEAD + _HIGH + _BELOW, name=f"figure-similarity-change-depth-{slug}",
        title=f"{name}: what fine-tuning changed, by stage",
        caption=f"After minus before, natural against medical images. A mark is a seed, bars are paired {view.level} "
        "intervals. Blue, filled: closer; orange, filled: further apart; grey, open: cannot be told. CKA (debiased, "
        "linear): features of the same images before and after, natural (squares) and medical (triangles); 1: the "
        "same up to rotation and scale.",
    )  # fmt: skip


def _names(sheet: Sheet, rows: Sequence[tuple[str, Json]], places: dict[int, float], top: float) -> None:
    for i, (name, change) in enumerate(rows):
        if i == 0 or rows[i - 1][0] != name:
            short = name if len(name) <= 30 else name[:29] + "…"
            sheet.text(0.02, top + places[i] - 0.95 * _ROW, short, weight="bold", fontsize=7)
        sheet.text(0.14, top + places[i], f"seed {change['seed']}", fontsize=7)


def _mark(axes: Axes, measure: Measure, entry: Json | None, place: float) -> None:
    if entry is None or entry["difference"]["value"] is None:
        axes.text(0, place, "n/a", fontsize=6, color=style.SOFT, va="center", ha="center")
        return
    found = entry["difference"]
    way = moved(measure, found)
    colour = _WAYS[way]
    if found["low"] is not None:
        axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=1.3, solid_capstyle="butt")
    face = "white" if way == "untold" else colour
    axes.plot([found["value"]], [place], "o", color=colour, markerfacecolor=face, markersize=4.2)


def _frame(axes: Axes, measure: Measure, depth: float) -> None:
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=0)
    axes.set_ylim(depth, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    low, high = axes.get_xlim()
    pad = 0.08 * (high - low)
    axes.set_xlim(min(low, -pad), max(high, pad))
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.set_title(measure.name, fontsize=7, pad=4)
    axes.set_xlabel("← closer" if measure.closer_is_less else "closer →", fontsize=6.6, color=style.SOFT, labelpad=2)


def _by_depth(view: SimilarityView, measure: Measure, changes: Sequence[Json], spot: Spot) -> None:
    axes = _axes(view, measure.name, spot, len(changes[0]["stages"]))
    for k, change in enumerate(changes):
        known = [
            (x + _beside(k, len(changes)), entry["difference"])
            for x, stage in enumerate(change["stages"], start=1)
            if (entry := stage["measures"].get(measure.key)) and entry["difference"]["value"] is not None
        ]
        axes.plot([x for x, _ in known], [d["value"] for _, d in known], color=style.FAINT, linewidth=0.9, zorder=1)
        for x, found in known:
            way = moved(measure, found)
            if found["low"] is not None:
                axes.plot([x, x], [found["low"], found["high"]], color=_WAYS[way], linewidth=0.9)
            axes.plot(
                [x], [found["value"]], _SEEDS[k % len(_SEEDS)], color=_WAYS[way], markersize=3.4,
                markerfacecolor="white" if way == "untold" else _WAYS[way], markeredgewidth=0.8,
            )  # fmt: skip
    axes.axhline(0, color=style.INK, linewidth=0.7, zorder=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _aligned(view: SimilarityView, changes: Sequence[Json], spot: Spot) -> None:
    axes = _axes(view, "CKA, before and after", spot, len(changes[0]["stages"]))
    for k, change in enumerate(changes):
        for (kind, colour), mark in zip(SETS.items(), "s^", strict=True):
            known = [
                (x + _beside(k, len(changes)), stage["cka"][kind])
                for x, stage in enumerate(change["stages"], start=1)
                if stage["cka"] and stage["cka"][kind]["value"] is not None
            ]
            axes.plot(
                [x for x, _ in known], [e["value"] for _, e in known], color=colour, linewidth=0.9, marker=mark,
                markersize=3, markeredgewidth=0,
            )  # fmt: skip
            for x, entry in known:
                if entry["low"] is not None:
                    axes.plot([x, x], [entry["low"], entry["high"]], color=colour, linewidth=0.8)
    low, _ = axes.get_ylim()
    axes.set_ylim(min(low, 0.9), 1.03)


def _beside(k: int, count: int) -> float:
    """Seeds stand beside each other."""
    return 0.12 * (k - (count - 1) / 2)


def _axes(view: SimilarityView, name: str, spot: Spot, stages: int) -> Axes:
    spot.head(name, style.INK)
    if view.stamps:
        right = spot.left + LEFT + SIDE
        spot.sheet.text(right, spot.top + 0.13, "SYNTHETIC", color=style.ALARM, weight="bold", fontsize=6, ha="right")
    axes = spot.axes(_HIGH)
    quiet(axes)
    axes.set_xlim(0.5, stages + 0.5)
    axes.set_xticks(range(1, stages + 1, -(-stages // 12)))
    axes.set_xlabel("stage, from input to output", labelpad=2, fontsize=6.8)
    return axes


def _caption(view: SimilarityView, shown: int, every: int) -> str:
    left = f" The first {shown} of {every}; the table has all." if shown < every else ""
    units = and_([m.name for m in MEASURES.values() if not m.scale_free])
    return (
        "Each row is a trained network: after minus before, on the same images, none of them trained on. Bar: paired "
        f"{view.level} interval over images (over patients, where they are known), not adjusted for the number of rows "
        "and measures; it does not hold the variation of training, which the rows of one recipe show. Blue, filled: "
        f"closer; orange, filled: further apart; grey, open: cannot be told. {units} have units of the features, whose "
        f"size training changes: they decide nothing.{left}"
    )
