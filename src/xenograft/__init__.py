"""Carry features learned on real-world images into medical image classifiers, and measure what that gains.

Every name below is loaded at its first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Bundle": "xenograft.bundle",
    "IngestOptions": "xenograft.data.ingest",
    "Manifest": "xenograft.data.manifest",
    "Preprocess": "xenograft.data.preprocess",
    "Study": "xenograft.study.record",
    "StudyConfig": "xenograft.study.config",
    "XenograftError": "xenograft.errors",
    "audit": "xenograft.api",
    "cache_clear": "xenograft.api",
    "cache_info": "xenograft.api",
    "cache_verify": "xenograft.api",
    "check_table": "xenograft.api",
    "compare": "xenograft.api",
    "demo": "xenograft.demonstration",
    "doctor": "xenograft.diagnosis",
    "domain_shift": "xenograft.shifting",
    "evaluate": "xenograft.evaluating",
    "export": "xenograft.api",
    "feature_similarity": "xenograft.comparing_sets",
    "fit": "xenograft.api",
    "ingest": "xenograft.data.ingest",
    "learning_curve": "xenograft.learning",
    "load": "xenograft.api",
    "phantoms": "xenograft.data.phantom",
    "predict": "xenograft.api",
    "rank": "xenograft.ranking",
    "report": "xenograft.api",
    "robustness": "xenograft.perturbing",
    "weights": "xenograft.api",
    "write_phantoms": "xenograft.data.phantom",
}

__all__ = ["__version__", *_WHERE]  # noqa: PLE0604 - every item is a string


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'xenograft' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
