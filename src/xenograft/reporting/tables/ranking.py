"""A ranking's view -> the tables of its page, and the one of the terminal."""

from __future__ import annotations

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.ranking_view import Json, RankingView, score_text, speed, spread
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table


def candidates(view: RankingView) -> Table:
    """A row for each candidate, best first."""
    columns = [
        Column("", csv=("place",)),
        Column("Backbone", words=True, csv=("backbone",)),
        Column(view.heading, csv=("score", "low", "high")),
        Column("Behind the best", csv=("behind", "behind_low", "behind_high")),
        Column("", words=True, csv=("tied", "chosen")),
        Column("Images/s", csv=("images_per_second", "basis")),
        Column("Pareto", csv=("pareto",)),
    ]
    rows = [Row(tuple(_candidate(view, place, row))) for place, row in enumerate(view.candidates, start=1)]
    return Table(
        name="ranking",
        title="Candidates, best first",
        caption=f"{view.heading} of {view.images}, with its {view.level} interval. Behind the best: paired, on the "
        f"same {view.record['resamples']} halves of the {view.unit}. Images/s through the frozen network, measured on "
        "this machine, or estimated from what was (assumed: nothing was measured yet). Pareto: no other candidate is "
        "both at least as good and at least as quick.",
        columns=tuple(columns),
        blocks=(Block("", tuple(rows)),),
    )


def _candidate(view: RankingView, place: int, row: Json) -> list[Cell]:
    behind = row["behind"] or {"value": None, "low": None, "high": None}
    chosen = view.chosen is not None and view.chosen["backbone"] == row["backbone"]
    words = view.verdict(row) + ("; chosen" if chosen else "")
    ends = "" if behind["low"] is None else f"{score_text(behind['low'])} to {score_text(behind['high'])}"
    return [
        Cell("" if row["value"] is None else str(place), raw=(None if row["value"] is None else place,)),
        Cell(view.name(row), raw=(printable(row["backbone"]),)),
        Cell(
            score_text(row["value"]),
            _notes(spread(row["low"], row["high"])),
            raw=(row["value"], row["low"], row["high"]),
        ),
        Cell(
            "" if behind["value"] is None else score_text(behind["value"]),
            _notes(ends),
            raw=(behind["value"], behind["low"], behind["high"]),
        ),
        Cell(words, raw=(_yes(row["tied"]), _yes(chosen))),
        Cell(speed(row), (row["basis"],), raw=(row["images_per_second"], row["basis"])),
        Cell("yes" if row["pareto"] else "", raw=(_yes(row["pareto"]),)),
    ]


def cost(view: RankingView) -> Table:
    """What each candidate costs, in the order of the ranking."""
    columns = (
        Column("Backbone", words=True, csv=("backbone",)),
        Column("Images/s", csv=("images_per_second", "basis")),
        Column("Multiply-adds (1e9)", csv=("gmacs",)),
        Column("Parameters (millions)", csv=("params_m",)),
        Column("Input (px)", csv=("size",)),
        Column("Features", csv=("width",)),
        Column("Computed now", csv=("embedded",)),
        Column("Seconds: features", csv=("seconds_features",)),
        Column("scores", csv=("seconds_scores",)),
    )
    rows = [
        Row(
            (
                Cell(view.name(row), raw=(printable(row["backbone"]),)),
                Cell(speed(row), (row["basis"],), raw=(row["images_per_second"], row["basis"])),
                Cell(f"{row['gmacs']:.2f}", () if row["gmacs_known"] else ("estimated",), raw=(row["gmacs"],)),
                Cell(f"{row['params_m']:.1f}", raw=(row["params_m"],)),
                Cell(str(row["size"])),
                Cell(f"{row['width']:,}", raw=(row["width"],)),
                Cell(f"{row['embedded']:,}", raw=(row["embedded"],)),
                Cell(f"{row['seconds']['features']:.1f}", raw=(row["seconds"]["features"],)),
                Cell(f"{row['seconds']['scores']:.1f}", raw=(row["seconds"]["scores"],)),
            )
        )
        for row in view.candidates
    ]
    return Table(
        name="cost",
        title="What each candidate costs",
        caption="Multiply-adds of one image; features: numbers that a head reads for each image. Computed now: images "
        "whose features were not in the cache. Seconds of scores add up over processes.",
        columns=columns,
        blocks=(Block("", tuple(rows)),),
    )


def scores(view: RankingView) -> Table:
    """A row for each score, a column for each candidate; the best of a row is marked."""
    shown = view.candidates
    columns = [
        Column("Score", words=True, csv=("score",)),
        *(Column(view.name(row), csv=(f"{row['backbone']}", f"{row['backbone']}_low", f"{row['backbone']}_high"))
          for row in shown),
    ]  # fmt: skip
    rows = []
    for name, facts in view.record["scores"].items():
        entries = [row["scores"][name] for row in shown]
        known = [entry["value"] for entry in entries if entry["value"] is not None]
        if not known:
            continue
        top = max(known)
        cells = [_score(entry, first=len(known) > 1 and entry["value"] == top) for entry in entries]
        label = facts["label"] + (" (ranks here)" if name == view.record["score"] else "")
        rows.append(Row((Cell(label, raw=(name,)), *cells)))
    return Table(
        name="scores",
        title="Every score",
        caption="Higher is better for all; ▲ marks the best of a row. Scores of different rows do not compare. "
        f"{view.level} intervals where they were computed (--every-interval computes all).",
        columns=tuple(columns),
        blocks=(Block("", tuple(rows)),),
    )


def undefined(view: RankingView) -> list[tuple[str, str]]:
    """(score, why) of scores that no candidate has."""
    found = []
    for name, facts in view.record["scores"].items():
        entries = [row["scores"][name] for row in view.candidates]
        if all(entry["value"] is None for entry in entries):
            found.append((facts["label"], entries[0]["why"]))
    return found


def left_out(view: RankingView) -> Table | None:
    """Backbones that nobody asked for and that cannot be used here."""
    rows = [
        Row((Cell(style.backbone_name(row["backbone"]), raw=(printable(row["backbone"]),)), Cell(row["why"])))
        for row in view.record["left_out"]
    ]
    if not rows:
        return None
    columns = (Column("Backbone", words=True, csv=("backbone",)), Column("Why", words=True, csv=("why",)))
    return Table("left-out", "Backbones that were left out", "", columns, (Block("", tuple(rows)),))


def brief(view: RankingView) -> tuple[tuple[str, ...], list[list[str]]]:
    """The table of the terminal: headings and rows of text."""
    headings = ("", "backbone", f"{view.heading} ({view.level} CI)", "behind the best", "", "images/s", "Pareto", "M")
    return headings, [_line(view, place, row) for place, row in enumerate(view.candidates, start=1)]


def _line(view: RankingView, place: int, row: Json) -> list[str]:
    behind = row["behind"]
    gap = ""
    if behind is not None:
        ends = "" if behind["low"] is None else f" ({score_text(behind['low'])} to {score_text(behind['high'])})"
        gap = f"{score_text(behind['value'])}{ends}".replace("−", "-")
    ends = spread(row["low"], row["high"])
    return [
        str(place) if row["value"] is not None else "",
        view.name(row),
        (score_text(row["value"]) + (f" ({ends})" if ends else "")).replace("−", "-"),
        gap,
        view.verdict(row),
        f"{speed(row)} {row['basis']}",
        "yes" if row["pareto"] else "",
        f"{row['params_m']:.1f}",
    ]


def _score(entry: Json, *, first: bool) -> Cell:
    ends = spread(entry["low"], entry["high"])
    mark = "▲ " if first else ""
    return Cell(mark + score_text(entry["value"]), _notes(ends), raw=(entry["value"], entry["low"], entry["high"]))


def _notes(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
