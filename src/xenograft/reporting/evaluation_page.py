"""The record of an evaluation -> ``index.html`` without scripts or network, and its figures and tables as files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from xenograft import storage
from xenograft.errors import printable
from xenograft.reporting import comparison_words, evaluation_words, style
from xenograft.reporting.evaluation_differences import differences
from xenograft.reporting.evaluation_view import EvaluationView, Json
from xenograft.reporting.exported import export
from xenograft.reporting.figures.decision import decision_panels
from xenograft.reporting.figures.finding_areas import finding_areas as finding_areas_panel
from xenograft.reporting.figures.panels import Panels
from xenograft.reporting.figures.reliability import reliability_panels
from xenograft.reporting.figures.risk_coverage import risk_coverage_panels
from xenograft.reporting.tables import evaluation as good
from xenograft.reporting.tables import evaluation_findings as by_finding
from xenograft.reporting.tables import evaluation_trust as trusted
from xenograft.reporting.tables.evaluation_groups import subgroups
from xenograft.reporting.tables.model import Table
from xenograft.reporting.templating import environment

MAIN = ("results", "calibration", "comparisons", "subgroups")
"""Tables that lie beside the page, as CSV."""

_FIGURES = {
    "findings": finding_areas_panel,
    "reliability": reliability_panels,
    "decision": decision_panels,
    "coverage": risk_coverage_panels,
}
_TABLES = (
    good.results, good.overall, good.areas, good.per_class, by_finding.finding_areas, by_finding.finding_thresholds,
    good.chosen, subgroups, good.comparisons, by_finding.finding_differences, trusted.calibration, trusted.answered,
    trusted.cuts, trusted.sets, trusted.predictive,
)  # fmt: skip


class Written(NamedTuple):
    """What was written: the page, and the `MAIN` tables that there are."""

    page: Path
    tables: tuple[Path, ...]


def write(record: Json, folder: Path) -> Written:
    """Write the page of an evaluation, its figures and tables; the same record gives the same bytes.

    Args:
        record: of `xenograft.study.evaluated.evaluate_tables`, with ``command`` and ``program``.
        folder: gets ``index.html``, ``figures``, ``tables``, and the `MAIN` tables once more as CSV.

    Raises:
        ProcessError: the folder cannot be written.
    """
    view = EvaluationView.of(record)
    with style.drawing():
        panels = {name: panel for name, make in _FIGURES.items() if (panel := make(view)) is not None}
    made = tables_of(view)
    html = _html(view, panels, made)
    export(folder, [panel.drawing for panel in panels.values()], made.values())
    written = []
    for name in MAIN:
        path = folder / f"{name}.csv"
        if name in made:
            written.append(storage.write_csv(path, *made[name].csv()))
        else:
            path.unlink(missing_ok=True)  # of an earlier evaluation in the same folder
    return Written(storage.atomic_write(folder / "index.html", html), tuple(written))


def tables_of(view: EvaluationView) -> dict[str, Table]:
    """All tables that apply, by name, in the order of the page."""
    found = {make.__name__: make(view) for make in _TABLES}
    return {name: table for name, table in found.items() if table is not None}


def _html(view: EvaluationView, panels: dict[str, Panels], made: dict[str, Table]) -> str:
    templates = environment()
    templates.filters["inline"] = Markup
    counts = list(zip(view.classes, view.record["counts"].values(), strict=True))
    return templates.get_template("evaluation.html.j2").render(
        view=view,
        record=view.record,
        words=evaluation_words,
        compared=comparison_words.compared(view),
        figures=panels,
        tables=made,
        differences=differences(view),
        files=_files(view),
        counts=counts,
    )


def _files(view: EvaluationView) -> list[dict[str, str]]:
    """A row for each table that was read."""
    rows = []
    for name, _, model in view.models:
        images = f"{view.record['images']:,}"
        rows.append(
            {
                "model": name,
                "role": "test",
                "file": printable(model["name"]),
                "images": images,
                "sha256": model["sha256"],
            }
        )
        val = model["validation"]
        rows.append(
            {"model": "", "role": "validation", "file": "not supplied", "images": "", "sha256": ""}
            if val is None
            else {
                "model": "",
                "role": "validation",
                "file": printable(val["name"]),
                "images": f"{val['images']:,}",
                "sha256": val["sha256"],
            }
        )
    return rows
