"""What a comparison of natural with medical images is asked for, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from xenograft.data.manifest import SPLITS
from xenograft.errors import UsageError
from xenograft.study.arm import Arm
from xenograft.study.config import StudyConfig
from xenograft.study.run import plan
from xenograft.train.recipes import RECIPES, lookup

WHOLE = "all"
FEWEST = 20
"""Images of a set: halves of it must still hold neighbours, and folds of a probe."""

_CODE = "E-USAGE-32"
_OF_LABELS = ("positive", "val", "test", "split_seed", "allow_leak")
_OF_TRAINING = ("epochs", "batch_size", "micro_batch", "views", "augment")


@dataclass(frozen=True, slots=True)
class SimilarityPlan:
    """What a comparison is asked for.

    Args:
        natural: folder or table of natural images. config: as of a study, of the medical images; its ``recipes`` are
            those of `after`, its ``seeds`` those that train.
        limit: images of each set at most. seed: of the draw of images, of the noise and of every resample.
        random: randomly initialised networks of each backbone.
        after: whether networks are trained with the recipes (Proposition 5).
        train_limit: training patients at most; None takes all. split: of the medical images, or ``all``.
    """

    natural: Path
    config: StudyConfig
    limit: int = 300
    seed: int = 0
    random: int = 1
    after: bool = False
    train_limit: int | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("limit", self.limit, FEWEST), ("seed", self.seed, 0), ("random", self.random, 0),
            ("train_limit", 1 if self.train_limit is None else self.train_limit, 1),
        ):  # fmt: skip
            if type(value) is not int or value < least:
                raise UsageError(f"{name} is {value!r}; a whole number of at least {least} is needed", code=_CODE)
        if self.split is not None and self.split not in (*SPLITS, WHOLE):
            raise UsageError(f"split {self.split!r}; one of {', '.join((*SPLITS, WHOLE))}", code=_CODE)
        if self.after:
            self._check_after()
        elif idle := self._idle():
            raise UsageError(
                f"{', '.join(idle)}: this is said to --after, which trains; name its recipes, or leave it out",
                code=_CODE,
            )

    def _idle(self) -> list[str]:
        """What was asked for and says something of trained networks alone."""
        reading = self.config.reading
        usual = {each.name: each.default for each in fields(reading)}
        found = [name for name in _OF_LABELS if getattr(reading, name) != usual[name]]
        found += [] if self.train_limit is None else ["train_limit"]
        found += [] if self.config.precision == "auto" else ["precision"]
        return found + [name for name in _OF_TRAINING if getattr(self.config, name) is not None]

    def _check_after(self) -> None:
        usable = [name for name, recipe in RECIPES.items() if recipe.pretrained and not recipe.frozen]
        if wrong := [name for name in self.config.recipes if name not in usable]:
            raise UsageError(
                f"--after {', '.join(wrong)}: only recipes that change pretrained features say something here: "
                f"{', '.join(usable)}",
                code=_CODE,
            )
        if self.split not in (None, "test"):
            raise UsageError(
                f"--split {self.split}: after training only the test split holds images that no network has seen",
                code=_CODE,
            )
        if len(self.config.lr_scales) != 1 or self.config.folds:
            raise UsageError("similarity takes one learning-rate scale and no folds", code=_CODE)

    def arms(self) -> list[Arm]:
        """One for each backbone with its ImageNet weights; `weights` and `features` need no recipe but that."""
        found = {arm.spec.name: arm for arm in plan(self.config)}
        return [replace(arm, recipe=lookup("probe"), seed=0) for arm in found.values()]

    def random_arms(self, arm: Arm) -> list[Arm]:
        """The same networks with random weights."""
        return [replace(arm, recipe=lookup("random"), seed=seed) for seed in range(self.random)]

    def trained_arms(self, arm: Arm) -> list[Arm]:
        """The same backbone, trained by every recipe with every seed."""
        return [each for each in plan(self.config) if each.spec.name == arm.spec.name] if self.after else []
