"""What the terminal shows: progress, tables, and where things were written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from xenograft.errors import printable

if TYPE_CHECKING:
    from xenograft.auditing.record import Audit
    from xenograft.backbones.weights import WeightsStatus
    from xenograft.bundle import Prediction
    from xenograft.caching import Checked, Cleared, Entry
    from xenograft.diagnosis import Diagnosis, Speed
    from xenograft.reporting.groups import Score, View
    from xenograft.study.forecast import Forecast
    from xenograft.study.rates import Rate
    from xenograft.study.record import Study

_MOST_DIFFERENCES = 8
_OUT = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)  # pipes have no width


class _Bar:
    """A `Watcher` that draws one bar for the whole job, with the time left."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._left = 0.0

    def total(self, units: float) -> None:
        if units > 0:
            self._task = self._bar.add_task("starting", total=units)

    def begin(self, text: str, units: float) -> None:
        self._left = units
        if self._task is not None:
            self._bar.update(self._task, description=text)

    def advance(self, units: float) -> None:
        units = min(units, self._left)
        self._left -= units
        if self._task is not None:
            self._bar.advance(self._task, units)

    def end(self, text: str) -> None:
        self.advance(self._left)
        self.say(text)

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[_Bar]:
    """One progress display for a whole job; on a pipe, only its lines."""
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False),
    )  # fmt: skip
    with Progress(*columns, console=_OUT, transient=True, disable=not _OUT.is_terminal) as bar:
        yield _Bar(bar)


@contextmanager
def bar(text: str, count: int) -> Iterator[Callable[[int], None]]:
    """A bar over `count` equal steps, with their rate."""
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TaskProgressColumn(
            show_speed=True), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=_OUT, transient=True, disable=not _OUT.is_terminal) as drawn:
        task = drawn.add_task(text, total=count)
        yield lambda steps: drawn.advance(task, steps)


def said(text: str) -> None:
    """A line."""
    _OUT.print(text.replace("\u00a0", " "), markup=False)


def wrote(what: str, where: Path) -> None:
    """What was written, and where."""
    said(f"{what}: {printable(where)}")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of plain text, cells as they are."""
    drawn = _table(*headings)
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    _OUT.print(drawn)


def audit_findings(audit: Audit) -> None:
    """Errors, warnings and notes in full, the rest as numbers."""
    for split, classes in audit.counts.items():
        text = ", ".join(f"{printable(c)} {_counted(n)}" for c, n in classes.items())
        said(f"{split:5} {text}")
    for finding in audit.findings:
        if finding.severity in {"error", "warning", "note"}:
            said(f"{finding.severity:7} {finding.code} {printable(finding.message)}")
    of = audit.tally()
    said(
        f"{of['error']} errors, {of['warning']} warnings, {of['note']} notes, {of['passed']} checks passed, "
        f"{of['not_applicable']} not applicable; {audit.images} images in {sum(audit.seconds.values()):.1f} s"
    )


def _counted(count: dict[str, int]) -> str:
    """Images and patients of a class; of a finding also of how many images it is known."""
    of = f" of {count['of']}" if "of" in count else ""
    return f"{count['images']}{of} ({count['patients']} patients)"


def study_table(study: Study) -> None:
    """Test results by backbone and recipe, the best and the worst finding, and the paired differences in AUROC."""
    from xenograft.reporting.groups import View

    view = View.of(study)
    if view.data["synthetic"]:
        said("SYNTHETIC images: the numbers show that the tool works, nothing about patients.")
    if view.data["leak_allowed"]:
        said("LEAK ALLOWED: splits share patients or images; the numbers are too good.")
    mean = "mean " if view.multi_label else ""
    table = _table(
        "backbone",
        "recipe",
        "lr scale",
        "runs",
        f"{mean}AUROC (95 % CI)",
        "accuracy",
        "recall",
        "specificity",
        "F1",
        "G-mean",
    )
    policy = view.main_policy
    if view.data.get("baseline"):
        table.add_row("(no anatomy)", "baseline", "", "", *_scores(lambda metric: view.baseline(policy, metric)))
    for group in view.groups:
        cells = _scores(partial(group.score, policy))
        table.add_row(group.name, group.recipe, f"{group.lr_scale:g}", str(len(group.runs)), *cells)
    _OUT.print(table)
    threshold = "at threshold 0.5" if not view.multiclass else "macro averages"
    if view.multi_label:
        threshold += f"; means over {len(view.classes)} findings, missing labels left out"
    said(f"Test split: {view.test_size()}; {threshold}; {view.interval_note()}")
    _extremes(view)
    _differences(study, mean)


def _differences(study: Study, mean: str) -> None:
    """Paired differences in AUROC, the smallest adjusted p first; of many, the first few."""
    from xenograft.reporting import pairs
    from xenograft.reporting.p_values import p_text

    rows = [row for row in study.record.comparisons if row["metric"] == "auroc" and row["low"] is not None]
    rows.sort(key=lambda row: (row["p_holm"] is None, row["p_holm"], pairs.order(row)))
    for row in rows[:_MOST_DIFFERENCES]:
        name = pairs.name(row).replace("−", "-")  # not every terminal can print a true minus
        said(
            f"{pairs.head(row)}: {name}: {mean}AUROC {row['difference']:+.3f} ({row['low']:+.3f} to "
            f"{row['high']:+.3f}), adjusted p {p_text(row['p_holm'])}: {pairs.reading(row)}"
        )
    if len(rows) > _MOST_DIFFERENCES:
        said(f"... and {len(rows) - _MOST_DIFFERENCES} more comparisons, in the report")
    if rows:
        said(f"p: two-sided, {pairs.adjusted(rows[0]['of'])}")


def _extremes(view: View) -> None:
    """Of a multi-label study the best and the worst finding of one group, and why a mean is not defined."""
    from xenograft.reporting.findings import auroc, gap_note, ranked

    if not view.multi_label:
        return
    if gap := gap_note(view):
        said(gap)
    group = view.chosen()
    known = [(f.name, score.value) for f in ranked(view, [group]) if (score := auroc(view, group, f)) is not None]
    if len(known) > 1:
        (best, most), (worst, least) = known[0], known[-1]
        said(
            f"{group.name} {group.recipe}, which validation rates highest: AUROC of single findings from {least:.3f} "
            f"({worst}) to {most:.3f} ({best}); the report has all"
        )


def _scores(score: Callable[[str], Score | None]) -> list[str]:
    """AUROC with its interval, and the other metrics of the table."""
    auroc = score("auroc")
    interval = f" ({auroc.low:.3f}-{auroc.high:.3f})" if auroc is not None and auroc.low is not None else ""
    found = map(score, ("accuracy", "recall", "specificity", "f1", "g_mean"))
    rest = [f"{value.value:.3f}" if value is not None else "-" for value in found]
    return [f"{auroc.value:.3f}{interval}" if auroc is not None else "undefined", *rest]


def predictions(rows: Iterable[Prediction]) -> None:
    """A few predictions."""
    table = _table("image", "prediction", "probability")
    for row in rows:
        name = "/".join(Path(row.path).parts[-2:])
        table.add_row(name, row.label or row.error, f"{max(row.probabilities, default=0.0):.3f}")
    _OUT.print(table)


def weights_table(rows: Sequence[WeightsStatus]) -> None:
    """One line per backbone."""
    table = _table("backbone", "weights", "where", "MiB", "sha256", "licence")
    for row in rows:
        size = f"{row.bytes / 2**20:.1f}" if row.bytes else ""
        where = f"{row.origin}: {row.path.name}" if row.path is not None else ""
        table.add_row(row.name, row.state, where, size, row.sha256[:12], row.licence)
    _OUT.print(table)


def cache_table(rows: Sequence[Entry], folder: Path) -> None:
    """One line per entry of the cache, the sum, the limit and the folder."""
    from xenograft.caching import DEFAULT_LIMIT, KEYED

    table = _table("kind", "what", "images", "MiB", "last used")
    for row in rows:
        what = row.what + (f"; {row.damaged} damaged shards set aside" if row.damaged else "")
        used = row.last_used.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(row.kind, what, f"{row.images}" if row.images else "", f"{row.bytes / 2**20:.1f}", used)
    if rows:
        _OUT.print(table, markup=False)
    total = sum(row.bytes for row in rows)
    counted = sum(row.bytes for row in rows if row.kind in KEYED)
    said(f"total {_mib(total)}, of which {_mib(counted)} are features and pixels")
    said(f"limit {_mib(DEFAULT_LIMIT)} for features and pixels, unless a study is given another by --cache-limit")
    wrote("Cache", folder)


def cache_checked(rows: Sequence[Checked], folder: Path) -> None:
    """How many shards are intact, and which entries had damaged ones."""
    for row in rows:
        if row.damaged:
            said(f"{row.entry.kind} {row.entry.key[:12]} ({row.entry.what}): {row.damaged} damaged shards set aside")
    intact, damaged = (sum(getattr(row, state) for row in rows) for state in ("intact", "damaged"))
    said(f"{intact} shards are intact, {damaged} damaged; what is damaged is computed again when it is needed")
    said("Weights are compared with their known hashes by: xenograft weights verify")
    wrote("Cache", folder)


def cache_cleared(done: Cleared, folder: Path) -> None:
    """What was freed, and what was left because it is in use."""
    counts = {
        kind: sum(row.kind == kind for row in done.removed) for kind in dict.fromkeys(r.kind for r in done.removed)
    }
    for row in done.in_use:
        said(f"left, a running process holds it: {row.kind} {row.key[:12]} ({row.what})")
    what = ", ".join(f"{number} of {kind}" for kind, number in counts.items()) or "nothing"
    said(f"{_mib(done.bytes)} freed; removed {what}")
    wrote("Cache", folder)


def diagnosis(found: Diagnosis) -> None:
    """The machine, in lines."""
    facts = found.environment
    said(f"machine    {facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB; GPU: {facts['gpu'] or 'none'}")
    said(f"system     {facts['platform']}, Python {facts['python']}")
    said(f"embedding  {found.engine.name} {found.engine.version} on {found.engine.device}, {found.engine.precision}")
    said(f"training   {found.training}")
    writable = "writable" if found.cache["writable"] else "NOT writable"
    free = found.cache["free_mib"] / 1024
    said(f"cache      {found.cache['folder']}: {found.cache['mib']:.0f} MiB, {writable}, {free:.0f} GiB free")
    weights_table(found.weights)
    for line in found.advice:
        said(f"advice: {line}")


def _mib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def speeds(rows: Sequence[Speed], *, images: int) -> None:
    """What was measured, and what it means for a data set of so many images."""
    table = _table("backbone", "px", "work", "engine", "images/s", f"{images:,} images")
    for row in rows:
        table.add_row(
            row.backbone, str(row.size), "embedding", f"{row.engine.name} {row.engine.precision}",
            *_rate_cells(row.embedding, images),
        )  # fmt: skip
        if row.training is not None:
            cells = _rate_cells(row.training, images)
            table.add_row("", "", "training epoch", f"torch {row.training_precision}", *cells)
    _OUT.print(table)


def foreseen(found: Forecast, *, images: int) -> None:
    """How long a study would take, and which study is meant."""
    from xenograft.study.forecast import describe

    said(f"A study of {images:,} images none of which was read before: probe and scratch, 3 seeds, 20 epochs.")
    for line in describe(found):
        said(line)


def _rate_cells(rate: Rate, images: int) -> tuple[str, str]:
    from xenograft.study.forecast import duration

    each = rate.images_per_second
    return f"{each:,.0f}" if each >= 10 else f"{each:.1f}", duration(images / each)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
