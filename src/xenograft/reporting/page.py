"""A study -> ``report/index.html``: one page without scripts or network, and its figures and tables as files."""

from __future__ import annotations

import re
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup

import xenograft
from xenograft import storage
from xenograft.errors import printable
from xenograft.reporting import answer, figures, published, style, tables
from xenograft.reporting.figures import Drawing
from xenograft.reporting.groups import View
from xenograft.reporting.tables import Table
from xenograft.reporting.templating import environment
from xenograft.study.record import Study

NOT_SUPPLIED = (
    "clinical role",
    "eligibility of patients",
    "reference standard",
    "annotators and their agreement",
    "ethics approval",
    "funding",
    "intended use",
    "limitations",
)
_OURS = re.compile(r"(figure|table)-[\w.-]+\.(svg|pdf|csv|tex)")
_MOST_SKIPPED = 10
_MARK = ".made-from"
_KINDS = (
    figures.training,
    figures.results,
    figures.finding_results,
    figures.curves,
    figures.finding_roc,
    figures.finding_precision_recall,
    figures.confusion,
)


def render(study: Study, *, out: Path | None = None) -> Path:
    """Write the report of `study` and return the path of its page.

    The page is written last: an interrupted rendering leaves the old page as it was. The same records give the same
    bytes.

    Args:
        study: a loaded study folder.
        out: folder to write to; ``<study>/report`` by default. Older figures and tables of ours in it are replaced.

    Raises:
        DataError: the study has no finished run.
        ProcessError: the folder cannot be written.
    """
    view = View.of(study)
    folder = study.folder / "report" if out is None else Path(out)
    with style.drawing():
        drawings, strips, lost = _drawings(view)
    made = _tables(view)
    html = _html(view, drawings, made, strips=strips, lost=lost)
    kept = _write_files(folder, list(drawings.values()), list(made.values()))
    page = storage.atomic_write(folder / "index.html", html)
    _remove_stale(folder, kept)
    return page


def refresh(study: Study) -> Path:
    """`render`, unless the study's report was made from these very records by this very version: drawing takes seconds.

    Raises:
        DataError, ProcessError: as `render`.
    """
    page = study.folder / "report" / "index.html"
    mark = page.with_name(_MARK)
    state = _state(study)
    if page.is_file() and mark.is_file() and mark.read_text(encoding="utf-8") == state:
        return page
    mark.unlink(missing_ok=True)
    render(study)
    storage.atomic_write(mark, state)
    return page


def _state(study: Study) -> str:
    """Hash of everything a page is made from."""
    files = [study.folder / "study.json", *sorted(study.folder.glob("runs/*/*.json"))]
    files += sorted(study.folder.glob("runs/*/*.parquet"))
    made_by = [xenograft.__version__, version("matplotlib")]
    return storage.sha256_of([*made_by, *((file.parent.name, storage.sha256_file(file)) for file in files)])


def _drawings(view: View) -> tuple[dict[str, Drawing], tuple[Any, ...], int]:
    """Figures by file stem, in page order; the example strips; how many example files could not be read."""
    first, strips, lost = figures.examples(view)
    found: list[Drawing | None] = [first]
    for kind in _KINDS:
        found += [kind(view, scale) for scale in view.scales]
    found.append(figures.forest(view))
    return {drawing.name: drawing for drawing in found if drawing is not None}, strips, lost


def _tables(view: View) -> dict[str, Table]:
    found = [
        tables.counts(view),
        *tables.results(view),
        tables.differences(view),
        tables.classwise(view),
        tables.findingwise(view),
        tables.timings(view),
        tables.runs(view),
        tables.weights(view),
        tables.settings(view),
    ]
    return {table.name: table for table in found if table is not None}


def _html(
    view: View, drawings: dict[str, Drawing], made: dict[str, Table], *, strips: tuple[Any, ...], lost: int
) -> str:
    record = view.study.record
    templates = environment()
    templates.filters["flat"] = style.flat
    templates.filters["inline"] = Markup
    templates.tests["match_prefix"] = str.startswith
    skipped = record.data.get("skipped") or []
    return templates.get_template("page.html.j2").render(
        view=view,
        record=record,
        data=record.data,
        answer=answer.sentences(view),
        drawings=drawings,
        tables=made,
        strips=strips,
        lost=lost,
        recipes=[(style.recipe_name(r), style.RECIPE_NOTES.get(r, "")) for r in view.recipes],
        skipped=skipped[:_MOST_SKIPPED],
        skipped_count=len(skipped),
        skipped_codes=sorted(Counter(str(item["code"]) for item in skipped).items()),
        notices=_notices(view),
        environment=_environment(record.environment),
        config=[(printable(k), style.flat(v)) for k, v in record.config.items() if v is not None],
        unset=[printable(k) for k, v in record.config.items() if v is None],
        duration=style.duration(record.seconds),
        published=published,
        has_published=any(row.kind == "published" for t in made.values() for b in t.blocks for row in b.rows),
        not_supplied=NOT_SUPPLIED,
        version=xenograft.__version__,
    )


def _notices(view: View) -> list[dict[str, Any]]:
    """Warnings of the data and of the runs; the same warning of several runs once, with their number."""
    found = [{**notice, "runs": 0} for notice in view.data.get("notices") or []]
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for run in view.study.runs:
        for notice in run.notices:
            entry = seen.setdefault((notice["code"], notice["message"]), {**notice, "runs": 0})
            entry["runs"] += 1
    return [*found, *seen.values()]


def _environment(values: dict[str, Any]) -> list[tuple[str, str]]:
    names = {"python": "Python", "cpu": "Processor", "gpu": "GPU", "memory_gb": "Memory (GB)"}
    return [(names.get(key, printable(key).capitalize()), style.flat(value)) for key, value in values.items()]


def _write_files(folder: Path, drawings: list[Drawing], made: list[Table]) -> set[str]:
    written = set()
    for drawing in drawings:
        written.add(storage.atomic_write(folder / "figures" / f"{drawing.name}.svg", drawing.file).name)
        written.add(storage.atomic_write(folder / "figures" / f"{drawing.name}.pdf", drawing.pdf).name)
    for table in made:
        header, rows = table.csv()
        written.add(storage.write_csv(folder / "tables" / f"{table.name}.csv", header, rows).name)
        written.add(storage.atomic_write(folder / "tables" / f"{table.name}.tex", table.latex()).name)
    return written


def _remove_stale(folder: Path, kept: set[str]) -> None:
    """Remove figures and tables of an earlier rendering that this one does not have; other files stay."""
    for part in ("figures", "tables"):
        for path in (folder / part).glob("*"):
            if _OURS.fullmatch(path.name) and path.name not in kept:
                path.unlink()
