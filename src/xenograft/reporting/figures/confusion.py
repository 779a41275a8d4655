"""Confusion counts -> a figure, small multiples with counts and row percentages."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.groups import Group, View

_BLUES = LinearSegmentedColormap.from_list("share", ["#ffffff", "#9ecae8", "#0072B2"])


def confusion(view: View, lr_scale: float) -> Drawing | None:
    """The figure for one learning-rate scale; None where no run has counts.

    None also of a multi-label study: several findings of an image make no table of true against predicted class.
    """
    if view.multi_label:
        return None
    policy = view.main_policy
    found: list[tuple[Group, int, NDArray[np.int64]]] = []
    for group in view.at(lr_scale):
        run = group.typical(policy)
        counts = run.test["policies"][policy].get("confusion") if run else None
        if run and counts:
            found.append((group, run.seed, np.array(counts, dtype=np.int64)))
    if not found:
        return None
    size = len(view.classes)
    most = {2: 6, 3: 4, 4: 3, 5: 3}.get(size, 2 if size < 9 else 1)
    recipes = max(sum(g.backbone == b for g, _, _ in found) for b in view.backbones)
    columns = min(len(found), most // recipes * recipes if recipes <= most else most)
    names = [name if len(name) <= 14 else name[:13] + "…" for name in view.classes]
    left = 0.1 + 0.062 * max(len(name) for name in names)
    gap, head, foot = 0.14, 0.5, 0.24
    side = min(0.56 * size, (7.1 - left - gap * columns) / max(columns, 1))
    upright = max(len(name) for name in names) * 0.052 > side / size
    foot += 0.047 * max(len(name) for name in names) - 0.1 if upright else 0
    rows = -(-len(found) // columns)
    pitch = side + head + foot
    sheet = Sheet(rows * pitch + 0.05, width=max(3.0, left + columns * (side + gap)), stamps=view.stamps)
    for i, (group, seed, counts) in enumerate(found):
        row, column = divmod(i, columns)
        axes = sheet.axes(left + column * (side + gap), row * pitch + head, side, side)
        _matrix(axes, counts, side)
        x, y = left + column * (side + gap), row * pitch + head
        sheet.text(x, y - 0.3, group.name, color=style.ink(view.colours[group.backbone]), weight="bold", fontsize=6.9)
        seeds = f", seed {seed}" if len(group.runs) > 1 else ""
        sheet.text(x, y - 0.14, f"{style.recipe_name(group.recipe)}{seeds}", fontsize=6.6)
        axes.set_yticks(range(size), names if column == 0 else [""] * size)
        axes.set_xticks(range(size), names, rotation=90 if upright else 0)
        axes.tick_params(length=0, labelsize=6.3, pad=2)
    main = lr_scale == 1.0
    rule = "largest probability" if view.multiclass else "threshold 0.5"
    seeds = " Of several seeds, the run whose accuracy is nearest the mean." if view.most_seeds > 1 else ""
    return sheet.finish(
        name="figure-confusion" + ("" if main else f"-lr{lr_scale:g}"),
        title=f"Confusion matrices on the test set ({view.test_size()})",
        caption=f"Rows: true class; columns: predicted class ({rule}). Images, and per cent of the row.{seeds}",
    )


def _matrix(axes: Axes, counts: NDArray[np.int64], side: float) -> None:
    size = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.pcolormesh(
        np.arange(size + 1) - 0.5,
        np.arange(size + 1) - 0.5,
        shares,
        cmap=_BLUES,
        vmin=0,
        vmax=1,
        edgecolor="white",
        linewidth=0.8,
    )
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    cell = 72 * side / size
    both = cell >= 24
    for i in range(size):
        for j in range(size):
            ink = "white" if shares[i, j] > 0.62 else style.INK
            big = min(7.5, cell / 3.2)
            axes.text(
                j, i - (0.13 if both else 0), f"{counts[i, j]:,}", color=ink, ha="center", va="center", fontsize=big
            )
            if both:
                share = f"{100 * shares[i, j]:.0f} %"
                axes.text(j, i + 0.22, share, color=ink, ha="center", va="center", fontsize=min(6.0, cell / 4.2))
