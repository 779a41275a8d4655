"""Predictions of any program -> an evaluation on disk: the record, its page, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft import __version__
from xenograft.evaluation.rules import parse_rule
from xenograft.storage import check_output, write_json
from xenograft.study.evaluated import evaluate_tables
from xenograft.study.score_sheet import Sheet, read_predictions_sheet
from xenograft.study.scored import Scored, named_apart, read_scored


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What `evaluate` made.

    Args:
        record: see `xenograft.study.evaluated.evaluate_tables`. json: the same on disk.
        tables: the main ones as CSV; all of them lie in ``tables``, as CSV and LaTeX. page: for a browser.
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
    finding: str | None = None,
    split: str | None = None,
    prevalence: float | None = None,
    margin: float | None = None,
    operating_point: str | None = None,
    recalibration: str = "auto",
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
        positive: the positive class of two. finding: one of several findings, evaluated as two classes.
        split: rows to take, where the tables name splits.
        prevalence: for predictive values. margin: of AUROC, stated beforehand. resamples: of the bootstrap.
        operating_point: a rule that validation chooses a threshold by, besides Youden's: ``sensitivity=0.95``,
            ``specificity=0.90`` or ``cost=10:1@0.05``, see `xenograft.evaluation.rules.parse_rule`.
        recalibration: fitted on validation: ``platt``, ``temperature``, ``isotonic``, or ``auto``, which is Platt
            scaling for two classes and a temperature for more.
        by: columns whose levels are subgroups, e.g. ``["sex", "age"]``.
        output: folder for ``index.html``, ``evaluation.json``, tables and figures.

    Raises:
        XenograftError: tables that cannot be read, are not of the same images, or share patients with validation.
    """
    from xenograft.reporting import evaluation_page  # late: it loads the plotting library

    folder = Path(output)
    check_output(folder, "an evaluation", "evaluation.json")
    rule = None if operating_point is None else parse_rule(operating_point)
    tests = [read_predictions_sheet(place) for place in _paths(predictions)]
    truth = None if labels is None else Sheet.read(Path(labels))

    def read(sheets: Sequence[Sheet], wanted: str | None, usual: str, groups: Sequence[str] = ()) -> list[Scored]:
        found = [
            read_scored(
                sheet, labels=truth, positive=positive, finding=finding, split=wanted, usual=usual, by=groups
            )
            for sheet in sheets
        ]  # fmt: skip
        return named_apart(found, [sheet.source for sheet in sheets])

    if validation is not None:
        held_out = read([read_predictions_sheet(place) for place in _paths(validation)], None, "val")
    elif split in {None, "test"} and all(sheet.has_split("val") and sheet.has_split("test") for sheet in tests):
        held_out = read(tests, "val", "val")  # such tables bring their validation along, as the records of a study do
    else:
        held_out = []
    record = evaluate_tables(
        read(tests, split, "test", by),
        held_out,
        prevalence=prevalence,
        margin=margin,
        rule=rule,
        recalibration=recalibration,
        resamples=resamples,
    )
    said = command or f"xenograft.evaluate({[str(sheet.source) for sheet in tests]})"
    record = {"command": said, "program": f"xenograft {__version__}", **record}
    made = evaluation_page.write(record, folder)
    write_json(folder / "evaluation.json", record)  # last: a folder with it is an evaluation
    return EvaluationResult(record, folder / "evaluation.json", made.tables, made.page)


def _paths(places: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(place) for place in ([places] if isinstance(places, str | Path) else places)]
