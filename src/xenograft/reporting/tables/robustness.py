"""The record of robustness -> a table of what each change costs first, and one of every level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.robustness_words import auroc_name, size
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

Json = Mapping[str, Any]

_MIDDLE = 3
_NONE = "none"


def summary(record: Json) -> Table:
    """A row for each change: the first level that costs too much, and what a middle level does."""
    rows = [
        Row(
            (
                Cell(printable(change["name"])),
                Cell(change["measure"]),
                _first(change, "auroc"),
                _first(change, "accuracy"),
                *_middle(change),
            )
        )
        for change in record["changes"]
    ]
    amount = record["amount"]
    columns = (
        Column("Change", words=True),
        Column("Its strength", words=True),
        Column("First loss of AUROC", csv=("auroc_level", "auroc_strength")),
        Column("First loss of accuracy", csv=("accuracy_level", "accuracy_strength")),
        Column(f"Other answers at level {_MIDDLE} (%)", csv=_csv("flips")),
        Column(f"Probability moved at level {_MIDDLE}", csv=_csv("moved")),
    )
    return Table(
        name="table-robustness-summary",
        title="What each change costs first",
        caption=f"First loss: the weakest level at which more than {amount:g} ({100 * amount:g} points of accuracy) is "
        "lost and the paired interval excludes 0; none: at no level that was tried. Other answers: share of "
        f"images with another answer than before, right or wrong. {_how(record)}",
        columns=columns,
        blocks=(Block("", tuple(rows)),),
    )


def every_level(record: Json) -> Table:
    """A row for each change and level, after one for the images as they are."""
    mean = "" if record["task"] == "binary" else ", mean"
    rates = (
        ("accuracy", f"Accuracy{mean if record['task'] == 'multilabel' else ''} (%)"),
        ("recall", f"Sensitivity{mean} (%)"),
        ("specificity", f"Specificity{mean} (%)"),
        ("loss", "Log-loss"),
    )
    averaged = "" if record["task"] == "binary" else f"AUROC: {auroc_name(record)}. "
    clean = record["clean"]
    first = Row(
        (
            Cell("none"), Cell("0", raw=(0, 0)), _value(clean["auroc"]), Cell("", raw=("", "", "")),
            *(_value(clean[metric], metric=metric) for metric, _ in rates), Cell("", raw=("", "", "")),
            Cell("", raw=("", "", "")),
        ),
    )  # fmt: skip
    rows = [first]
    for change in record["changes"]:
        for row in change["levels"]:
            lost = row["differences"]["auroc"]
            rows.append(
                Row(
                    (
                        Cell(printable(change["name"]) if row is change["levels"][0] else "", raw=(change["name"],)),
                        Cell(f"{row['strength']:g}", raw=(row["level"], row["strength"])),
                        _value(row["metrics"]["auroc"]),
                        _value(lost, signed=True, key="difference"),
                        *(_value(row["metrics"][metric], metric=metric) for metric, _ in rates),
                        _value(row["flips"], metric="accuracy"),
                        _value(row["moved"]),
                    )
                )
            )
    return Table(
        name="table-robustness",
        title="Every change and level",
        caption=f"{averaged}Loss: changed minus as they are, on the same images. {_how(record)}",
        columns=(
            Column("Change", words=True, csv=("change",)),
            Column("Strength", csv=("level", "strength")),
            Column("AUROC", csv=_csv("auroc")),
            Column("Loss of AUROC", csv=_csv("auroc_difference")),
            *(Column(label, csv=_csv(metric)) for metric, label in rates),
            Column("Other answers (%)", csv=_csv("flips")),
            Column("Probability moved", csv=_csv("moved")),
        ),
        blocks=(Block("", tuple(rows)),),
        small=True,
    )


def _how(record: Json) -> str:
    return (
        f"{size(record)}; {100 * record['level']:g} % intervals by paired patient-cluster bootstrap, "
        f"{record['resamples']:,} resamples, the same for all levels."
    )


def _first(change: Json, metric: str) -> Cell:
    level = change["first"][metric]
    if level is None:
        return Cell(_NONE, raw=("", ""))
    row = next(row for row in change["levels"] if row["level"] == level)
    lost = row["differences"][metric]
    number = style.number(lost["difference"], metric=metric, signed=True)
    ends = style.interval(lost["low"], lost["high"], metric=metric, signed=True)
    return Cell(f"{row['strength']:g}", (f"level {level}: {number}", f"({ends})"), (level, row["strength"]))


def _middle(change: Json) -> tuple[Cell, Cell]:
    row = next((row for row in change["levels"] if row["level"] == _MIDDLE), None)
    if row is None:
        return Cell(style.MISSING), Cell(style.MISSING)
    return _value(row["flips"], metric="accuracy"), _value(row["moved"])


def _value(entry: Json, *, metric: str = "", signed: bool = False, key: str = "value") -> Cell:
    raw = (entry[key], entry["low"], entry["high"])
    ends = style.interval(entry["low"], entry["high"], metric=metric, signed=signed)
    return Cell(style.number(entry[key], metric=metric, signed=signed), (ends,) if ends else (), raw)


def _csv(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"
