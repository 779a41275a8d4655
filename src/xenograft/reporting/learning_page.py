"""The record of a learning curve -> ``index.html`` with its figure inside, and the figure as SVG and PDF."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from xenograft import storage
from xenograft.reporting import learning_words as words
from xenograft.reporting import style
from xenograft.reporting.figures.learning_curve import learning_curve
from xenograft.reporting.learning_view import Json, LearningView
from xenograft.reporting.tables import learning as tables
from xenograft.reporting.templating import environment


def render(record: Json, folder: Path) -> Path:
    """Write page, figure and tables, and return the page's path; the same record gives the same bytes.

    Args:
        record: of `xenograft.study.learning_record`.
        folder: gets ``index.html``, ``learning-curve.svg``, ``.pdf``, and a CSV for each table.

    Raises:
        ProcessError: the folder cannot be written.
    """
    view = LearningView(record)
    with style.drawing():
        figure = learning_curve(view)
    made = [tables.points(view), tables.laws(view), tables.catch_up(view), tables.subsets(view)]
    shown = [table for table in made if table is not None]
    storage.atomic_write(folder / f"{figure.name}.svg", figure.file)
    storage.atomic_write(folder / f"{figure.name}.pdf", figure.pdf)
    for table in shown:
        storage.write_csv(folder / f"{table.name}.csv", *table.csv())
    templates = environment()
    templates.filters["inline"] = Markup
    html = templates.get_template("learning.html.j2").render(
        view=view, record=record, words=words, figure=figure, tables={t.name: t for t in shown}
    )
    return storage.atomic_write(folder / "index.html", html)
