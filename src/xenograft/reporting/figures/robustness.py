"""The record of robustness -> a panel for each change: AUROC above, what is decided below, against its strength."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import quiet
from xenograft.reporting.figures.panels import HEAD, LEFT, SIDE, Panels, Spot, assemble
from xenograft.reporting.robustness_words import auroc_name, heading, size

Json = Mapping[str, Any]

_UPPER, _BETWEEN, _LOWER, _FOOT = 0.95, 0.16, 0.8, 0.42
_HEIGHT = HEAD + _UPPER + _BETWEEN + _LOWER + _FOOT
_BLUE, _RED, _GREEN = style.COLOURS[:3]


def robustness_panels(record: Json) -> Panels:
    """A panel for each change, all on the same scales, and the same as one figure for files.

    Call it inside `xenograft.reporting.style.drawing`.
    """
    panels = [
        (f"Metrics against strength, {heading(change)}", partial(_draw, record, change)) for change in record["changes"]
    ]
    return assemble(panels, _HEIGHT, name="figure-robustness", title=_title(record), caption=_caption(record))


def shown_below(record: Json) -> dict[str, tuple[str, str]]:
    """Metrics of the lower axes: (label, colour)."""
    if record["task"] == "multiclass":
        return {"accuracy": ("accuracy", _GREEN)}
    return {"recall": ("sensitivity", _RED), "specificity": ("specificity", _GREEN)}


def _title(record: Json) -> str:
    what = "accuracy" if record["task"] == "multiclass" else "sensitivity and specificity"
    return f"AUROC, {what} of the same images under graded changes"


def _caption(record: Json) -> str:
    below = " and ".join(
        f"{label} ({'circles' if k == 0 else 'squares'})" for k, (label, _) in enumerate(shown_below(record).values())
    )
    decided = {
        "binary": "at the fixed threshold",
        "multiclass": "of the class of highest probability",
        "multilabel": "at the fixed thresholds, means over findings",
    }[record["task"]]
    level = f"{100 * record['level']:g} %"
    return (
        f"Across: strength of the change, clean being the images as they are; steps are not to scale. Above: "
        f"{auroc_name(record)}; below: {below} {decided}, in per cent. Dashed: clean. Band: pointwise {level} "
        f"interval by patient-cluster bootstrap, {record['resamples']:,} resamples. Filled AUROC: lost more than "
        f"{record['amount']:g}, with a paired interval of the loss that excludes 0, not adjusted for the number of "
        f"levels. {size(record)}."
    )


def _draw(record: Json, change: Json, spot: Spot) -> None:
    spot.head(heading(change), style.INK)
    if (record.get("data") or {}).get("synthetic"):
        right = spot.left + LEFT + SIDE
        spot.sheet.text(right, spot.top + 0.13, "SYNTHETIC", color=style.ALARM, weight="bold", fontsize=6, ha="right")
    upper = spot.axes(_UPPER)
    lower = spot.axes(_LOWER, below=_UPPER + _BETWEEN)
    _curve(upper, record, change, "auroc", colour=_BLUE, marker="o")
    upper.set_ylim(*_reach(record))
    upper.set_ylabel("AUROC", labelpad=2)
    upper.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for (metric, (_, colour)), marker in zip(shown_below(record).items(), "os", strict=False):
        _curve(lower, record, change, metric, colour=colour, marker=marker, scale=100.0)
    lower.set_ylim(-3, 103)
    lower.set_yticks((0, 50, 100))
    lower.set_ylabel("%", labelpad=2)
    ticks = ["clean", *(f"{row['strength']:g}".removeprefix("0") for row in change["levels"])]
    for axes in (upper, lower):
        quiet(axes)
        axes.set_xlim(-0.25, len(ticks) - 0.75)
        axes.set_xticks(range(len(ticks)), labels=ticks if axes is lower else [""] * len(ticks))
    lower.set_xlabel(change["measure"], labelpad=2, fontsize=6.8)


def _curve(
    axes: Axes, record: Json, change: Json, metric: str, *, colour: str, marker: str, scale: float = 1.0
) -> None:
    entries = [record["clean"][metric], *(row["metrics"][metric] for row in change["levels"])]
    known = [(x, entry) for x, entry in enumerate(entries) if entry["value"] is not None]
    banded = [(x, entry) for x, entry in known if entry["low"] is not None]
    axes.fill_between(
        [x for x, _ in banded],
        [scale * entry["low"] for _, entry in banded],
        [scale * entry["high"] for _, entry in banded],
        color=colour, alpha=0.16, linewidth=0,
    )  # fmt: skip
    if entries[0]["value"] is not None:
        axes.axhline(scale * entries[0]["value"], color=colour, linewidth=0.7, linestyle=(0, (3, 2)), alpha=0.8)
    axes.plot([x for x, _ in known], [scale * entry["value"] for _, entry in known], color=colour, linewidth=1.2)
    for x, entry in known:
        lost = x > 0 and metric == "auroc" and _lost(change["levels"][x - 1], record["amount"])
        axes.plot(
            [x], [scale * entry["value"]], marker, markersize=3.6, markeredgecolor=colour, markeredgewidth=0.9,
            markerfacecolor=colour if lost else "white", clip_on=False, zorder=3,
        )  # fmt: skip


def _lost(row: Json, amount: float) -> bool:
    found = row["differences"]["auroc"]
    return found["high"] is not None and found["high"] < 0 and found["difference"] < -amount


def _reach(record: Json) -> tuple[float, float]:
    """Limits of all AUROC axes."""
    rows = [record["clean"], *(row["metrics"] for change in record["changes"] for row in change["levels"])]
    ends = [v for row in rows for key in ("value", "low") if (v := row["auroc"][key]) is not None]
    low = min([0.9, *ends])
    return low - 0.06 * (1 - low), 1.0 + 0.02 * (1 - low)
