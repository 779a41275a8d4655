"""Test predictions -> a figure: ROC and precision-recall curves, one panel per backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.figures.rates import GRID, Curve, precision_recall, roc
from xenograft.reporting.groups import Group, View
from xenograft.study.record import Predictions


def curves(view: View, lr_scale: float) -> Drawing | None:
    """The figure for one learning-rate scale; None where no predictions can be read, or of a multi-label study."""
    if view.multi_label:
        return None
    groups = view.at(lr_scale)
    backbones = list(dict.fromkeys(group.backbone for group in groups))
    tables = {run.id: p for g in groups for run in g.runs if (p := predictions_of(view, run.id)) is not None}
    if not tables:
        return None
    columns = 2 * len(backbones) if len(backbones) <= 2 else -(-len(backbones) // -(-len(backbones) // 4))
    rows = -(-2 * len(backbones) // columns) if len(backbones) <= 2 else 2 * -(-len(backbones) // columns)
    left, gap = 0.4, 0.14
    together = len(backbones) <= 2  # ROC and PR side by side; otherwise PR in rows of its own below
    apart = left if together else 0.0
    side = min(2.1, (7.1 - left - apart - 0.05 - gap * (columns - 1)) / columns)
    width = left + apart + columns * side + (columns - 1) * gap + 0.05
    pitch = side + 0.52
    sheet = Sheet(rows * pitch + 0.06, width=width, stamps=view.stamps)
    for kind, (name, _, _) in enumerate(_KINDS):
        for i, backbone in enumerate(backbones):
            place = kind * len(backbones) + i if together else kind * (rows // 2) * columns + i
            row, column = divmod(place, columns)
            axes = sheet.axes(left + kind * apart + column * (side + gap), 0.26 + row * pitch, side, side)
            own = [group for group in groups if group.backbone == backbone]
            _panel(axes, view, own, tables, kind=kind)
            axes.set_title(
                f"{style.backbone_name(backbone)} · {name}",
                color=style.ink(view.colours[backbone]),
                pad=4,
                fontsize=7.2,
            )
            first = column == 0 or i == 0
            axes.tick_params(labelleft=first)
            if first:
                axes.set_ylabel("Sensitivity" if kind == 0 else "Precision", labelpad=1)
            axes.set_xlabel("1 − specificity" if kind == 0 else "Recall", labelpad=1)
    main = lr_scale == 1.0
    return sheet.finish(
        name="figure-curves" + ("" if main else f"-lr{lr_scale:g}"),
        title="ROC and precision–recall curves on the test set",
        caption=_caption(view),
    )


def _caption(view: View) -> str:
    parts = [f"{view.test_size()}. Numbers: AUROC and average precision from the scorecards"]
    parts[0] += ", mean over seeds." if view.most_seeds > 1 else "."
    parts.append(view.line_note())
    if view.most_seeds > 1:
        parts.append("Thin: single seeds; thick: their mean at equal false-positive rate (ROC) or recall (PR).")
    if view.multiclass:
        parts.append("Each class against the rest, averaged over classes.")
    parts.append("Thin grey: what chance alone would give.")
    return " ".join(parts)


def predictions_of(view: View, run_id: str) -> Predictions | None:
    """A run's scores of the test images; None where they are not on disk."""
    if not (view.study.folder / "runs" / run_id / "predictions.parquet").is_file():
        return None
    table = view.study.predictions(run_id, "test")
    return table if len(table.labels) else None


def _panel(
    axes: Axes,
    view: View,
    groups: Sequence[Group],
    tables: dict[str, Predictions],
    *,
    kind: int,
) -> None:
    _, curve, metric = _KINDS[kind]
    if kind == 0:
        axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.6, zorder=1)
    else:
        labels = next(iter(tables.values())).labels
        share = 1 / len(view.classes) if view.multiclass else float((labels == 1).mean())
        axes.plot([0, 1], [share, share], color="#bbbbbb", linewidth=0.6, zorder=1)
    notes: list[tuple[float, Group]] = []
    for group in groups:
        found = [c for r in group.runs if r.id in tables and (c := _averaged(tables[r.id], curve)) is not None]
        if not found:
            continue
        colour = style.shade(group.recipe, view.colours[group.backbone])
        if len(found) > 1:
            for single in found:
                axes.plot(GRID, single, color=colour, alpha=0.28, linewidth=0.5)
        look = style.line(group.recipe, transfer=group.transfer)
        axes.plot(GRID, np.mean(found, axis=0), color=colour, **look)
        score = group.score(view.main_policy, metric)
        notes.append((-1.0 if score is None else score.value, group))
    _key(axes, notes, view.colours)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_xticklabels(["0", "0.5", "1"])
    axes.set_yticklabels(["0", "0.5", "1"])


def _key(axes: Axes, notes: Sequence[tuple[float, Group]], colours: dict[str, str]) -> None:
    """Names and areas, best first, in the corner that good curves leave empty; each with a piece of its line."""
    cover = Rectangle((0.27, 0.0), 0.74, 0.095 * len(notes) + 0.02, facecolor="white", edgecolor="none", zorder=1.5)
    axes.add_patch(cover)  # the line of chance must not strike the names through
    for i, (value, group) in enumerate(sorted(notes, key=lambda note: -note[0])):
        y = 0.06 + 0.095 * (len(notes) - 1 - i)
        look = style.line(group.recipe, transfer=group.transfer)
        axes.plot([0.3, 0.42], [y, y], color=style.shade(group.recipe, colours[group.backbone]), **look)
        axes.text(0.45, y, style.recipe_name(group.recipe), fontsize=6.4, va="center")
        axes.text(1.0, y, style.number(value if value >= 0 else None), fontsize=6.4, va="center", ha="right")


def _averaged(table: Predictions, curve: Callable[[NDArray[np.bool_], Curve], Curve]) -> Curve | None:
    """The positive class's curve, or the mean of one-against-rest curves; None where a class is absent."""
    count = table.probabilities.shape[1]
    found = []
    for k in range(1 if count == 2 else 0, count):
        truth = table.labels == k
        if truth.all() or not truth.any():
            continue
        found.append(curve(truth, table.probabilities[:, k]))
    if not found:
        return None
    mean: Curve = np.mean(found, axis=0)
    return mean


_KINDS = (("ROC", roc, "auroc"), ("PR", precision_recall, "average_precision"))
