"""What a learning curve is asked for, checked: settings of a study, sizes, targets, and how long small sizes train."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from xenograft.errors import UsageError
from xenograft.study.arm import Arm
from xenograft.study.config import StudyConfig
from xenograft.study.learning_subsets import Subset


@dataclass(frozen=True, slots=True)
class LearningPlan:
    """What a learning curve is asked for.

    Args:
        config: as of a study; its ``seeds`` are the repeats.
        sizes: patients for training; none chooses them. targets: AUROC to reach, in (0.5, 1).
        least_steps: of gradient descent at every size; small ones get more epochs for it, and as much more
            patience and time between openings of stages.
    """

    config: StudyConfig
    sizes: tuple[int, ...] = ()
    targets: tuple[float, ...] = (0.90, 0.95)
    least_steps: int | None = None

    def __post_init__(self) -> None:
        for size in self.sizes:
            if type(size) is not int or size < 1:
                raise UsageError(f"size is {size!r}; whole numbers of patients from 1 on are needed", code="E-USAGE-11")
        for target in self.targets:
            if not 0.5 < target < 1:
                raise UsageError(f"target is {target!r}; an AUROC above 0.5 and below 1 is needed", code="E-USAGE-11")
        if self.least_steps is not None and (type(self.least_steps) is not int or self.least_steps < 1):
            raise UsageError(
                f"least_steps is {self.least_steps!r}; a whole number of at least 1 is needed", code="E-USAGE-11"
            )
        if len(self.config.lr_scales) != 1 or self.config.folds:
            raise UsageError("a learning curve takes one learning-rate scale and no folds", code="E-USAGE-14")

    def arm(self, arm: Arm, subset: Subset) -> Arm:
        """The arm as it is trained on a subset: with its recipe's epochs, or with more of them."""
        from xenograft.train.images import steps_of  # late: torch

        recipe = arm.recipe
        if self.least_steps is None or recipe.solver != "gradient":
            return arm
        epochs = math.ceil(self.least_steps / steps_of(len(subset.train), recipe.batch_size))
        if epochs <= recipe.epochs:
            return arm
        patience = math.ceil(recipe.patience * epochs / recipe.epochs)
        every = round(recipe.unfreeze_every * epochs / recipe.epochs)  # stages open after the same share of training
        return replace(arm, recipe=replace(recipe, epochs=epochs, patience=patience, unfreeze_every=every))
