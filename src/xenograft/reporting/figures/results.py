"""Test scorecards -> a figure: accuracy, F1 and AUROC of every backbone and recipe as dots with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from xenograft.reporting import published, style
from xenograft.reporting.figures.canvas import Drawing, Sheet
from xenograft.reporting.findings import mean_note
from xenograft.reporting.groups import Group, View

_METRICS = ("accuracy", "f1", "auroc")
ROW, GAP, HEAD, FOOT = 0.175, 0.09, 0.3, 0.34


def results(view: View, lr_scale: float) -> Drawing | None:
    """The figure for one learning-rate scale; None where no group has any of its metrics."""
    groups = view.at(lr_scale)
    policy = view.main_policy
    metrics = [m for m in _METRICS if any(group.score(policy, m) for group in groups)]
    if not metrics:
        return None
    places = rows_of([group.backbone for group in groups])
    depth = places[-1] + ROW
    sheet = Sheet(HEAD + depth + FOOT, stamps=view.stamps)
    names = name_rows(sheet, view, [(g.backbone, style.recipe_name(g.recipe)) for g in groups], places)
    width = (sheet.width - names - 0.12 - 0.22 * (len(metrics) - 1)) / len(metrics)
    for i, metric in enumerate(metrics):
        axes = sheet.axes(names + i * (width + 0.22), HEAD, width, depth)
        _dots(axes, view, groups, places, metric)
        axes.set_title(style.metric_name(metric) + (" (%)" if metric in style.PERCENT else ""), pad=4)
        axes.set_ylim(depth, 0)
    main = lr_scale == 1.0
    mean = f", mean over {len(view.classes)} findings" if view.multi_label else ""
    return sheet.finish(
        name="figure-results" + ("" if main else f"-lr{lr_scale:g}"),
        title=f"Results on the test set{mean} ({view.test_size()})",
        caption=_caption(view, groups),
    )


def _caption(view: View, groups: Sequence[Group]) -> str:
    rule = "the class with the largest probability" if view.multiclass else "threshold 0.5"
    means = f" {mean_note(view)}" if view.multi_label else ""
    parts = [
        f"Accuracy and F1 at {rule}{' (F1 and AUROC: mean over classes)' if view.multiclass else ''}.{means}",
        "Filled: pretrained weights (transfer). Open: random weights.",
        f"Dot: {f'mean over {view.runs_are}' if view.most_seeds > 1 else 'value'}; bar: {view.level} interval."
        + (" Small ticks: single seeds." if view.most_seeds > 1 else ""),
        view.interval_note(),
        "The scales do not begin at zero.",
        (
            "The paper plots test figures at every epoch. Here the test set is opened once per run, after every "
            "choice, so the course over epochs is shown on validation images (figure of training)."
        ),
    ]
    if view.paper and any(published.find(g.backbone, g.recipe, g.lr_scale) for g in groups):
        parts.insert(2, "Grey crosses: published by Gu & Lee 2024.")
    return " ".join(parts)


def rows_of(backbones: Sequence[str]) -> list[float]:
    """The vertical place of each row in inches, with a gap where the backbone changes."""
    places: list[float] = []
    y = ROW / 2
    for i, backbone in enumerate(backbones):
        if i:
            y += ROW + (GAP if backbone != backbones[i - 1] else 0)
        places.append(y)
    return [place + GAP / 2 for place in places]


def name_rows(sheet: Sheet, view: View, rows: Sequence[tuple[str, str]], places: Sequence[float]) -> float:
    """Write the backbone's name at the first of its rows and a label at each; returns where the panels begin."""
    first = max(len(style.backbone_name(backbone)) for backbone, _ in rows) * 0.064 + 0.12
    second = max(len(label) for _, label in rows) * 0.057 + 0.14
    for i, ((backbone, label), place) in enumerate(zip(rows, places, strict=True)):
        if i == 0 or rows[i - 1][0] != backbone:
            sheet.text(
                0.02,
                HEAD + place,
                style.backbone_name(backbone),
                color=style.ink(view.colours[backbone]),
                weight="bold",
                fontsize=7.2,
            )
        sheet.text(first + second - 0.1, HEAD + place, label, fontsize=7.2, ha="right")
    return first + second


def bare(axes: Axes, places: Sequence[float]) -> None:
    """Panels of dots: no vertical axis, a hairline per row."""
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x", color=style.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    for place in places:
        axes.axhline(place, color="#f0f0f0", linewidth=0.5, zorder=0)


def _dots(axes: Axes, view: View, groups: Sequence[Group], places: Sequence[float], metric: str) -> None:
    unit = 100 if metric in style.PERCENT else 1
    for group, place in zip(groups, places, strict=True):
        score = group.score(view.main_policy, metric)
        colour = view.colours[group.backbone]
        if score is not None:
            if score.low is not None and score.high is not None:
                axes.plot([unit * score.low, unit * score.high], [place, place], color=colour, linewidth=1.1)
            if len(score.values) > 1:
                ticks = [unit * value for value in score.values]
                axes.plot(
                    ticks,
                    [place + 0.055] * len(ticks),
                    "|",
                    color=colour,
                    markersize=3.2,
                    markeredgewidth=0.6,
                    alpha=0.8,
                )
            look = style.marker(group.recipe, colour, transfer=group.transfer)
            axes.plot([unit * score.value], [place], linestyle="none", **look)
        row = published.find(group.backbone, group.recipe, group.lr_scale) if view.paper else None
        if row is not None and metric in row.metrics:
            axes.plot([unit * row.metrics[metric]], [place], "x", color=style.SOFT, markersize=4, markeredgewidth=1)
    bare(axes, places)
