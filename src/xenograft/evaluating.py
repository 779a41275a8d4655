"""Predictions of any program -> an evaluation on disk: the record and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft import __version__
from xenograft.reporting import evaluation
from xenograft.storage import check_output, write_csv, write_json
from xenograft.study.evaluated import evaluate_tables
from xenograft.study.scored import Scored, named_apart, names_split, read_scored

_TABLES = {
    "results": evaluation.results,
    "calibration": evaluation.calibration,
    "comparisons": evaluation.comparisons,
    "subgroups": evaluation.subgroups,
}


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What `evaluate` made.

    Args:
        record: see `xenograft.study.evaluated.evaluate_tables`. json: the same on disk. tables: as CSV. page:
            for a browser.
    """

    record: dict[str, Any]
    json: Path
    tables: tuple[Path, ...]
    page: Path


def evaluate(
    predictions: str | Path | Sequence[str | Path],
    *,
    labels: str | Path | None = None,
    validation: Sequence[str | Path] | str | Path | None = None,
    positive: str | None = None,
    split: str | None = None,
    prevalence: float | None = None,
    margin: float | None = None,
    by: Sequence[str] = (),
    resamples: int = 2000,
    output: str | Path = "evaluation",
    command: str = "",
) -> EvaluationResult:
    """Evaluate anybody's predictions of one test set, and compare them pair by pair.

    Args:
        predictions: one table or several, see `xenograft.study.scored`. labels: the truth, where they lack it.
        validation: one for each, of other patients: thresholds, recalibration and abstention are chosen on it. Without
            one, tables that hold rows of both splits, as the records of a study do, bring their own.
        positive: the positive class of two. split: rows to take, where the tables name splits.
        prevalence: for predictive values. margin: of AUROC, stated beforehand. resamples: of the bootstrap.
        by: columns whose levels are subgroups, e.g. ``["sex", "age"]``.
        output: folder for ``index.html``, ``evaluation.json`` and CSV tables.

    Raises:
        XenograftError: tables that cannot be read, are not of the same images, or share patients with validation.
    """
    from xenograft.reporting import evaluation_page  # late: it loads the plotting library

    folder = Path(output)
    check_output(folder, "an evaluation", "evaluation.json")
    truth = None if labels is None else Path(labels)

    def read(places: Sequence[Path], wanted: str | None, usual: str, groups: Sequence[str] = ()) -> list[Scored]:
        found = [read_scored(p, labels=truth, positive=positive, split=wanted, usual=usual, by=groups) for p in places]
        return named_apart(found, places)

    tests = _paths(predictions)
    held_out = _paths(validation) if validation is not None else []
    if (
        validation is None
        and split in {None, "test"}
        and all(names_split(place, "val") and names_split(place, "test") for place in tests)
    ):
        held_out = tests  # such tables bring their validation along, as the records of a study do
    record = evaluate_tables(
        read(tests, split, "test", by),
        read(held_out, "val" if held_out is tests else None, "val"),
        prevalence=prevalence,
        margin=margin,
        resamples=resamples,
    )
    said = command or f"xenograft.evaluate({[str(place) for place in tests]})"
    record = {"command": said, "program": f"xenograft {__version__}", **record}
    written = []
    for name, make in _TABLES.items():
        head, rows = make(record)
        if rows:
            write_csv(folder / f"{name}.csv", head, rows)
            written.append(folder / f"{name}.csv")
    page = evaluation_page.render(record, folder)
    write_json(folder / "evaluation.json", record)  # last: a folder with it is an evaluation
    return EvaluationResult(record, folder / "evaluation.json", tuple(written), page)


def _paths(places: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(place) for place in ([places] if isinstance(places, str | Path) else places)]
