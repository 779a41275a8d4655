"""The record of a ranking -> ``index.html`` with its figure, the figure as SVG and PDF, and the tables as CSV."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from xenograft import storage
from xenograft.reporting import ranking_words as words
from xenograft.reporting import style
from xenograft.reporting.figures.pareto import pareto
from xenograft.reporting.ranking_view import Json, RankingView
from xenograft.reporting.tables import ranking as tables
from xenograft.reporting.templating import environment


def render(record: Json, folder: Path) -> Path:
    """Write page, figure and tables, and return the page's path; the same record gives the same bytes.

    Args:
        record: of `xenograft.study.ranking_record`.
        folder: gets ``index.html``, ``pareto.svg`` and ``.pdf`` where a score is defined, and a CSV for each table.

    Raises:
        ProcessError: the folder cannot be written.
    """
    view = RankingView(record)
    figure = None
    if view.ranked:
        with style.drawing():
            figure = pareto(view)
        storage.atomic_write(folder / f"{figure.name}.svg", figure.file)
        storage.atomic_write(folder / f"{figure.name}.pdf", figure.pdf)
    made = [tables.candidates(view), tables.cost(view), tables.scores(view), tables.left_out(view)]
    shown = [table for table in made if table is not None]
    for table in shown:
        storage.write_csv(folder / f"{table.name}.csv", *table.csv())
    templates = environment()
    templates.filters["inline"] = Markup
    html = templates.get_template("ranking.html.j2").render(
        view=view, record=record, words=words, figure=figure, tables={t.name: t for t in shown}
    )
    return storage.atomic_write(folder / "index.html", html)
