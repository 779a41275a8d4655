"""A domain-shift view -> forest: each arm on the source and on the target, AUROC beside accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from xenograft.reporting import style
from xenograft.reporting.domain_shift_view import ADAPTATIONS, POLICIES, Json, ShiftView, entry
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.figures.results import FOOT, HEAD, ROW, bare

_LEFT, _GAP = 2.15, 0.3  # inches: names; between panels
_HEADING = 0.24
_LOOKS = {
    ("source", "none"): (style.SOFT, "o"),
    ("target", "none"): (style.COLOURS[1], "o"),
    ("target", "adabn"): (style.COLOURS[0], "s"),
    ("target", "coral"): (style.COLOURS[2], "D"),
    ("target", "reference"): (style.INK, "v"),
}


def domain_shift(view: ShiftView) -> Drawing:
    """Rows of one backbone and recipe stay together; what was not adapted is the dashed line of its block."""
    blocks, depth = [], ROW / 2
    for group in view.record["groups"]:
        rows = view.rows(group)
        blocks.append((depth + _HEADING / 2, group, rows))
        depth += _HEADING + ROW * len(rows) + 0.1
    sheet = Sheet(HEAD + depth + FOOT, stamps=view.stamps)
    width = (sheet.width - _LEFT - _GAP - 0.1) / 2
    panels = [
        ("auroc", sheet.axes(_LEFT, HEAD, width, depth)),
        ("accuracy", sheet.axes(_LEFT + width + _GAP, HEAD, width, depth)),
    ]
    places = []
    for top, group, rows in blocks:
        sheet.text(0.02, HEAD + top, view.model(group), weight="bold", fontsize=7)
        at = [top + _HEADING + ROW * i for i in range(len(rows))]
        places += at
        for place, (domain, adaptation, _, _) in zip(at, rows, strict=True):
            sheet.text(0.14, HEAD + place, _name(domain, adaptation), fontsize=7)
        for metric, axes in panels:
            _draw(axes, rows, at, metric, group["policy"])
    for metric, axes in panels:
        bare(axes, places)
        axes.set_ylim(depth, 0)
        axes.set_title("Accuracy, %" if metric == "accuracy" else "AUROC", pad=4)
    return sheet.finish(
        name="domain-shift",
        title="The same models on the source's and on the target's test patients",
        caption=_caption(view),
    )


def _draw(
    axes: Axes, rows: Sequence[tuple[str, str, Json, Json]], places: list[float], metric: str, policy: str
) -> None:
    unit = 100 if metric in style.PERCENT else 1
    for place, (domain, adaptation, card, _) in zip(places, rows, strict=True):
        found = entry(card, metric, policy)
        if found is None or found["value"] is None:
            continue
        colour, shape = _LOOKS[domain, adaptation]
        if found["low"] is not None and found["high"] is not None:
            axes.plot([unit * found["low"], unit * found["high"]], [place, place], color=colour, linewidth=1.4)
        axes.plot([unit * found["value"]], [place], shape, color=colour, markersize=4.8)
        if (domain, adaptation) == ("target", "none"):
            value = unit * found["value"]
            axes.plot([value, value], [place, places[-1] + 0.08], color=colour, linewidth=0.7, linestyle=(0, (2, 2)))


def _name(domain: str, adaptation: str) -> str:
    return "source, not adapted" if domain == "source" else f"target, {ADAPTATIONS[adaptation]}"


def _caption(view: ShiftView) -> str:
    several = " Means over seeds." if view.record["seeds"] > 1 else ""
    return (
        f"Bar: {view.level} interval, {view.record['resamples']:,} resamples of test patients.{several} Accuracy by "
        f"{POLICIES[view.record['policy']]}. Dashed: the target without adaptation, against which adapted models are "
        "compared; bars of the same patients may overlap although their paired difference is clear: see the "
        f"table of differences. Source: {view.size('source')}; target: {view.size('target')}. The "
        "scales do not begin at zero."
    )
