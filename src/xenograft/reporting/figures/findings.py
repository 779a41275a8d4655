"""Scorecards of a multi-label study -> a figure: AUROC of every finding as dots with intervals, best on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from xenograft.reporting import style
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.figures.key import LINE, Entry, draw_key, lines_of
from xenograft.reporting.figures.results import bare
from xenograft.reporting.findings import Finding, auroc, ranked
from xenograft.reporting.groups import Group, View

_MOST = 30  # rows that a page holds
_TALL = 9.2  # inches of a printed page
_ARM, _LEAST_ARM, _GAP, _HEAD, _FOOT = 0.105, 0.07, 0.09, 0.24, 0.34
_WITHOUT: dict[str, Any] = {"color": style.INK, "marker": "|", "markersize": 6.5, "markeredgewidth": 1.2}


def finding_results(view: View, lr_scale: float) -> Drawing | None:
    """The figure for one learning-rate scale; None for other studies or where no finding has an AUROC."""
    groups = view.at(lr_scale)
    if not view.multi_label:
        return None
    order = ranked(view, [group for group in groups if group.transfer] or groups)
    drawn = [f for f in order if any(auroc(view, group, f) is not None for group in groups)]
    if not drawn:
        return None
    shown = sorted(drawn, key=lambda f: -f.positive)[:_MOST]
    rows = [finding for finding in drawn if finding in shown]
    backbones = list(dict.fromkeys(group.backbone for group in groups))
    arms = list(dict.fromkeys(group.recipe for group in groups))
    columns = min(len(backbones), 4)
    banks = -(-len(backbones) // columns)
    key = _key(view, groups)
    top = LINE * len(lines_of(key, 7.1)) + 0.06
    free = (_TALL - top) / banks - _HEAD - _FOOT
    arm = min(_ARM, max(_LEAST_ARM, (free / len(rows) - _GAP) / len(arms)))
    pitch = arm * len(arms) + _GAP
    bank = _HEAD + pitch * len(rows) + _FOOT
    sheet = Sheet(top + banks * bank, stamps=view.stamps)
    draw_key(sheet, key)
    labels = [f"{_short(finding.name)} ({finding.positive:,})" for finding in rows]
    names = 0.16 + 0.058 * max(len(label) for label in labels)
    width = min(4.6, (sheet.width - names - 0.1 - 0.16 * (columns - 1)) / columns)
    reach = _reach(view, groups, rows)
    for i, backbone in enumerate(backbones):
        down, across = divmod(i, columns)
        y = top + down * bank + _HEAD
        axes = sheet.axes(names + across * (width + 0.16), y, width, pitch * len(rows))
        _panel(axes, view, [g for g in groups if g.backbone == backbone], rows, arms, arm=arm)
        axes.set(xlim=reach, ylim=(pitch * len(rows), 0))
        axes.xaxis.set_major_locator(MultipleLocator(0.1 if width > 4 * (reach[1] - reach[0]) else 0.25))
        axes.set_title(style.backbone_name(backbone), color=style.ink(view.colours[backbone]), pad=4)
        if across == 0:
            for k, label in enumerate(labels):
                sheet.text(names - 0.08, y + (k + 0.5) * pitch, label, fontsize=7.2, ha="right")
    main = lr_scale == 1.0
    return sheet.finish(
        name="figure-findings" + ("" if main else f"-lr{lr_scale:g}"),
        title=f"AUROC of each finding on the test set ({view.test_size()})",
        caption=_caption(view, groups, rows, [f for f in order if f not in rows]),
    )


def _caption(view: View, groups: Sequence[Group], rows: Sequence[Finding], rest: Sequence[Finding]) -> str:
    above = "averaged over the runs with transfer" if any(group.transfer for group in groups) else "averaged"
    parts = [f"From the highest AUROC ({above}) to the lowest; in brackets: positive test images."]
    dot = f"mean over {view.runs_are}" if view.most_seeds > 1 else "value"
    parts.append(f"Dot: {dot}; bar: {view.level} interval. Grey line: guessing.")
    if view.data.get("baseline"):
        parts.append("Upright tick: the classifier that sees no anatomy.")
    parts.append(view.interval_note())
    parts.append(f"The intervals are not adjusted for there being {style.plural(len(rows), 'finding')}.")
    if undefined := [f.name for f in rest if f.positive in {0, f.known}]:
        parts.append(f"Not defined, and so not drawn: {', '.join(undefined)}.")
    if left := len(rest) - len(undefined):
        parts.append(f"The {style.plural(left, 'finding')} with the fewest positive images: in the table only.")
    return " ".join(parts)


def _look(view: View, group: Group) -> dict[str, Any]:
    """Transfer in the backbone's colour and filled; without pretrained weights open and grey."""
    colour = style.shade(group.recipe, view.colours[group.backbone]) if group.transfer else style.SOFT
    return {"linestyle": "none", **style.marker(group.recipe, colour, transfer=group.transfer), "markersize": 4.2}


def _key(view: View, groups: Sequence[Group]) -> list[Entry]:
    """One entry a recipe; where several backbones have colours of their own, those of transfer are dark grey."""
    firsts = {group.recipe: group for group in reversed(groups)}
    single = len({group.backbone for group in groups}) == 1
    entries = []
    for recipe in sorted(firsts, key=style.recipe_order):
        group = firsts[recipe]
        colour = style.shade(recipe, "#4d4d4d") if group.transfer else style.SOFT
        neutral = {"linestyle": "none", **style.marker(recipe, colour, transfer=group.transfer), "markersize": 4.2}
        entries.append(Entry(style.recipe_name(recipe), _look(view, group) if single else neutral, mark=True))
    if view.data.get("baseline"):
        entries.append(Entry("no anatomy (baseline)", {"linestyle": "none", **_WITHOUT}, mark=True))
    return entries


def _panel(
    axes: Axes, view: View, groups: Sequence[Group], rows: Sequence[Finding], arms: Sequence[str], *, arm: float
) -> None:
    pitch = arm * len(arms) + _GAP
    for k, finding in enumerate(rows):
        without = view.baseline(view.main_policy, "auroc", label=finding.key)
        if without is not None:
            axes.plot([without.value], [(k + 0.5) * pitch], linestyle="none", zorder=1.8, **_WITHOUT)
        for group in groups:
            score = auroc(view, group, finding)
            if score is None:
                continue
            look = _look(view, group)
            y = k * pitch + _GAP / 2 + arm * (arms.index(group.recipe) + 0.5)
            if score.low is not None and score.high is not None:
                axes.plot([score.low, score.high], [y, y], color=look["markeredgecolor"], linewidth=1.1)
            axes.plot([score.value], [y], **look)
    bare(axes, [k * pitch for k in range(1, len(rows))])
    axes.axvline(0.5, color="#9a9a9a", linewidth=0.9, zorder=0.9)


def _reach(view: View, groups: Sequence[Group], rows: Sequence[Finding]) -> tuple[float, float]:
    """The scale that all panels share: guessing, and every interval."""
    ends = [0.5, 0.9]
    for finding in rows:
        scores = [auroc(view, group, finding) for group in groups]
        for score in (*scores, view.baseline(view.main_policy, "auroc", label=finding.key)):
            if score is not None:
                ends += [end for end in (score.value, score.low, score.high) if end is not None]
    return max(-0.02, min(ends) - 0.02), min(1.02, max(ends) + 0.02)


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"
