"""The text of an operating point, such as ``sensitivity=0.95`` -> the rule that chooses it on validation."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np

from xenograft.errors import UsageError, printable
from xenograft.evaluation.metrics import Labels, Scores
from xenograft.evaluation.operating_points import Cost, Rule, Sensitivity, Specificity, Youden, find
from xenograft.evaluation.threshold import MIN_PER_CLASS, enough, refuse_classes

ALLOWED = (
    "youden, sensitivity=0.95, specificity=0.90, cost=10:1 (a miss : a false alarm) or cost=10:1@0.05 (prevalence)"
)
_NAMES = ("youden", "sensitivity", "specificity", "cost")
_TARGETS: dict[str, type[Sensitivity | Specificity]] = {"sensitivity": Sensitivity, "specificity": Specificity}
_NUMBER = r"\d*\.?\d+(?:e[+-]?\d+)?"
_COST = re.compile(rf"(?P<miss>{_NUMBER}):(?P<alarm>{_NUMBER})(?:@(?P<prevalence>{_NUMBER}))?")


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule under the name that tables, bundles and commands know it by: as it was written, without spaces."""

    name: str
    rule: Rule

    def threshold(self, labels: Labels, scores: Scores) -> float | None:
        """`find` on validation data; None where it has too few images, or no threshold reaches the target."""
        point = find(self.rule, labels, scores)
        return None if point is None else point.threshold

    def __str__(self) -> str:
        return str(self.rule)


def parse_rule(text: str) -> NamedRule:
    """Read a rule: ``youden``, ``sensitivity=0.95``, ``specificity=0.90``, ``cost=10:1`` or ``cost=10:1@0.05``.

    Costs are those of a false negative and of a false positive; behind ``@`` stands the prevalence at which they
    arise, that of validation if none is given.

    Raises:
        UsageError: anything else (E-USAGE-30), with the nearest name.
    """
    name = re.sub(r"\s", "", text).casefold()
    kind, equals, value = name.partition("=")
    if name == "youden":
        return NamedRule(name, Youden())
    if kind in _TARGETS and equals:
        return NamedRule(name, _TARGETS[kind](_target(kind, value, text)))
    if kind == "cost" and equals:
        return NamedRule(name, _cost(value, text))
    near = [n for n in _NAMES if kind and n.startswith(kind)] or difflib.get_close_matches(kind, _NAMES, n=1)
    raise _refused(text, f"did you mean {near[0]}? " if near and near[0] != kind else "")


def check_usable(rule: NamedRule, labels: Labels, classes: int) -> None:
    """Whether the rule can choose on this validation set, so that it can be refused before anything is trained.

    Args:
        labels: (N,) class index of validation, or (N, L) findings: 1 present, 0 absent, -1 unknown.
        classes: how many there are.

    Raises:
        UsageError: several classes that exclude each other, or too few images of a class, or of every finding.
    """
    truth = np.asarray(labels, dtype=np.int64)
    if truth.ndim == 1 and classes != 2:
        raise refuse_classes(rule.name, classes)
    columns = [column[column >= 0] for column in truth.reshape(len(truth), -1).T]
    if not any(column.size and enough(column) for column in columns):
        most = max(int(np.bincount(column, minlength=2).min()) for column in columns)
        raise UsageError(
            f"{rule.name} needs {MIN_PER_CLASS} validation images with the finding and {MIN_PER_CLASS} without; there "
            f"are {most} of the rarer; leave the rule out (the threshold is then 0.5), or give more validation images",
            code="E-USAGE-30",
        )


def in_words(policy: str) -> str:
    """What a policy of `thresholds_for` is, for a person: ``sensitivity of at least 0.95``."""
    fixed = {"fixed": "fixed at 0.5", "youden": "Youden's J", "given": "given with the scores"}
    return fixed.get(policy) or str(parse_rule(policy))


def _target(kind: str, value: str, text: str) -> float:
    number = float(value) if re.fullmatch(_NUMBER, value) else None
    if number is not None and 0 < number <= 1:
        return number
    percent = re.fullmatch(rf"({_NUMBER})%?", value)
    share = float(percent[1]) / 100 if percent else 0
    raise _refused(text, f"did you mean {kind}={share:g}? " if 0 < share <= 1 else "")


def _cost(value: str, text: str) -> Cost:
    found = _COST.fullmatch(value)
    if found is None:
        raise _refused(text, "")
    miss, alarm = float(found["miss"]), float(found["alarm"])
    prevalence = None if found["prevalence"] is None else float(found["prevalence"])
    finite = 0 < miss < float("inf") and 0 < alarm < float("inf")
    if not finite or (prevalence is not None and not 0 < prevalence < 1):
        raise _refused(text, "costs are above 0 and a prevalence is between 0 and 1; ")
    return Cost(miss, alarm, prevalence)


def _refused(text: str, hint: str) -> UsageError:
    return UsageError(f"operating point {printable(text)!r}: {hint}write {ALLOWED}", code="E-USAGE-30")
