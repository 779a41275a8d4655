"""A run's test predictions -> its most confident mistakes: a list of all of them, and pictures of the first few."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xenograft.data.manifest import Manifest
from xenograft.data.prepared import read_prepared
from xenograft.data.preprocess import Preprocess
from xenograft.errors import XenograftError
from xenograft.evaluation.scorecard import ARGMAX
from xenograft.storage import atomic_write, write_csv
from xenograft.study.record import Predictions, RunRecord, Study

SHOWN = 6  # of each kind
KINDS = 6  # that pictures are shown of
_FOLDER = "failures"
Json = dict[str, Any]


def failures(study: Study, run: RunRecord, manifest: Manifest) -> Json:
    """Mistakes at the run's first policy (0.5, or the most probable class), the most confident first.

    ``failures/failures.csv`` of the study lists all of them with their ids; a page shows pictures by their number in
    it, because file names may tell who a patient is.

    Args:
        manifest: of the study, to read the images again.

    Returns:
        ``run``, ``policy``, ``images`` (of test), ``mistakes``, ``file``, and ``kinds``: one mapping a kind of mistake,
        most frequent first: ``truth`` and ``answer`` (classes; of a finding ``no NAME`` and ``NAME``), ``count``,
        ``of`` (images that could have been mistaken so) and ``shown``: [{``number``, ``probability`` (of the wrong
        answer), ``file`` (below the study, None if the image could not be read again)}].
    """
    test = study.predictions(run.id, "test")
    policy = "fixed" if "fixed" in run.test["policies"] else ARGMAX
    kinds = (
        _finding_kinds(test, study.record.classes)
        if test.labels.ndim == 2
        else _class_kinds(test, study.record.classes)
    )
    for old in (study.folder / _FOLDER).glob("mistake*.png"):  # of a study that was smaller: its numbers are others
        old.unlink()
    number, rows, told = 0, [], []
    for rank, (truth, answer, wrong, sure, of) in enumerate(sorted(kinds, key=lambda kind: -len(kind[2]))):
        shown = []
        for place, image in enumerate(wrong.tolist()):
            number += 1
            rows.append([number, str(test.ids[image]), truth, answer, f"{sure[image]:.6f}"])
            if place < SHOWN and rank < KINDS:
                file = _picture(manifest, str(test.ids[image]), run, study, f"{_FOLDER}/mistake{number}.png")
                shown.append({"number": number, "probability": float(sure[image]), "file": file})
        told.append({"truth": truth, "answer": answer, "count": len(wrong), "of": of, "shown": shown})
    file = f"{_FOLDER}/failures.csv"
    write_csv(study.folder / file, ("number", "id", "truth", "answer", "probability of the answer"), rows)
    return {
        "run": run.id, "policy": policy, "images": len(test.ids), "mistakes": number, "file": file, "kinds": told,
    }  # fmt: skip


Kind = tuple[str, str, NDArray[np.intp], NDArray[np.float64], int]


def _class_kinds(test: Predictions, classes: list[str]) -> list[Kind]:
    """Truth, answer, wrong images by confidence, (N,) probability of that answer, images of the true class."""
    table = test.probabilities
    answers = (table[:, 1] >= 0.5).astype(np.int64) if table.shape[1] == 2 else table.argmax(axis=1)
    found: list[Kind] = []
    for truth, true_name in enumerate(classes):
        for answer, name in enumerate(classes):
            wrong = np.flatnonzero((test.labels == truth) & (answers == answer))
            if truth != answer and len(wrong):
                sure = table[:, answer]
                of = int((test.labels == truth).sum())
                found.append((true_name, name, wrong[np.argsort(-sure[wrong], kind="stable")], sure, of))
    return found


def _finding_kinds(test: Predictions, findings: list[str]) -> list[Kind]:
    found: list[Kind] = []
    for k, name in enumerate(findings):
        for truth in (0, 1):
            sure = test.probabilities[:, k] if truth == 0 else 1 - test.probabilities[:, k]
            called = test.probabilities[:, k] >= 0.5
            mine = test.labels[:, k] == truth
            wrong = np.flatnonzero(mine & (called != bool(truth)))
            if len(wrong):
                names = (f"no {name}", name) if truth == 0 else (name, f"no {name}")
                found.append((*names, wrong[np.argsort(-sure[wrong], kind="stable")], sure, int(mine.sum())))
    return found


def _picture(manifest: Manifest, image: str, run: RunRecord, study: Study, name: str) -> str | None:
    """The image as the network saw it, as a file below the study."""
    at = manifest.column("id").index(image)
    try:
        pixels = read_prepared(manifest, next(manifest.take([at]).rows()), Preprocess.from_json(run.preprocess))
    except (XenograftError, OSError):
        return None
    flat = pixels[0] if len(pixels) == 1 else cv2.cvtColor(pixels.transpose(1, 2, 0), cv2.COLOR_RGB2BGR)
    atomic_write(study.folder / name, cv2.imencode(".png", flat)[1].tobytes())
    return name
