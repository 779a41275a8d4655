"""(validation labels, probabilities, patients) -> what a model does with its scores; kept as JSON, applied with numpy.

One record holds everything that validation chooses once a model is trained: the operating point and how uncertain it
is, a recalibration of the probabilities, prediction sets, and the confidence above which it may answer. What validation
is too small for is left out, and the record says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation import recalibration as maps
from xenograft.evaluation.abstention import AnswerCut, choose_cut, decide
from xenograft.evaluation.conformal import ConformalSets, patients_needed
from xenograft.evaluation.metrics import Floats, Labels, Scores, wrong
from xenograft.evaluation.operating_points import chosen_with_uncertainty
from xenograft.evaluation.recalibrating import AUTO, fit_recalibration
from xenograft.evaluation.recalibration import Recalibration
from xenograft.evaluation.rules import parse_rule
from xenograft.evaluation.threshold import FIXED, MIN_PER_CLASS, enough, policy_in_use

COVERAGE = 0.9
"""Of the prediction sets."""
ARGMAX = "argmax"
"""The policy of several classes that exclude each other."""
WORDS = ("absent", "present", "refer")
"""What a finding's prediction set says; "" where it has none."""
_FEWEST, _CELLS = 200, 20_000_000  # of resamples; images x questions x resamples: some ten seconds
Json = dict[str, Any]
Bools = NDArray[np.bool_]
Thresholds = Mapping[str, float | list[float]]


@dataclass(frozen=True, slots=True)
class Choices:
    """What validation chose for one model.

    A *question* is what an image has one answer to: its class, or whether one finding is present.

    Args:
        classes: names; `multi_label`: they are findings, each a question of its own.
        images, patients: of validation. counts: images of each class, or with each finding.
        policy: the operating point in use, a name in thresholds, or `ARGMAX`. asked: the rule that was asked for.
        points: by policy other than the fixed one, `chosen_with_uncertainty` of each question; None where it has none.
        recalibration: one map for each question. conformal: the sets, of all questions together.
        cuts: confidence above which each question is answered.
        missing: what there is not, and why, as sentences.
    """

    classes: tuple[str, ...]
    multi_label: bool
    images: int
    patients: int
    counts: tuple[int, ...]
    policy: str
    asked: str | None
    points: Mapping[str, tuple[Json | None, ...]]
    recalibration: tuple[Recalibration | None, ...]
    conformal: ConformalSets | None
    cuts: tuple[AnswerCut | None, ...]
    missing: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        labels: Labels,
        probabilities: Scores,
        patients: NDArray[Any],
        *,
        thresholds: Thresholds,
        classes: Sequence[str],
        asked: str | None = None,
        recalibration: str = AUTO,
        resamples: int = 2000,
        rng: np.random.Generator,
    ) -> Self:
        """Choose on validation. Never give it train or test.

        Args:
            labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
            probabilities: (N, C), or (N, L). patients: (N,) keys.
            thresholds: of these images, from `thresholds_for`. asked: the rule given to it.
            recalibration: method, see `fit_recalibration`.
            resamples: for the uncertainty of operating points; many findings of many images take fewer, but not below
                200 (each point says how many).

        Raises:
            DataError: unusable arrays.
        """
        data = _Data(np.asarray(labels, dtype=np.int64), np.asarray(probabilities), np.asarray(patients), classes)
        missing: list[str] = []
        policy = ARGMAX if data.several_classes else policy_in_use(thresholds)
        if asked is not None and policy != asked and asked not in thresholds:
            missing.append(f"operating point {asked}: {_why_no_point(data)}; {policy} is used instead")
        return cls(
            classes=tuple(classes),
            multi_label=data.multi_label,
            images=len(data.labels),
            patients=int(np.unique(data.patients).size),
            counts=tuple(int((data.labels[:, k] == 1).sum()) for k in range(len(classes)))
            if data.multi_label
            else tuple(np.bincount(data.labels, minlength=len(classes)).tolist()),
            policy=policy,
            asked=asked,
            points=_points(data, thresholds, resamples, rng),
            recalibration=tuple(
                _recalibration(data, question, recalibration, missing) for question in data.questions()
            ),
            conformal=_conformal(data, missing),
            cuts=tuple(_cut(q, _of_question(thresholds.get(policy, FIXED), q)) for q in data.questions()),
            missing=tuple(missing),
        )

    def recalibrated(self, probabilities: Scores) -> Floats | None:
        """Probabilities of the same shape, (N, C) or (N, L); None where nothing was fitted.

        Findings without a fitted map are nan.

        Raises:
            DataError: not probabilities.
        """
        if all(fitted is None for fitted in self.recalibration):
            return None
        table = np.asarray(probabilities, dtype=np.float64)
        if not self.multi_label:
            (whole,) = self.recalibration
            return None if whole is None else whole.apply(table)
        found: Floats = np.full(table.shape, np.nan)
        for k, fitted in enumerate(self.recalibration):
            if fitted is not None:
                found[:, k] = fitted.apply(table[:, k])
        return found

    def referred(self, probabilities: Scores, decisions: NDArray[np.int64]) -> Bools | None:
        """What a person has to look at: the prediction set is not exactly the answer given. None without sets.

        Args:
            probabilities: (N, C), or (N, L). decisions: (N,) class index, or (N, L) of 0 and 1.

        Returns:
            (N,) for classes; (N, L) for findings, all false for a finding without sets of its own.

        Raises:
            DataError: unusable probabilities.
        """
        if self.conformal is None:
            return None
        held = self.conformal.sets(probabilities)
        alone: Bools = (held.sum(axis=-1) == 1) & np.take_along_axis(held, decisions[..., None], axis=-1)[..., 0]
        return ~alone & self.offered if self.multi_label else ~alone

    @property
    def offered(self) -> Bools:
        """(L,) findings that have sets of their own; (C,) all or none of the classes."""
        if self.conformal is None:
            return np.zeros(len(self.classes), dtype=np.bool_)
        counts = np.array(self.conformal.patients)
        fewest = counts.min(axis=1) if self.multi_label else np.full(len(self.classes), counts.min())
        return np.asarray(fewest >= patients_needed(self.conformal.coverage))

    def as_json(self) -> Json:
        """For `from_json`."""
        return {
            "classes": list(self.classes),
            "multi_label": self.multi_label,
            "images": self.images,
            "patients": self.patients,
            "counts": list(self.counts),
            "policy": self.policy,
            "asked": self.asked,
            "points": {name: list(cards) for name, cards in self.points.items()},
            "recalibration": [fitted and fitted.as_json() for fitted in self.recalibration],
            "conformal": self.conformal and self.conformal.as_json(),
            "cuts": [cut and asdict(cut) for cut in self.cuts],
            "missing": list(self.missing),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`.

        Raises:
            DataError: not such a record.
        """
        try:
            return cls(
                **{name: value[name] for name in ("multi_label", "images", "patients", "policy", "asked")},
                classes=tuple(value["classes"]),
                counts=tuple(value["counts"]),
                points={name: tuple(cards) for name, cards in value["points"].items()},
                recalibration=tuple(fitted and maps.from_json(fitted) for fitted in value["recalibration"]),
                conformal=None if value["conformal"] is None else ConformalSets.from_json(value["conformal"]),
                cuts=tuple(None if cut is None else AnswerCut(**cut) for cut in value["cuts"]),
                missing=tuple(value["missing"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise wrong("choices", f"{error!r}", "a record as written by as_json") from error


@dataclass(frozen=True, slots=True)
class _Question:
    """Known images of one question: labels (n,), scores (n,) of class 1 or (n, C), patients (n,)."""

    number: int
    name: str
    labels: NDArray[np.int64]
    scores: Floats
    patients: NDArray[Any]

    @property
    def of(self) -> str:
        return f" of {self.name}" if self.name else ""


@dataclass(frozen=True, slots=True)
class _Data:
    labels: NDArray[np.int64]
    probabilities: Floats
    patients: NDArray[Any]
    classes: Sequence[str]

    @property
    def multi_label(self) -> bool:
        return self.labels.ndim == 2

    @property
    def several_classes(self) -> bool:
        return not self.multi_label and len(self.classes) > 2

    def questions(self) -> Iterator[_Question]:
        if not self.multi_label:
            scores = self.probabilities if self.several_classes else self.probabilities[:, 1]
            yield _Question(0, "", self.labels, scores, self.patients)
            return
        for k, name in enumerate(self.classes):
            known = self.labels[:, k] >= 0
            yield _Question(k, name, self.labels[known, k], self.probabilities[known, k], self.patients[known])


def _of_question(threshold: float | list[float], question: _Question) -> float:
    return threshold[question.number] if isinstance(threshold, list) else threshold


def _points(
    data: _Data, thresholds: Thresholds, resamples: int, rng: np.random.Generator
) -> dict[str, tuple[Json | None, ...]]:
    """Of every policy that validation chose; a finding that kept 0.5 has none."""
    if data.several_classes:
        return {}
    found: dict[str, tuple[Json | None, ...]] = {}
    questions = len(data.classes) if data.multi_label else 1
    resamples = min(resamples, max(_FEWEST, _CELLS // (len(data.labels) * questions)))
    for name in (name for name in thresholds if name != "fixed"):
        rule = parse_rule(name)
        cards: list[Json | None] = []
        for q in data.questions():
            if not q.labels.size or rule.threshold(q.labels, q.scores) is None:
                cards.append(None)
                continue
            card = chosen_with_uncertainty(rule.rule, q.labels, q.scores, q.patients, resamples=resamples, rng=rng)
            cards.append(card)
        found[name] = tuple(cards)
    return found


def _why_no_point(data: _Data) -> str:
    if any(q.labels.size and enough(q.labels) for q in data.questions()):
        return "no threshold reaches it, as too many scores are exactly 1"
    return f"validation has fewer than {MIN_PER_CLASS} images of a class"


def _recalibration(data: _Data, question: _Question, method: str, missing: list[str]) -> Recalibration | None:
    """As `fit_recalibration`, and why not."""
    what = f"recalibrated probabilities{question.of}"
    width = len(data.classes) if data.several_classes else 2
    fewest = int(np.bincount(question.labels, minlength=width).min())
    if fewest < MIN_PER_CLASS:
        missing.append(f"{what}: validation has {fewest} images of the rarest class, {MIN_PER_CLASS} are needed")
        return None
    fitted = fit_recalibration(question.labels, question.scores, method)
    if fitted is None:
        missing.append(f"{what}: scores do not rise with the share of positives in validation")
    return fitted


def _conformal(data: _Data, missing: list[str]) -> ConformalSets | None:
    needed = patients_needed(COVERAGE)
    width = len(data.classes) if data.several_classes else 2
    able = []
    for q in data.questions():
        fewest = min(np.unique(q.patients[q.labels == k]).size for k in range(width))
        able.append(fewest >= needed)
        if not able[-1]:
            missing.append(
                f"prediction sets{q.of}: validation has {fewest} patients of the rarest class, {needed} are needed for "
                f"{100 * COVERAGE:g} % coverage"
            )
    if not any(able):
        return None
    return ConformalSets.fit(data.labels, data.probabilities, data.patients, coverage=COVERAGE)


def _cut(question: _Question, threshold: float) -> AnswerCut | None:
    """The confidence above which at most one patient in twenty has a wrong answer; None without known images."""
    if not question.labels.size:
        return None
    several = question.scores.ndim == 2
    answers, sure = decide(question.scores) if several else decide(question.scores, threshold=threshold)
    return choose_cut(answers != question.labels, sure, question.patients)
