"""TOML and command line -> one frozen StudyConfig; an unknown key fails with the nearest name."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from xenograft.backbones.catalog import parse_backbones
from xenograft.caching import DEFAULT_LIMIT, parse_size
from xenograft.data.augment import preset
from xenograft.data.importers.hub import is_address
from xenograft.data.importers.hub import parse as parse_address
from xenograft.data.ingest import IngestOptions
from xenograft.data.preprocess import FITS, NORMALISATIONS
from xenograft.errors import UsageError, printable
from xenograft.train.recipes import Recipe, lookup, parse_recipes

_WHOLE = {
    "seeds": 1,
    "epochs": 1,
    "batch_size": 2,
    "micro_batch": 2,
    "views": 0,
    "resamples": 100,
    "folds": 0,
    "threads": 1,
    "size": 16,
}
# what may differ between two calls that add runs to one study
GROWING = ("backbones", "recipes", "seeds", "lr_scales")
INCIDENTAL = (
    "data",
    "images",
    "threads",
    "weights_dir",
    "cache_dir",
    "cache_limit",
    "offline",
    "max_skip",
    "robustness",
)


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """Everything that decides what a study computes; the defaults are the command line's.

    Args:
        data: folder, table, or name on a hub. backbones, recipes: names in the order of the tables.
        seeds: number of seeds, 0 to seeds - 1. lr_scales: factors on every learning rate (Table 3: 0.1).
        folds: of cross-validation by patient, see `xenograft.study.folding`; 0: none.
        epochs, batch_size, views, augment: override the recipes where given.
        micro_batch: images per pass in training; gradients are accumulated over a batch. None lets memory decide.
        normalise: ``weights`` (the weights' own mean and sd) or ``paper`` (0.5, 0.5).
        fit, size, colour: geometry, input side and channels of `Preprocess`; None takes the backbone's size.
        engine, precision, threads: how features are computed.
        weights_dir, cache_dir: where weights and cached features lie. offline: never download.
        cache_limit: of cached features and decoded pixels, ``20G`` or bytes; 0 keeps no decoded pixels, and nothing
            else but what is in use.
        resamples: of the bootstrap.
        operating_point: rule for a threshold of its own, chosen on validation, e.g. ``sensitivity=0.95``, see
            `xenograft.evaluation.rules`. recalibration: of probabilities, on validation, see
            `xenograft.evaluation.recalibrating`. robustness: measure the chosen run on test images changed by degrees.
        reading: how the data set is read and split.
    """

    data: Path
    backbones: tuple[str, ...] = ("efficientnet_lite0",)
    recipes: tuple[str, ...] = ("probe", "scratch")
    seeds: int = 3
    folds: int = 0
    lr_scales: tuple[float, ...] = (1.0,)
    epochs: int | None = None
    batch_size: int | None = None
    micro_batch: int | None = None
    views: int | None = None
    augment: str | None = None
    normalise: str = "weights"
    fit: str = "squash"
    size: int | None = None
    colour: bool = False
    engine: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    weights_dir: Path | None = None
    cache_dir: Path | None = None
    cache_limit: str | int | None = None
    offline: bool = False
    resamples: int = 2000
    operating_point: str | None = None
    recalibration: str = "auto"
    robustness: bool = False
    reading: IngestOptions = field(default_factory=IngestOptions)

    def __post_init__(self) -> None:
        for name, low in _WHOLE.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < low):
                raise UsageError(f"{name} is {value!r}; a whole number of at least {low} is needed", code="E-USAGE-11")
        for name in ("colour", "offline", "robustness"):
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"{name} is {getattr(self, name)!r}; true or false is needed", code="E-USAGE-11")
        if not self.backbones or not self.recipes or not all(0 < scale < math.inf for scale in self.lr_scales):
            raise UsageError(
                "name at least one backbone, one recipe and learning-rate scales above 0", code="E-USAGE-11"
            )
        if self.normalise not in NORMALISATIONS or self.fit not in FITS:
            raise UsageError(
                f"normalise is {self.normalise!r} ({', '.join(NORMALISATIONS)}) and fit {self.fit!r} "
                f"({', '.join(FITS)})",
                code="E-USAGE-05",
            )
        if self.folds == 1:
            raise UsageError("folds is 1; 2 or more are needed, or 0 for none", code="E-USAGE-11")
        self._parse()

    def _parse(self) -> None:
        """What other files know how to read."""
        if self.augment is not None:
            preset(self.augment)
        if self.cache_limit is not None:
            parse_size(self.cache_limit)
        if self.operating_point is not None:
            from xenograft.evaluation.rules import parse_rule  # late: scipy, which most studies need only later

            parse_rule(self.operating_point)
        if self.recalibration != "auto":
            from xenograft.evaluation.recalibrating import check_method

            check_method(self.recalibration, several=False)

    @property
    def cache_bytes(self) -> int:
        """`cache_limit` in bytes."""
        return DEFAULT_LIMIT if self.cache_limit is None else parse_size(self.cache_limit)

    def recipe(self, name: str) -> Recipe:
        """The recipe with this study's overrides."""
        given = {
            key: getattr(self, key)
            for key in ("epochs", "batch_size", "views", "augment")
            if getattr(self, key) is not None
        }
        return replace(lookup(name), **given).as_used()

    def as_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold; the settings of reading are flat among the others."""
        flat = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "reading"} | asdict(self.reading)
        return {key: _plain(value) for key, value in flat.items()}


def make_config(values: Mapping[str, Any]) -> StudyConfig:
    """A StudyConfig from flat keys, as a TOML file or keyword arguments give them.

    Raises:
        UsageError: an unknown key (names the nearest), or a value that cannot be used.
    """
    own = {f.name for f in fields(StudyConfig)} - {"reading"}
    reading = {f.name for f in fields(IngestOptions)}
    for key in values:
        if key not in own | reading:
            near = difflib.get_close_matches(key, own | reading, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"unknown key {key!r}{hint}", code="E-USAGE-12")
    if "data" not in values:
        raise UsageError("no data set; give a folder or a table as data", code="E-USAGE-12")
    read = {key: _typed(key, value) for key, value in values.items()}
    return StudyConfig(
        **{key: value for key, value in read.items() if key in own},
        reading=IngestOptions(**{key: value for key, value in read.items() if key in reading}),
    )


def read_toml(path: Path) -> dict[str, Any]:
    """Flat keys of a TOML file.

    Raises:
        UsageError: it is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{printable(path)} cannot be read as TOML: {error}", code="E-USAGE-12") from error


_PATHS = ("data", "images", "weights_dir", "cache_dir")


def _typed(key: str, value: Any) -> Any:
    try:
        if value is None:
            return None
        if key in _PATHS:
            return _path(key, value)
        if key == "backbones":
            return parse_backbones(value if isinstance(value, str) else ",".join(value))
        if key == "recipes":
            return parse_recipes(value)
        if key == "lr_scales":
            parts = value.split(",") if isinstance(value, str) else value
            scales = (float(part) for part in (parts if isinstance(parts, list | tuple) else [parts]))
            return tuple(dict.fromkeys(scales))
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{key} is {value!r}, which cannot be used: {error}", code="E-USAGE-12") from error
    return value


def _path(key: str, value: Any) -> Path:
    if key == "data" and is_address(str(value)):
        return Path(str(parse_address(str(value))))
    return Path(value).expanduser().absolute()  # a study can be exported from another folder


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
