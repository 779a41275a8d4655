"""A fake study whose record holds what real ones hold, for what is written from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from xenograft.reporting.groups import View
from xenograft.study.record import Study
from xenograft.train.recipes import lookup

from .makers import make_study

AUDIT = {
    "tally": {"error": 0, "warning": 1, "note": 0, "passed": 30, "not_applicable": 1},
    "findings": [
        {"code": "A-SPLIT-04", "severity": "warning", "title": "Class balance", "message": "66 % and 50 %.", "count": 3}
    ],
    "not_applicable": ["DICOM tags that identify"],
}
DATA = {
    "sizes": {
        "train": {"images": 960, "patients": 700},
        "val": {"images": 240, "patients": 160},
        "test": {"images": 120, "patients": 80},
    },
    "patient_rule": "patient key from the file name (p<N>): a proxy for the patient, not proof",
    "split_rule": "splits as given; validation: 20% of the training images, by patient, stratified by class (seed 3)",
    "notices": [
        {"code": "W-LABEL-15", "message": "4 groups of pixel-identical images (5 extra)", "count": 5, "items": []}
    ],
    "audit": AUDIT,
}


def guideline_study(folder: Path, *, data: dict[str, Any] | None = None, **options: Any) -> Study:
    """As `make_study`, quick, with real recipes and the facts that `DATA` adds; `data` comes last."""
    small: dict[str, Any] = {"n": 40, "epochs": 3, "examples": 0, "seeds": 2} | options
    return completed(make_study(folder, **small, data=DATA | (data or {})))


def completed(study: Study) -> Study:
    """With what the makers leave open: the recipes' settings, preprocessing, and results of every arm."""
    runs = []
    for run in study.runs:
        settings = lookup(run.recipe).as_used().as_json()
        preprocess = run.preprocess | {"channels": 1, "fit": "squash", "window": "auto"}
        runs.append(dataclasses.replace(run, settings=settings, preprocess=preprocess))
    arms = {(run.backbone, run.recipe, run.lr_scale): run for run in reversed(runs)}
    rows = [
        {
            "backbone": backbone,
            "recipe": recipe,
            "lr_scale": scale,
            "runs": [r.id for r in runs if (r.backbone, r.recipe, r.lr_scale) == (backbone, recipe, scale)],
            "test": run.test,
            "variation": {},
        }
        for (backbone, recipe, scale), run in arms.items()
    ]
    return dataclasses.replace(study, runs=tuple(runs), record=dataclasses.replace(study.record, arms=rows))


def changed(study: Study, **fields: Any) -> View:
    """A view of the study with other fields in its record."""
    return View.of(dataclasses.replace(study, record=dataclasses.replace(study.record, **fields)))


def with_data(study: Study, **facts: Any) -> View:
    """A view of the study with other facts about its data; None takes a fact away."""
    data = {key: value for key, value in (study.record.data | facts).items() if value is not None}
    return changed(study, data=data)
