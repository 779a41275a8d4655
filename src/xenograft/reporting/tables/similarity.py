"""A similarity view -> the tables of its page."""

from __future__ import annotations

from collections.abc import Sequence

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.similarity_view import (
    PAIRS,
    SETS,
    Json,
    Measure,
    SimilarityView,
    Verdict,
    at,
    distinct,
    last,
    measured,
    moved,
    than_halves,
    than_noise,
)
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table

_SAID: dict[Verdict, str] = {"yes": "yes", "no": "no", "untold": "cannot be told"}
_WAYS: dict[Verdict, str] = {"yes": "closer", "no": "further apart", "untold": "cannot be told"}


def tables(view: SimilarityView) -> list[Table]:
    """All tables that apply, in the order of the page."""
    found = [
        values(view), readings(view), by_depth(view), alignment(view), dimensions(view), changes(view),
        changes_by_depth(view),
    ]  # fmt: skip
    return [table for table in found if table is not None]


def values(view: SimilarityView) -> Table:
    """Last stage: a block for each network, a row for each measure, a column for each pair."""
    blocks = []
    for subject in view.subjects:
        stage = last(subject)
        rows = [
            (Cell(m.name, raw=(m.key,)), *(_value(m, at(stage, m.key, pair)) for pair in PAIRS))
            for m in measured([stage])
        ]
        blocks.append(Block(view.name(subject), _rows(rows), key=printable(subject["id"])))
    says = " ".join(f"{m.name}: {m.says}." for m in measured([last(s) for s in view.subjects]))
    return Table(
        name="table-similarity",
        title="Similarity of natural and medical images beside its yardsticks, features of the last stage",
        caption=f"{says} In brackets: {view.level} intervals by patient; of halves, the range over random halvings of "
        "one set, which is no confidence interval. Measures of halves are of half as many images.",
        columns=(
            Column("Measure", words=True, csv=("measure",)),
            *(Column(words.capitalize(), csv=_ends(pair)) for pair, (words, _) in PAIRS.items()),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def readings(view: SimilarityView) -> Table:
    """What each measure says to each reading of Proposition 4."""
    blocks = []
    for subject in view.subjects:
        stage = last(subject)
        rows: list[Sequence[str | Cell]] = []
        for m in measured([stage]):
            apart = "" if m.same is None else {"yes": "no", "untold": "not refuted"}.get(distinct(stage, m), "")
            halves = [_SAID[than_halves(stage, m, kind)] for kind in SETS]
            rows.append((Cell(m.name, raw=(m.key,)), _SAID[than_noise(stage, m)], *halves, apart))
        blocks.append(Block(view.name(subject), _rows(rows), key=printable(subject["id"])))
    return Table(
        name="table-similarity-readings",
        title="What each measure says to each reading of Proposition 4",
        caption="Yes and no: the intervals lie apart; everything else cannot be told. Closer to each other than either "
        "is to noise: yes supports the proposition in its loosest sense. Closer than two natural, or two medical, "
        "images are to each other: no says that the sets are further from each other than one is within itself. One "
        "distribution: no refutes the strict sense; it can never be proved. Measures near their limit in every column, "
        "such as a probe that always tells, cannot tell.",
        columns=(
            Column("Measure", words=True, csv=("measure",)),
            Column("Closer than to noise", words=True, csv=("than_noise",)),
            Column("Closer than natural halves", words=True, csv=("than_natural",)),
            Column("Closer than medical halves", words=True, csv=("than_medical",)),
            Column("One distribution", words=True, csv=("one_distribution",)),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def by_depth(view: SimilarityView) -> Table | None:
    """Every measure of every pair at every stage."""
    if all(len(s["stages"]) < 2 for s in view.subjects):
        return None
    blocks = []
    for subject in view.subjects:
        rows = []
        for number, stage in enumerate(subject["stages"], start=1):
            for k, m in enumerate(measured([stage])):
                name = Cell(f"{number} {printable(stage['name'])}" if k == 0 else "", raw=(printable(stage["name"]),))
                width = Cell(f"{stage['width']:,}" if k == 0 else "", raw=(stage["width"],))
                cells = (_value(m, at(stage, m.key, pair)) for pair in PAIRS)
                rows.append((name, width, Cell(m.short, raw=(m.key,)), *cells))
        blocks.append(Block(view.name(subject), _rows(rows), key=printable(subject["id"])))
    return Table(
        name="table-similarity-depth",
        title="Similarity after every stage",
        caption=f"From input to output; features are averaged over places. Width: number of features. In brackets: "
        f"{view.level} intervals; of halves, the range over random halvings.",
        columns=(
            Column("Stage", words=True, csv=("stage",)),
            Column("Width", csv=("width",)),
            Column("Measure", words=True, csv=("measure",)),
            *(Column(words.capitalize(), csv=_ends(pair)) for pair, (words, _) in PAIRS.items()),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def alignment(view: SimilarityView) -> Table | None:
    """CKA with the ImageNet weights at every stage."""
    blocks = []
    for subject in view.subjects:
        rows: list[Sequence[str | Cell]] = [
            (f"{i} {printable(stage['name'])}", *(_plain(stage["cka"][kind]) for kind in SETS))
            for i, stage in enumerate(subject["stages"], start=1)
            if stage["cka"]
        ]
        if rows:
            blocks.append(Block(view.name(subject), _rows(rows), key=printable(subject["id"])))
    if not blocks:
        return None
    return Table(
        name="table-similarity-cka",
        title="Alignment with the ImageNet weights, by stage",
        caption="Debiased linear CKA of the features of the same images with both weights (Kornblith et al. 2019, "
        f"arXiv:1905.00414; Nguyen et al. 2021, arXiv:2010.15327), with {view.level} intervals. 1: the same up to "
        "rotation and scale; 0: unrelated.",
        columns=(
            Column("Stage", words=True, csv=("stage",)),
            *(Column(f"{kind.capitalize()} images", csv=_ends(kind)) for kind in SETS),
        ),
        blocks=tuple(blocks),
    )


def dimensions(view: SimilarityView) -> Table:
    """How many directions each set fills."""
    rows: list[Sequence[str | Cell]] = []
    for subject in view.subjects:
        found = subject["sets"]
        rows.append(
            (
                Cell(view.name(subject), raw=(printable(subject["id"]),)),
                *(_count(found[kind][key]) for kind in SETS for key in ("intrinsic_dimension", "effective_rank")),
            )
        )
    return Table(
        name="table-similarity-sets",
        title="How many directions each set fills, features of the last stage",
        caption="Intrinsic dimension: TwoNN (Facco et al. 2017, doi:10.1038/s41598-017-11873-y), from the distances to "
        "the two nearest images. Effective rank (Roy and Vetterli 2007): how evenly the variance is spread over "
        f"directions. In brackets: {view.level} intervals. Both grow with the number of images, so compare sets of "
        "equal size.",
        columns=(
            Column("Network", words=True, csv=("subject",)),
            *(
                Column(f"{words}, {kind}", csv=_ends(f"{kind}_{key}"))
                for kind in SETS
                for key, words in (("intrinsic_dimension", "Intrinsic dimension"), ("effective_rank", "Effective rank"))
            ),
        ),
        blocks=(Block("", _rows(rows)),),
    )


def changes(view: SimilarityView) -> Table | None:
    """Before and after fine-tuning, last stage."""
    blocks = []
    for name, found in view.trainings:
        rows: list[Sequence[str | Cell]] = []
        for m in measured([last(c) for c in found]):
            for k, change in enumerate(found):
                rows.append(_change(m, change, last(change), m.name if k == 0 else ""))
        blocks.append(Block(name, _rows(rows), key=name))
    if not blocks:
        return None
    return Table(
        name="table-similarity-change",
        title="Natural against medical images before and after fine-tuning, features of the last stage",
        caption=f"The same images before and after, none of them trained on. Change: after minus before, with its "
        f"paired {view.level} interval. Fréchet distance, overlap and, here, the probe are means over halves of both "
        "sets. Measures with units of the features change with the size of the features alone.",
        columns=(
            Column("Measure", words=True, csv=("measure",)),
            Column("Seed", csv=("seed",)),
            Column("Before", csv=("before",)),
            Column("After", csv=("after",)),
            Column("Change", csv=("change", "low", "high")),
            Column("Sets are", words=True, csv=("sets_are",)),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def changes_by_depth(view: SimilarityView) -> Table | None:
    """Before and after fine-tuning at every stage, and CKA of both."""
    blocks = []
    for name, found in view.trainings:
        for change in found:
            rows: list[Sequence[str | Cell]] = []
            for number, stage in enumerate(change["stages"], start=1):
                title = f"{number} {printable(stage['name'])}"
                for k, m in enumerate(measured([stage])):
                    cells = _change(m, change, stage, m.short)
                    rows.append((Cell(title if k == 0 else "", raw=(printable(stage["name"]),)), *cells))
                for kind in SETS:
                    entry = (stage["cka"] or {}).get(kind)
                    if entry:
                        aligned = Cell(f"CKA, {kind}", raw=(f"cka_{kind}",))
                        stood = Cell("", raw=(printable(stage["name"]),))
                        seed = Cell(str(change["seed"]), raw=(change["seed"],))
                        rows.append((stood, aligned, seed, "", _plain(entry), "", ""))
            blocks.append(Block(f"{name}, seed {change['seed']}", _rows(rows), key=name))
    if not blocks or all(len(c["stages"]) < 2 for c in view.record["changes"]):
        return None
    return Table(
        name="table-similarity-change-depth",
        title="Before and after fine-tuning, after every stage",
        caption="As in the table before. CKA: debiased linear, of the features before and after, on the images of one "
        "set; it stands in the column After.",
        columns=(
            Column("Stage", words=True, csv=("stage",)),
            Column("Measure", words=True, csv=("measure",)),
            Column("Seed", csv=("seed",)),
            Column("Before", csv=("before",)),
            Column("After", csv=("after", "after_low", "after_high")),
            Column("Change", csv=("change", "low", "high")),
            Column("Sets are", words=True, csv=("sets_are",)),
        ),
        blocks=tuple(blocks),
        small=True,
    )


def _change(m: Measure, change: Json, stage: Json, name: str) -> tuple[Cell, ...]:
    entry = stage["measures"].get(m.key)
    seed = Cell(str(change["seed"]), raw=(change["seed"],))
    if entry is None:
        return Cell(name, raw=(m.key,)), seed, *(Cell(style.MISSING, raw=("",)) for _ in range(3)), Cell("")
    found = entry["difference"]
    return (
        Cell(name, raw=(m.key,)),
        seed,
        *(Cell(m.text(entry[key]), raw=(entry[key],)) for key in ("before", "after")),
        Cell(m.text(found["value"], signed=True), _notes(m.span(found, signed=True), found), raw=_raw(found)),
        Cell(_WAYS[moved(m, found)]),
    )


def _value(m: Measure, entry: Json) -> Cell:
    return Cell(m.text(entry["value"]), _notes(m.span(entry), entry), raw=_raw(entry))


def _plain(entry: Json) -> Cell:
    """A value without unit that is no measure of the page's."""
    ends = style.interval(entry["low"], entry["high"])
    return Cell(style.number(entry["value"]), _notes(ends, entry), raw=_raw(entry))


def _count(entry: Json) -> Cell:
    if entry["value"] is None:
        return Cell(style.MISSING, _notes("", entry), raw=_raw(entry))
    ends = "" if entry["low"] is None else f"{entry['low']:.1f}–{entry['high']:.1f}"
    return Cell(f"{entry['value']:.1f}", _notes(ends, entry), raw=_raw(entry))


def _notes(ends: str, entry: Json) -> tuple[str, ...]:
    """The interval, or why there is no value."""
    if entry["value"] is None and entry.get("why"):
        return (printable(entry["why"]),)
    return (ends,) if ends else ()


def _raw(entry: Json) -> tuple[object, ...]:
    return entry["value"], entry["low"], entry["high"]


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _rows(rows: Sequence[Sequence[str | Cell]]) -> tuple[Row, ...]:
    return tuple(Row(tuple(c if isinstance(c, Cell) else Cell(c) for c in row)) for row in rows)
