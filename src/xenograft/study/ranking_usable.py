"""(plan of a ranking, its arms) -> those whose recipe and image size their networks take; the others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xenograft.errors import UsageError
from xenograft.study.arm import Arm
from xenograft.study.ranking_plan import RankingPlan
from xenograft.study.runs import check_size
from xenograft.study.tuned import check_trainable


def usable(asked: RankingPlan, arms: Sequence[Arm]) -> tuple[RankingPlan, list[Arm]]:
    """The plan and the arms without what the settings rule out, which then stands in ``left_out``.

    Args:
        arms: one for each backbone of the plan.

    Raises:
        UsageError: a backbone that was asked for cannot be used, or none can (E-USAGE-05, -26, -27).
        MissingPackage: the recipe needs an optional package (E-PACKAGE-01).
    """
    kept: list[Arm] = []
    refused: list[tuple[str, str]] = []
    for arm in arms:
        try:
            check_trainable(arm)
            if asked.config.size is not None:
                check_size(arm.spec, asked.config.size)
        except UsageError as error:
            if asked.named or (len(refused) == len(arms) - 1):
                raise  # nobody can do without it
            refused.append((arm.spec.name, str(error.args[0])))
        else:
            kept.append(arm)
    config = replace(asked.config, backbones=tuple(arm.spec.name for arm in kept))
    return replace(asked, config=config, left_out=(*asked.left_out, *refused)), kept
