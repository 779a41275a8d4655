"""Natural and medical images -> how alike their features are, by network and stage: record, table, page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft.api import cache_folder
from xenograft.data.importers.hub import is_address
from xenograft.errors import UsageError
from xenograft.storage import write_json
from xenograft.study.config import INCIDENTAL, make_config
from xenograft.study.similarity_plan import SimilarityPlan
from xenograft.study.watch import Silent, Watcher

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class SimilarityResult:
    """What `feature_similarity` made.

    Args:
        record: see docs/similarity.md. json: the same on disk. table: every number as CSV. page: for a browser.
    """

    record: dict[str, Any]
    json: Path
    table: Path
    page: Path


def feature_similarity(
    natural: str | Path,
    medical: str | Path,
    *,
    backbones: Iterable[str] | str = "efficientnet_lite0",
    limit: int = 300,
    random: int = 1,
    after: Iterable[str] | str = (),
    seeds: int | None = None,
    seed: int = 0,
    train_limit: int | None = None,
    split: str | None = None,
    output: str | Path = "similarity",
    watcher: Watcher | None = None,
    command: str = "",
    **settings: Any,
) -> SimilarityResult:
    """Measure how alike the features of natural and medical images are, beside halves of each set and noise.

    Args:
        natural: folder of natural images, at any depth, or whatever `compare` reads. medical: whatever `compare`
            reads, or a folder of images without classes.
        backbones: names, or one text with commas between. limit: images of each set at most, of patients at random.
        random: networks with random weights beside each. seed: of the draw of images and of every resample.
        after: recipes, e.g. ``("full", "partial")``; networks are trained on the medical images and measured again
            (Proposition 5). Only its test split is then measured. seeds: networks of each recipe (1).
        train_limit: training patients at most. split: of the medical images; ``test`` where they name it, else all.
        output: folder for ``index.html``, ``similarity.json``, ``similarity.csv`` and thumbnails.
        settings: fields of `StudyConfig` and `IngestOptions`; how files are read is said of the medical images.

    Raises:
        XenograftError: images that cannot be read, too few of them, no labels where networks are to be trained.

    Example:
        >>> result = feature_similarity("photos", "chest", backbones="mobilenet_v2")  # doctest: +SKIP
    """
    from xenograft.study.similarity import run_similarity  # late: torch takes seconds to load

    recipes = ",".join(after) if not isinstance(after, str) else after
    if seeds is not None and not recipes:
        raise UsageError("seeds say how often --after trains; name its recipes", code="E-USAGE-32")
    if wrong := {"recipes", "folds", "lr_scales", "operating_point", "robustness", "recalibration"} & settings.keys():
        raise UsageError(f"similarity does not take {', '.join(sorted(wrong))}", code="E-USAGE-14")
    given = {key: value for key, value in settings.items() if value is not None}
    config = make_config(
        {"resamples": _RESAMPLES, **given, "data": medical, "backbones": backbones}
        | ({"recipes": recipes, "seeds": 1 if seeds is None else seeds} if recipes else {})
    )
    place = Path(natural) if is_address(str(natural)) else Path(natural).expanduser().absolute()
    asked = SimilarityPlan(
        place, config, limit=limit, seed=seed, random=random, after=bool(recipes), train_limit=train_limit, split=split
    )
    folder = Path(output)
    record = run_similarity(
        asked,
        folder,
        cache=cache_folder(config.cache_dir),
        watcher=watcher or Silent(),
        command=command or _call(asked),
    )
    from xenograft.reporting import similarity_page  # late: it loads the plotting library

    page = similarity_page.render(record, folder)
    written = write_json(folder / "similarity.json", record)  # last: a folder with it is a record
    return SimilarityResult(record, written, folder / "similarity.csv", page)


def _call(asked: SimilarityPlan) -> str:
    """The Python call that makes a record again, for records of programs."""
    config = asked.config
    left_out = {*INCIDENTAL, "seeds", "folds", "recipes", "lr_scales", "operating_point", "recalibration"}
    values = {key: value for key, value in config.as_json().items() if value is not None and key not in left_out}
    values |= {"limit": asked.limit, "random": asked.random, "seed": asked.seed}
    if asked.after:
        values |= {"after": list(config.recipes), "seeds": config.seeds, "train_limit": asked.train_limit}
    values |= {} if asked.split is None else {"split": asked.split}
    arguments = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return f"xenograft.feature_similarity({asked.natural.name!r}, {config.data.name!r}, {arguments})"
