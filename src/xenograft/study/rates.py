"""What was measured on this machine -> images per second of any backbone, measured or estimated from the nearest."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from xenograft.backbones.build import Trainable
from xenograft.backbones.catalog import BackboneSpec
from xenograft.errors import DataError, ProcessError
from xenograft.features.engine import EngineChoice
from xenograft.storage import read_json, write_json
from xenograft.study import environment
from xenograft.train.machine import Machine

Basis = Literal["measured", "estimated", "assumed"]

FILE = "rates.json"
_FORMAT = 1
_EMBED = "embed"

# A depthwise network gets through fewer multiply-adds in a second, because it moves as much memory for each of them:
# a half (AVX-512, OpenVINO) to a sixth (matrix tiles; torch on processors) of a dense one's, where it was measured.
_DEPTHWISE = 3.0
# Passes through the network that a training step costs, in forward ones: backward is two; the last stage's, less. Where
# only small layers learn, gradients pass through all others, but these need none for their weights.
_WHOLE, _PARTIAL, _THROUGH = 3.0, 1.5, 2.0
_GMACS_PER_MILLION = 0.17  # ResNet50 has 0.16, ViT-B 0.20; for networks whose multiply-adds are not known

# Multiply-adds per second in 1e9 where nothing was measured, low on purpose: a study that ends early annoys nobody.
# Per core of a processor (measured on two: 45 with torch at f32, 400 with matrix tiles), else per device.
_CAUTIOUS = {"cpu": 15.0, "cuda": 2000.0, "mps": 500.0}
_HALF_PRECISION = 2.0  # times as many at bf16 or f16
_TRAINING = 0.5  # share of them that training steps reach; torch computes these on processors, with augmentation


@dataclass(frozen=True, slots=True)
class Rate:
    """How quickly images pass.

    Args:
        images_per_second: above 0.
        basis: ``measured`` for just this network and engine, ``estimated`` from others on this machine, or ``assumed``.
    """

    images_per_second: float
    basis: Basis

    @property
    def measured(self) -> bool:
        """Whether just this was measured on this machine."""
        return self.basis == "measured"


@dataclass(frozen=True, slots=True)
class _Task:
    """What a rate is of: a network's work, and everything that decides how quickly this machine does it."""

    backbone: str
    size: int
    channels: int
    work: str  # "embed", or what is trained: "all", "norm", "lora" or a number of stages
    engine: str
    version: str
    precision: str
    device: str
    threads: int
    processor: str
    cores: int
    gmacs: float  # multiply-adds of one image at `size`, in 1e9
    depthwise: bool

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two tasks whose rates are the same."""
        return (*self.conditions, self.version, self.channels, self.backbone, self.size, self.work)

    @property
    def conditions(self) -> tuple[object, ...]:
        """Equal for two tasks whose rates can be compared. Versions and channels differ too little to matter."""
        place = (self.engine, self.precision, self.device, self.threads, self.processor, self.cores)
        return (*place, self.work == _EMBED)

    @property
    def effort(self) -> float:
        """Multiply-adds of one image in 1e9, as a dense network that only looks at images would need them."""
        passes = {_EMBED: 1.0, "all": _WHOLE, "norm": _THROUGH, "lora": _THROUGH}.get(self.work, _PARTIAL)
        return self.gmacs * passes * (_DEPTHWISE if self.depthwise else 1.0)


_Row = tuple[_Task, float]


class Rates:
    """The record of measured rates in a cache folder; a damaged, foreign or missing one holds nothing.

    Args:
        cache: the folder that holds `FILE`, or None to remember nothing.
    """

    def __init__(self, cache: Path | None) -> None:
        self._file = Path(cache) / FILE if cache is not None else None
        self._rows = _load(self._file)

    def embedding(self, spec: BackboneSpec, size: int, engine: EngineChoice, *, channels: int = 1) -> Rate:
        """Images per second through a frozen backbone at an input side of `size` pixels."""
        return self._rate(_embedding(spec, size, engine, channels))

    def training(self, spec: BackboneSpec, size: int, machine: Machine, *, trainable: Trainable = "all") -> Rate:
        """Images per second of training steps; looking at an image is `forecast.VALIDATION` times as quick."""
        return self._rate(_training(spec, size, machine, trainable))

    def record_embedding(
        self, spec: BackboneSpec, size: int, engine: EngineChoice, images_per_second: float, *, channels: int = 1
    ) -> None:
        """Remember what was measured, in place of what was measured before."""
        self._record(_embedding(spec, size, engine, channels), images_per_second)

    def record_training(
        self,
        spec: BackboneSpec,
        size: int,
        machine: Machine,
        images_per_second: float,
        *,
        trainable: Trainable = "all",
    ) -> None:
        """Remember what was measured, in place of what was measured before."""
        self._record(_training(spec, size, machine, trainable), images_per_second)

    def _rate(self, task: _Task) -> Rate:
        if (exact := self._rows.get(task.key)) is not None:
            return Rate(exact[1], "measured")
        alike = [row for row in self._rows.values() if row[0].conditions == task.conditions]
        if not alike:
            return Rate(_cautious(task) / task.effort, "assumed")
        known, rate = _nearest(task, alike)
        return Rate(rate * known.effort / task.effort, "estimated")

    def _record(self, task: _Task, images_per_second: float) -> None:
        if not 0 < images_per_second < math.inf:
            return
        # read again: another process may have measured meanwhile
        self._rows = {**_load(self._file), **self._rows, task.key: (task, round(images_per_second, 3))}
        rows = [asdict(known) | {"images_per_second": rate} for known, rate in self._rows.values()]
        if self._file is not None:
            with suppress(ProcessError):  # a cache that cannot be written only costs a better forecast
                write_json(self._file, {"format": _FORMAT, "rates": rows})


def gmacs_at(spec: BackboneSpec, size: int) -> float:
    """Multiply-adds of one image of `size` pixels in 1e9; guessed from the parameters where the catalog has none."""
    return (spec.gmacs or _GMACS_PER_MILLION * spec.params_m) * (size / spec.size) ** 2


def _embedding(spec: BackboneSpec, size: int, engine: EngineChoice, channels: int) -> _Task:
    return _Task(
        backbone=spec.name,
        size=size,
        channels=channels,
        work=_EMBED,
        engine=engine.name,
        version=engine.version,
        precision=engine.precision,
        device=engine.device,
        threads=engine.threads,
        processor=_processor(engine.device),
        cores=os.cpu_count() or 1,
        gmacs=gmacs_at(spec, size),
        depthwise=spec.depthwise,
    )


def _training(spec: BackboneSpec, size: int, machine: Machine, trainable: Trainable) -> _Task:
    return _Task(
        backbone=spec.name,
        size=size,
        channels=3,
        work=str(trainable),
        engine="torch",
        version=version("torch"),
        precision=machine.precision,
        device=machine.device,
        threads=0,
        processor=_processor(machine.device),
        cores=os.cpu_count() or 1,
        gmacs=gmacs_at(spec, size),
        depthwise=spec.depthwise,
    )


@cache
def _processor(device: str) -> str:
    """Name of what computes."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name(0)
    return environment.processor()


def _nearest(task: _Task, rows: Sequence[_Row]) -> _Row:
    """The same network first, then the same kind of work, then one of the same kind, then the nearest in size."""

    def distance(row: _Row) -> tuple[bool, bool, bool, float]:
        known = row[0]
        apart = abs(math.log(known.effort / task.effort))
        return known.backbone != task.backbone, known.work != task.work, known.depthwise != task.depthwise, apart

    return min(rows, key=distance)


def _cautious(task: _Task) -> float:
    """Multiply-adds per second in 1e9 that this device reaches at least."""
    units = task.cores if task.device == "cpu" else 1
    faster = 1.0 if task.precision == "f32" else _HALF_PRECISION
    return _CAUTIOUS[task.device] * units * faster * (1.0 if task.work == _EMBED else _TRAINING)


def _load(file: Path | None) -> dict[tuple[object, ...], _Row]:
    if file is None or not file.is_file():
        return {}
    try:
        value = read_json(file)
    except DataError:
        return {}
    if not isinstance(value, dict) or value.get("format") != _FORMAT or not isinstance(value.get("rates"), list):
        return {}
    rows = [row for each in value["rates"] if (row := _row(each)) is not None]
    return {task.key: (task, rate) for task, rate in rows}


_KINDS = {"str": str, "int": int, "float": float, "bool": bool}


def _row(value: Any) -> _Row | None:
    """A row of the file; None where a field is missing, unknown or of another kind."""
    kinds = {field.name: _KINDS[str(field.type)] for field in fields(_Task)} | {"images_per_second": float}
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        return None
    if any(type(value[name]) is not kind for name, kind in kinds.items()):
        return None
    if not (0 < value["images_per_second"] < math.inf and 0 < value["gmacs"] < math.inf):
        return None
    rate = value.pop("images_per_second")
    return _Task(**value), rate
