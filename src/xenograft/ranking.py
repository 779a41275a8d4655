"""Labelled images -> a ranking of backbones on disk: which to take, how sure that is, and what each costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft.api import cache_folder
from xenograft.choosing import RECORD, write_ranking
from xenograft.errors import UsageError
from xenograft.study.config import INCIDENTAL, StudyConfig, make_config
from xenograft.study.ranking_plan import RankingPlan, make_plan
from xenograft.study.ranking_reason import reason
from xenograft.study.watch import Silent, Watcher

_OTHERS = frozenset(
    {"recipes", "seeds", "folds", "lr_scales", "epochs", "batch_size", "micro_batch", "views", "augment",
     "operating_point", "recalibration", "robustness"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RankingResult:
    """What `rank` made.

    Args:
        record: see `xenograft.study.ranking_record`. json: the same on disk. page: for a browser.
        figure: SVG; a PDF lies beside it. table: CSV, a row for each candidate.
        backbone: the one to take, or None where the score is undefined for all. because: why, in one sentence.
    """

    record: dict[str, Any]
    json: Path
    page: Path
    figure: Path
    table: Path
    backbone: str | None
    because: str


def rank(
    data: str | Path,
    *,
    backbones: Iterable[str] | str | None = None,
    score: str | None = None,
    limit: int | None = None,
    resamples: int | None = None,
    every_interval: bool = False,
    output: str | Path = "ranking",
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> RankingResult:
    """Rank backbones for one data set without training them; train and validation are looked at, test never.

    Args:
        data: as for `compare`. backbones: names, as for `compare`; by default all of the catalog with weights here.
        score: of `xenograft.transferability.scores.SCORES`; by default its ``DEFAULT_SCORE``.
        limit: images to look at, whole patients (3,000); 0 for all.
        resamples: halves of the patients for an interval (25). every_interval: for all scores, which takes minutes.
        output: folder of the ranking. settings: fields of `StudyConfig` and `IngestOptions` but those of training.

    Raises:
        XenograftError: the data, weights or settings cannot be used; several findings an image.

    Example:
        >>> rank("chest", backbones="mobilenet_v2,squeezenet1_1").because  # doctest: +SKIP
    """
    if wrong := _OTHERS & settings.keys():
        raise UsageError(f"rank trains nothing and takes no {', '.join(sorted(wrong))}", code="E-USAGE-14")
    values = {key: value for key, value in settings.items() if value is not None}
    values |= {} if backbones is None else {"backbones": backbones}
    config = make_config(values | {"data": data, "recipes": "probe", "seeds": 1})
    cache = cache_folder(config.cache_dir)
    asked = make_plan(
        config, cache=cache, given=backbones is not None, score=score, limit=limit, resamples=resamples,
        every_interval=every_interval,
    )  # fmt: skip
    folder = Path(output)
    record = write_ranking(
        asked, folder, cache=cache, watcher=watcher or Silent(), command=command or _call(asked, config)
    )
    choice = record["choice"]
    return RankingResult(
        record,
        folder / RECORD,
        folder / "index.html",
        folder / "pareto.svg",
        folder / "ranking.csv",
        None if choice is None else choice["backbone"],
        reason(record),
    )


def _call(asked: RankingPlan, config: StudyConfig) -> str:
    """The Python call that makes a ranking again, for records of programs."""
    left_out = {*INCIDENTAL, *_OTHERS, "resamples", "backbones"}
    values = {key: value for key, value in config.as_json().items() if value is not None and key not in left_out}
    values |= {"backbones": list(asked.config.backbones), "score": asked.score, "limit": asked.limit}
    values |= {"resamples": asked.resamples, "every_interval": asked.every_interval}
    arguments = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return f"xenograft.rank({config.data.name!r}, {arguments})"
