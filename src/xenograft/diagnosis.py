"""What this machine offers: devices, engines, rates, weights, cache, and advice. Facts only; `cli` prints them."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xenograft.api import cache_folder, weights
from xenograft.backbones.catalog import CATALOG, BackboneSpec, lookup
from xenograft.backbones.weights import WeightsStatus
from xenograft.errors import DataError, listed, printable
from xenograft.features.engine import EngineChoice, choose_engine, has_bf16, torch_device
from xenograft.study import environment
from xenograft.study.config import StudyConfig
from xenograft.study.watch import Silent, Watcher

if TYPE_CHECKING:
    from xenograft.study.forecast import Forecast
    from xenograft.study.rates import Rate, Rates
    from xenograft.train.machine import Machine

USUAL_IMAGES = 5840
"""Images of the data set that rates are told by: the chest X-rays of the paper."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `doctor` found.

    Args:
        environment: see `environment.describe`. engine: what would embed. training: device and precision of training.
        weights: one row per backbone. cache: its folder, whether it can be written, its size and the free space in MiB.
        advice: sentences, most useful first; empty when nothing is wrong.
    """

    environment: dict[str, Any]
    engine: EngineChoice
    training: str
    weights: tuple[WeightsStatus, ...]
    cache: dict[str, Any]
    advice: tuple[str, ...]


def doctor(*, weights_dir: str | Path | None = None, cache_dir: Path | None = None) -> Diagnosis:
    """Look at the machine; nothing is downloaded or changed."""
    facts = environment.describe()
    device = torch_device()
    rows = tuple(weights(weights_dir=weights_dir, cache_dir=cache_dir))
    cache = _cache(cache_folder(cache_dir))
    return Diagnosis(
        environment=facts,
        engine=choose_engine(),
        training=f"torch on {device}, {_training_precision(device)}",
        weights=rows,
        cache=cache,
        advice=tuple(_advice(facts, rows, cache, device)),
    )


@dataclass(frozen=True, slots=True)
class Speed:
    """How quickly one backbone runs here.

    Args:
        backbone: catalog name. size: side of its input in pixels. engine: what embedded.
        embedding: images per second of the frozen network. training: of training steps; None where not asked for.
        training_precision: ``bf16`` or ``f32``.
    """

    backbone: str
    size: int
    engine: EngineChoice
    embedding: Rate
    training: Rate | None
    training_precision: str


def measure_speeds(
    backbones: Sequence[str],
    *,
    seconds: float = 10.0,
    training: bool = False,
    engine: str = "auto",
    precision: str = "auto",
    cache_dir: Path | None = None,
    watcher: Watcher | None = None,
) -> list[Speed]:
    """Run each backbone for a while on random images, and record its rates for the forecasts of studies.

    Args:
        backbones: names. seconds: to measure each for, twice that with `training`. training: measure steps as well.
        engine, precision: as for a study.
    """
    from xenograft.study.rates import Rates

    watcher = watcher or Silent()
    rates = Rates(cache_folder(cache_dir))
    specs = [lookup(name) for name in backbones]
    chosen = choose_engine(engine, precision)
    watcher.total(seconds * (1 + training) * len(specs))
    speeds = []
    for spec in specs:
        machine = training_machine(spec, precision)
        embedding = _embedding(spec, chosen, rates, seconds, watcher)
        trained = _training(spec, machine, rates, seconds, watcher) if training else None
        speeds.append(Speed(spec.name, spec.size, chosen, embedding, trained, machine.precision))
    return speeds


def foresee(
    backbones: Sequence[str],
    *,
    files: int = USUAL_IMAGES,
    size: int = 0,
    engine: str = "auto",
    precision: str = "auto",
    cache_dir: Path | None = None,
) -> Forecast:
    """How long the usual study would take: the recipes probe and scratch, three seeds, as `StudyConfig` has them.

    Args:
        files: image files, none of which was read before. size: their bytes, 0 where small or not known.
        engine, precision: as for a study.
    """
    from xenograft.study.forecast import Images, Pace, forecast, reading_seconds
    from xenograft.study.rates import Rates
    from xenograft.study.run import plan

    rates, chosen = Rates(cache_folder(cache_dir)), choose_engine(engine, precision)
    config = StudyConfig(data=Path(), backbones=tuple(backbones))
    pace = Pace(
        embedding=lambda arm: rates.embedding(arm.spec, arm.preprocess.size, chosen),
        training=lambda arm: rates.training(arm.spec, arm.preprocess.size, training_machine(arm.spec, precision)),
    )
    read = reading_seconds(files, size, cores=os.cpu_count() or 1)
    return forecast(list(plan(config)), Images.of(files), pace=pace, read=read)


def count_images(folder: Path) -> tuple[int, int]:
    """Number and bytes of the files below a folder that are images by their name; nothing is opened.

    Raises:
        DataError: it is no folder, or holds none.
    """
    from xenograft.data.readers.photo import SUFFIXES

    if not folder.is_dir():
        raise DataError(f"{printable(folder)} is not a folder; give the folder of the images", code="E-DATA-06")
    sizes = [
        _bytes(Path(place) / name)
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
    ]
    if not sizes:
        raise DataError(f"{printable(folder)} holds no image by its name; give a folder of images", code="E-DATA-06")
    return len(sizes), sum(sizes)


def training_machine(spec: BackboneSpec, precision: str = "auto") -> Machine:
    """How a backbone would be trained here."""
    from xenograft.train.machine import choose_machine, total_memory

    device = torch_device()
    return choose_machine(spec, device=device, precision=precision, size=spec.size, memory=total_memory(device))


def _embedding(spec: BackboneSpec, engine: EngineChoice, rates: Rates, seconds: float, watcher: Watcher) -> Rate:
    from xenograft.study.measure_rates import measure_embedding

    watcher.begin(f"embedding with {spec.name}", seconds)
    found = measure_embedding(spec, engine, seconds=seconds, progress=watcher.advance)
    rates.record_embedding(spec, spec.size, engine, found)
    watcher.end(f"{spec.name}: embedding measured")
    return rates.embedding(spec, spec.size, engine)


def _training(spec: BackboneSpec, machine: Machine, rates: Rates, seconds: float, watcher: Watcher) -> Rate:
    from xenograft.study.measure_rates import measure_training

    watcher.begin(f"training {spec.name}", seconds)
    found = measure_training(spec, machine, seconds=seconds, progress=watcher.advance)
    rates.record_training(spec, spec.size, machine, found)
    watcher.end(f"{spec.name}: training measured")
    return rates.training(spec, spec.size, machine)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link to nowhere: reading will say so
        return 0


def _training_precision(device: str) -> str:
    """The precision of training on a device, which may depend on the backbone's kind."""
    from xenograft.train.machine import choose_machine

    kinds = {spec.depthwise: choose_machine(spec, device=device).precision for spec in CATALOG.values()}
    dense, depthwise = kinds[False], kinds[True]
    return dense if dense == depthwise else f"{dense} ({depthwise} for depthwise networks)"


def _cache(folder: Path) -> dict[str, Any]:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
    return {
        "folder": folder,
        "writable": _writable(existing),
        "mib": size / 2**20,
        "free_mib": shutil.disk_usage(existing).free / 2**20,
    }


def _writable(folder: Path) -> bool:
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _advice(facts: dict[str, Any], rows: tuple[WeightsStatus, ...], cache: dict[str, Any], device: str) -> list[str]:
    advice = []
    missing = [row.name for row in rows if row.state == "missing"]
    if missing:
        advice.append(
            f"{len(missing)} backbones have no weights here ({listed(missing, most=3)}); they are downloaded at first "
            "use, or put the files in a folder and pass --weights-dir (xenograft weights list names them)"
        )
    if device == "cpu" and importlib.util.find_spec("openvino") is None:
        advice.append("OpenVINO is not installed; frozen backbones run several times slower (uv pip install openvino)")
    if device == "cpu":
        advice.append("no GPU: frozen recipes (probe, logistic, random) take minutes, scratch and full take hours")
    if not cache["writable"]:
        advice.append(f"the cache folder {cache['folder']} cannot be written; set XENOGRAFT_CACHE or --cache-dir")
    if cache["free_mib"] < 2048:
        advice.append(f"only {cache['free_mib']:.0f} MiB are free beside the cache")
    if facts["memory_gb"] < 4:
        advice.append("less than 4 GB of memory: use small backbones (mobilenet_v2, efficientnet_lite0)")
    if platform.machine() == "x86_64" and device == "cpu" and not has_bf16(device):
        advice.append("this processor does not multiply bf16: f32 is used, which is exact but slower")
    return advice
