"""What this machine offers: devices, engines, precision, weights, cache, and advice. Facts only; `cli` prints them."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenograft.api import cache_folder, weights
from xenograft.backbones.weights import WeightsStatus
from xenograft.errors import listed
from xenograft.features.engine import EngineChoice, choose_engine, has_bf16, torch_device, trains_in_bf16
from xenograft.study import environment


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
        training=f"torch on {device}, {'bf16' if trains_in_bf16(device) else 'f32'}",
        weights=rows,
        cache=cache,
        advice=tuple(_advice(facts, rows, cache, device)),
    )


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
