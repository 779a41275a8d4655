"""Test predictions of a multi-label study -> Figures S2 and S3: ROC and precision-recall curves, a panel a finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.figures.curves import predictions_of
from xenograft.reporting.figures.key import LINE, Entry, draw_key, lines_of
from xenograft.reporting.figures.rates import GRID, Curve, precision_recall, roc
from xenograft.reporting.findings import Finding, findings
from xenograft.reporting.groups import Group, View
from xenograft.study.record import Predictions

_MOST_PANELS = 15
_MOST_LINES = 4  # more than this cannot be told apart in a panel of three centimetres
_LINE = 0.1  # height of a number as a share of its panel's
_SHORTEST = 10  # positive images; with fewer a curve is a few steps


@dataclass(frozen=True, slots=True)
class _Kind:
    """One sort of curve: how it is made, and how its figure is called."""

    name: str
    title: str
    metric: str
    across: str
    up: str
    curve: Callable[[NDArray[np.bool_], Curve], Curve]


_ROC = _Kind("figure-roc", "ROC curves of each finding", "auroc", "1 − specificity", "Sensitivity", roc)
_PR = _Kind(
    "figure-precision-recall",
    "Precision–recall curves of each finding",
    "average_precision",
    "Recall",
    "Precision",
    precision_recall,
)


def finding_roc(view: View, lr_scale: float) -> Drawing | None:
    """The figure for one learning-rate scale; None for other studies or where no predictions can be read."""
    return _figure(view, lr_scale, _ROC)


def finding_precision_recall(view: View, lr_scale: float) -> Drawing | None:
    """The figure for one learning-rate scale; None for other studies or where no predictions can be read."""
    return _figure(view, lr_scale, _PR)


def _figure(view: View, lr_scale: float, kind: _Kind) -> Drawing | None:
    every = view.at(lr_scale)
    if not view.multi_label:
        return None
    groups = _few(view, every)
    tables = {run.id: p for g in groups for run in g.runs if (p := predictions_of(view, run.id)) is not None}
    both = [f for f in findings(view) if 0 < f.positive < f.known]
    most = sorted(both, key=lambda f: -f.positive)[:_MOST_PANELS]
    shown = [finding for finding in both if finding in most]
    if not tables or not shown:
        return None
    columns = len(shown) if len(shown) < 5 else {5: 3, 6: 3, 7: 4, 8: 4}.get(len(shown), 5)
    rows = -(-len(shown) // columns)
    key = [
        Entry(
            group.label,
            {"color": style.shade(group.recipe, view.colours[group.backbone])}
            | style.line(group.recipe, transfer=group.transfer),
            colour=style.ink(view.colours[group.backbone]),
        )
        for group in groups
    ]
    top = LINE * len(lines_of(key, 7.1)) + 0.1
    left, gap = 0.42, 0.14 if kind is _ROC else 0.3
    side = min(1.9, (7.1 - left - 0.05 - gap * (columns - 1)) / columns)
    pitch = side + 0.38
    sheet = Sheet(top + rows * pitch + 0.16, width=7.1, stamps=view.stamps)
    draw_key(sheet, key)
    for i, finding in enumerate(shown):
        row, column = divmod(i, columns)
        axes = sheet.axes(left + column * (side + gap), top + row * pitch + 0.2, side, side)
        _panel(axes, view, groups, tables, finding, kind=kind)
        letters = int((side + gap - 0.06) / 0.066)
        name = finding.name if len(finding.name) <= letters else finding.name[: letters - 1] + "…"
        axes.set_title(name, pad=3, fontsize=7)
        axes.tick_params(labelsize=6.3, labelleft=column == 0 or kind is _PR, labelbottom=i + columns >= len(shown))
        if column == 0:
            axes.set_ylabel(kind.up, labelpad=1)
        if i + columns >= len(shown):
            axes.set_xlabel(kind.across, labelpad=1)
    main = lr_scale == 1.0
    return sheet.finish(
        name=kind.name + ("" if main else f"-lr{lr_scale:g}"),
        title=f"{kind.title} on the test set",
        caption=_caption(view, every, groups, shown, kind),
    )


def _few(view: View, groups: Sequence[Group]) -> tuple[Group, ...]:
    """As many groups as a small panel can show: all, or those of the backbone that validation rates highest."""
    if len(groups) <= _MOST_LINES:
        return tuple(groups)
    best = view.chosen(groups)
    own = [group for group in groups if group.backbone == best.backbone]
    if len(own) <= _MOST_LINES:
        return tuple(own)
    rest = [group for group in own if group != best]
    without = [group for group in rest if not group.transfer][:1]
    kept = [best, *without, *(group for group in rest if group not in without)][:_MOST_LINES]
    return tuple(group for group in own if group in kept)


def _caption(view: View, every: Sequence[Group], groups: Sequence[Group], shown: Sequence[Finding], kind: _Kind) -> str:
    name = {"auroc": "AUROC", "average_precision": "average precision"}[kind.metric]
    parts = [f"{view.test_size()}; images whose label of the finding is missing are left out. Numbers: {name}"]
    parts[0] += ", mean over seeds." if view.most_seeds > 1 else "."
    parts.append(view.line_note())
    if view.most_seeds > 1:
        parts.append(f"Curves: mean over seeds at equal {'false-positive rate' if kind is _ROC else 'recall'}.")
    if len(groups) < len(every):
        what = ", ".join(group.label for group in groups)
        parts.append(f"Only {what}: more lines could not be told apart, and validation rated this network highest.")
    if left := len(findings(view)) - len(shown):
        parts.append(
            f"Without {style.plural(left, 'finding')} with the fewest positive images or with images of one kind."
        )
    if kind is _PR:
        parts.append("Thin grey: prevalence, which guessing reaches. Every panel has its own scale of precision.")
    else:
        parts.append("Thin grey: what chance alone would give.")
    if few := [f.name for f in shown if f.positive < _SHORTEST]:
        parts.append(f"Fewer than {_SHORTEST} positive images, so a curve of few steps: {', '.join(few)}.")
    return " ".join(parts)


def _panel(
    axes: Axes, view: View, groups: Sequence[Group], tables: dict[str, Predictions], finding: Finding, *, kind: _Kind
) -> None:
    chance = [0, 1] if kind is _ROC else [finding.prevalence or 0.0] * 2
    axes.plot([0, 1], chance, color="#bbbbbb", linewidth=0.6, zorder=1)
    notes: list[tuple[float, Group]] = []
    ceiling = 1.0 if kind is _ROC else 1.3 * chance[0]
    for group in groups:
        runs = [_one(tables[run.id], int(finding.key), kind) for run in group.runs if run.id in tables]
        if not runs:
            continue
        mean = np.mean(runs, axis=0)
        if kind is _PR:  # room above the curves' right halves for as many lines of numbers
            ceiling = max(ceiling, float(mean[5:].max()), float(mean[100:].max()) / (0.93 - _LINE * len(groups)))
        colour = style.shade(group.recipe, view.colours[group.backbone])
        axes.plot(GRID, mean, color=colour, **style.line(group.recipe, transfer=group.transfer) | {"linewidth": 1.1})
        score = group.score(view.main_policy, kind.metric, label=finding.key)
        notes.append((-1.0 if score is None else score.value, group))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02 * ceiling, 1.02 * ceiling), xticks=(0, 0.5, 1))
    axes.set_xticklabels(["0", "0.5", "1"])
    if kind is _ROC:
        axes.set_yticks((0, 0.5, 1), ["0", "0.5", "1"])
    else:
        top = min(1.0, ceiling)
        axes.set_yticks([tick for tick in MaxNLocator(nbins=3, steps=[1, 2, 5, 10]).tick_values(0, top) if tick <= top])
    _numbers(axes, notes, view.colours, low=kind is _ROC)


def _one(table: Predictions, k: int, kind: _Kind) -> Curve:
    known = table.labels[:, k] >= 0
    return kind.curve(table.labels[known, k] == 1, table.probabilities[known, k])


def _numbers(axes: Axes, notes: Sequence[tuple[float, Group]], colours: dict[str, str], *, low: bool) -> None:
    """Areas, best first, in the corner that good curves leave empty; each with a piece of its line."""
    bottom = 0.02 if low else 0.99 - _LINE * len(notes)
    cover = Rectangle((0.54, bottom), 0.46, _LINE * len(notes), transform=axes.transAxes, facecolor="white", zorder=1.5)
    axes.add_patch(cover)
    for i, (value, group) in enumerate(sorted(notes, key=lambda note: -note[0])):
        y = bottom + _LINE * (len(notes) - 0.5 - i)
        look = style.line(group.recipe, transfer=group.transfer) | {"linewidth": 1.1}
        colour = style.shade(group.recipe, colours[group.backbone])
        axes.plot([0.56, 0.71], [y, y], color=colour, transform=axes.transAxes, **look)
        words = style.number(value if value >= 0 else None)
        axes.text(0.99, y, words, fontsize=6.2, va="center", ha="right", transform=axes.transAxes)
