"""What the runs of a study show together -> tables of ensembles, and of variation by source."""

from __future__ import annotations

from typing import Any

from xenograft.reporting import style
from xenograft.reporting.groups import Group, View
from xenograft.reporting.p_values import p_text
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

_METRICS = ("auroc", "accuracy", "recall", "specificity", "f1")


def ensembles(view: View) -> Table | None:
    """Averaged answers of several runs; None where the study has no ensemble."""
    rows = sorted(view.study.record.ensembles, key=_place)
    if not rows:
        return None
    chosen = view.chosen()
    policy = view.main_policy
    several = "Thresholds of 0.5. " if policy == "fixed" else ""
    return Table(
        name="table-ensembles",
        title=f"Ensembles: mean probability of several runs, on the test set ({view.test_size()})",
        caption=f"{several}In small type: {view.level} interval. Last columns: AUROC minus that of the combination "
        f"that validation chose ({chosen.label}), paired, with p adjusted for {rows[0]['against']['of']} ensembles "
        "(Holm). An ensemble costs as much computing as all its members together.",
        columns=(
            Column("Members", words=True, csv=("kind", "backbone", "recipe", "lr_scale", "members")),
            *(Column(style.metric_name(m), csv=(m, f"{m}_low", f"{m}_high")) for m in _METRICS),
            Column("Difference", csv=("difference", "difference_low", "difference_high")),
            Column("p, adjusted", csv=("p", "p_holm")),
        ),
        blocks=(Block("", tuple(_ensemble(row, policy) for row in rows)),),
    )


def variation(view: View) -> Table | None:
    """Standard deviations over runs by source beside the test data's interval; None where every arm ran once."""
    groups = [group for group in view.groups if len(group.runs) > 1 and group.variation]
    if not groups:
        return None
    folds = view.data.get("folds")
    data = (
        "Within: only the seed differs. Between folds: training (and, where folds test on different patients, testing) "
        "on other patients."
        if folds
        else "Only the seed differs between them."
    )
    return Table(
        name="table-variation",
        title="How much results vary when training is repeated (AUROC on the test set)",
        caption=f"Standard deviations (SD) of single runs. {data} Half-width: of the {view.level} interval over test "
        "patients, which holds for these trained networks. They answer different questions and are not added up.",
        columns=(
            Column("Combination", words=True, csv=("backbone", "recipe", "lr_scale")),
            Column("Runs", csv=("runs",)),
            Column("Lowest to highest", csv=("lowest", "highest")),
            Column("SD", csv=("sd",)),
            *(
                (Column("SD within (seed)", csv=("sd_seed",)), Column("SD between folds", csv=("sd_data",)))
                if folds
                else ()
            ),
            Column("Half-width, patients", csv=("half_width",)),
        ),
        blocks=(Block("", tuple(_varied(group, view, folds=bool(folds)) for group in groups)),),
    )


def _place(row: dict[str, Any]) -> tuple[object, ...]:
    """As other tables are ordered; of all backbones last."""
    order = style.backbone_order(row["backbone"]) if row["backbone"] else ()
    return (-row["lr_scale"], row["kind"] == "backbones", order, style.recipe_order(row["recipe"]))


def _ensemble(row: dict[str, Any], policy: str) -> Row:
    metrics = row["test"]["policies"].get(policy, {"metrics": {}})["metrics"]
    recipe = style.recipe_name(row["recipe"])
    scale = "" if row["lr_scale"] == 1.0 else f" (lr × {row['lr_scale']:g})"
    count = len(row["members"])
    who = f"{style.backbone_name(row['backbone'])} {recipe}" if row["backbone"] else f"all backbones, {recipe}"
    against = row["against"]
    ends = (against["low"], against["high"])
    cells = [
        Cell(
            f"{who}{scale}",
            (style.plural(count, "run"),),
            raw=(row["kind"], row["backbone"], row["recipe"], row["lr_scale"], " ".join(row["members"])),
        )
    ]
    for metric in _METRICS:
        entry = metrics.get(metric) or {"value": None, "low": None, "high": None}
        note = style.interval(entry["low"], entry["high"], metric=metric)
        raw = (entry["value"], entry["low"], entry["high"])
        cells.append(Cell(style.number(entry["value"], metric=metric), (note,) if note else (), raw=raw))
    note = style.interval(*ends, signed=True)
    value = style.number(against["difference"], signed=True)
    cells.append(Cell(value, (note,) if note else (), raw=(against["difference"], *ends)))
    cells.append(Cell(p_text(against["p_holm"]), raw=(against["p"], against["p_holm"])))
    return Row(tuple(cells))


def _varied(group: Group, view: View, *, folds: bool) -> Row:
    found = group.variation["auroc"]
    score = group.score(view.main_policy, "auroc")
    ends = score.range if score is not None and score.range is not None else (None, None)
    half = None if score is None or score.low is None or score.high is None else (score.high - score.low) / 2
    scale = "" if group.lr_scale == 1.0 else f" (lr × {group.lr_scale:g})"
    return Row(
        (
            Cell(f"{group.label}{scale}", raw=(group.backbone, group.recipe, group.lr_scale)),
            Cell(str(found["runs"]), raw=(found["runs"],)),
            Cell("–".join(style.number(end) for end in ends), raw=ends),
            *(_sd(found[name]) for name in ("sd", *(("sd_seed", "sd_data") if folds else ()))),
            _sd(half),
        )
    )


def _sd(value: float | None) -> Cell:
    return Cell(style.MISSING if value is None else f"{value:.4f}", raw=(value,))
