"""The record of a domain-shift report -> ``index.html`` with its figure inside, tables as CSV, the figure as files."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from xenograft import storage
from xenograft.reporting import domain_shift_words as words
from xenograft.reporting import style
from xenograft.reporting.domain_shift_view import ADAPTATIONS, Json, ShiftView
from xenograft.reporting.figures.domain_shift import domain_shift
from xenograft.reporting.tables import domain_shift as tables
from xenograft.reporting.templating import environment


def render(record: Json, folder: Path) -> Path:
    """Write page, figure and tables, and return the page's path; the same record gives the same bytes.

    Args:
        record: of `xenograft.study.domain_shift`.
        folder: gets ``index.html``, ``domain-shift.svg``, ``.pdf``, and a CSV for each table.

    Raises:
        ProcessError: the folder cannot be written.
    """
    view = ShiftView(record)
    with style.drawing():
        figure = domain_shift(view)
    made = [tables.measures(view), tables.differences(view), tables.distances(view), tables.domains(view)]
    if view.record["policy"] == "youden":
        made.insert(1, tables.measures(view, "fixed"))
    shown = [table for table in made if table is not None]
    storage.atomic_write(folder / f"{figure.name}.svg", figure.file)
    storage.atomic_write(folder / f"{figure.name}.pdf", figure.pdf)
    for table in shown:
        storage.write_csv(folder / f"{table.name}.csv", *table.csv())
    templates = environment()
    templates.filters["inline"] = Markup
    html = templates.get_template("domain_shift.html.j2").render(
        view=view,
        record=record,
        words=words,
        figure=figure,
        tables={table.name: table for table in shown},
        adaptations=ADAPTATIONS,
    )
    return storage.atomic_write(folder / "index.html", html)
