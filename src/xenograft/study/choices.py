"""Predictions on validation -> everything chosen on them, as one record; predictions on test are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.abstention import decide
from xenograft.evaluation.calibration import calibration_card
from xenograft.evaluation.choices import Choices, Thresholds
from xenograft.evaluation.conformal import conformal_card
from xenograft.evaluation.metrics import CLIP, Floats, Labels, ratio
from xenograft.evaluation.recalibrating import AUTO
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.threshold import FIXED
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary
from xenograft.study.record import Predictions, RunRecord, Study

Json = dict[str, Any]


def choices_of(
    validation: Predictions,
    thresholds: Thresholds,
    classes: Sequence[str],
    multi_label: bool,
    *,
    asked: str | None = None,
    recalibration: str = AUTO,
    resamples: int = 2000,
    seed: int = 0,
) -> Choices:
    """Recalibration, prediction sets, abstention and the uncertainty of operating points, of validation alone.

    Args:
        validation: predictions whose ``split`` is ``val``.
        thresholds: chosen on them by `thresholds_for`. asked: name of the rule it was given; None without one.
        recalibration: method, see `xenograft.evaluation.recalibrating.fit_recalibration`.
        classes: names in the order of the probabilities. multi_label: they are findings.
        resamples: for the uncertainty of operating points. seed: of its resampling.

    Raises:
        DataError: predictions of another split (E-DATA-50), or unusable arrays.
    """
    if validation.split != "val":
        raise DataError(
            f"predictions of split {validation.split!r} cannot choose: thresholds, recalibration and prediction sets "
            "come from val, and test only measures them",
            code="E-DATA-50",
        )
    if multi_label != (np.ndim(validation.labels) == 2):
        raise DataError(f"labels: got shape {validation.labels.shape}; multi_label is {multi_label}", code="E-DATA-05")
    return Choices.fit(
        validation.labels,
        validation.probabilities,
        validation.patients,
        thresholds=thresholds,
        classes=classes,
        asked=asked,
        recalibration=recalibration,
        resamples=resamples,
        rng=np.random.default_rng([seed, len(validation.ids)]),
    )


def choices_on_test(
    choices: Choices, thresholds: Thresholds, test: Predictions, *, resamples: int = 2000, seed: int = 0
) -> Json:
    """What the choices do on images that had no part in them. It measures; it changes nothing.

    Args:
        choices: from `choices_of`. thresholds: of the same run. test: predictions on any other split.

    Returns:
        ``split``; ``calibration``: `calibration_card` of the raw probabilities, of findings the log-loss alone, under
        ``per_class``; ``recalibrated``: the same of the recalibrated ones; ``conformal``: `conformal_card`;
        ``referred``: share of images that would be referred, with its interval, for findings one of each. None where
        there is nothing to measure.

    Raises:
        DataError: unusable arrays.
    """
    labels, table, keys = test.labels, test.probabilities, test.patients
    options: Json = {"resamples": resamples, "level": LEVEL}
    first, second, third, fourth = (np.random.default_rng([seed, len(test.ids), part]) for part in range(4))
    after = choices.recalibrated(table)
    referred = choices.referred(table, decisions(choices, thresholds, table))
    return {
        "split": test.split,
        "calibration": _calibrated(choices, labels, table, keys, first, options),
        "recalibrated": None if after is None else _calibrated(choices, labels, after, keys, second, options),
        "conformal": None
        if choices.conformal is None
        else conformal_card(choices.conformal, labels, table, keys, rng=third, **options),
        "referred": None if referred is None else _shares(referred.astype(np.float64), labels, keys, fourth, options),
    }


def choices_of_run(study: Study, run: RunRecord) -> tuple[Choices, Json]:
    """`choices_of` a finished run, from its validation predictions on disk, and `choices_on_test` of them.

    Raises:
        DataError: its predictions are missing or damaged.
    """
    asked = study.record.config.get("operating_point")
    resamples = study.record.config.get("resamples") or 2000
    chosen = choices_of(
        study.predictions(run.id, "val"),
        run.thresholds,
        study.record.classes,
        study.record.data["multi_label"],
        asked=None if asked is None else parse_rule(asked).name,
        recalibration=study.record.config.get("recalibration") or AUTO,
        resamples=resamples,
        seed=run.seed,
    )
    test = study.predictions(run.id, "test")
    return chosen, choices_on_test(chosen, run.thresholds, test, resamples=resamples, seed=run.seed)


def decisions(choices: Choices, thresholds: Thresholds, probabilities: Floats) -> NDArray[np.int64]:
    """(N,) class index, or (N, L) of 0 and 1, at the operating point in use."""
    cut = thresholds.get(choices.policy, FIXED)
    if choices.multi_label:
        return np.asarray(probabilities >= np.array(cut)).astype(np.int64)
    if len(choices.classes) > 2:
        return decide(probabilities)[0]
    return np.asarray(probabilities[:, 1] >= cut).astype(np.int64)


def _calibrated(
    choices: Choices, labels: Labels, table: Floats, keys: Any, rng: np.random.Generator, options: Json
) -> Json:
    """The card of classes; of findings the log-loss of each, as the whole card of many would take minutes."""
    if not choices.multi_label:
        scores = table[:, 1] if len(choices.classes) == 2 else table
        return calibration_card(labels, scores, keys, rng=rng, **options)
    known = (labels >= 0) & ~np.isnan(table)
    clipped = np.clip(np.nan_to_num(table, nan=0.5), CLIP, 1 - CLIP)
    losses = np.where(known, -np.log(np.where(labels == 1, clipped, 1 - clipped)), 0.0)

    def statistic(weights: Floats) -> dict[int, Floats]:
        means = ratio(weights @ losses, weights @ known.astype(np.float64))
        return dict(enumerate(means.T))

    drawn = bootstrap(statistic, labels, keys, resamples=options["resamples"], rng=rng)
    whole = statistic(np.ones((1, len(labels))))
    per_class = {
        str(k): {"log_loss": summary(float(whole[k][0]), drawn[k], level=options["level"])}
        for k in range(len(choices.classes))
    }
    return {"n": len(labels), **options, "per_class": per_class}


def _shares(referred: Floats, labels: Labels, keys: Any, rng: np.random.Generator, options: Json) -> Any:
    """Share of images with an interval; of findings a list."""
    columns = referred.reshape(len(referred), -1)

    def statistic(weights: Floats) -> dict[int, Floats]:
        return {k: (weights @ column) / weights.sum(axis=1) for k, column in enumerate(columns.T)}

    drawn = bootstrap(statistic, labels, keys, resamples=options["resamples"], rng=rng)
    shares = [
        summary(float(column.mean()), drawn[k], level=options["level"]) | {"n": int(column.sum())}
        for k, column in enumerate(columns.T)
    ]
    return shares if referred.ndim == 2 else shares[0]
