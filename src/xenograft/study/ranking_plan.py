"""(settings, backbones asked for) -> what a ranking is to do: candidates with weights, the score, images, resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from xenograft.backbones import weights
from xenograft.backbones.catalog import CATALOG
from xenograft.errors import UsageError, WeightsError, listed
from xenograft.study.config import StudyConfig
from xenograft.transferability.scores import DEFAULT_SCORE, SCORES

LIMIT = 3000
RESAMPLES = 25  # the spread of so many halves is known to about a seventh of itself
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class RankingPlan:
    """What is ranked, by what.

    Args:
        config: as of a study; its ``backbones`` are the candidates.
        left_out: (name, why) of backbones that nobody asked for and that cannot be used here.
        named: the backbones were asked for, so that one that cannot be used is an error.
        score: of `xenograft.transferability.scores.SCORES`.
        limit: images of train and validation to look at, whole patients; 0 for all.
        resamples: halves of the patients for an interval. every_interval: for all scores, not only for `score`.
    """

    config: StudyConfig
    left_out: tuple[tuple[str, str], ...] = ()
    named: bool = True
    score: str = DEFAULT_SCORE
    limit: int = LIMIT
    resamples: int = RESAMPLES
    every_interval: bool = False

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            near = get_close_matches(self.score, SCORES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(SCORES)}"
            raise UsageError(f"unknown score {self.score!r}; {hint}", code="E-USAGE-35")
        if SCORES[self.score].needs_source:
            raise UsageError(
                f"{self.score} needs the networks' own ImageNet classes, which these weights are used without; choose "
                f"another score, such as {DEFAULT_SCORE}",
                code="E-USAGE-35",
            )
        if type(self.limit) is not int or (self.limit and self.limit < _FEWEST):
            raise UsageError(
                f"limit is {self.limit!r}; a whole number of images from {_FEWEST} on is needed, or 0 for all",
                code="E-USAGE-11",
            )
        if type(self.resamples) is not int or self.resamples < 2:
            raise UsageError(
                f"resamples is {self.resamples!r}; a whole number of at least 2 is needed", code="E-USAGE-11"
            )

    @property
    def drawn(self) -> tuple[str, ...]:
        """Scores that get an interval."""
        return tuple(SCORES) if self.every_interval else (self.score,)


def make_plan(
    config: StudyConfig,
    *,
    cache: Path,
    given: bool,
    score: str | None = None,
    limit: int | None = None,
    resamples: int | None = None,
    every_interval: bool = False,
) -> RankingPlan:
    """A checked plan.

    Args:
        given: the configuration's backbones were asked for; else all of the catalog with weights here are taken.
        score, limit, resamples: None for the defaults of `RankingPlan`.

    Raises:
        UsageError: a value that cannot be used. WeightsError: no weights are here (E-MODEL-20).
    """
    asked = {"score": score, "limit": limit, "resamples": resamples}
    known = {key: value for key, value in asked.items() if value is not None}
    plan = RankingPlan(config, every_interval=every_interval, **known)  # type: ignore[arg-type]  # checked there
    return plan if given else _with_candidates(plan, cache)


def _with_candidates(plan: RankingPlan, cache: Path) -> RankingPlan:
    config = plan.config
    folder = config.weights_dir
    rows = weights.status(CATALOG.values(), weights_dir=folder, cache=cache)
    here = tuple(row.name for row in rows if row.state == "found")
    missing = tuple((row.name, _why(row.files)) for row in rows if row.state != "found")
    if not here:
        raise WeightsError(
            f"no weights of the catalog's backbones are on this machine; 'xenograft weights list' says where to get "
            f"them, or name --backbones ({listed(list(CATALOG))})",
            code="E-MODEL-20",
        )
    return replace(plan, config=replace(config, backbones=here), left_out=missing, named=False)


def _why(files: Sequence[str]) -> str:
    return f"its weights are not on this machine ({listed(files)}); 'xenograft weights list' says where to get them"
