"""(labels, probabilities, patients) -> mistakes that remain if a model leaves its most doubtful images to people.

Images are answered in the order of confidence, the most confident first: |score - threshold| for two classes and for
findings, the highest probability for more classes. Where several images are equally confident, a share that ends among
them answers each with the same probability, so no number depends on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xenograft.evaluation.conformal import Json, Key, Shares, check_fraction, check_patients, share_of, share_statistic
from xenograft.evaluation.metrics import (
    Floats,
    Labels,
    Scores,
    cell_metrics,
    check_labels,
    check_probabilities,
    check_threshold,
    check_unit,
    check_weights,
    ratio,
    shaped,
    wrong,
)
from xenograft.evaluation.multilabel import check_multilabel, check_thresholds
from xenograft.evaluation.uncertainty import LEVEL, bootstrap, summary

Bools = NDArray[np.bool_]
SHARES = (1.0, 0.9, 0.8, 0.7)
CURVE = tuple(step / 20 for step in range(1, 21))  # holds `SHARES`
TRIED = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
ALL, NONE = -1.0, 1.0  # a confidence is never below 0 nor above 1


@dataclass(frozen=True, slots=True)
class AnswerCut:
    """An image is answered if its confidence is above ``cut``; from `choose_cut`.

    Args:
        target: the patient risk asked for.
        level: probability over validation sets with which it is kept.
        cut: -1 answers every image, 1 none (no share could be shown to keep the target).
        patients: validation patients with an answered image.
        wrong: those of them with a wrongly answered image.
        bound: upper bound of the patient risk, at most `target`; 1 if nothing is answered.
        share: share of validation images answered.
    """

    target: float
    level: float
    cut: float
    patients: int
    wrong: int
    bound: float
    share: float


def decide(probabilities: Scores, *, threshold: float | None = None) -> tuple[NDArray[np.int64], Floats]:
    """Predicted class (N,) and confidence (N,) in [0, 1].

    Args:
        probabilities: (N,) of class 1 with a threshold, or (N, C) without.
        threshold: a score at or above it is class 1.

    Raises:
        DataError: unusable probabilities or threshold.
    """
    table = check_unit(probabilities, "probabilities")
    if table.ndim != (2 if threshold is None else 1):
        raise wrong("probabilities", f"shape {table.shape}", "(N,) with a threshold or (N, C) without")
    if threshold is None:
        return table.argmax(axis=1).astype(np.int64), table.max(axis=1)
    check_threshold(threshold)
    return (table >= threshold).astype(np.int64), np.abs(table - threshold)


def risk_coverage(mistakes: Bools, confidence: Scores) -> dict[str, Floats]:
    """The risk-coverage curve (Geifman & El-Yaniv 2017), a point for each distinct confidence, the highest first.

    Args:
        mistakes: (N,) whether the answer would be wrong.
        confidence: (N,) in [0, 1].

    Returns:
        (G,) each: ``confidence``, answered being the images at or above it; ``coverage``, the share answered, the last
        1; ``risk``, the share of these whose answer is wrong.

    Raises:
        DataError: unusable arrays.
    """
    errors, sure = _check(mistakes, confidence)
    ranking = _Ranking.of(sure, errors >= 0)
    seen = ranking.bounds[1:]
    missed = np.cumsum(errors[ranking.rows])[seen - 1]
    return {"confidence": sure[ranking.rows[seen - 1]], "coverage": seen / sure.size, "risk": missed / seen}


def aurc(mistakes: Bools, confidence: Scores, *, weights: Scores | None = None) -> dict[str, Any]:
    """Area under the risk-coverage curve (Geifman et al. 2019): the mean of the risks at 1, 2, ..., N answered images.

    Ties take the mean over their orders. ``oracle`` is the area if all mistakes were the least confident images, and
    ``excess`` (E-AURC) what the ranking adds to it; both are exact sums rather than the paper's approximation.

    Args:
        mistakes, confidence: as in `risk_coverage`.
        weights: (N,) or (B, N) whole numbers, how often each image counts; None counts every image once.

    Returns:
        ``aurc``, ``oracle``, ``excess``: floats without weights, otherwise (B,), 0-d for (N,); nan without any image.

    Raises:
        DataError: unusable arrays, or weights that are not whole numbers.
    """
    errors, sure = _check(mistakes, confidence)
    matrix = check_weights(weights, sure.size)
    if (matrix != np.floor(matrix)).any():
        raise wrong("weights", "fractions", "whole numbers, how often each image counts")
    ranking = _Ranking.of(sure, errors >= 0)
    everyone, missed = (_Sums.of(ranking, matrix, chosen) for chosen in (errors >= 0, errors == 1))
    return shaped(_areas(everyone, missed), weights)


def choose_cut(
    mistakes: Bools,
    confidence: Scores,
    patients: NDArray[Any],
    *,
    target: float = 0.05,
    level: float = LEVEL,
    shares: Sequence[float] = TRIED,
) -> AnswerCut:
    """The cut-off that answers most patients and keeps the patient risk at or below `target`. Give it validation data.

    The patient risk is the probability that some answered image of a patient is wrong, among patients with an answered
    image: the plain risk if each has one image, and no smaller than the risk of a random answered image of a random
    answered patient. Each share is tried by the exact binomial bound of Clopper & Pearson (1934) on patients at level
    1 - (1 - level) / len(shares) (Bonferroni), and the largest share that passes is taken. A cut-off is the confidence
    of the validation patient at a rank fixed beforehand; given its value, those strictly above it are an independent
    sample of all patients above it. So the bound holds in finite samples without the search of SGR (Geifman & El-Yaniv
    2017), for independent patients to whom neither probabilities nor threshold were fitted, else approximately.

    Args:
        mistakes, confidence: as in `risk_coverage`.
        patients: (N,) patient keys; a patient's rank is that of its most confident image.
        target: patient risk, in (0, 1).
        level: probability over validation sets that the target is kept, in (0, 1).
        shares: of patients answered, in (0, 1], fixed before looking at data.

    Raises:
        DataError: unusable arrays or numbers.
    """
    from scipy.special import betaincinv

    errors, sure = _check(mistakes, confidence)
    check_fraction("target", target)
    check_fraction("level", level)
    if not shares or not all(0 < share <= 1 for share in shares):
        raise wrong("shares", f"{tuple(shares)}", "one or more above 0 and at most 1")
    owner = np.unique(check_patients(patients, sure.size), return_inverse=True)[1]
    surest = np.zeros(owner.max() + 1)
    np.maximum.at(surest, owner, sure)
    ranked = np.append(np.sort(surest)[::-1], ALL)
    for share in sorted(set(shares), reverse=True):
        cut = float(ranked[int(share * surest.size + 1e-9)])
        answered = sure > cut
        count, missed = int((surest > cut).sum()), np.unique(owner[answered & (errors == 1)]).size
        each = 1 - (1 - level) / len(set(shares))
        bound = 1.0 if missed == count else float(betaincinv(missed + 1, count - missed, each))
        if bound <= target:
            return AnswerCut(target, level, cut, count, missed, bound, float(answered.mean()))
    return AnswerCut(target, level, NONE, 0, 0, 1.0, 0.0)


def abstention_card(
    labels: Labels,
    probabilities: Scores,
    patients: NDArray[Any],
    *,
    threshold: float | Sequence[float] = 0.5,
    cut: AnswerCut | Sequence[AnswerCut] | None = None,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """Selective performance on one split, with patient-cluster bootstrap intervals; every resample is ranked anew.

    Args:
        labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        probabilities: (N, C), or (N, L), one for each finding.
        patients: (N,) patient keys.
        threshold: for two classes, and for findings one for all or one for each; more classes do not look at it.
        cut: from `choose_cut` on validation; for findings one for each.
        resamples, rng, level: as in `scorecard`.

    Returns:
        ``n``, ``patients``, ``resamples``, ``level`` and, as ``value``, ``low``, ``high`` (None for undefined):
        ``aurc``, ``oracle``, ``excess``. ``at``: for 100, 90, 80 and 70 % of the images answered, ``coverage`` and
        ``accuracy``, ``recall``, ``specificity`` of the answered (means over classes, each against the rest, for more
        than two). ``curve``: ``coverage`` 0.05 to 1 and ``risk``. ``at_target``: the fields of the cut under ``chosen``
        and, on this split, ``coverage`` and ``risk`` of images, ``patient_coverage`` and ``patient_risk`` as in
        `choose_cut`; None without one. For findings ``findings`` ("0", "1", ...) has these of each finding, on the
        images where it is known.

    Raises:
        DataError: unusable arrays, or cuts that do not match the findings.
    """
    several = np.ndim(labels) == 2
    tasks = (_of_findings if several else _of_classes)(labels, probabilities, threshold)
    given = [cut] if isinstance(cut, AnswerCut) else list(cut or ())
    if cut is not None and len(given) != len(tasks):
        raise wrong("cut", f"{len(given)} cuts", f"{len(tasks)}, one for each question")
    cuts = dict(zip(tasks, given, strict=False))
    keys = check_patients(patients, len(labels))
    owner = np.unique(keys, return_inverse=True)[1]
    parts: list[tuple[str, Callable[[Floats], dict[Key, Floats]]]] = [(k, task.statistic) for k, task in tasks.items()]
    parts += [(k, share_statistic(tasks[k].above(chosen.cut, owner), owner)) for k, chosen in cuts.items()]

    def statistic(weights: Floats) -> dict[Key, Floats]:
        return {(name, *key): values for name, part in parts for key, values in part(weights).items()}

    drawn = bootstrap(statistic, labels, keys, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, owner.size)))

    def number(*key: str) -> dict[str, float | None]:
        return summary(float(whole[key][0]), drawn[key], level=level)

    cards = {name: _card(name, cuts.get(name), number) for name in tasks}
    head = {"n": owner.size, "patients": int(owner.max()) + 1, "resamples": int(resamples), "level": float(level)}
    return head | ({"findings": cards} if several else cards[""])


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Known images by falling confidence: their rows (n,), and the bounds (G + 1,) of groups of equal confidence."""

    rows: NDArray[np.intp]
    bounds: NDArray[np.intp]

    @classmethod
    def of(cls, confidence: Floats, known: Bools) -> Self:
        rows = np.flatnonzero(known)
        rows = rows[np.argsort(-confidence[rows], kind="stable")]
        ranked = confidence[rows]
        return cls(rows, np.r_[0, np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, rows.size])


@dataclass(frozen=True, slots=True)
class _Sums:
    """Running sums (B, m + 1) of the weights of m chosen images as ranked, and how many precede each bound (G + 1,)."""

    sums: Floats
    bounds: NDArray[np.intp]

    @classmethod
    def of(cls, ranking: _Ranking, weights: Floats, chosen: Bools) -> Self:
        place = np.flatnonzero(chosen[ranking.rows])
        sums = np.zeros((len(weights), place.size + 1))
        np.cumsum(weights[:, ranking.rows[place]], axis=1, out=sums[:, 1:])
        return cls(sums, np.searchsorted(place, ranking.bounds))

    def before(self, groups: NDArray[np.intp]) -> Floats:
        """Sums (B, S) before groups (S,), or (B, S) for those of each resample."""
        bounds = self.bounds[groups]
        found: Floats = self.sums[:, bounds] if bounds.ndim == 1 else np.take_along_axis(self.sums, bounds, axis=1)
        return found

    def within(self, ends: _Ends) -> Floats:
        """Sums (B, S) over the most confident shares."""
        before, after = self.before(ends.last), self.before(ends.last + 1)
        return before + ends.part * (after - before)


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where shares of the most confident images end: in which group, and how much of it belongs to them, (B, S)."""

    last: NDArray[np.intp]
    part: Floats

    @classmethod
    def of(cls, everyone: _Sums, shares: Sequence[float]) -> Self:
        """By one binary search over all resamples laid end to end."""
        seen = everyone.before(np.arange(1, everyone.bounds.size))
        wanted = seen[:, -1:] * np.array(shares)
        number = np.arange(len(seen))[:, None]
        shift = number * (seen[:, -1].max() + 1)
        place = np.searchsorted((seen + shift).ravel(), (wanted + shift).ravel()).reshape(wanted.shape)
        last = np.clip(place - number * seen.shape[1], 0, seen.shape[1] - 1)
        before, after = everyone.before(last), everyone.before(last + 1)
        return cls(last, np.clip(ratio(wanted - before, after - before, empty=0.0), 0, 1))


@dataclass(frozen=True, slots=True)
class _Task:
    """One question on N images: truth (-1 where unknown), predicted class and confidence (N,); the positive classes."""

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: Floats
    positive: tuple[int, ...]

    def statistic(self, weights: Floats) -> dict[Key, Floats]:
        """Areas, and risk, accuracy, recall and specificity at each share of `CURVE`, each (B,)."""
        known = self.truth >= 0
        ranking = _Ranking.of(self.confidence, known)
        everyone, missed = (_Sums.of(ranking, weights, c) for c in (known, self.truth != self.predicted))
        ends = _Ends.of(everyone, CURVE)
        risk = ratio(missed.within(ends), everyone.within(ends))
        rows = []
        for k in self.positive:
            truth, named = self.truth == k, self.predicted == k
            cells = (truth & named, ~truth & named, truth & ~named, ~truth & ~named)
            rows.append(cell_metrics(*(_Sums.of(ranking, weights, cell).within(ends) for cell in cells)))
        tables = {"risk": risk, "accuracy": 1 - risk}
        tables |= {name: np.mean([row[name] for row in rows], axis=0) for name in ("recall", "specificity")}
        found: dict[Key, Floats] = {(name,): values for name, values in _areas(everyone, missed).items()}
        return found | {(name, str(c)): values[:, i] for name, values in tables.items() for i, c in enumerate(CURVE)}

    def above(self, cut: float, owner: NDArray[np.intp]) -> Shares:
        """Fractions, for `share_statistic`, of what a fixed cut-off answers; a patient's first row stands for it."""
        known = self.truth >= 0
        answered = known & (self.confidence > cut)
        missed = answered & (self.truth != self.predicted)
        first = np.zeros(owner.size, dtype=np.bool_)
        first[np.unique(owner, return_index=True)[1]] = True

        def persons(images: Bools) -> Bools:
            return first & (np.bincount(owner, weights=images) > 0)[owner]

        return {
            ("at_target", "coverage"): share_of(known, answered),
            ("at_target", "risk"): share_of(answered, missed),
            ("at_target", "patient_coverage"): share_of(persons(known), persons(answered)),
            ("at_target", "patient_risk"): share_of(persons(answered), persons(missed)),
        }


def _of_classes(labels: Labels, probabilities: Scores, threshold: float | Sequence[float]) -> dict[str, _Task]:
    truth, table = check_probabilities(labels, probabilities)
    if table.shape[1] > 2:
        return {"": _Task(truth, *decide(table), positive=tuple(range(table.shape[1])))}
    if isinstance(threshold, Sequence):
        raise wrong("threshold", f"{len(threshold)} numbers", "one in [0, 1] for two classes")
    return {"": _Task(truth, *decide(table[:, 1], threshold=threshold), positive=(1,))}


def _of_findings(labels: Labels, probabilities: Scores, threshold: float | Sequence[float]) -> dict[str, _Task]:
    truth, table = check_multilabel(labels, probabilities)
    thresholds = check_thresholds(threshold, findings=truth.shape[1])
    return {
        str(k): _Task(truth[:, k], *decide(table[:, k], threshold=value), positive=(1,))
        for k, value in enumerate(thresholds)
    }


def _card(name: str, cut: AnswerCut | None, number: Callable[..., Any]) -> Json:
    """The card of one question, its numbers asked of `number` by key."""
    fixed = ("coverage", "risk", "patient_coverage", "patient_risk")
    return {
        **{area: number(name, area) for area in ("aurc", "oracle", "excess")},
        "at": [
            {"coverage": share} | {m: number(name, m, str(share)) for m in ("accuracy", "recall", "specificity")}
            for share in SHARES
        ],
        "curve": [{"coverage": share, "risk": number(name, "risk", str(share))} for share in CURVE],
        "at_target": cut and {"chosen": asdict(cut)} | {what: number(name, "at_target", what) for what in fixed},
    }


def _areas(everyone: _Sums, missed: _Sums) -> dict[str, Floats]:
    """`aurc` by what each mistake adds: at place r of n, 1 / r + ... + 1 / n = H(n) - H(r - 1), H harmonic numbers.

    In a group of W after S images every place is as likely. The mean of H(S), ..., H(S + W - 1) is
    H(S) - 1 + (S + W) (H(S + W) - H(S)) / W.
    """
    groups = np.flatnonzero(np.diff(missed.bounds))  # those with a mistake
    errors = missed.before(groups + 1) - missed.before(groups)
    before, after = everyone.before(groups), everyone.before(groups + 1)
    total, right = everyone.sums[:, -1], everyone.sums[:, -1] - missed.sums[:, -1]
    table = np.append(0, np.cumsum(1 / np.arange(1, int(total.max()) + 1)))
    h_before, h_after, h_total, h_right = (table[x.astype(np.intp)] for x in (before, after, total, right))
    mean = h_before - 1 + ratio(after * (h_after - h_before), after - before, empty=0.0)
    area = ratio((errors * (h_total[:, None] - mean)).sum(axis=1), total)
    oracle = ratio(total - right - right * (h_total - h_right), total)
    return {"aurc": area, "oracle": oracle, "excess": np.maximum(area - oracle, 0)}  # rounding aside never negative


def _check(mistakes: Bools, confidence: Scores) -> tuple[NDArray[np.int64], Floats]:
    errors, sure = check_labels(mistakes, classes=2, name="mistakes"), check_unit(confidence, "confidence")
    if sure.shape != errors.shape:
        raise wrong("confidence", f"shape {sure.shape}", f"the shape of mistakes {errors.shape}")
    return errors, sure
