"""A fitted model as a folder: ONNX graph, labels, preprocessing, threshold, hashes, model card. Runs without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xenograft.data.prepared import Prepared, pictures_of
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, FileError, WeightsError, printable
from xenograft.features.engine_openvino import BATCH, OpenVinoEngine
from xenograft.storage import read_json, sha256_file, write_csv, write_json

BUNDLE_VERSION = 2
MODEL_FILE = "model.onnx"
NOTHING = "no finding"
"""The answer about an image in which none of several findings is present."""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """``bundle.json``.

    Args:
        classes: names in the order of the probabilities; for two classes the second is the positive one.
        multi_label: the classes are findings, any number of which may be present in one image.
        preprocess: see `Preprocess`.
        threshold: on the probability of the positive class; None for several classes; a list, one for each finding.
        threshold_rule: where the threshold comes from. hashes: {file: sha256} of the bundle's files.
        backbone, recipe, weights: what was trained, and from which weights.
        data: name, hash and counts of the training data. validation, test: scorecards.
    """

    classes: list[str]
    multi_label: bool
    preprocess: dict[str, Any]
    threshold: float | list[float] | None
    threshold_rule: str
    backbone: str
    recipe: dict[str, Any]
    weights: dict[str, Any] | None
    data: dict[str, Any]
    validation: dict[str, Any]
    test: dict[str, Any]
    hashes: dict[str, str]
    created: str
    xenograft: str
    version: int = BUNDLE_VERSION


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's answer, or why there is none.

    Args:
        path: as the user gave it; of one frame of several, with its number behind it.
        probabilities: (C,), empty with an error.
        label: the answer, "" with an error; findings are joined by ``|``, and `NOTHING` where none is present.
        error: ``code reason`` of an unreadable image.
    """

    path: str
    probabilities: tuple[float, ...] = ()
    label: str = ""
    error: str = ""


@dataclass(slots=True)
class Bundle:
    """A bundle that can predict."""

    folder: Path
    facts: BundleFacts
    preprocess: Preprocess
    precision: str = "f32"
    _engine: OpenVinoEngine | None = field(default=None, repr=False)

    @classmethod
    def load(cls, folder: Path, *, precision: str = "f32") -> Self:
        """Open a bundle folder and check it.

        Args:
            precision: ``f32``, which equals the training process's scores within 1e-3, or ``bf16``.

        Raises:
            DataError: there is no bundle. WeightsError: a file is not the one the bundle was made with (M4), or the
                number of classes is another than the model's (M2).
        """
        folder = Path(folder)
        source = folder / "bundle.json"
        if not source.is_file():
            raise DataError(f"{printable(folder)} holds no bundle.json; give a folder made by fit", code="E-DATA-12")
        facts = _facts(read_json(source), source)
        for name, expected in facts.hashes.items():
            path = folder / name
            if not path.is_file() or sha256_file(path) != expected:
                raise WeightsError(
                    f"{printable(path)} is missing or not the file this bundle was made with; copy the bundle again",
                    code="E-MODEL-04",
                )
        bundle = cls(folder, facts, Preprocess.from_json(facts.preprocess), precision)
        bundle._check_classes()
        return bundle

    def probabilities(self, pixels: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """(n, C, S, S) uint8 batches of prepared images -> (N, classes); of findings, rows do not sum to one."""
        logits = np.concatenate(list(self._engine_or_new().embed(pixels))).astype(np.float64)
        if self.facts.multi_label or logits.shape[1] == 1:
            positive = 1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60)))
            return positive if self.facts.multi_label else np.concatenate([1.0 - positive, positive], axis=1)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def predict(self, paths: Sequence[Path]) -> Iterator[Prediction]:
        """Answers in the order of `paths`; an unreadable image is said to be one, never guessed."""
        pictures = (picture for path in paths for picture in pictures_of(path, self.preprocess))
        while some := list(islice(pictures, 8 * BATCH)):
            yield from self._predict_some(some)

    def decide(self, probabilities: NDArray[np.float64]) -> str:
        """The class of one row of probabilities, or its findings."""
        classes, threshold = self.facts.classes, self.facts.threshold
        if isinstance(threshold, list):
            return "|".join(np.array(classes)[probabilities >= np.array(threshold)]) or NOTHING
        if threshold is not None:
            return classes[int(probabilities[1] >= threshold)]
        return classes[int(probabilities.argmax())]

    def _predict_some(self, pictures: Sequence[tuple[str, Prepared | FileError]]) -> Iterator[Prediction]:
        prepared = [pixels for _, pixels in pictures if not isinstance(pixels, FileError)]
        answers: Iterator[NDArray[np.float64]] = iter(())
        if prepared:
            stacks = (np.stack(prepared[i : i + BATCH]) for i in range(0, len(prepared), BATCH))
            answers = iter(self.probabilities(stacks))
        for name, pixels in pictures:
            if isinstance(pixels, FileError):
                yield Prediction(name, error=str(pixels))
            else:
                row = next(answers)
                yield Prediction(name, tuple(float(p) for p in row), self.decide(row))

    def _engine_or_new(self) -> OpenVinoEngine:
        if self._engine is None:
            try:
                self._engine = OpenVinoEngine(self.folder / MODEL_FILE, precision=self.precision)
            except RuntimeError as error:  # what OpenVINO raises for anything it cannot read
                first = str(error).strip().splitlines()[0]
                raise WeightsError(f"{MODEL_FILE} cannot be loaded: {first}", code="E-MODEL-06") from error
        return self._engine

    def _check_classes(self) -> None:
        expected = 1 if len(self.facts.classes) == 2 and not self.facts.multi_label else len(self.facts.classes)
        found = self._engine_or_new().outputs
        if found != expected or len(set(self.facts.classes)) != len(self.facts.classes):
            raise WeightsError(
                f"bundle.json names {len(self.facts.classes)} classes ({expected} outputs), the model has {found} "
                "outputs; the files are of different bundles",
                code="E-MODEL-02",
            )


def write_facts(folder: Path, facts: BundleFacts) -> None:
    """Write ``bundle.json``; a bundle exists from this moment on, so it is written last."""
    write_json(folder / "bundle.json", asdict(facts))


def write_predictions_csv(target: Path, bundle: Bundle, predictions: Iterable[Prediction]) -> tuple[int, int]:
    """One row an image: path, prediction, a probability per class, threshold, error. Returns (answered, failed).

    Findings have a threshold each.
    """
    classes, threshold = list(map(printable, bundle.facts.classes)), bundle.facts.threshold
    names = [f"p_{name}" for name in classes]
    cuts = threshold if isinstance(threshold, list) else [threshold]
    cut_names = [f"threshold_{name}" for name in classes] if bundle.facts.multi_label else ["threshold"]
    written = ["" if cut is None else f"{cut:.6f}" for cut in cuts]
    rows: list[list[object]] = []
    failed = 0
    for p in predictions:
        failed += bool(p.error)
        scores = [f"{value:.6f}" for value in p.probabilities] or [""] * len(names)
        rows.append([p.path, p.label, *scores, *written, p.error])
    write_csv(target, ("path", "prediction", *names, *cut_names, "error"), rows)
    return len(rows) - failed, failed


def find_images(places: Sequence[Path]) -> list[Path]:
    """Files as given and, below folders, every file that is not hidden, in a fixed order.

    Raises:
        DataError: a place does not exist, or there is no file.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            for folder, inner, names in os.walk(place):
                inner[:] = sorted(n for n in inner if not n.startswith("."))
                found += [Path(folder) / n for n in sorted(names) if not n.startswith(".")]
        elif place.exists():
            found.append(place)
        else:
            raise DataError(f"there is nothing at {printable(place)}; give images or folders", code="E-DATA-06")
    if not found:
        raise DataError(f"no file below {printable(places[0])}; give images or folders", code="E-DATA-06")
    return found


def _facts(value: Any, source: Path) -> BundleFacts:
    try:
        facts = BundleFacts(**value)
    except TypeError as error:
        raise DataError(f"{printable(source)} was written by another version of xenograft", code="E-DATA-04") from error
    if facts.version != BUNDLE_VERSION or MODEL_FILE not in facts.hashes:
        raise DataError(f"{printable(source)} was written by another version of xenograft", code="E-DATA-04")
    return facts
