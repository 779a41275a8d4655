"""Scored tables of one test set -> everything that can be said of each and of every pair, as one record for JSON.

Choices (thresholds, recalibration, what is answered) are made on validation tables alone; test only measures them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError, UsageError, printable
from xenograft.evaluation.abstention import abstention_card, choose_cut, decide
from xenograft.evaluation.calibration import calibration_card
from xenograft.evaluation.conformal import ConformalSets, conformal_card, patients_needed
from xenograft.evaluation.delong import clustered_delong_interval, clustered_delong_test, delong_interval, delong_test
from xenograft.evaluation.margin import noninferiority
from xenograft.evaluation.mcnemar import mcnemar
from xenograft.evaluation.multiplicity import holm
from xenograft.evaluation.net_benefit import decision_curve
from xenograft.evaluation.operating_points import Youden, chosen_with_uncertainty
from xenograft.evaluation.paired import paired_difference, paired_difference_multiclass
from xenograft.evaluation.predictive_values import clustered_predictive_intervals
from xenograft.evaluation.recalibration import Platt, Temperature
from xenograft.evaluation.reliability import reliability
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.subgroups import subgroup_card
from xenograft.evaluation.threshold import FIXED, MIN_PER_CLASS, enough, thresholds_for
from xenograft.study.scored import Scored

Json = dict[str, Any]

COVERAGE = 0.9
"""Of the conformal sets."""


def evaluate_tables(
    tables: Sequence[Scored],
    validation: Sequence[Scored] = (),
    *,
    prevalence: float | None = None,
    margin: float | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Json:
    """Evaluate predictions of one test set by one or several models.

    Args:
        tables: of the same images. validation: none, or one for each table, of other images.
        prevalence: at which predictive values and net benefit are stated; two classes only.
        margin: largest loss of AUROC that would not matter, stated beforehand; two classes only.
        resamples, level: of every bootstrap. seed: of all of them.

    Returns:
        ``classes``, ``images``, ``patients``, ``patients_known``, ``counts``, ``level``, ``resamples``, ``seed``,
        ``prevalence``, ``margin``; ``models``: for each table ``name``, ``sha256``, ``validation``, ``thresholds``,
        ``scorecard``, ``auroc``, ``calibration``, ``reliability``, ``recalibration``, ``predictive_values``,
        ``decision_curve``, ``abstention``, ``conformal``, ``subgroups``, ``chosen`` (None where it does not apply);
        ``comparisons``: for each pair ``a``, ``b``, ``metrics``, ``delong``, ``clustered_delong``, ``mcnemar``,
        ``margin`` and ``adjusted_p`` (Holm, of the clustered test); ``notices``.

    Raises:
        LabelError: tables that do not hold the same images, or a validation table that holds images or patients of
            test. UsageError: options that do not fit.
    """
    first = tables[0]
    binary = len(first.classes) == 2
    _check(tables, validation, prevalence=prevalence, margin=margin)
    joined = [first, *(table.in_order_of(first) for table in tables[1:])]
    options = {"resamples": resamples, "level": level}
    own: Sequence[Scored | None] = validation or [None] * len(joined)
    models = [_model(table, val, prevalence, seed, options) for table, val in zip(joined, own, strict=True)]
    comparisons = [_comparison(a, b, margin, seed, options) for a, b in combinations(joined, 2)]
    if binary and comparisons:
        names = {f"{c['a']} - {c['b']}": c["clustered_delong"]["p"] for c in comparisons}
        adjusted = holm(names)["adjusted"]
        for row in comparisons:
            row["adjusted_p"] = adjusted[f"{row['a']} - {row['b']}"]
    return {
        "classes": list(first.classes),
        "images": len(first.ids),
        "patients": int(np.unique(first.patients).size),
        "patients_known": first.patients_known,
        "counts": {name: int((first.labels == k).sum()) for k, name in enumerate(first.classes)},
        **options,
        "seed": seed,
        "prevalence": prevalence,
        "margin": margin,
        "models": models,
        "comparisons": comparisons,
        "notices": [str(n) for n in dict.fromkeys(n for table in (*tables, *validation) for n in table.notices)],
    }


def _check(
    tables: Sequence[Scored], validation: Sequence[Scored], *, prevalence: float | None, margin: float | None
) -> None:
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise UsageError(f"two tables are called {max(names, key=names.count)}; rename one", code="E-USAGE-24")
    if validation and len(validation) != len(tables):
        raise UsageError(
            f"{len(validation)} validation tables for {len(tables)} of test; give one for each, in order",
            code="E-USAGE-24",
        )
    if len(tables[0].classes) != 2 and (prevalence is not None or margin is not None):
        raise UsageError("--prevalence and --margin speak of two classes", code="E-USAGE-24")
    for table, val in zip(tables, validation, strict=False):
        if val.classes != table.classes:
            raise UsageError(f"{val.name} and {table.name} have other classes or another order", code="E-USAGE-24")
        shared = set(val.patients) & set(table.patients)
        if shared:
            raise DataError(
                f"{val.name} and {table.name} share {len(shared)} patients, e.g. {printable(min(shared))}; what is "
                "chosen on test patients says nothing",
                code="E-LABEL-14",
            )


def _rng(seed: int, *more: int) -> np.random.Generator:
    return np.random.default_rng([seed, *more])


def _model(table: Scored, val: Scored | None, prevalence: float | None, seed: int, options: Mapping[str, Any]) -> Json:
    binary = len(table.classes) == 2
    thresholds: dict[str, Any] = {"fixed": FIXED}
    fitted = _fitted(val)
    if val is not None:
        thresholds |= thresholds_for(val.labels, val.probabilities)
    if binary and table.threshold is not None:
        thresholds["given"] = table.threshold
    size = len(table.ids)
    card = scorecard(
        table.labels, table.probabilities, table.patients, thresholds=thresholds, rng=_rng(seed, size), **options
    )
    found: Json = {
        "name": table.name,
        "sha256": table.sha256,
        "validation": None if val is None else {"name": val.name, "sha256": val.sha256, "images": len(val.ids)},
        "thresholds": thresholds,
        "scorecard": card,
        "calibration": _calibration(table, table.probabilities, seed, options),
        "recalibration": _recalibration(table, fitted, seed, options),
        "abstention": _abstention(table, val, thresholds, seed, options),
        "conformal": _conformal(table, val, seed, options),
        "subgroups": _subgroups(table, thresholds, seed, options),
        "auroc": None,
        "reliability": None,
        "predictive_values": None,
        "decision_curve": None,
        "chosen": None,
    }
    return found | (_two(table, val, fitted, thresholds, prevalence, seed, options) if binary else {})


def _two(
    table: Scored,
    val: Scored | None,
    fitted: Platt | Temperature | None,
    thresholds: Mapping[str, float],
    prevalence: float | None,
    seed: int,
    options: Mapping[str, Any],
) -> Json:
    """What is said of two classes alone."""
    labels, scores, patients, level = table.labels, table.probabilities[:, 1], table.patients, options["level"]
    calibrated = _at(prevalence, fitted, val).apply(scores) if isinstance(fitted, Platt) and val is not None else scores
    values = {
        name: clustered_predictive_intervals(
            labels, scores, patients, threshold=cut, prevalence=prevalence, rng=_rng(seed, 3), **options
        )
        for name, cut in (thresholds.items() if prevalence is not None else ())
        if prevalence is not None
    }
    chosen = None
    if val is not None and enough(val.labels):
        chosen = chosen_with_uncertainty(
            Youden(), val.labels, val.probabilities[:, 1], val.patients, rng=_rng(seed, 5), **options
        )
    return {
        "auroc": {
            "images_independent": delong_interval(labels, scores, level=level),
            "patients_as_clusters": clustered_delong_interval(labels, scores, patients, level=level),
        },
        "reliability": reliability(labels, scores, patients, rng=_rng(seed, 2), **options).as_json(),
        "predictive_values": values or None,
        "decision_curve": {
            "recalibrated": fitted is not None,
            "restated": fitted is not None and prevalence is not None,
            **decision_curve(labels, calibrated, patients, prevalence=prevalence, rng=_rng(seed, 4), **options),
        },
        "chosen": chosen,
    }


def _scores(table: Scored, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """As the calibration of two classes wants them."""
    return probabilities[:, 1] if len(table.classes) == 2 else probabilities


def _calibration(table: Scored, probabilities: NDArray[np.float64], seed: int, options: Mapping[str, Any]) -> Json:
    return calibration_card(table.labels, _scores(table, probabilities), table.patients, rng=_rng(seed, 1), **options)


def _fitted(val: Scored | None) -> Platt | Temperature | None:
    """Platt scaling for two classes, a temperature for more; None where validation is too small for it.

    None too where validation ranks the wrong way round, which no rescaling mends.
    """
    if val is None or np.bincount(val.labels, minlength=len(val.classes)).min() < MIN_PER_CLASS:
        return None
    if len(val.classes) > 2:
        return Temperature.fit(val.labels, val.probabilities)
    try:
        return Platt.fit(val.labels, val.probabilities[:, 1])
    except DataError:
        return None


def _at(prevalence: float | None, fitted: Platt, val: Scored) -> Platt:
    """Scores of validation's share of positives, restated for another one: the odds change by the ratio of the odds."""
    if prevalence is None:
        return fitted
    share = float((val.labels == 1).mean())
    moved = math.log(prevalence / (1 - prevalence)) - math.log(share / (1 - share))
    return replace(fitted, intercept=fitted.intercept + moved)


def _recalibration(
    table: Scored, fitted: Platt | Temperature | None, seed: int, options: Mapping[str, Any]
) -> Json | None:
    """What was fitted on validation, measured on test."""
    if fitted is None:
        return None
    after = fitted.apply(_scores(table, table.probabilities))
    both = np.stack([1 - after, after], axis=1) if after.ndim == 1 else after
    return {"fitted": fitted.as_json(), "calibration": _calibration(table, both, seed, options)}


def _abstention(
    table: Scored, val: Scored | None, thresholds: Mapping[str, Any], seed: int, options: Mapping[str, Any]
) -> Json:
    threshold = thresholds.get("youden", FIXED)
    cut = None
    if val is not None:
        binary = len(val.classes) == 2
        answers, sure = decide(val.probabilities[:, 1], threshold=threshold) if binary else decide(val.probabilities)
        cut = choose_cut(answers != val.labels, sure, val.patients)
    return abstention_card(
        table.labels, table.probabilities, table.patients, threshold=threshold, cut=cut, rng=_rng(seed, 6), **options
    )


def _conformal(table: Scored, val: Scored | None, seed: int, options: Mapping[str, Any]) -> Json | None:
    if val is None:
        return None
    fewest = min(np.unique(val.patients[val.labels == k]).size for k in range(len(val.classes)))
    if fewest < patients_needed(COVERAGE):
        return None
    fitted = ConformalSets.fit(val.labels, val.probabilities, val.patients, coverage=COVERAGE)
    card = conformal_card(fitted, table.labels, table.probabilities, table.patients, rng=_rng(seed, 7), **options)
    return {"fitted": fitted.as_json(), "card": card}


def _subgroups(table: Scored, thresholds: Mapping[str, Any], seed: int, options: Mapping[str, Any]) -> Json | None:
    if not table.groups:
        return None
    return subgroup_card(
        table.labels,
        table.probabilities,
        table.patients,
        dict(table.groups),
        thresholds,
        rng=_rng(seed, 9),
        **options,
    )


def _comparison(a: Scored, b: Scored, margin: float | None, seed: int, options: Mapping[str, Any]) -> Json:
    labels, patients, level = a.labels, a.patients, options["level"]
    found: Json = {
        "a": a.name,
        "b": b.name,
        "delong": None,
        "clustered_delong": None,
        "margin": None,
        "adjusted_p": None,
    }
    if len(a.classes) == 2:
        one, two = a.probabilities[:, 1], b.probabilities[:, 1]
        found["metrics"] = paired_difference(
            labels, one, two, patients, threshold_a=FIXED, threshold_b=FIXED, rng=_rng(seed, 8), **options
        )
        found["delong"] = delong_test(labels, one, two, level=level)
        clustered = clustered_delong_test(labels, one, two, patients, level=level)
        found["clustered_delong"] = clustered
        if margin is not None:
            found["margin"] = noninferiority(clustered["low"], clustered["high"], margin=margin, level=level)
        right = [(s >= FIXED) == (labels == 1) for s in (one, two)]
    else:
        found["metrics"] = paired_difference_multiclass(
            labels, a.probabilities, b.probabilities, patients, rng=_rng(seed, 8), **options
        )
        right = [table.probabilities.argmax(axis=1) == labels for table in (a, b)]
    return found | {"mcnemar": mcnemar(*right, level=level)}
