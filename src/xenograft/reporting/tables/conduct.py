"""How the study was carried out -> Tables S3 to S6: timings, runs, weights, settings."""

from __future__ import annotations

from collections import defaultdict

from xenograft.errors import printable
from xenograft.reporting import style
from xenograft.reporting.groups import Group, View
from xenograft.reporting.tables.model import Block, Cell, Column, Row, Table
from xenograft.reporting.templating import moment

_STAGES = ("read", "embed", "fit", "evaluate")


def timings(view: View) -> Table:
    """a table: seconds per stage and run, and their sums."""
    found = {stage for run in view.study.runs for stage in run.timings}
    stages = [*(s for s in _STAGES if s in found), *sorted(found.difference(_STAGES))]
    rows = []
    for group in view.groups:
        for run in group.runs:
            seconds = [run.timings.get(stage) for stage in stages]
            rows.append(
                Row(
                    (
                        Cell(group.label + _scale(view, group), raw=(run.id,)),
                        Cell(str(run.seed), raw=(run.seed,)),
                        *(Cell("" if s is None else f"{s:,.1f}", raw=(s,)) for s in seconds),
                        Cell(f"{_sum(seconds):,.1f}", raw=(_sum(seconds),)),
                        Cell(f"{run.peak_memory_mb:,.0f}", raw=(run.peak_memory_mb,)),
                    )
                )
            )
    sums = [_sum([run.timings.get(stage) for run in view.study.runs]) for stage in stages]
    peak = max(run.peak_memory_mb for run in view.study.runs)
    total = Row(
        (
            Cell("All runs"),
            Cell("", raw=("",)),
            *(Cell(f"{s:,.1f}", raw=(s,)) for s in [*sums, _sum(sums)]),
            Cell(f"{peak:,.0f}", raw=(peak,)),
        ),
        "total",
    )
    whole = style.duration(view.study.record.seconds)
    return Table(
        name="table-timings",
        title="Time per stage and run, in seconds",
        caption=f"The whole study took {whole} of wall-clock time, all sessions together. Memory: highest resident "
        "memory of the process up to the end of the run, MiB; last row: the largest.",
        columns=(
            Column("Run", words=True, csv=("run",)),
            Column("Seed", csv=("seed",)),
            *(Column(stage.capitalize(), csv=(f"{stage}_s",)) for stage in stages),
            Column("Sum", csv=("sum_s",)),
            Column("Peak memory", csv=("peak_memory_mib",)),
        ),
        blocks=(Block("", (*rows, total)),),
        small=True,
    )


def runs(view: View) -> Table:
    """a table: what validation chose in each run, and when the test set was opened."""
    rows = []
    for group in view.groups:
        for run in group.runs:
            youden = run.thresholds.get("youden")
            epochs = f"{run.best_epoch} of {len(run.history)}" if run.history else "no epochs"
            engine = " ".join(style.flat(run.engine[k]) for k in ("name", "precision", "device") if run.engine.get(k))
            rows.append(
                Row(
                    (
                        Cell(group.label + _scale(view, group), notes=(printable(run.id),), raw=(run.id,)),
                        Cell(str(run.seed), raw=(run.seed,)),
                        Cell(epochs, raw=(run.best_epoch, len(run.history))),
                        _threshold(youden),
                        Cell(engine, raw=(engine,)),
                        Cell(moment(run.created), raw=(run.created,)),
                        Cell(moment(run.test_opened), raw=(run.test_opened,)),
                    )
                )
            )
    return Table(
        name="table-runs",
        title="What validation chose in each run, and when the test set was opened",
        caption="Each run reads the test set once, at the time given, after epoch and threshold were chosen on "
        "validation images. Times as recorded by the machine.",
        columns=(
            Column("Run", words=True, csv=("run",)),
            Column("Seed", csv=("seed",)),
            Column("Epoch chosen", csv=("best_epoch", "epochs")),
            Column("Threshold chosen", csv=("youden_threshold",)),
            Column("Engine", words=True, csv=("engine",)),
            Column("Recorded", words=True, csv=("created",)),
            Column("Test set opened", words=True, csv=("test_opened",)),
        ),
        blocks=(Block("", tuple(rows)),),
        small=True,
    )


def _threshold(chosen: float | list[float] | None) -> Cell:
    """One threshold, or the smallest and the largest of the findings' and all of them in the file."""
    if not isinstance(chosen, list):
        return Cell(style.number(chosen), raw=(chosen,))
    ends = f"{style.number(min(chosen))}–{style.number(max(chosen))}"
    return Cell(ends, notes=("one a finding",), raw=(" ".join(f"{value:.6g}" for value in chosen),))


def weights(view: View) -> Table | None:
    """a table: pretrained weights with origin, licence and hash; None where every run began at random."""
    found: dict[tuple[str, ...], None] = {}
    for group in view.groups:
        for run in group.runs:
            if run.weights:
                parts = (
                    printable(run.weights.get(k) or "not recorded") for k in ("file", "origin", "licence", "sha256")
                )
                found[group.name, *parts] = None
    if not found:
        return None
    return Table(
        name="table-weights",
        title="Pretrained weights",
        caption="SHA-256 of the file that was read.",
        columns=tuple(Column(label, words=True) for label in ("Model", "File", "Origin", "Licence", "SHA-256")),
        blocks=(Block("", tuple(Row(tuple(Cell(text) for text in key)) for key in found)),),
        small=True,
    )


def settings(view: View) -> Table:
    """a table: recipes and preprocessing as they ran; groups with the same settings share a row."""
    shared: dict[tuple[str, str], list[Group]] = defaultdict(list)
    for group in view.groups:
        run = group.runs[0]
        shared[_fields(run.settings), _fields(run.preprocess)].append(group)
    rows = tuple(
        Row((Cell("; ".join(g.label + _scale(view, g) for g in groups)), Cell(recipe), Cell(preprocess)))
        for (recipe, preprocess), groups in shared.items()
    )
    return Table(
        name="table-settings",
        title="Settings as they ran",
        caption="After every override. Of several seeds, those of the first.",
        columns=tuple(Column(label, words=True) for label in ("Runs", "Recipe", "Preprocessing")),
        blocks=(Block("", rows),),
        small=True,
    )


def _fields(values: dict[str, object]) -> str:
    return "; ".join(f"{printable(k)}: {style.flat(v)}" for k, v in values.items())


def _scale(view: View, group: Group) -> str:
    return f", lr × {group.lr_scale:g}" if len(view.scales) > 1 else ""


def _sum(seconds: list[float | None] | list[float]) -> float:
    return float(sum(s for s in seconds if s is not None))
