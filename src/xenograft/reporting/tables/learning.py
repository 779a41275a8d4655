"""A learning curve's view -> the tables of its page, and the one of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.learning_view import Json, LearningView, exact, largest
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table


def points(view: LearningView) -> Table:
    """A row for each curve and size."""
    unit, counts = view.unit, {row["size"]: row for row in view.record["subsets"]}
    lacking = any(point["lacking"] for _, _, curve in view.curves for point in curve["points"])
    columns = [
        Column("Curve", words=True, csv=("backbone", "recipe")),
        Column(unit.capitalize(), csv=("size",)),
        Column("Images", csv=("images",)),
        Column("Repeats", csv=("repeats",)),
        Column(f"{view.metric[0].upper()}{view.metric[1:]}", csv=("auroc", "low", "high")),
        Column("Repeats from–to", csv=("lowest", "highest", "sd")),
        Column("Validation", csv=("validation",)),
        *([Column("Findings not learnt", csv=("lacking",))] if lacking else []),
        Column("Steps", csv=("steps",)),
    ]
    rows = []
    for name, _, curve in view.curves:
        for i, point in enumerate(curve["points"]):
            rows.append(Row(tuple(_point(name if i == 0 else "", curve, point, counts[point["size"]], lacking))))
    return Table(
        name="points",
        title=f"{view.metric[0].upper()}{view.metric[1:]} on the test set at each size",
        caption=f"Mean over repeats with its {view.level} interval ({view.record['resamples']:,} resamples of test "
        f"patients, the same in every row) and, beside it, the smallest and largest of the repeats. Validation: "
        f"{unit} that choose, not counted in the size. Steps: of gradient descent, median. Images and validation are "
        f"means over repeats. Test: {view.test}.",
        columns=tuple(columns),
        blocks=(Block("", tuple(rows)),),
    )


def _point(name: str, curve: Json, point: Json, subset: Json, lacking: bool) -> list[Cell]:
    low, high = min(point["values"]), max(point["values"])
    one = len(point["values"]) == 1
    return [
        Cell(name, raw=(printable(curve["backbone"]), curve["recipe"])),
        Cell(exact(point["size"]), raw=(point["size"],)),
        Cell(exact(subset["images"]), raw=(subset["images"],)),
        Cell(str(point["repeats"])),
        Cell(
            style.number(point["value"]),
            (style.interval(point["low"], point["high"]),),
            raw=(point["value"], point["low"], point["high"]),
        ),
        Cell("" if one else style.interval(low, high), raw=(low, high, point["sd"])),
        Cell(exact(subset["val_patients"]), raw=(subset["val_patients"],)),
        *([Cell(str(point["lacking"]))] if lacking else []),
        Cell("" if point["steps"] is None else exact(point["steps"]), raw=(point["steps"],)),
    ]


def laws(view: LearningView) -> Table | None:
    """A row for each fitted law."""
    rows = []
    for name, _, curve in view.curves:
        law = curve["law"]
        if law is None:
            continue
        floor = law["floor"]
        top = {
            "value": 1 - floor["value"],
            "low": None if floor["high"] is None else 1 - floor["high"],
            "high": None if floor["low"] is None else 1 - floor["low"],
        }
        rows.append((name, _spread(top), _spread(law["exponent"]), Cell(f"{law['residual']:.4f}"), _gain(law)))
    if not rows:
        return None
    columns = [
        Column("Curve", words=True),
        Column("Levels off at", csv=("plateau", "plateau_low", "plateau_high")),
        Column("Exponent c", csv=("exponent", "exponent_low", "exponent_high")),
        Column("Residual", csv=("residual",)),
        Column("Gain by doubling", csv=("gain", "gain_low", "gain_high")),
    ]
    return _table(
        "laws",
        "Fitted power laws",
        f"1 − AUROC = a + b n^(−c), n being {view.unit}; it levels off at 1 − a. Residual: weighted root mean square. "
        f"Intervals: {view.level}, {view.record['refits']:,} refits with test patients and repeats drawn anew. An "
        "exponent at 0.02 or 3 lies at the border of what is searched.",
        columns,
        rows,
    )


def catch_up(view: LearningView) -> Table | None:
    """How many patients random weights need for what pretrained ones reach at each size."""
    curves = {(c["backbone"], c["recipe"]): c for _, _, c in view.curves}
    rows: list[Sequence[str | Cell]] = []
    for pair in view.record["catch_up"]:
        behind = curves[pair["backbone"], pair["behind"]]
        for i, entry in enumerate(pair["needs"]):
            names = [view.name(pair["backbone"], pair[key]) for key in ("ahead", "behind")] if i == 0 else ["", ""]
            raw = (entry["status"], entry["value"], entry["low"], entry["high"])
            rows.append(
                (
                    Cell(names[0], raw=(printable(pair["backbone"]), pair["ahead"])),
                    Cell(exact(entry["size"]), raw=(entry["size"],)),
                    Cell(style.number(entry["target"]), raw=(entry["target"],)),
                    Cell(names[1], raw=(pair["behind"],)),
                    Cell(view.reached(entry, largest(behind)), raw=raw),
                )
            )
    if not rows:
        return None
    unit = view.unit.capitalize()
    columns = [
        Column("To equal", words=True, csv=("backbone", "ahead")),
        Column(f"with {view.unit}", csv=("size",)),
        Column("AUROC", csv=("auroc",)),
        Column("this", words=True, csv=("behind",)),
        Column("needs", words=True, csv=("status", "needs", "low", "high")),
    ]
    return _table(
        "catch-up",
        f"{unit} that training from random weights needs to equal pretrained features",
        f"Within the sizes measured: interpolated. Beyond: by the fitted law, up to "
        f"{view.record['farthest']:g} times the largest size and no further.",
        columns,
        rows,
    )


def subsets(view: LearningView) -> Table:
    """What each size consists of."""
    classes = list(view.data["classes"])
    rows: list[Sequence[str | Cell]] = []
    for row in view.record["subsets"]:
        cells = [
            Cell(f"{row['classes'][c]['patients']:,.0f}", (f"{row['classes'][c]['images']:,.0f} images",))
            for c in classes
        ]
        rows.append(
            (
                exact(row["size"]),
                f"{row['images']:,.0f}",
                *cells,
                Cell(f"{row['val_patients']:,.0f}", (f"{row['val_images']:,.0f} images",)),
            )
        )
    return _table(
        "subsets",
        "The nested subsets",
        f"Means over repeats: {view.unit} of train, of each {'finding' if view.data['multi_label'] else 'class'}, and "
        "of validation. A patient with images of two classes counts in both.",
        [
            Column(view.unit.capitalize()),
            Column("Images"),
            *(Column(printable(name)) for name in classes),
            Column("Validation"),
        ],
        rows,
    )


def brief(view: LearningView) -> tuple[tuple[str, ...], list[list[str]]]:
    """The table of the terminal: headings and rows of text."""
    rows = [
        [
            name if i == 0 else "",
            exact(point["size"]),
            str(point["repeats"]),
            f"{style.number(point['value'])} ({style.interval(point['low'], point['high'])})",
            style.interval(min(point["values"]), max(point["values"])) if point["repeats"] > 1 else "",
        ]
        for name, _, curve in view.curves
        for i, point in enumerate(curve["points"])
    ]
    return ("curve", view.unit, "repeats", f"{view.metric} (95 % CI)", "repeats from-to"), rows


def _spread(entry: Json) -> Cell:
    ends = style.interval(entry["low"], entry["high"])
    return Cell(style.number(entry["value"]), (ends,), raw=(entry["value"], entry["low"], entry["high"]))


def _gain(law: Json) -> Cell:
    entry = law["doubling"]
    ends = style.interval(entry["low"], entry["high"], signed=True)
    return Cell(style.number(entry["gain"], signed=True), (ends,), raw=(entry["gain"], entry["low"], entry["high"]))


def _table(
    name: str, title: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]]
) -> Table:
    made = tuple(Row(tuple(c if isinstance(c, Cell) else Cell(c) for c in row)) for row in rows)
    return Table(name, title, caption, tuple(columns), (Block("", made),))
