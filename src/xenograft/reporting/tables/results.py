"""Test scorecards -> Tables 2 to 4 in the paper's columns, and the results of single classes."""

from __future__ import annotations

from collections.abc import Sequence

from xenograft.evaluation.rules import in_words
from xenograft.reporting import published, style
from xenograft.reporting.findings import mean_note
from xenograft.reporting.groups import Group, Score, View
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

_METRICS = (
    "loss",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "g_mean",
    "specificity",
    "auroc",
    "average_precision",
)
_HEADS = {"average_precision": "AP", "specificity": "Specif. %", "accuracy": "Acc. %", "precision": "Precis. %"}
BASELINE = "baseline"
"""Kind of the baseline's row, which looks apart from the models'."""
_CLASS_METRICS = ("precision", "recall", "specificity", "f1", "auroc", "average_precision")


def results(view: View) -> list[Table]:
    """Test results, as the paper has them: one table a learning-rate scale, one of Inception v3; those with rows."""
    tables = []
    inception = [g for g in view.groups if style.backbone_key(g.backbone) == "inceptionv3"]
    for scale in view.scales:
        groups = [group for group in view.at(scale) if group not in inception]
        if groups:
            tables.append(_table(view, groups, *_heading(scale)))
    if inception:
        tables.append(_table(view, inception, "table-results-inception", "Test results of Inception v3"))
    return tables


def _heading(scale: float) -> tuple[str, str]:
    if scale == 1.0:
        return "table-results", "Test results"
    return f"table-results-lr{scale:g}", f"Test results with the learning rate × {scale:g}"


def _table(view: View, groups: Sequence[Group], name: str, title: str) -> Table:
    metrics = [m for m in _METRICS if any(g.score(p, m) for g in groups for p in view.policies)]
    several = len({group.lr_scale for group in groups}) > 1
    blocks = []
    for policy in view.policies:
        rows = _baseline(view, policy, metrics)
        for i, group in enumerate(groups):
            if any(policy in run.test["policies"] for run in group.runs):
                rows.append(_row(view, group, policy, metrics, several=several, named=i == 0 or _new(groups, i)))
                rows += _published(view, group, policy, metrics)
        if any(row.kind != BASELINE for row in rows):
            blocks.append(Block(policy_name(view, groups, policy), tuple(rows), policy))
    return Table(
        name=name,
        title=f"{title}{_mean(view)} ({view.test_size()})",
        caption=_caption(view, metrics, published_rows=any(r.kind == "published" for b in blocks for r in b.rows)),
        columns=(
            Column("Model", words=True, csv=("backbone", "seeds")),
            Column("Recipe", words=True, csv=("recipe", "lr_scale", "source")),
            *(_column(metric) for metric in metrics),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def _mean(view: View) -> str:
    return f", mean over {len(view.classes)} findings" if view.multi_label else ""


def _new(groups: Sequence[Group], i: int) -> bool:
    return groups[i].backbone != groups[i - 1].backbone


def _caption(view: View, metrics: Sequence[str], *, published_rows: bool) -> str:
    parts = [f"In small type: {view.level} interval" + _spread_note(view)]
    parts.append(view.interval_note())
    if view.multi_label:
        parts.append(mean_note(view))
    if view.multiclass:
        parts.append("Precision, recall, specificity, F1, AUROC and AP: mean over classes.")
    if "average_precision" in metrics:
        parts.append("AP: average precision.")
    if "g_mean" in metrics:
        words = (
            "G-mean: geometric mean of the classes' recalls."
            if view.multiclass
            else ("G-mean: square root of sensitivity times specificity.")
        )
        parts.append(words)
    if view.data.get("baseline"):
        seen = ", ".join(view.data["baseline"]["families"])
        parts.append(f"No anatomy: sees nothing but {seen}; what a model adds to it is what it saw in the picture.")
    if published_rows:
        parts.append("Rows in italics: published by Gu & Lee 2024, where no interval is given.")
    parts.append("Nothing is set in bold: the largest of several figures is partly the luckiest.")
    return " ".join(parts)


def _spread_note(view: View) -> str:
    if view.most_seeds >= 3:
        return f"; below it SD, the standard deviation over {view.runs_are}, which is not part of the interval."
    if view.most_seeds == 2:
        return f"; below it the values of the two {view.runs_are}, which are not part of the interval."
    return "; one seed, so the variation over seeds is unknown."


def policy_name(view: View, groups: Sequence[Group], policy: str) -> str:
    """A threshold policy as a heading, with the thresholds that validation chose."""
    if policy == "argmax":
        return "Class with the largest probability"
    if policy == "fixed":
        return "Threshold 0.5 (the paper's)" if view.paper else "Threshold 0.5"
    rule = "Youden's J" if policy == "youden" else in_words(policy)
    if view.multi_label:
        return f"Thresholds chosen on validation images, one a finding ({rule}; see the table by finding)"
    chosen = [
        float(threshold)
        for group in groups
        for run in group.runs
        if (threshold := run.test["policies"].get(policy, {}).get("threshold")) is not None
    ]
    spread = ""
    if chosen:
        low, high = style.number(min(chosen)), style.number(max(chosen))
        spread = f": {low}" if low == high else f": {low} to {high}"
    return f"Threshold chosen on validation images ({rule}){spread}"


def _column(metric: str) -> Column:
    default = style.metric_name(metric) + (" %" if metric in style.PERCENT else "")
    return Column(_HEADS.get(metric, default), csv=(metric, f"{metric}_low", f"{metric}_high", f"{metric}_seed_sd"))


def _row(view: View, group: Group, policy: str, metrics: Sequence[str], *, several: bool, named: bool) -> Row:
    recipe = style.recipe_name(group.recipe) + (f", lr × {group.lr_scale:g}" if several else "")
    kind = view.runs_are.removesuffix(" (folds and seeds)").removesuffix("s")
    seeds = (style.plural(len(group.runs), kind),)
    return Row(
        (
            Cell(group.name if named else "", raw=(group.name, len(group.runs))),
            Cell(recipe, notes=seeds, raw=(group.recipe, group.lr_scale, "this study")),
            *(score_cell(group.score(policy, metric), metric) for metric in metrics),
        )
    )


def score_cell(score: Score | None, metric: str) -> Cell:
    """Mean over seeds; the data's interval and the seeds' spread in small type."""
    if score is None:
        return Cell(style.MISSING, raw=(None, None, None, None))
    notes = [style.interval(score.low, score.high, metric=metric)]
    if score.spread is not None:
        notes.append(f"SD {style.number(score.spread, metric=metric)}")
    elif score.range is not None:
        notes.append(", ".join(style.number(value, metric=metric) for value in score.range))
    raw = (score.value, score.low, score.high, score.spread)
    return Cell(style.number(score.value, metric=metric), tuple(note for note in notes if note), raw)


def _baseline(view: View, policy: str, metrics: Sequence[str]) -> list[Row]:
    """The row that every model has to beat: a classifier that sees no anatomy."""
    scores = [view.baseline(policy, metric) for metric in metrics]
    if not any(scores):
        return []
    first = (
        Cell("No anatomy", raw=("trivial features", 1)),
        Cell("baseline", notes=("logistic regression",), raw=("baseline", None, "this study")),
    )
    cells = (score_cell(score, metric) for score, metric in zip(scores, metrics, strict=True))
    return [Row((*first, *cells), BASELINE)]


def _published(view: View, group: Group, policy: str, metrics: Sequence[str]) -> list[Row]:
    row = published.find(group.backbone, group.recipe, group.lr_scale) if view.paper and policy == "fixed" else None
    if row is None:
        return []
    first = (
        Cell("", raw=(group.name, 1)),
        Cell(f"published: {row.arm}", raw=(row.arm, group.lr_scale, "Gu & Lee 2024")),
    )
    values = (row.metrics.get(metric) for metric in metrics)
    cells = (
        Cell("" if value is None else style.number(value, metric=metric), raw=(value, None, None, None))
        for metric, value in zip(metrics, values, strict=True)
    )
    return [Row((*first, *cells), "published")]


def classwise(view: View) -> Table | None:
    """a table: each class against the rest; None for two classes or where nothing was recorded."""
    metrics = [m for m in _CLASS_METRICS if any(_has(g, k, m) for g in view.groups for k in range(len(view.classes)))]
    if not view.multiclass or not metrics:
        return None
    several = len(view.scales) > 1
    blocks = []
    for group in view.groups:
        rows = tuple(
            Row(
                (
                    Cell(name, raw=(group.name, group.recipe, group.lr_scale, name)),
                    *(score_cell(group.score("", m, label=str(k)), m) for m in metrics),
                )
            )
            for k, name in enumerate(view.classes)
        )
        blocks.append(Block(group.label + (f", lr × {group.lr_scale:g}" if several else ""), rows))
    return Table(
        name="table-classes",
        title=f"Test results of each class against the rest ({view.test_size()})",
        caption=f"In small type: {view.level} interval{_spread_note(view)} {view.interval_note()}",
        columns=(
            Column("Class", words=True, csv=("backbone", "recipe", "lr_scale", "class")),
            *(_column(metric) for metric in metrics),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def _has(group: Group, k: int, metric: str) -> bool:
    return group.score("", metric, label=str(k)) is not None
