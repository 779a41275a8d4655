"""A study -> ``report/index.html``: one page without scripts or network, and its figures and tables as files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup

import xenograft
from xenograft import storage
from xenograft.errors import printable
from xenograft.evaluation.choices import Choices
from xenograft.model_card.card import model_card
from xenograft.reporting import answer, evaluation_words, figures, published, shortcut, style, tables
from xenograft.reporting.checklist import CHECKLISTS, NOTE, as_csv
from xenograft.reporting.failures import gallery
from xenograft.reporting.figures import Drawing
from xenograft.reporting.groups import View
from xenograft.reporting.methods import methods
from xenograft.reporting.reproduce import facts, instructions
from xenograft.reporting.robustness_words import robustness_words
from xenograft.reporting.study_evidence import StudyEvidence
from xenograft.reporting.tables import Table
from xenograft.reporting.templating import environment
from xenograft.study.record import Study

_OURS = re.compile(r"(figure|table)-[\w.-]+\.(svg|pdf|csv|tex)")
_MOST_SKIPPED = 10
_MARK = ".made-from"
_KINDS = (
    figures.results,
    figures.finding_results,
    figures.curves,
    figures.finding_roc,
    figures.finding_precision_recall,
    figures.confusion,
    figures.training,
)
_ORDER = (
    "figure-differences", "figure-differences-backbones", "figure-results", "figure-findings", "figure-curves",
    "figure-roc", "figure-precision-recall", "figure-confusion", "reliability", "decision", "coverage", "robustness",
    "figure-flow", "figure-examples", "figure-training",
    "table-differences", "table-results", "table-findings", "table-classes", "table-ensembles", "table-variation",
    "calibration", "chosen", "answered", "cuts", "sets", "subgroups", "robustness_summary", "table-data",
    "table-settings", "table-weights", "table-runs", "table-timings",
)  # fmt: skip
"""Figures and tables as the page shows them, which is how they are numbered; learning-rate scales follow each other."""


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
        evidence = StudyEvidence.of(view)
    made = _tables(view)
    cited = _numbers(
        [*drawings, *(evidence.panels if evidence else ())], [*made, *(evidence.tables if evidence else ())]
    )
    html = _html(view, drawings, made, evidence, cited=cited, strips=strips, lost=lost)
    further = [panels.drawing for panels in evidence.panels.values()] if evidence else []
    told = list(evidence.tables.values()) if evidence else []
    kept = _write_files(folder, [*drawings.values(), *further], [*made.values(), *told])
    for stem, (_, _, rows) in CHECKLISTS.items():
        storage.write_csv(folder / f"{stem}.csv", *as_csv(rows(view, cited), cited))
    storage.atomic_write(folder / "methods.txt", methods(view).text())
    card = _card(study)
    if card is None:
        (folder / "MODEL_CARD.md").unlink(missing_ok=True)
    else:
        storage.atomic_write(folder / "MODEL_CARD.md", card)
    page = storage.atomic_write(folder / "index.html", html)
    _remove_stale(folder, kept)
    return page


def _card(study: Study) -> str | None:
    """The model card of the run that stands for the chosen combination."""
    record = study.record.evidence
    if record is None or not record.get("choices"):
        return None
    run = next(run for run in study.runs if run.id == record["runs"][0]["id"])
    return model_card(run, study.record, choices=Choices.from_json(record["choices"]), measured=record["measured"])


def _numbers(drawn: Iterable[str], made: Iterable[str]) -> dict[str, str]:
    """``Figure 1`` or ``Table 1`` by file stem, in the order of the page."""

    def ranked(names: Iterable[str]) -> list[str]:
        return [name for _, name in sorted(enumerate(names), key=lambda item: (_place(item[1]), item[0]))]

    cited = {name: f"Figure {number}" for number, name in enumerate(ranked(drawn), start=1)}
    return cited | {name: f"Table {number}" for number, name in enumerate(ranked(made), start=1)}


def _place(name: str) -> int:
    """Where a figure or table stands in `_ORDER`."""
    for place, stem in enumerate(_ORDER):
        if name == stem or name.startswith((f"{stem}-lr", f"{stem}-inception")):
            return place
    raise LookupError(f"{name} has no place on the page")


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
    found += [figures.forest(view, family) for family in ("recipes", "backbones")]
    found.append(figures.flow(view))
    return {drawing.name: drawing for drawing in found if drawing is not None}, strips, lost


def _tables(view: View) -> dict[str, Table]:
    found = [
        tables.differences(view),
        *tables.results(view),
        tables.ensembles(view),
        tables.variation(view),
        tables.findingwise(view),
        tables.classwise(view),
        tables.counts(view),
        tables.settings(view),
        tables.weights(view),
        tables.runs(view),
        tables.timings(view),
    ]
    return {table.name: table for table in found if table is not None}


def _html(
    view: View,
    drawings: dict[str, Drawing],
    made: dict[str, Table],
    evidence: StudyEvidence | None,
    *,
    cited: dict[str, str],
    strips: tuple[Any, ...],
    lost: int,
) -> str:
    record = view.study.record
    templates = environment()
    templates.filters["flat"] = style.flat
    templates.filters["inline"] = Markup
    templates.filters["plural"] = style.plural
    templates.tests["match_prefix"] = str.startswith
    skipped = record.data.get("skipped") or []
    return templates.get_template("page.html.j2").render(
        view=view,
        record=record,
        data=record.data,
        answer=answer.sentences(view),
        drawings=drawings,
        tables=made,
        cited=cited,
        evidence=evidence,
        words=evaluation_words,
        shortcut=shortcut.sentences(view),
        gallery=gallery(view),
        robustness=[] if record.robustness is None else robustness_words(record.robustness),
        failures=record.failures,
        methods=methods(view),
        made_by=facts(view),
        again=instructions(view),
        checklists=[(stem, name, citation, rows(view, cited)) for stem, (name, citation, rows) in CHECKLISTS.items()],
        checklist_note=NOTE,
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
