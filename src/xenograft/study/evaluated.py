"""Scored tables of one test set -> everything that can be said of each and of every pair, as one record for JSON.

Choices (thresholds, recalibration, what is answered) are made on validation tables alone; test only measures them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xenograft.errors import DataError, LabelError, Notice, UsageError, listed, printable
from xenograft.evaluation.recalibrating import AUTO, check_method
from xenograft.evaluation.rules import NamedRule
from xenograft.study.evaluated_findings import of_findings
from xenograft.study.evaluated_model import Draws, cards, of_classes, of_two, thresholds_of
from xenograft.study.evaluated_pairs import compared
from xenograft.study.scored import Scored

Json = dict[str, Any]

_NOT_OF_ALL = (
    "calibration", "recalibration", "abstention", "conformal", "auroc", "reliability", "predictive_values",
    "decision_curve", "chosen", "findings",
)  # fmt: skip


def evaluate_tables(
    tables: Sequence[Scored],
    validation: Sequence[Scored] = (),
    *,
    prevalence: float | None = None,
    margin: float | None = None,
    rule: NamedRule | None = None,
    recalibration: str = AUTO,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Json:
    """Evaluate predictions of one test set by one or several models.

    Args:
        tables: of the same images. validation: none, or one for each table, of other images.
        prevalence: at which predictive values and net benefit are stated; two classes only.
        margin: largest loss of AUROC that would not matter, stated beforehand; two classes only.
        rule: chooses a further threshold on validation, see `xenograft.evaluation.rules.parse_rule`.
        recalibration: method, see `xenograft.evaluation.recalibrating.fit_recalibration`.
        resamples, level: of every bootstrap. seed: of all of them.

    Returns:
        ``classes``, ``multi_label`` (whether they are findings), ``images``, ``patients``, ``patients_known``,
        ``counts`` (images of each class; of each finding those that have it), ``known`` (of findings the images where
        each is known, else None), ``level``, ``resamples``, ``seed``, ``prevalence``, ``margin``, ``rule`` (its name,
        or None); ``models``: an entry of `evaluate_model` for each table; ``comparisons``: for each pair ``a``, ``b``,
        ``metrics`` (paired bootstrap), ``adjusted_p`` (Holm, over the pairs), ``delong``, ``clustered_delong``,
        ``mcnemar``, ``margin``, and for findings ``findings``: "0", "1", ... -> a clustered DeLong test with its
        ``adjusted_p`` (Holm, over findings and pairs; None stands for what does not apply); ``adjusted``: ``test``
        (whose p the pairs' are: ``obuchowski``, or ``bootstrap`` of the mean AUROC, which cannot be below
        ``smallest_p``), ``comparisons`` (how many they were adjusted for), ``left_out`` and for ``findings`` these two;
        ``notices``.

    Raises:
        LabelError: tables that do not hold the same images, or a validation table that holds images or patients of
            test. UsageError: options that do not fit.
    """
    _check(tables, validation, prevalence=prevalence, margin=margin, rule=rule)
    check_method(recalibration, several=not tables[0].binary and not tables[0].multi_label)
    draws = Draws(resamples, level, seed)
    tests = [tables[0], *(table.in_order_of(tables[0]) for table in tables[1:])]
    tests, held_out, said = measurable(tests, validation)
    first = tests[0]
    own: Sequence[Scored | None] = held_out or [None] * len(tests)
    return {
        "classes": list(first.classes),
        "multi_label": first.multi_label,
        "images": len(first.ids),
        "patients": int(np.unique(first.patients).size),
        "patients_known": first.patients_known,
        "counts": first.counts,
        "known": first.known,
        **draws.options,
        "seed": seed,
        "prevalence": prevalence,
        "margin": margin,
        "rule": None if rule is None else rule.name,
        "models": [
            evaluate_model(
                table, val, prevalence=prevalence, rule=rule, recalibration=recalibration, resamples=resamples,
                level=level, seed=seed,
            )
            for table, val in zip(tests, own, strict=True)
        ],
        **compared(tests, draws, margin=margin),
        "notices": [
            str(n) for n in dict.fromkeys([*(n for table in (*tables, *validation) for n in table.notices), *said])
        ],
    }  # fmt: skip


def evaluate_model(
    table: Scored,
    validation: Scored | None = None,
    *,
    prevalence: float | None = None,
    rule: NamedRule | None = None,
    recalibration: str = AUTO,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Json:
    """Everything that can be said of one model: its entry in ``models`` of `evaluate_tables`.

    Args:
        table: predictions of test. validation: of other patients; None leaves out all that is chosen on it.
        prevalence, rule, recalibration, resamples, level, seed: as in `evaluate_tables`.

    Returns:
        ``name``, ``sha256``, ``validation`` (``name``, ``sha256``, ``images``), ``thresholds`` (policy -> threshold,
        or of findings one for each), ``scorecard`` (with the intervals of `with_proportions`), ``overall`` (policy ->
        ``averages``, ``agreement``) and ``subgroups``, for every kind of label. Of classes that exclude each other
        ``calibration``, ``recalibration``, ``abstention``, ``conformal``; of two classes also ``auroc``,
        ``reliability``, ``predictive_values``, ``decision_curve`` and ``chosen`` (policy -> how firmly validation chose
        it); of findings ``findings``, see `xenograft.study.evaluated_findings.of_findings`. None stands for what does
        not apply.
    """
    draws = Draws(resamples, level, seed)
    thresholds = thresholds_of(table, validation, rule)
    entry: Json = {
        "name": table.name,
        "sha256": table.sha256,
        "validation": None
        if validation is None
        else {"name": validation.name, "sha256": validation.sha256, "images": len(validation.ids)},
        "thresholds": thresholds,
        **cards(table, thresholds, draws),
        **dict.fromkeys(_NOT_OF_ALL),
    }
    if table.multi_label:
        return entry | {"findings": of_findings(table, validation, thresholds, draws, rule, recalibration)}
    entry |= of_classes(table, validation, thresholds, draws, recalibration=recalibration)
    if table.binary:
        entry |= of_two(
            table, validation, thresholds, draws, prevalence=prevalence, rule=rule, recalibration=recalibration
        )
    return entry


def measurable(
    tests: list[Scored], validation: Sequence[Scored]
) -> tuple[list[Scored], Sequence[Scored], list[Notice]]:
    """Without findings that no test image has, or that none lacks: nothing can be measured of them.

    Raises:
        LabelError: no finding is left (E-LABEL-12).
    """
    first = tests[0]
    if not first.multi_label:
        return tests, validation, []
    kept = [k for k, column in enumerate(first.labels.T) if (column == 1).any() and (column == 0).any()]
    gone = [name for k, name in enumerate(first.classes) if k not in kept]
    if not gone:
        return tests, validation, []
    if not kept:
        raise LabelError(
            f"{first.name}: no finding has images with and without it: {listed(gone)}; add images", code="E-LABEL-12"
        )
    message = f"{first.name}: findings that no image has, or none lacks, were left out: {listed(gone, most=20)}"
    said = Notice("W-LABEL-25", message, len(gone), tuple(map(printable, gone[:5])))
    return [table.only(kept) for table in tests], [table.only(kept) for table in validation], [said]


def _check(
    tables: Sequence[Scored],
    validation: Sequence[Scored],
    *,
    prevalence: float | None,
    margin: float | None,
    rule: NamedRule | None,
) -> None:
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise UsageError(f"two tables are called {max(names, key=names.count)}; rename one", code="E-USAGE-24")
    if validation and len(validation) != len(tables):
        raise UsageError(
            f"{len(validation)} validation tables for {len(tables)} of test; give one for each, in order",
            code="E-USAGE-24",
        )
    if rule is not None and not validation:
        raise UsageError(
            f"{rule.name} chooses a threshold on validation images, and there are none; give --validation, or leave "
            "--operating-point out",
            code="E-USAGE-24",
        )
    if not tables[0].binary and (prevalence is not None or margin is not None):
        more = "; choose one of the findings with --finding" if tables[0].multi_label else ""
        raise UsageError(f"--prevalence and --margin speak of two classes{more}", code="E-USAGE-24")
    for table, val in zip(tables, validation, strict=False):
        if val.classes != table.classes or val.multi_label != table.multi_label:
            raise UsageError(f"{val.name} and {table.name} have other classes or another order", code="E-USAGE-24")
        shared = set(val.patients) & set(table.patients)
        if shared:
            raise DataError(
                f"{val.name} and {table.name} share {len(shared)} patients, e.g. {printable(min(shared))}; what is "
                "chosen on test patients says nothing",
                code="E-LABEL-14",
            )
