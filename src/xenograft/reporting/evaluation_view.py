"""The record of an evaluation -> what every part of its page asks of it: names, colours, and what was counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from xenograft.errors import printable
from xenograft.evaluation.rules import in_words
from xenograft.reporting import style

Json = Mapping[str, Any]
_SEPARATORS = "/.-_ "


@dataclass(frozen=True, slots=True)
class EvaluationView:
    """One evaluation.

    Args:
        record: see `xenograft.study.evaluated.evaluate_tables`.
        names: of the models, safe to print, without the ending that all of them share.
    """

    record: Json
    names: tuple[str, ...]

    @classmethod
    def of(cls, record: Json) -> Self:
        """The view of a record."""
        return cls(record, short_names([model["name"] for model in record["models"]]))

    @property
    def models(self) -> list[tuple[str, str, Json]]:
        """(name, colour, entry of the record) of each model."""
        colours = [style.COLOURS[i % len(style.COLOURS)] for i in range(len(self.names))]
        return list(zip(self.names, colours, self.record["models"], strict=True))

    @property
    def several(self) -> bool:
        """Whether there is more than one model."""
        return len(self.names) > 1

    @property
    def pairs(self) -> list[tuple[str, str, Json]]:
        """(name of a, name of b, entry of the record) of each comparison."""
        short = {model["name"]: name for name, _, model in self.models}
        return [(short[pair["a"]], short[pair["b"]], pair) for pair in self.record["comparisons"]]

    @property
    def binary(self) -> bool:
        """Whether there are two classes that exclude each other."""
        return len(self.record["classes"]) == 2 and not self.multi_label

    @property
    def multi_label(self) -> bool:
        """Whether the classes are findings, of which an image has any number."""
        return bool(self.record["multi_label"])

    @property
    def kinds(self) -> str:
        """What the classes are: ``classes`` or ``findings``."""
        return "findings" if self.multi_label else "classes"

    @property
    def classes(self) -> tuple[str, ...]:
        """As words: a class that is only a number is called ``class 1``."""
        found = [printable(name) for name in self.record["classes"]]
        return tuple(f"class {name}" if name.isdecimal() else name for name in found)

    @property
    def validated(self) -> bool:
        """Whether every model brought validation images."""
        return all(model["validation"] is not None for model in self.record["models"])

    @property
    def level(self) -> str:
        """Of the intervals: ``95 %``."""
        return f"{100 * self.record['level']:g} %"

    @property
    def size(self) -> str:
        """``624 images of 428 patients``."""
        images = style.plural(self.record["images"], "image")
        if not self.record["patients_known"]:
            return f"{images}, each counted as a patient of its own because none are named"
        return f"{images} of {style.plural(self.record['patients'], 'patient')}"

    @property
    def bootstrap(self) -> str:
        """The usual intervals in words, for captions."""
        return f"{self.level} intervals by patient-cluster bootstrap, {self.record['resamples']:,} resamples"

    @property
    def share(self) -> float:
        """Of the second class among the images; two classes only."""
        return float(list(self.record["counts"].values())[1] / self.record["images"])

    @property
    def parts(self) -> list[tuple[str, str, Json, dict[str, Json]]]:
        """What is calibrated and has thresholds: (finding, or "" for classes; model; entry; policy -> metrics)."""
        if not self.multi_label:
            return [
                ("", name, model, {p: entry["metrics"] for p, entry in model["scorecard"]["policies"].items()})
                for name, _, model in self.models
            ]
        return [
            (
                finding,
                name,
                model["findings"][str(k)],
                {p: entry["per_class"][str(k)] for p, entry in model["scorecard"]["policies"].items()},
            )
            for k, finding in enumerate(self.classes)
            for name, _, model in self.models
        ]

    def policies(self, model: Json) -> list[tuple[str, Json]]:
        """(label, entry) of each threshold of a model's scorecard."""
        return [
            (threshold_words(name, entry["threshold"]), entry) for name, entry in model["scorecard"]["policies"].items()
        ]


def threshold_words(policy: str, threshold: float | Sequence[float] | None) -> str:
    """A policy with its threshold: ``0.482, sensitivity of at least 0.95, on validation``."""
    if threshold is None:
        return "highest probability"
    at = f"{threshold:.3f}, " if isinstance(threshold, float) else "one each, "
    if policy == "fixed":
        return "0.5"
    if policy == "given":
        return f"{at}named in the table"
    return f"{at}{'' if policy == 'youden' else in_words(policy) + ', '}chosen on validation"


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names without the ending that all share, cut at a separator; a single one without what follows its last dot.

    >>> short_names(["a-seed0/predictions.parquet", "b-seed0/predictions.parquet"])
    ('a', 'b')
    """
    safe = [printable(name) for name in names]
    if len(safe) == 1:
        return (safe[0].rpartition(".")[0] or safe[0],)
    shared = 0
    while len({name[-shared - 1 :] for name in safe}) == 1 and shared < min(map(len, safe)):
        shared += 1
    ending = safe[0][len(safe[0]) - shared :]
    cut = next((len(ending) - k for k, letter in enumerate(ending) if letter in _SEPARATORS), 0)
    short = [name[: len(name) - cut] for name in safe]
    return tuple(short) if all(short) and len(set(short)) == len(short) else tuple(safe)


def span(entry: Json | None, *, metric: str = "", signed: bool = False, key: str = "value") -> str:
    """``0.953 (0.935–0.968)``; the value alone where it has no interval, or one without width."""
    if entry is None or entry.get(key) is None:
        return style.MISSING
    ends = "" if flat(entry) else style.interval(entry.get("low"), entry.get("high"), metric=metric, signed=signed)
    return style.number(entry[key], metric=metric, signed=signed) + (f" ({ends})" if ends else "")


def flat(entry: Json) -> bool:
    """Whether an interval has no width: a bootstrap of images that are all alike cannot say how far they would vary."""
    return entry.get("low") is not None and entry.get("low") == entry.get("high")


def percent(entry: Json | None) -> str:
    """``95.3 % (93.5–96.8)``, of a share."""
    if entry is None or entry.get("value") is None:
        return style.MISSING
    ends = "" if flat(entry) else style.interval(entry.get("low"), entry.get("high"), metric="accuracy")
    return f"{100 * entry['value']:.1f} %" + (f" ({ends})" if ends else "")
