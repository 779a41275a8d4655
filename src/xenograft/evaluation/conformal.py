"""(validation labels, probabilities, patients) -> prediction sets that hold each class with a stated probability.

A set of one class is an answer. An empty set (the image is unlike every class) or one of several classes (too much like
more than one) means that a person has to look. Applying the sets needs numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from xenograft.errors import DataError
from xenograft.evaluation.metrics import (
    ROW_SUM_TOLERANCE,
    Floats,
    Labels,
    Scores,
    check_probabilities,
    check_unit,
    ratio,
    wrong,
)

LEVEL = 0.95  # as in uncertainty, whose import would load scipy
BANDS = 5
METHOD = "class-conditional hierarchical split conformal"
EXACT = 1e-9  # sums of 1 / K are not exact, and 9 of 10 patients must count as 0.9
Json = dict[str, Any]
Bools = NDArray[np.bool_]
Key = tuple[str, ...]
Shares = dict[Key, tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class ConformalSets:
    """Split-conformal prediction sets, one probability cut-off for each class (Vovk et al. 2005, Mondrian taxonomy).

    A class is in the set of an image if its probability is at or above the class's threshold. The threshold is the
    quantile of hierarchical conformal prediction (Lee, Barber & Willett 2023, arXiv:2306.06342) of the images of that
    class alone: each of K validation patients has weight 1 / (K + 1), shared equally by its images, and the rest is
    the new patient's. With one image a patient this is the usual split conformal quantile (Angelopoulos & Bates 2021,
    arXiv:2107.07511, Eq. 1) for each class. Unlike subsampling one image a patient (Dunn, Wasserman & Ramdas 2022)
    it uses every image and draws nothing at random.

    What is guaranteed: take a new patient with an image of class k, exchangeable with the validation patients, and one
    such image at random. The set holds k with a probability of at least ``coverage``, and for distinct probabilities of
    at most ``coverage`` + 2 / (K + 1). What is not: it is an average over validation sets and patients, not a promise
    for this validation set, for every image of a patient, for another hospital, or for images that look difficult. It
    supposes that nothing in the probabilities (weights, temperature, epoch) was fitted to these patients; where
    validation chose them too, it holds approximately.

    Args:
        coverage: nominal probability, in (0, 1).
        thresholds: one row of C for classes; for findings one row (absent, present) each, on 1 - p and on p.
        patients: numbers of validation patients behind the thresholds, in the same shape.
        kind: ``classes`` of which an image has one, or ``findings`` of which it has any number.
    """

    coverage: float
    thresholds: tuple[tuple[float, ...], ...]
    patients: tuple[tuple[int, ...], ...]
    kind: Literal["classes", "findings"]

    @classmethod
    def fit(cls, labels: Labels, probabilities: Scores, patients: NDArray[Any], *, coverage: float = 0.9) -> Self:
        """Thresholds from validation images; deterministic. Never give it train or test.

        Args:
            labels: (N,) class index, or (N, L) findings: 1 present, 0 absent, -1 unknown.
            probabilities: (N, C) with rows summing to one, or (N, L), one for each finding.
            patients: (N,) patient keys. A patient with images of two classes counts for both.
            coverage: in (0, 1).

        Raises:
            DataError: unusable arrays, or a class with fewer patients than `patients_needed`. A finding may lack them:
                its sets then always hold both, so that a person decides; at least one finding must have enough.
        """
        check_fraction("coverage", coverage)
        if np.ndim(labels) == 2:
            return cls._fit_findings(labels, probabilities, patients, coverage)
        truth, table = check_probabilities(labels, probabilities)
        keys = check_patients(patients, truth.size)
        counts = tuple(np.unique(keys[truth == k]).size for k in range(table.shape[1]))
        if not _enough(counts, coverage):
            raise _too_few(f"class {int(np.argmin(counts))}", min(counts), coverage)
        cuts = tuple(_threshold(table[truth == k, k], keys[truth == k], coverage) for k in range(table.shape[1]))
        return cls(float(coverage), (cuts,), (counts,), "classes")

    @classmethod
    def _fit_findings(cls, labels: Labels, probabilities: Scores, patients: NDArray[Any], coverage: float) -> Self:
        from xenograft.evaluation.multilabel import check_multilabel

        truth, table = check_multilabel(labels, probabilities)
        keys = check_patients(patients, len(truth))
        counts = [tuple(np.unique(keys[column == side]).size for side in (0, 1)) for column in truth.T]
        if not any(_enough(pair, coverage) for pair in counts):
            raise _too_few("every finding", max(min(pair) for pair in counts), coverage, "of each label ")
        cuts = [(0.0, 0.0)] * len(counts)
        for k, (column, scores) in enumerate(zip(truth.T, table.T, strict=True)):
            if _enough(counts[k], coverage):
                absent, present = column == 0, column == 1
                cuts[k] = (
                    _threshold(1 - scores[absent], keys[absent], coverage),
                    _threshold(scores[present], keys[present], coverage),
                )
        return cls(float(coverage), tuple(cuts), tuple(counts), "findings")

    def sets(self, probabilities: Scores) -> Bools:
        """Which classes each image may have.

        Args:
            probabilities: (N, C) with rows summing to one, or (N, L) for findings, as in `fit`.

        Returns:
            (N, C) for classes; (N, L, 2) for findings: whether absent and whether present is in the set.

        Raises:
            DataError: unusable probabilities, or another number of classes or findings than fitted.
        """
        table = check_unit(probabilities, "probabilities")
        width = len(self.thresholds) if self.kind == "findings" else len(self.thresholds[0])
        if table.ndim != 2 or table.shape[1] != width:
            raise wrong("probabilities", f"shape {table.shape}", f"(N, {width}), one for each of the {self.kind}")
        if self.kind == "findings":
            both: Bools = np.stack([1 - table, table], axis=2) >= np.array(self.thresholds)
            return both
        if (worst := float(np.abs(table.sum(axis=1) - 1).max())) > ROW_SUM_TOLERANCE:
            raise wrong("probabilities", f"a row that misses a sum of 1 by {worst:.3g}", f"at most {ROW_SUM_TOLERANCE}")
        held: Bools = table >= np.array(self.thresholds[0])
        return held

    def as_json(self) -> Json:
        """A mapping for JSON; floats keep all digits, so `from_json` gives the same sets."""
        return {
            "method": METHOD,
            "kind": self.kind,
            "coverage": self.coverage,
            "thresholds": [list(row) for row in self.thresholds],
            "patients": [list(row) for row in self.patients],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`.

        Raises:
            DataError: a missing or unusable entry, or sets made by another method.
        """
        if value.get("method") != METHOD or value.get("kind") not in {"classes", "findings"}:
            raise wrong("conformal sets", f"method {value.get('method')!r}, kind {value.get('kind')!r}", METHOD)
        try:
            cuts = tuple(tuple(float(cut) for cut in row) for row in value["thresholds"])
            counts = tuple(tuple(int(count) for count in row) for row in value["patients"])
            coverage = float(value["coverage"])
        except (KeyError, TypeError, ValueError) as error:
            raise wrong("conformal sets", f"{error!r}", "coverage, thresholds and patients as numbers") from error
        check_fraction("coverage", coverage)
        widths = {len(row) for row in cuts}
        rows_fit = widths == {2} if value["kind"] == "findings" else len(cuts) == 1 and min(widths) >= 2
        if not rows_fit or [len(row) for row in cuts] != [len(row) for row in counts]:
            raise wrong("conformal sets", f"{len(cuts)} rows of {sorted(widths)} thresholds", "as written by as_json")
        check_unit(np.array(cuts), "thresholds")
        return cls(coverage, cuts, counts, value["kind"])


def patients_needed(coverage: float) -> int:
    """Fewest patients of a class that can bound it: K / (K + 1) must reach the coverage, 9 for 0.9 and 19 for 0.95.

    Raises:
        DataError: coverage outside (0, 1).
    """
    check_fraction("coverage", coverage)
    return max(1, math.ceil((coverage - EXACT) / (1 - coverage + EXACT)))


def conformal_card(
    fitted: ConformalSets,
    labels: Labels,
    probabilities: Scores,
    patients: NDArray[Any],
    *,
    resamples: int = 2000,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Json:
    """What the sets do on a test split, with patient-cluster bootstrap intervals.

    Args:
        fitted: from validation patients.
        labels, probabilities, patients: as in `ConformalSets.fit`.
        resamples, rng: see `cluster_weights`.
        level: of the intervals.

    Returns:
        ``n``, ``patients``, ``resamples``, ``level``, ``target`` (the nominal coverage) and, each with ``value``,
        ``low``, ``high`` (None for undefined): ``coverage`` (each patient counts once; that of a class is the quantity
        of the guarantee), ``image_coverage`` (each image once), the shares of images ``answered`` (one class in the
        set), ``empty``, ``several`` and ``refer`` (empty or several: needs a human), and ``accuracy`` of the answers.
        ``per_class``: "0", "1", ... -> ``n``, ``patients`` (of test), ``fitted_patients``, ``coverage``,
        ``image_coverage``, ``answered``, ``recall`` (share right of its answered images) and ``precision`` (share right
        of the answers that name it). ``bands``: by the probability of class 1, for more classes by the highest one, 5
        bands of [0, 1]: ``from``, ``to`` (not included but in the last), ``n``, ``patients``, ``answered``, ``empty``,
        ``several``. For findings the card of each stands under ``findings`` ("0", ...), on the images where it is
        known, class 1 meaning present.

    Raises:
        DataError: unusable arrays, or labels that do not fit the sets.
    """
    from xenograft.evaluation.multilabel import check_multilabel
    from xenograft.evaluation.uncertainty import bootstrap, summary

    several = np.ndim(labels) == 2
    if several != (fitted.kind == "findings"):
        raise wrong("labels", f"shape {np.shape(labels)}", f"that of {fitted.kind}, which the sets were fitted on")
    held = fitted.sets(probabilities)
    keys = check_patients(patients, len(held))
    if several:
        truth = check_multilabel(labels, probabilities)[0]
        columns = zip(truth.T, np.swapaxes(held, 0, 1), np.asarray(probabilities).T, strict=True)
        tasks = {str(k): _Task.of(column, pair, score, keys) for k, (column, pair, score) in enumerate(columns)}
    else:
        truth = check_probabilities(labels, probabilities)[0]
        table = np.asarray(probabilities)
        tasks = {"": _Task.of(truth, held, table[:, 1] if table.shape[1] == 2 else table.max(axis=1), keys)}
    parts = {name: share_statistic(task.shares(), task.owner) for name, task in tasks.items()}

    def statistic(weights: Floats) -> dict[Key, Floats]:
        return {(name, *key): values for name, part in parts.items() for key, values in part(weights).items()}

    drawn = bootstrap(statistic, truth, keys, resamples=resamples, rng=rng)
    whole = statistic(np.ones((1, len(keys))))

    def number(task: str, place: str, name: str) -> dict[str, float | None]:
        key = (task, place, name)
        return summary(float(whole[key][0]), drawn[key], level=level)

    cards = {name: task.card(partial(number, name), fitted.patients[int(name or 0)]) for name, task in tasks.items()}
    head = {"n": len(keys), "patients": int(np.unique(keys).size), "resamples": int(resamples), "level": float(level)}
    return head | {"target": fitted.coverage} | ({"findings": cards} if several else cards[""])


def share_statistic(shares: Shares, owner: NDArray[np.intp]) -> Callable[[Floats], dict[Key, Floats]]:
    """A statistic for `bootstrap`: weights (B, N) -> name -> weighted sum above divided by that below, (B,).

    Args:
        shares: name -> (N,) summed above and (N,) summed below the fraction line; nan where nothing is below.
        owner: (N,) patient number 0..P-1 of each image; the images of a patient must have the same weight.
    """
    from scipy.sparse import csr_array

    first = np.unique(owner, return_index=True)[1]
    sums = [np.bincount(owner, weights=values) for pair in shares.values() for values in pair]  # (P,) each
    places: dict[bytes, int] = {}
    place = np.array([places.setdefault(row.tobytes(), len(places)) for row in sums])  # the same sums are many
    # Not a dense product: BLAS may sum in another order when the number of threads changes.
    matrix = csr_array(np.stack([np.frombuffer(row) for row in places]))

    def statistic(weights: Floats) -> dict[Key, Floats]:
        found = matrix @ weights[:, first].T
        return dict(zip(shares, ratio(found[place[::2]], found[place[1::2]]), strict=True))

    return statistic


@dataclass(frozen=True, slots=True)
class _Task:
    """One question with C answers on N images: truth (N,), -1 where unknown; held (N, C); band (N,); owner (N,)."""

    truth: NDArray[np.int64]
    held: Bools
    band: NDArray[np.int64]
    owner: NDArray[np.intp]

    @classmethod
    def of(cls, truth: NDArray[np.int64], held: Bools, score: Scores, patients: NDArray[Any]) -> Self:
        band = np.minimum((score * BANDS).astype(np.int64), BANDS - 1)
        return cls(truth, held, band, np.unique(patients, return_inverse=True)[1])

    def shares(self) -> Shares:
        """(place, name) -> weights of images above and below the fraction line, each (N,)."""
        known = self.truth >= 0
        size = self.held.sum(axis=1)
        covered = self.held[np.arange(known.size), np.maximum(self.truth, 0)]
        answered, answer = size == 1, self.held.argmax(axis=1)
        right = answered & covered
        kinds = {"answered": answered, "empty": size == 0, "several": size > 1}
        found: Shares = {("", name): share_of(known, chosen) for name, chosen in (kinds | {"refer": ~answered}).items()}
        found["", "accuracy"] = share_of(known & answered, right)
        for place, group in [("", known), *((str(k), self.truth == k) for k in range(self.held.shape[1]))]:
            found[place, "image_coverage"] = share_of(group, covered)
            found[place, "coverage"] = share_of(group, covered, self._per_patient(group))
        for k in range(self.held.shape[1]):
            group = self.truth == k
            found[str(k), "answered"] = share_of(group, answered)
            found[str(k), "recall"] = share_of(group & answered, right)
            found[str(k), "precision"] = share_of(known & answered & (answer == k), right)
        for number in range(BANDS):
            group = known & (self.band == number)
            found |= {(f"band {number}", name): share_of(group, chosen) for name, chosen in kinds.items()}
        return found

    def card(self, number: Callable[[str, str], Any], fitted_patients: tuple[int, ...]) -> Json:
        """The numbers of this question, each asked of `number` by place and name."""
        names = ("coverage", "image_coverage", "answered", "empty", "several", "refer", "accuracy")
        of_class = ("coverage", "image_coverage", "answered", "recall", "precision")
        known = self.truth >= 0
        return {
            **{name: number("", name) for name in names},
            "per_class": {
                str(k): {**self._size(self.truth == k), "fitted_patients": count}
                | {name: number(str(k), name) for name in of_class}
                for k, count in enumerate(fitted_patients)
            },
            "bands": [
                {"from": b / BANDS, "to": (b + 1) / BANDS, **self._size(known & (self.band == b))}
                | {name: number(f"band {b}", name) for name in ("answered", "empty", "several")}
                for b in range(BANDS)
            ],
        }

    def _size(self, group: Bools) -> dict[str, int]:
        return {"n": int(group.sum()), "patients": int(np.unique(self.owner[group]).size)}

    def _per_patient(self, group: Bools) -> Floats:
        """Weights (N,) by which each patient's images of the group count as one."""
        images = np.bincount(self.owner[group], minlength=int(self.owner.max()) + 1)
        weights: Floats = 1 / np.maximum(images[self.owner], 1)
        return weights


def share_of(group: Bools, chosen: Bools, weights: Floats | float = 1.0) -> tuple[Floats, Floats]:
    """What `share_statistic` divides for the share of a group (N,) that is chosen (N,)."""
    return np.where(group & chosen, weights, 0.0), np.where(group, weights, 0.0)


def _threshold(scores: Floats, patients: NDArray[Any], coverage: float) -> float:
    """The largest t such that the mass of the scores at or above t, 1 / (K + 1) a patient, reaches the coverage."""
    _, owner, images = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(-scores, kind="stable")
    mass = np.cumsum(1 / ((images.size + 1) * images[owner[order]]))
    return float(scores[order[np.searchsorted(mass, coverage - EXACT)]])


def _enough(counts: tuple[int, ...], coverage: float) -> bool:
    return min(counts) >= patients_needed(coverage)


def _too_few(what: str, count: int, coverage: float, of: str = "") -> DataError:
    able = math.floor(1000 * count / (count + 1)) / 1000
    advice = f"; lower the coverage to {able:g} or add validation patients" if count else ""
    needed = f"{patients_needed(coverage)} {of}or more for coverage {coverage:g}{advice}"
    return wrong(what, f"{count} validation patients", needed)


def check_patients(patients: NDArray[Any], size: int) -> NDArray[Any]:
    """Patient keys (N,), one for each image, or DataError."""
    keys = np.asarray(patients)
    if keys.shape != (size,):
        raise wrong("patients", f"shape {keys.shape}", f"({size},)")
    return keys


def check_fraction(name: str, value: float) -> None:
    """DataError unless the number is above 0 and below 1."""
    if not 0 < value < 1:
        raise wrong(name, f"{value}", "above 0 and below 1")
