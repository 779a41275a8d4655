"""Labelled images -> a learning curve on disk: points, record, tables and page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft.api import cache_folder
from xenograft.errors import UsageError
from xenograft.storage import write_json
from xenograft.study.config import INCIDENTAL, StudyConfig, make_config
from xenograft.study.learning import run_learning
from xenograft.study.learning_plan import LearningPlan
from xenograft.study.watch import Silent, Watcher


@dataclass(frozen=True, slots=True)
class LearningResult:
    """What `learning_curve` made.

    Args:
        record: see `xenograft.study.learning_record`. json: the same on disk. page: for a browser.
        figure: SVG; a PDF lies beside it. table: CSV of every point; others lie beside it.
    """

    record: dict[str, Any]
    json: Path
    page: Path
    figure: Path
    table: Path


def learning_curve(
    data: str | Path,
    *,
    sizes: Iterable[int] | str | None = None,
    repeats: int = 5,
    targets: Iterable[float] | str = (0.90, 0.95),
    least_steps: int | None = None,
    output: str | Path = "learning-curve",
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> LearningResult:
    """Measure AUROC on test against the number of labelled patients, with what it says about more of them.

    Args:
        data: as for `compare`. sizes: numbers of patients, e.g. ``[20, 50, 100]``; chosen where not given.
        repeats: random nested orders of the patients. targets: AUROC to reach, each in (0.5, 1).
        least_steps: of gradient descent at every size, where the recipe's epochs would be fewer.
        output: folder of the curve; finished points in it are kept, and other recipes, sizes and repeats join them.
        settings: fields of `StudyConfig` and `IngestOptions`; ``recipes`` is ``probe`` where not given.

    Raises:
        XenograftError: the data cannot be used; a size that they do not have; a folder of another curve.

    Example:
        >>> result = learning_curve("chest", backbones="mobilenet_v2", recipes="probe,scratch")  # doctest: +SKIP
    """
    if wrong := {"seeds", "folds", "operating_point", "robustness"} & settings.keys():
        raise UsageError(
            f"learning_curve takes sizes, repeats and targets, not {', '.join(sorted(wrong))}", code="E-USAGE-14"
        )
    values = {"recipes": "probe"} | {key: value for key, value in settings.items() if value is not None}
    config = make_config(values | {"data": data, "seeds": repeats})
    asked = LearningPlan(config, _numbers(sizes, int, "sizes"), _numbers(targets, float, "targets"), least_steps)
    folder = Path(output)
    record = run_learning(
        asked,
        folder,
        cache=cache_folder(config.cache_dir),
        watcher=watcher or Silent(),
        command=command or _call(config, asked),
    )
    from xenograft.reporting import learning_page  # late: it loads the plotting library

    page = learning_page.render(record, folder)
    write_json(folder / "learning.json", record)  # last: a folder with it is a learning curve
    return LearningResult(record, folder / "learning.json", page, folder / "learning-curve.svg", folder / "points.csv")


def _numbers(given: Iterable[Any] | str | None, kind: type, name: str) -> tuple[Any, ...]:
    """``20,50`` or a list as a tuple of numbers."""
    if given is None:
        return ()
    parts = [part for part in given.split(",") if part.strip()] if isinstance(given, str) else list(given)
    try:
        return tuple(kind(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is {given!r}; numbers with commas between are needed", code="E-USAGE-11") from error


def _call(config: StudyConfig, asked: LearningPlan) -> str:
    """The Python call that makes a curve again, for records of programs."""
    left_out = {*INCIDENTAL, "seeds", "folds", "operating_point", "recalibration"}
    values = {key: value for key, value in config.as_json().items() if value is not None and key not in left_out}
    values |= {"sizes": list(asked.sizes) or None, "repeats": config.seeds, "targets": list(asked.targets)}
    values |= {} if asked.least_steps is None else {"least_steps": asked.least_steps}
    arguments = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return f"xenograft.learning_curve({config.data.name!r}, {arguments})"
