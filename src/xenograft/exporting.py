"""(trained arm, its record) -> bundle folder, with a check that the exported model gives the trained one's scores."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Mapping
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
from xenograft.features.engine_openvino import BATCH
from xenograft.storage import atomic_path, atomic_write, sha256_file
from xenograft.study.record import RunRecord, StudyRecord
from xenograft.train.loop import Machine, predict
from xenograft.train.network import Classifier
from xenograft.train.objective import Objective

TOLERANCE = 1e-3
_SYNTHETIC = "**Trained on synthetic phantom images. It says nothing about patients.**"
_FOR_PEOPLE = ("Intended use", "Clinical role", "Reference standard and annotators", "Ethics", "Known limitations")


def export(
    classifier: Classifier, run: RunRecord, study: StudyRecord, folder: Path, *, sample: NDArray[np.uint8]
) -> tuple[Bundle, float]:
    """Write a bundle and compare it with the network it came from.

    Args:
        classifier: in evaluation mode on the CPU. sample: (n, C, S, S) prepared validation images to compare on.

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
        facts = _facts(run, study, staged)
        atomic_write(staged / "MODEL_CARD.md", model_card(facts))
        write_facts(staged, facts)
        drift = _drift(graph, classifier.objective, Bundle.load(staged), sample)
        if drift > TOLERANCE:
            raise WeightsError(
                f"the exported model is {drift:.2g} in probability away from the trained one; {TOLERANCE:g} is allowed",
                code="E-MODEL-07",
            )
        for name in (MODEL_FILE, "MODEL_CARD.md", "bundle.json"):
            with atomic_path(folder / name) as target:
                shutil.copyfile(staged / name, target)
    return Bundle.load(folder), drift


def largest_difference(bundle: Bundle, pixels: NDArray[np.uint8], expected: NDArray[np.float64]) -> float:
    """Largest difference between a bundle's probabilities for (n, C, S, S) pixels and (n, classes) expected ones."""
    parts = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    return float(np.abs(bundle.probabilities(parts) - expected).max())


def _facts(run: RunRecord, study: StudyRecord, folder: Path) -> BundleFacts:
    policy = "youden" if "youden" in run.thresholds else "fixed"
    multi_label = study.data["multi_label"]
    chosen = run.thresholds[policy]
    threshold = chosen if len(study.classes) == 2 or multi_label else None
    if multi_label and not isinstance(chosen, list):
        threshold = [chosen] * len(study.classes)
    return BundleFacts(
        classes=study.classes,
        multi_label=multi_label,
        preprocess=run.preprocess,
        threshold=threshold,
        threshold_rule={"youden": "Youden's J on the validation split", "fixed": "fixed at 0.5"}[policy],
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


def model_card(facts: BundleFacts) -> str:
    """A short model card in Markdown: facts only; what only people can say is named as not supplied."""
    policy = "youden" if facts.threshold_rule.startswith("Youden") else "fixed"
    test = facts.test["policies"].get(policy) or next(iter(facts.test["policies"].values()))
    lines = [
        f"# Model card: {facts.backbone}, {facts.recipe['name']}",
        "",
        *((_SYNTHETIC, "") if facts.data["synthetic"] else ()),
        _answers(facts),
        f"- Training: {facts.recipe['summary']}",
        f"- Weights: {facts.weights['file']} ({facts.weights['licence']}), sha256 {facts.weights['sha256']}"
        if facts.weights else "- Weights: random initialisation",
        f"- Data: {facts.data['name']}, manifest sha256 {facts.data['manifest_sha256']}",
        f"- Input: {facts.preprocess['channels']} channel(s), {facts.preprocess['size']} px, uint8; normalisation is "
        "inside the graph",
        f"- Test split: {facts.test['n']} images of {facts.test['patients']} patients, read once, after every choice",
        "",
        f"| metric (test{', mean over findings' if facts.multi_label else ''}) | value | 95 % interval |",
        "|---|---|---|",
    ]  # fmt: skip
    for name, entry in test["metrics"].items():
        if entry["value"] is not None:
            lines.append(f"| {name} | {entry['value']:.3f} | {_number(entry['low'])} to {_number(entry['high'])} |")
    if facts.multi_label:
        lines += _findings(facts, test["per_class"])
    lines += ["", *(f"- {fact}" for fact in facts.data["facts"]), ""]
    lines += [f"- {item}: not supplied" for item in _FOR_PEOPLE]
    return "\n".join(lines) + "\n"


def _answers(facts: BundleFacts) -> str:
    names = f"- Answers: {', '.join(facts.classes)}"
    if isinstance(facts.threshold, list):
        return f"{names}; any number of them, each present from its own threshold on ({facts.threshold_rule})"
    if facts.threshold is not None:
        return f"{names}; positive is {facts.classes[1]}, threshold {facts.threshold:.3f} ({facts.threshold_rule})"
    return f"{names}; the most probable class"


def _findings(facts: BundleFacts, per_class: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of single findings."""
    lines = [
        "",
        "| finding (test) | AUROC | 95 % interval | known | present | threshold |",
        "|---|---|---|---|---|---|",
    ]
    for k, name in enumerate(facts.classes):
        auroc, known = per_class[str(k)]["auroc"], facts.test["known"][str(k)]
        interval = f"{_number(auroc['low'])} to {_number(auroc['high'])}"
        cut = facts.threshold[k] if isinstance(facts.threshold, list) else facts.threshold
        counts = f"{known['n']} | {known['positive']} | {_number(cut)}"
        lines.append(f"| {name} | {_number(auroc['value'])} | {interval} | {counts} |")
    return lines


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


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
