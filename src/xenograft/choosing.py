"""(plan of a ranking, folder) -> the ranking on disk; and the backbone that ``fit --backbone auto`` takes from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xenograft.errors import DataError
from xenograft.storage import check_output, read_json, write_json
from xenograft.study.alone import alone
from xenograft.study.config import StudyConfig
from xenograft.study.ranking import run_ranking
from xenograft.study.ranking_plan import RankingPlan, make_plan
from xenograft.study.ranking_reason import reason
from xenograft.study.watch import Watcher

AUTO = "auto"
RECORD = "ranking.json"


def write_ranking(asked: RankingPlan, folder: Path, *, cache: Path, watcher: Watcher, command: str) -> dict[str, Any]:
    """Rank, and write page, figure, tables and record; returns the record (`xenograft.study.ranking_record`).

    Raises:
        XenograftError: see the fault catalogue; a folder of something else.
    """
    check_output(folder, "a ranking", RECORD, ".lock")
    with alone(folder):
        record = run_ranking(asked, cache=cache, watcher=watcher, command=command)
        from xenograft.reporting import ranking_page  # late: it loads the plotting library

        ranking_page.render(record, folder)
        write_json(folder / RECORD, record)  # last: a folder with it is a ranking
    return record


def choose_backbone(
    config: StudyConfig, folder: Path, *, cache: Path, watcher: Watcher, command: str, again: bool
) -> tuple[str, str]:
    """The backbone to fit, and why, by the default score on train and validation of the same data.

    Args:
        config: of the fit; its backbones do not count. folder: of the ranking.
        again: training began earlier, so that the choice of the ranking in the folder stands, if there is one: rates
            that were measured since must not turn a finished fit into another.

    Raises:
        DataError: the score is undefined for every candidate (E-DATA-05). XenograftError: as `write_ranking`.
    """
    source = folder / RECORD
    if again and source.is_file():
        record = read_json(source)
    else:
        asked = make_plan(config, cache=cache, given=False)
        record = write_ranking(asked, folder, cache=cache, watcher=watcher, command=command)
    try:
        if record["choice"] is None:
            why = record["candidates"][0]["why"]
            raise DataError(f"no backbone can be chosen: {why}; name one with --backbone", code="E-DATA-05")
        name, because = record["choice"]["backbone"], reason(record)
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{source} was written by another version of xenograft", code="E-DATA-04") from error
    watcher.say(because)
    return name, because
