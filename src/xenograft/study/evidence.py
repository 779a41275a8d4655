"""A finished study -> everything that can be said of the run that stands for the arm which validation chose.

And of the run without pretrained weights beside it: calibration, thresholds, prediction sets, abstention, subgroups.
One run each, since it is one model that would be used; it is picked by validation (`chosen.representative`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xenograft.errors import LabelError
from xenograft.evaluation.recalibrating import AUTO
from xenograft.evaluation.subgroups import age_bands
from xenograft.study.choices import choices_of_run
from xenograft.study.chosen import choose, reference_of, representative, rule_of
from xenograft.study.comparing import Arms
from xenograft.study.evaluated import evaluate_model, measurable
from xenograft.study.pool import place
from xenograft.study.record import RunRecord, Study
from xenograft.study.scored import Scored

FACTS = ("sex", "age", "view", "site", "manufacturer", "model")
"""What is known of an image, from DICOM attributes or columns of a table, whose levels make subgroups."""
_MOST_LEVELS = 20
Json = dict[str, Any]


def standing_for(arms: Arms) -> tuple[RunRecord, ...]:
    """The run that stands for the chosen arm, and one of its reference on the same test images, where there is one."""
    chosen = choose(arms)
    run = representative(arms[chosen])
    reference = reference_of(chosen, arms)
    if reference is None:
        return (run,)
    same = [other for other in arms[reference] if other.fold == run.fold]
    return (run, representative(same)) if same else (run,)


def evidence(study: Study, runs: Sequence[RunRecord], *, resamples: int) -> Json | None:
    """The record of `xenograft.study.evaluated.evaluate_tables` for these runs, without comparisons.

    ``runs`` holds for each model its ``id`` and its arm (``backbone``, ``recipe``, ``lr_scale``); ``choices`` and
    ``measured`` are `xenograft.study.choices.choices_of_run` of the first, which its model card needs. Where folds
    test on different images, all of it is of one fold, and ``classes`` lacks findings that no image of it has.
    None where no finding can be measured in it.
    """
    choices, measured = choices_of_run(study, runs[0])
    test, val = study.predictions(runs[0].id, "test"), study.predictions(runs[0].id, "val")
    known = bool(study.record.data["patients_known"])
    groups = subgroups_of(study, test.ids)
    tests, vals = (
        [
            Scored.of_predictions(
                run.id, study.record.classes, study.predictions(run.id, split), groups=facts, patients_known=known
            )
            for run in runs
        ]
        for split, facts in (("test", groups), ("val", None))
    )
    try:
        tests, held_out, said = measurable(tests, vals)
    except LabelError:
        return None
    rule = rule_of(study.record)
    method = study.record.config.get("recalibration") or AUTO
    models = [
        # the run's own seed, so that its scorecard is that of its record to the last digit
        evaluate_model(test_of, val_of, rule=rule, recalibration=method, resamples=resamples, seed=run.seed)
        for run, test_of, val_of in zip(runs, tests, held_out, strict=True)
    ]
    first = tests[0]
    return {
        "choices": choices.as_json(),
        "measured": measured,
        "runs": [{"id": run.id, **place(run)} for run in runs],
        "classes": list(first.classes),
        "multi_label": first.multi_label,
        "images": len(test.ids),
        "patients": int(np.unique(test.patients).size),
        "validation_patients": int(np.unique(val.patients).size),
        "patients_known": known,
        "counts": first.counts,
        "known": first.known,
        "level": models[0]["scorecard"]["level"],
        "resamples": resamples,
        "seed": runs[0].seed,
        "prevalence": None,
        "margin": None,
        "rule": None if rule is None else rule.name,
        "models": models,
        "comparisons": [],
        "notices": [str(notice) for notice in said],
    }


def subgroups_of(study: Study, ids: NDArray[np.str_]) -> dict[str, NDArray[np.str_]]:
    """Fact -> (N,) level of each of these images, "" where unknown; facts with two to twenty levels alone."""
    table = pq.read_table(study.folder / "manifest.parquet", columns=["id", "acquisition"])
    told = dict(zip(table["id"].to_pylist(), table["acquisition"].to_pylist(), strict=True))
    facts = [json.loads(told[image]) for image in ids.tolist()]
    found = {}
    for name in FACTS:
        told_of = [fact.get(name) for fact in facts]
        levels = np.array(["" if value is None else str(value).strip() for value in told_of], dtype=np.str_)
        levels = _bands(levels) if name == "age" else levels
        if 2 <= len(set(levels.tolist()) - {""}) <= _MOST_LEVELS:
            found[name] = levels
    return found


def _bands(levels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Ages in years as bands; as they are where they are no numbers."""
    try:
        years = np.array([float(level) if level else np.nan for level in levels.tolist()])
    except ValueError:
        return levels
    usable = np.isnan(years) | ((years >= 0) & np.isfinite(years))
    return age_bands(np.where(usable, years, np.nan))
