"""AUROC of findings with intervals -> a row for each finding, a dot for each model, highest first."""

from __future__ import annotations

from xenograft.reporting import style
from xenograft.reporting.evaluation_view import EvaluationView
from xenograft.reporting.figures.canvas import Sheet
from xenograft.reporting.figures.panels import Panels

_WIDTH, _NAMES, _RIGHT = 3.9, 1.35, 0.12  # inches: all, the names of findings, beside the axes
_EACH, _APART = 0.125, 0.08  # inches of one model, and between findings
_KEY = 0.16  # inches of one line of the key
_LONGEST = 24


def finding_areas(view: EvaluationView) -> Panels | None:
    """None for classes."""
    if not view.multi_label:
        return None
    models = view.models
    areas = [
        [model["findings"][str(k)]["auroc"]["patients_as_clusters"] for _, _, model in models]
        for k in range(len(view.classes))
    ]
    order = sorted(range(len(areas)), key=lambda k: -max(entry["value"] or 0 for entry in areas[k]))
    key = _KEY * len(models) + 0.08 if view.several else 0.0
    row = _EACH * len(models) + _APART
    sheet = Sheet(key + row * len(order) + 0.42, width=_WIDTH)
    axes = sheet.axes(_NAMES, key, _WIDTH - _NAMES - _RIGHT, row * len(order))
    for i, (name, colour, _) in enumerate(models if view.several else ()):
        sheet.text(_NAMES, _KEY * (i + 0.5), f"● {name}", color=style.ink(colour), fontsize=7, weight="bold")
    for place, k in enumerate(order):
        for i, (entry, (_, colour, _)) in enumerate(zip(areas[k], models, strict=True)):
            y = place + (_APART / 2 + _EACH * (i + 0.5)) / row
            if entry["low"] is not None:
                axes.plot([entry["low"], entry["high"]], [y, y], color=colour, linewidth=1.2)
            if entry["value"] is not None:
                axes.plot([entry["value"]], [y], "o", color=colour, markersize=3.4)
        if place:
            axes.axhline(place, color=style.FAINT, linewidth=0.5, zorder=0)
    ends = [v for row_ in areas for entry in row_ for v in (entry["low"], entry["value"]) if v is not None]
    low = max(0.0, min([0.5, *ends]) - 0.02)
    axes.axvline(0.5, color="#9a9a9a", linewidth=0.8, zorder=0)
    axes.set(xlim=(low, 1.005), ylim=(len(order), 0))
    names = [view.classes[k] for k in order]
    short = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in names]
    axes.set_yticks([k + 0.5 for k in range(len(order))], labels=short)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x", color=style.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel("AUROC", labelpad=1)
    title = "AUROC of each finding on the test images"
    caption = (
        f"Bars: {view.level} intervals by Obuchowski's variance, patients as clusters. The highest first. 0.5 is "
        f"guessing. Each finding on the images where it is known. {view.size}."
    )
    drawing = sheet.finish(name="figure-findings", title=title, caption=caption)
    return Panels(name="figure-findings", title=title, caption=caption, svgs=(drawing.svg,), drawing=drawing)
