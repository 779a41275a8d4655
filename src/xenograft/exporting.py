"""(trained arm, its record) -> bundle folder, with a check that the exported model gives the trained one's scores."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xenograft import __version__
from xenograft.backbones.graph import PixelGraph
from xenograft.bundle import MODEL_FILE, Bundle, BundleFacts, write_facts
from xenograft.data.preprocess import Preprocess
from xenograft.errors import WeightsError
from xenograft.evaluation.choices import ARGMAX, Choices
from xenograft.evaluation.threshold import policy_in_use
from xenograft.features.engine_openvino import BATCH
from xenograft.model_card.card import model_card
from xenograft.storage import atomic_path, atomic_write, sha256_file
from xenograft.study.record import RunRecord, StudyRecord
from xenograft.train.loop import Machine, predict
from xenograft.train.network import Classifier
from xenograft.train.objective import Objective

TOLERANCE = 1e-3
CARD_FILE = "MODEL_CARD.md"


def export(
    classifier: Classifier,
    run: RunRecord,
    study: StudyRecord,
    folder: Path,
    *,
    sample: NDArray[np.uint8],
    choices: Choices | None = None,
    measured: dict[str, Any] | None = None,
    chosen_because: str = "",
) -> tuple[Bundle, float]:
    """Write a bundle and compare it with the network it came from.

    Args:
        classifier: in evaluation mode on the CPU. sample: (n, C, S, S) prepared validation images to compare on.
        choices: of `choices_of`, on the run's validation; None makes a bundle that only answers. measured: of
            `choices_on_test`, for the model card. chosen_because: why this backbone, if it was chosen by scores.

    Returns:
        The loaded bundle and the largest difference between its probabilities and torch's, both at f32.

    Raises:
        WeightsError: the difference exceeds 1e-3 (M7); no bundle is left.
    """
    preprocess = Preprocess.from_json(run.preprocess)
    graph = PixelGraph(classifier, preprocess).eval()
    folder.mkdir(parents=True, exist_ok=True)
    # made aside and checked there: an older bundle in the folder stays whole until the new one is known to be right
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as aside:
        staged = Path(aside)
        _to_onnx(graph, preprocess, staged / MODEL_FILE)
        facts = replace(_facts(run, study, choices, staged), chosen_because=chosen_because)
        card = model_card(
            run, study, choices=choices, measured=measured, hashes=facts.hashes, chosen_because=chosen_because
        )
        atomic_write(staged / CARD_FILE, card)
        write_facts(staged, facts)
        drift = _drift(graph, classifier.objective, Bundle.load(staged), sample)
        if drift > TOLERANCE:
            raise WeightsError(
                f"the exported model is {drift:.2g} in probability away from the trained one; {TOLERANCE:g} is allowed",
                code="E-MODEL-07",
            )
        for name in (MODEL_FILE, CARD_FILE, "bundle.json"):
            with atomic_path(folder / name) as target:
                shutil.copyfile(staged / name, target)
    return Bundle.load(folder), drift


def largest_difference(bundle: Bundle, pixels: NDArray[np.uint8], expected: NDArray[np.float64]) -> float:
    """Largest difference between a bundle's probabilities for (n, C, S, S) pixels and (n, classes) expected ones."""
    parts = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    return float(np.abs(bundle.probabilities(parts) - expected).max())


def _facts(run: RunRecord, study: StudyRecord, choices: Choices | None, folder: Path) -> BundleFacts:
    multi_label, count = study.data["multi_label"], len(study.classes)
    several = count > 2 and not multi_label
    policy = ARGMAX if several else policy_in_use(run.thresholds)
    cut = None if several else run.thresholds[policy]
    return BundleFacts(
        classes=study.classes,
        multi_label=multi_label,
        preprocess=run.preprocess,
        threshold=[cut] * count if multi_label and isinstance(cut, float) else cut,
        threshold_rule=policy,
        thresholds={} if several else run.thresholds,
        choices=None if choices is None else choices.as_json(),
        backbone=run.backbone,
        recipe=run.settings,
        weights=run.weights,
        data={k: study.data[k] for k in ("name", "catalog", "synthetic", "manifest_sha256", "counts", "facts")},
        validation=run.validation,
        test=run.test,
        hashes={MODEL_FILE: sha256_file(folder / MODEL_FILE)},
        created=run.created,
        xenograft=__version__,
    )


def _to_onnx(graph: PixelGraph, preprocess: Preprocess, target: Path) -> None:
    example = torch.zeros(2, preprocess.channels, preprocess.size, preprocess.size, dtype=torch.uint8)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporter warns of its own internals
            torch.onnx.export(
                graph,
                (example,),
                str(target),
                dynamo=True,
                input_names=["pixels"],
                output_names=["logits"],
                dynamic_shapes={"pixels": {0: torch.export.Dim.DYNAMIC}},
                external_data=False,
                verbose=False,
            )
    finally:
        logger.setLevel(level)


def _drift(graph: PixelGraph, objective: Objective, bundle: Bundle, sample: NDArray[np.uint8]) -> float:
    truth = torch.zeros(len(sample), dtype=torch.int64)
    _, expected, _ = predict(graph, iter([(torch.from_numpy(sample), truth)]), Machine(), objective)
    return largest_difference(bundle, sample, expected)
