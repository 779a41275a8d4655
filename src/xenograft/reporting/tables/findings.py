"""Test scorecards of a multi-label study -> a table: each finding, at a threshold of its own."""

from __future__ import annotations

from collections.abc import Sequence

from xenograft.reporting import style
from xenograft.reporting.findings import FIXED, Finding, findings, own_policy, thresholds, too_few
from xenograft.reporting.groups import Group, Score, View
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table
from xenograft.reporting.tables.results import BASELINE

_RANKING = ("auroc", "average_precision")
_DECIDING = ("recall", "specificity")


def findingwise(view: View) -> Table | None:
    """The table of a multi-label study; None for others, or where nothing was recorded by finding."""
    policy = own_policy(view)
    groups = [g for g in view.groups if any(g.score(policy, "auroc", label=f.key) for f in findings(view))]
    if not view.multi_label or not groups:
        return None
    blocks = [Block("No anatomy: the classifier that sees none", rows)] if (rows := _baseline(view, policy)) else []
    for scale in view.scales:
        for backbone in view.backbones:
            own = [g for g in groups if (g.backbone, g.lr_scale) == (backbone, scale)]
            if own:
                blocks.append(_block(view, own, policy, several=len(view.scales) > 1))
    return Table(
        name="table-findings",
        title=f"Test results of each finding ({view.test_size()})",
        caption=_caption(view, policy),
        columns=(
            Column("Finding", words=True, csv=("backbone", "lr_scale", "finding", "known", "positive")),
            Column("Recipe", words=True, csv=("recipe", "seeds")),
            _column("AUROC", "auroc"),
            _column("AP", "average_precision"),
            Column("Prevalence", csv=("prevalence",)),
            Column("Threshold", csv=("threshold_low", "threshold_high")),
            _column("Sensitivity %", "recall"),
            _column("Specificity %", "specificity"),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def _column(label: str, metric: str) -> Column:
    return Column(label, csv=(metric, f"{metric}_low", f"{metric}_high", f"{metric}_seed_sd"))


def _caption(view: View, policy: str) -> str:
    parts = ["Below each finding: test images that have it, of those whose label is known."]
    parts.append("AP: average precision; guessing reaches the prevalence, which stands beside it.")
    if policy == FIXED:
        parts.append("Sensitivity and specificity at threshold 0.5: validation had too few images to choose another.")
    else:
        parts.append(
            "Sensitivity and specificity at the threshold that validation images chose for the finding (Youden's J; "
            "smallest to largest over seeds)."
        )
        if any(too_few(view.groups[0], finding) for finding in findings(view)):
            parts.append("†: validation had too few images with or without the finding, and 0.5 was kept.")
    seeds = "mean over seeds, and in small type the interval" if view.most_seeds > 1 else "in small type, the interval"
    return " ".join([*parts, f"{seeds[0].upper()}{seeds[1:]}. {view.interval_note()}"])


def _block(view: View, groups: Sequence[Group], policy: str, *, several: bool) -> Block:
    rows = [_row(finding, group, policy, named=i == 0) for finding in findings(view) for i, group in enumerate(groups)]
    first = groups[0]
    return Block(first.name + (f", lr × {first.lr_scale:g}" if several else ""), tuple(rows))


def _row(finding: Finding, group: Group, policy: str, *, named: bool) -> Row:
    cuts = thresholds([run.test for run in group.runs], policy, finding)
    return Row(
        (
            _name(finding, group.name, group.lr_scale, named=named),
            Cell(style.recipe_name(group.recipe), raw=(group.recipe, len(group.runs))),
            *(_cell(group.score(policy, m, label=finding.key), m) for m in _RANKING),
            _chance(finding, named=named),
            _cut(cuts, few=policy != FIXED and too_few(group, finding)),
            *(_cell(group.score(policy, m, label=finding.key), m) for m in _DECIDING),
        )
    )


def _baseline(view: View, policy: str) -> tuple[Row, ...]:
    """What is reached without anatomy, finding by finding."""
    rows = []
    for finding in findings(view):
        scores = {m: view.baseline(policy, m, label=finding.key) for m in (*_RANKING, *_DECIDING)}
        if any(scores.values()):
            cells = {m: _cell(score, m) for m, score in scores.items()}
            cut = thresholds([view.data["baseline"]["test"]], policy, finding)
            row = (
                _name(finding, "trivial features", None, named=True),
                Cell("baseline", raw=("baseline", 1)),
                *(cells[m] for m in _RANKING),
                _chance(finding, named=True),
                _cut(cut, few=policy != FIXED and too_few(view.groups[0], finding)),
                *(cells[m] for m in _DECIDING),
            )
            rows.append(Row(row, BASELINE))
    return tuple(rows)


def _cut(cuts: Sequence[float], *, few: bool) -> Cell:
    """The finding's threshold: one, or the smallest and largest over seeds; marked where it could not be chosen."""
    if not cuts:
        return Cell(style.MISSING, raw=(None, None))
    ends = [style.number(min(cuts)), style.number(max(cuts))]
    return Cell("–".join(dict.fromkeys(ends)) + ("†" if few else ""), raw=(min(cuts), max(cuts)))


def _name(finding: Finding, model: str, scale: float | None, *, named: bool) -> Cell:
    raw = (model, scale, finding.name, finding.known, finding.positive)
    if not named:
        return Cell("", raw=raw)
    return Cell(finding.name, notes=(f"{finding.positive:,} of {finding.known:,}",), raw=raw)


def _chance(finding: Finding, *, named: bool) -> Cell:
    return Cell(style.number(finding.prevalence) if named else "", raw=(finding.prevalence,))


def _cell(score: Score | None, metric: str) -> Cell:
    """Mean over seeds and the interval; the seeds' spread only in the file, or every row would have a third line."""
    if score is None:
        return Cell(style.MISSING, raw=(None,) * 4)
    ends = style.interval(score.low, score.high, metric=metric)
    return Cell(
        style.number(score.value, metric=metric),
        (ends,) if ends else (),
        (score.value, score.low, score.high, score.spread),
    )
