"""A fitted model as a folder: ONNX graph, labels, preprocessing, what validation chose, hashes, model card.

It runs without torch.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xenograft.data.prepared import Prepared, pictures_of
from xenograft.data.preprocess import Preprocess
from xenograft.errors import DataError, FileError, UsageError, WeightsError, printable
from xenograft.evaluation.choices import WORDS, Choices
from xenograft.features.engine_openvino import BATCH, OpenVinoEngine
from xenograft.storage import read_json, sha256_file, write_csv, write_json

BUNDLE_VERSION = 3
MODEL_FILE = "model.onnx"
NOTHING = "no finding"
"""The answer about an image in which none of several findings is present."""
ANSWER, REFER = "answer", "refer"
"""What a prediction is advised to be taken as: refer means that a person has to look."""
NO_CLASS = "(none)"
"""In a table, the prediction set of an image that is unlike every class."""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """``bundle.json``.

    Args:
        classes: names in the order of the probabilities; for two classes the second is the positive one.
        multi_label: the classes are findings, any number of which may be present in one image.
        preprocess: see `Preprocess`.
        threshold: in use, on the probability of the positive class; None for several classes; a list, one for each
            finding. threshold_rule: its name in `thresholds`; ``argmax`` for several classes.
        thresholds: every policy that validation chose, and ``fixed``; empty for several classes.
        choices: `xenograft.evaluation.choices.Choices` as JSON; None where nothing was chosen.
        hashes: {file: sha256} of the bundle's files.
        backbone, recipe, weights: what was trained, and from which weights.
        data: name, hash and counts of the training data. validation, test: scorecards.
        chosen_because: why this backbone, where ``fit --backbone auto`` chose it; else "".
    """

    classes: list[str]
    multi_label: bool
    preprocess: dict[str, Any]
    threshold: float | list[float] | None
    threshold_rule: str
    thresholds: dict[str, float | list[float]]
    choices: dict[str, Any] | None
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
    chosen_because: str = ""  # bundles from before there was a choice are without it


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's answer, or why there is none.

    Args:
        path: as the user gave it; of one frame of several, with its number behind it.
        probabilities: (C,), empty with an error.
        label: the answer at the threshold in use, "" with an error; findings are joined by ``|``, and `NOTHING` where
            none is present.
        error: ``code reason`` of an unreadable image.
        recalibrated: (C,) probabilities recalibrated on validation, empty where that was not possible; of findings,
            nan for those where it was not. The answer does not depend on them.
        advice: `REFER` where the prediction set is not exactly the answer (of findings: of one or more), else `ANSWER`;
            "" where the bundle has no sets.
        conformal: the classes in the prediction set; of findings one of `WORDS` for each, "" without sets of its own.
    """

    path: str
    probabilities: tuple[float, ...] = ()
    label: str = ""
    error: str = ""
    recalibrated: tuple[float, ...] = ()
    advice: str = ""
    conformal: tuple[str, ...] = ()

    def referring(self, classes: Sequence[str], *, multi_label: bool) -> str:
        """The answer, with `REFER` in its place where a person has to look.

        Findings that a person has to look at stand behind a ``?``, as unknown ones do in tables of labels.
        """
        if self.advice != REFER:
            return self.label
        if not multi_label:
            return REFER
        present = self.label.split("|")
        marks = [
            f"?{name}" if word == REFER else name
            for name, word in zip(classes, self.conformal, strict=True)
            if word == REFER or name in present
        ]
        return "|".join(marks)


@dataclass(slots=True)
class Bundle:
    """A bundle that can predict."""

    folder: Path
    facts: BundleFacts
    preprocess: Preprocess
    precision: str = "f32"
    choices: Choices | None = None
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
        choices = None if facts.choices is None else Choices.from_json(facts.choices)
        bundle = cls(folder, facts, Preprocess.from_json(facts.preprocess), precision, choices)
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

    def at(self, policy: str) -> Self:
        """The same model at another of its operating points.

        Args:
            policy: a name in ``facts.thresholds``, such as ``fixed``, ``youden`` or ``sensitivity=0.95``.

        Raises:
            UsageError: the bundle has no such policy (names the nearest).
        """
        known = self.facts.thresholds
        name = "".join(policy.split()).casefold()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            has = f"it has {', '.join(known)}" if known else "the most probable of its classes is the answer"
            raise UsageError(
                f"this bundle has no operating point {printable(policy)!r}: {hint}{has}; another one is chosen on "
                "validation, with fit --operating-point",
                code="E-USAGE-31",
            )
        cut = known[name]
        whole = [cut] * len(self.facts.classes) if self.facts.multi_label and not isinstance(cut, list) else cut
        choices = self.choices and replace(self.choices, policy=name)
        return replace(self, facts=replace(self.facts, threshold=whole, threshold_rule=name), choices=choices)

    def decide(self, probabilities: NDArray[np.float64]) -> str:
        """The class of one row of probabilities, or its findings, at the threshold in use."""
        return self._label(self._decisions(probabilities[None])[0])

    def answers(self, names: Sequence[str], probabilities: NDArray[np.float64]) -> list[Prediction]:
        """What is said of images with these (N, C) probabilities."""
        decided = self._decisions(probabilities)
        again = None if self.choices is None else self.choices.recalibrated(probabilities)
        referred = None if self.choices is None else self.choices.referred(probabilities, decided)
        found = []
        for k, name in enumerate(names):
            one = Prediction(name, tuple(map(float, probabilities[k])), self._label(decided[k]))
            if again is not None:
                one = replace(one, recalibrated=tuple(map(float, again[k])))
            if referred is not None:
                words = self._words(probabilities[k], decided[k], referred[k])
                one = replace(one, advice=REFER if referred[k].any() else ANSWER, conformal=words)
            found.append(one)
        return found

    def check_refer(self) -> None:
        """Whether its answers can be replaced by `REFER`.

        Raises:
            UsageError: it has no prediction sets, or a class called ``refer``.
        """
        if self.choices is None or self.choices.conformal is None:
            why = next((text for text in (self.choices.missing if self.choices else ()) if "sets" in text), "")
            raise UsageError(
                f"this bundle cannot refer: it has no prediction sets{f' ({why})' if why else ''}; leave --refer out",
                code="E-USAGE-31",
            )
        if REFER in self.facts.classes:
            raise UsageError(f"a class is called {REFER!r} itself; leave --refer out, read advice", code="E-USAGE-31")

    def _decisions(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N,) class index, or (N, L) of 0 and 1."""
        threshold = self.facts.threshold
        if threshold is None:
            return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
        scores = probabilities if isinstance(threshold, list) else probabilities[:, 1]
        return np.asarray(scores >= np.array(threshold)).astype(np.int64)

    def _label(self, decided: NDArray[np.int64]) -> str:
        classes = self.facts.classes
        if self.facts.multi_label:
            return "|".join(name for name, present in zip(classes, decided, strict=True) if present) or NOTHING
        return classes[int(decided)]

    def _words(
        self, probabilities: NDArray[np.float64], decided: NDArray[np.int64], referred: NDArray[np.bool_]
    ) -> tuple[str, ...]:
        """The classes in the set; of findings a word for each."""
        if self.choices is None or self.choices.conformal is None:
            return ()
        if not self.facts.multi_label:
            held = self.choices.conformal.sets(probabilities[None])[0]
            return tuple(name for name, inside in zip(self.facts.classes, held, strict=True) if inside)
        return tuple(
            "" if not offered else WORDS[2] if refer else WORDS[int(present)]
            for offered, refer, present in zip(self.choices.offered, referred, decided, strict=True)
        )

    def _predict_some(self, pictures: Sequence[tuple[str, Prepared | FileError]]) -> Iterator[Prediction]:
        readable = [(name, pixels) for name, pixels in pictures if not isinstance(pixels, FileError)]
        answers: Iterator[Prediction] = iter(())
        if readable:
            prepared = [pixels for _, pixels in readable]
            stacks = (np.stack(prepared[i : i + BATCH]) for i in range(0, len(prepared), BATCH))
            answers = iter(self.answers([name for name, _ in readable], self.probabilities(stacks)))
        for name, pixels in pictures:
            yield Prediction(name, error=str(pixels)) if isinstance(pixels, FileError) else next(answers)

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


def write_predictions_csv(
    target: Path, bundle: Bundle, predictions: Iterable[Prediction], *, refer: bool = False
) -> tuple[int, int]:
    """One row an image; returns (answered, failed).

    Columns: path, prediction, advice, the prediction set, ``p_CLASS`` and ``recalibrated_CLASS`` for every class, the
    threshold, error. Findings have a set and a threshold each. What the bundle does not offer has no column.

    Args:
        refer: write `Prediction.referring` as the prediction.

    Raises:
        UsageError: `refer`, and the bundle has no prediction sets, or a class called ``refer`` (E-USAGE-31).
    """
    if refer:
        bundle.check_refer()
    findings, names = bundle.facts.multi_label, list(map(printable, bundle.facts.classes))
    cuts = bundle.facts.threshold if isinstance(bundle.facts.threshold, list) else [bundle.facts.threshold]
    written = ["" if cut is None else f"{cut:.6f}" for cut in cuts]
    choices = bundle.choices
    sets = choices is not None and choices.conformal is not None
    again = choices is not None and any(choices.recalibration)
    header = [
        "path",
        "prediction",
        *(["advice", *([f"set_{name}" for name in names] if findings else ["set"])] if sets else []),
        *[f"p_{name}" for name in names],
        *([f"recalibrated_{name}" for name in names] if again else []),
        *([f"threshold_{name}" for name in names] if findings else ["threshold"]),
        "error",
    ]
    rows: list[list[object]] = []
    failed = 0
    for p in predictions:
        failed += bool(p.error)
        held = p.conformal if findings else ("|".join(p.conformal) or NO_CLASS,)
        rows.append(
            [
                p.path,
                p.referring(bundle.facts.classes, multi_label=findings) if refer else p.label,
                *([p.advice, *([""] * (len(names) if findings else 1) if p.error else held)] if sets else []),
                *_cells(p.probabilities, len(names)),
                *(_cells(p.recalibrated, len(names)) if again else []),
                *written,
                p.error,
            ]
        )
    write_csv(target, header, rows)
    return len(rows) - failed, failed


def _cells(values: Sequence[float], count: int) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.6f}" for value in values] or [""] * count


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
