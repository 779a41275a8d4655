"""(features, labels, patients, source probabilities) -> every score by name, or why it is undefined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from xenograft.evaluation.metrics import wrong
from xenograft.transferability.cross_validated import Fold, Model, Validated, cross_validated, grouped_folds
from xenograft.transferability.gbc import gbc
from xenograft.transferability.h_score import shrunk_h_score
from xenograft.transferability.leep import leep, nleep
from xenograft.transferability.logme import logme
from xenograft.transferability.nce import nce
from xenograft.transferability.sfda import sfda
from xenograft.transferability.task import Array, Undefined, check_groups, check_source, check_task, undefined
from xenograft.transferability.transrate import transrate

Scored = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Material:
    """What scores are computed from; a cross-validation is done once for all that is read off it."""

    features: Array
    labels: Array
    groups: Array
    source: Array | None = None
    _done: dict[Model, Validated] = field(default_factory=dict)
    _folds: list[Fold] = field(default_factory=list)

    def validated(self, model: Model) -> Validated:
        """`cross_validated` of these features."""
        if model not in self._done:
            _, labels = check_task(self.features, self.labels)
            if not self._folds:
                self._folds.extend(grouped_folds(labels, check_groups(self.groups, size=len(labels)), seed=0))
            self._done[model] = cross_validated(self.features, self.labels, self.groups, model=model, folds=self._folds)
        return self._done[model]

    def known_source(self) -> Array:
        """Source probabilities, or `Undefined`."""
        if self.source is None:
            raise undefined("the backbone has no classes of its own, or their probabilities were not given")
        return self.source


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the registry. All scores are better when higher.

    Args:
        label: as printed. compute: may raise `Undefined`.
        range: in words. low, high: bounds that no value exceeds, None where there is none for any number of classes.
        needs_source: probabilities of the source classes. needs_groups: patients.
        citation: authors, year, identifier.
    """

    name: str
    label: str
    compute: Callable[[Material], float]
    range: str
    low: float | None
    high: float | None
    citation: str
    needs_source: bool = False
    needs_groups: bool = False


_ROWS = (
    Score(
        "logme",
        "LogME",
        lambda m: logme(m.features, m.labels),
        "any real number, nats per image",
        None,
        None,
        "You et al. 2021, arXiv:2102.11005",
    ),
    Score(
        "leep",
        "LEEP",
        lambda m: leep(m.known_source(), m.labels),
        "minus the entropy of the labels to 0, nats",
        None,
        0.0,
        "Nguyen et al. 2020, arXiv:2002.12462",
        needs_source=True,
    ),
    Score(
        "nleep",
        "NLEEP",
        lambda m: nleep(m.features, m.labels),
        "minus the entropy of the labels to 0, nats",
        None,
        0.0,
        "Li et al. 2021, arXiv:2011.13567",
    ),
    Score(
        "nce",
        "NCE",
        lambda m: nce(m.known_source(), m.labels),
        "minus the entropy of the labels to 0, nats",
        None,
        0.0,
        "Tran et al. 2019, arXiv:1908.08142",
        needs_source=True,
    ),
    Score(
        "h_score",
        "H-score (shrunk)",
        lambda m: shrunk_h_score(m.features, m.labels),
        "0 to classes - 1",
        0.0,
        None,
        "Bao et al. 2019, doi:10.1109/ICIP.2019.8803726; Ibrahim et al. 2021, arXiv:2110.06893",
    ),
    Score(
        "transrate",
        "TransRate",
        lambda m: transrate(m.features, m.labels),
        "0 or more, nats",
        0.0,
        None,
        "Huang et al. 2022, arXiv:2106.09362",
    ),
    Score(
        "transrate_class",
        "TransRate, classes centred",
        lambda m: transrate(m.features, m.labels, centre="class"),
        "0 or more, nats",
        0.0,
        None,
        "variant of Huang et al. 2022, arXiv:2106.09362",
    ),
    Score(
        "gbc",
        "GBC (spherical)",
        lambda m: gbc(m.features, m.labels),
        "-classes (classes - 1) to 0",
        None,
        0.0,
        "Pandy et al. 2022, arXiv:2111.12780",
    ),
    Score(
        "sfda",
        "SFDA",
        lambda m: sfda(m.features, m.labels),
        "0 to 1",
        0.0,
        1.0,
        "Shao et al. 2022, arXiv:2207.03036",
    ),
    Score(
        "knn_accuracy",
        "k-NN accuracy",
        lambda m: m.validated("knn").accuracy,
        "0 to 1",
        0.0,
        1.0,
        "cross-validated by patient",
        needs_groups=True,
    ),
    Score(
        "knn_auroc",
        "k-NN AUROC",
        lambda m: m.validated("knn").auroc,
        "0 to 1",
        0.0,
        1.0,
        "cross-validated by patient",
        needs_groups=True,
    ),
    Score(
        "logistic_accuracy",
        "logistic accuracy",
        lambda m: m.validated("logistic").accuracy,
        "0 to 1",
        0.0,
        1.0,
        "cross-validated by patient",
        needs_groups=True,
    ),
    Score(
        "logistic_auroc",
        "logistic AUROC",
        lambda m: m.validated("logistic").auroc,
        "0 to 1",
        0.0,
        1.0,
        "cross-validated by patient",
        needs_groups=True,
    ),
)
SCORES: Mapping[str, Score] = {row.name: row for row in _ROWS}
DEFAULT_SCORE = "knn_auroc"
"""What `rank` and ``fit --backbone auto`` go by where nothing else is asked for; see benchmarks/transferability.py."""


def score_all(
    features: Array,
    labels: Array,
    groups: Array,
    *,
    source: Array | None = None,
    names: Sequence[str] | None = None,
) -> Scored:
    """Scores of one backbone on one data set.

    Args:
        features: (N, D). labels: (N,) class index. groups: (N,) patient keys.
        source: (N, Z) probabilities of the backbone's own classes, for LEEP and NCE. names: of `SCORES`; None for all.

    Returns:
        name -> ``value`` (float, or None where undefined) and ``why`` (None, or the reason in one line).

    Raises:
        DataError: arguments that cannot be used, an unknown name.
    """
    wanted = check_names(names)
    check_groups(groups, size=len(labels))
    _check_arrays(features, labels, source)
    material = Material(features, labels, groups, source)
    return {name: _answer(SCORES[name], material) for name in wanted}


def check_names(names: Sequence[str] | None) -> list[str]:
    """Names of scores in the order given, all for None, or DataError with the nearest name."""
    for name in names or ():
        if name not in SCORES:
            near = get_close_matches(name, SCORES, n=1)
            raise wrong("score", repr(name), f"did you mean {near[0]!r}?" if near else ", ".join(SCORES))
    return list(dict.fromkeys(SCORES if names is None else names))


def _check_arrays(features: Array, labels: Array, source: Array | None) -> None:
    """A wrong argument stops everything; only what these data cannot answer is told score by score."""
    try:
        check_task(features, labels)
        if source is not None:
            check_source(source, labels)
    except Undefined:
        pass


def _answer(score: Score, material: Material) -> dict[str, Any]:
    try:
        return {"value": score.compute(material), "why": None}
    except Undefined as reason:
        return {"value": None, "why": str(reason.args[0])}
