"""The machine and the software a study ran on, as facts for its record."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    "xenograft", "torch", "torchvision", "timm", "openvino", "numpy", "scipy", "scikit-learn", "pillow",
    "opencv-python-headless", "pyarrow",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """``python``, ``platform``, ``cpu``, ``cores``, ``memory_gb``, ``gpu`` (or None), ``packages``."""
    import torch

    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, in MiB."""
    usage = psutil.Process().memory_info()
    if hasattr(usage, "peak_wset"):  # Windows
        return float(round(usage.peak_wset / 2**20, 1))
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def processor() -> str:
    """Name of the processor, as its maker writes it where that is known."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
