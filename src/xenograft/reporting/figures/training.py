"""Histories -> a figure: loss and accuracy by epoch on training images, accuracy and F1 on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet, label_ends, quiet
from xenograft.reporting.groups import Group, View

_MEASURES = {
    "train_loss": "Training loss",
    "train_accuracy": "Training accuracy",
    "val_accuracy": "Validation accuracy",
    "val_f1": "Validation F1",
    "val_loss": "Validation loss",
    "val_auroc": "Validation AUROC",
}
_SHOWN = ("train_loss", "train_accuracy", "val_accuracy", "val_f1")
_MOST_LINES = 6  # more direct labels than this do not fit beside one panel


@dataclass(frozen=True, slots=True)
class _Line:
    """One group's course: epochs (E,), seeds (S, E) with NaN where a seed stopped earlier, and their mean (E,)."""

    group: Group
    epochs: NDArray[np.float64]
    seeds: NDArray[np.float64]
    mean: NDArray[np.float64]


def training(view: View, lr_scale: float) -> Drawing | None:
    """The figure for one learning-rate scale; None where no run has epochs."""
    groups = view.at(lr_scale)
    measures = [m for m in _SHOWN if any(_course(group, m) for group in groups)]
    if not measures:
        return None
    drawn = [group for group in groups if any(_course(group, m) for m in measures)]
    backbones = list(dict.fromkeys(group.backbone for group in drawn))
    if len(backbones) > 4 or len(drawn) > _MOST_LINES:
        sheet = _multiples(view, drawn, backbones, measures)
    else:
        sheet = _overlay(view, drawn, measures)
    main = lr_scale == 1.0
    return sheet.finish(
        name="figure-training" + ("" if main else f"-lr{lr_scale:g}"),
        title="Training by epoch",
        caption=_caption(view, groups, drawn, measures),
    )


def _caption(view: View, groups: Sequence[Group], drawn: Sequence[Group], measures: Sequence[str]) -> str:
    parts = [", ".join(_MEASURES[m].lower() for m in measures).capitalize().replace("f1", "F1") + " by epoch."]
    if view.multi_label:
        parts.append("Training accuracy: over all known labels; validation: means over findings.")
    parts.append(view.line_note())
    if view.most_seeds > 1:
        parts.append(f"Thick lines: mean over up to {view.most_seeds} seeds; thin lines: single seeds.")
    without = [group.label for group in groups if group not in drawn]
    if without:
        parts.append(f"Solved in one step, without epochs, and so not drawn: {', '.join(without)}.")
    return " ".join(parts)


def _course(group: Group, measure: str) -> _Line | None:
    histories = [
        {int(e["epoch"]): float(e[measure]) for e in run.history if e.get(measure) is not None} for run in group.runs
    ]
    histories = [history for history in histories if history]
    if not histories:
        return None
    epochs = sorted(set().union(*histories))
    seeds = np.array([[history.get(epoch, np.nan) for epoch in epochs] for history in histories])
    return _Line(group, np.array(epochs, dtype=np.float64), seeds, np.nanmean(seeds, axis=0))


def _draw(axes: Axes, courses: Sequence[_Line], colours: dict[str, str]) -> None:
    for course in courses:
        colour = style.shade(course.group.recipe, colours[course.group.backbone])
        look = style.line(course.group.recipe, transfer=course.group.transfer)
        alone = "." if len(course.epochs) == 1 else None  # a single epoch would be an invisible line
        if len(course.seeds) > 1:
            for seed in course.seeds:
                axes.plot(course.epochs, seed, color=colour, alpha=0.3, linewidth=0.5, marker=alone)
        axes.plot(course.epochs, course.mean, color=colour, marker=alone, **look)
    last = max(float(course.epochs[-1]) for course in courses)
    axes.set_xlim(0.5 if last == 1 else 1, max(last, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    quiet(axes)


def _overlay(view: View, groups: Sequence[Group], measures: Sequence[str]) -> Sheet:
    """Few lines: all backbones in one panel per measure, two panels a row, names at the line ends."""
    single = len({group.backbone for group in groups}) == 1
    words = [style.recipe_name(group.recipe) if single else group.label for group in groups]
    height, left, names = 1.75, 0.42, 0.26 + 0.054 * max(len(word) for word in words)
    width = 7.1 / 2 - left - names
    rows = -(-len(measures) // 2)
    sheet = Sheet(rows * (height + 0.55) + 0.1, stamps=view.stamps)
    for i, measure in enumerate(measures):
        row, column = divmod(i, 2)
        axes = sheet.axes(left + column * (width + names + left), 0.26 + row * (height + 0.55), width, height)
        courses = [course for group in groups if (course := _course(group, measure))]
        _draw(axes, courses, view.colours)
        axes.set_title(_MEASURES[measure], pad=5)
        if row == rows - 1 or i + 2 >= len(measures):
            axes.set_xlabel("Epoch")
        ends = [
            (
                float(c.epochs[-1]),
                float(c.mean[-1]),
                style.recipe_name(c.group.recipe) if single else c.group.label,
                view.colours[c.group.backbone],
            )
            for c in courses
        ]
        label_ends(axes, ends, height=height, reach=0.1)
    return sheet


def _multiples(view: View, groups: Sequence[Group], backbones: Sequence[str], measures: Sequence[str]) -> Sheet:
    """Many lines: one row per backbone, one column per measure, scales shared down each column."""
    names = 0.46 if max(len(style.recipe_name(g.recipe)) for g in groups) < 8 else 0.52
    left, gap = 0.32, 0.02
    width = (7.1 - len(measures) * (left + names + gap)) / len(measures)
    recipes = max(sum(group.backbone == b for group in groups) for b in backbones)
    height = max(0.7, 0.12 * recipes)
    pitch, top = height + 0.34, 0.52
    sheet = Sheet(top + len(backbones) * pitch + 0.16, stamps=view.stamps)
    for column, measure in enumerate(measures):
        x = column * (left + width + names + gap) + left
        sheet.text(x, 0.12, _MEASURES[measure], weight="bold", fontsize=8)
        found: list[tuple[Axes, list[_Line]]] = []
        for row, backbone in enumerate(backbones):
            courses = [c for g in groups if g.backbone == backbone and (c := _course(g, measure))]
            if column == 0:
                sheet.text(
                    0.02,
                    top + row * pitch - 0.11,
                    style.backbone_name(backbone),
                    color=style.ink(view.colours[backbone]),
                    weight="bold",
                    fontsize=7.5,
                )
            if not courses:
                continue
            axes = sheet.axes(x, top + row * pitch, width, height)
            _draw(axes, courses, view.colours)
            axes.tick_params(labelsize=6.3, labelbottom=row == len(backbones) - 1)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
            found.append((axes, courses))
        low = min(axes.get_ylim()[0] for axes, _ in found)
        high = max(axes.get_ylim()[1] for axes, _ in found)
        low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
        found[-1][0].set_xlabel("Epoch", fontsize=6.8, labelpad=1)
        for axes, courses in found:
            axes.set_ylim(low, high)
            ends = [
                (
                    float(c.epochs[-1]),
                    float(c.mean[-1]),
                    style.recipe_name(c.group.recipe),
                    view.colours[c.group.backbone],
                )
                for c in courses
            ]
            label_ends(axes, ends, height=height, reach=0.1, size=6.3)
    return sheet
