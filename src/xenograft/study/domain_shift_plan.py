"""What a domain-shift report is asked to do, checked before any image is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xenograft.errors import UsageError
from xenograft.study.config import StudyConfig

NONE, ADABN, CORAL = "none", "adabn", "coral"
ADAPTATIONS = (NONE, ADABN, CORAL)
ADAPT_ON = ("train", "test")


@dataclass(frozen=True, slots=True)
class ShiftPlan:
    """What to measure.

    Args:
        source, target: how each data set is read; they differ in nothing but the data. adaptations: of `ADAPTATIONS`,
            ``none`` first. adapt_on: split of the target whose images adaptation sees, without labels.
        align_means: of CORAL. reference: train frozen recipes on the target's own labels too, as an upper yardstick.
    """

    source: StudyConfig
    target: StudyConfig
    adaptations: tuple[str, ...] = ADAPTATIONS
    adapt_on: str = "train"
    align_means: bool = True
    reference: bool = True

    def __post_init__(self) -> None:
        if self.adapt_on not in ADAPT_ON:
            raise UsageError(f"adapt_on is {self.adapt_on!r}; one of {', '.join(ADAPT_ON)}", code="E-USAGE-37")
        if self.source.folds:
            raise UsageError("domain-shift takes no folds; give seeds instead", code="E-USAGE-37")
        kept = [
            name for name in self.source.recipes if self.source.recipe(name).trainable not in ("none", "norm", "all")
        ]
        if ADABN in self.adaptations and kept:
            raise UsageError(
                f"adabn cannot adapt {', '.join(kept)}, which keeps part of the network at ImageNet's statistics; "
                "leave out adabn, or take full",
                code="E-USAGE-38",
            )


def parse_adaptations(given: str | Iterable[str]) -> tuple[str, ...]:
    """``adabn,coral`` as a tuple with ``none`` first, without repetition.

    Raises:
        UsageError: an unknown name.
    """
    names: Sequence[str] = given.split(",") if isinstance(given, str) else list(given)
    asked = [name.strip() for name in names if name.strip()]
    for name in asked:
        if name not in ADAPTATIONS:
            raise UsageError(f"unknown adaptation {name!r}; one of {', '.join(ADAPTATIONS)}", code="E-USAGE-37")
    return tuple(dict.fromkeys((NONE, *asked)))
