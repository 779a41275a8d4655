"""A study's view -> how to make it again: what was called, on what, with which weights, programs and machine, and when.

All facts are the record's; what it lacks is `NOT_RECORDED`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PureWindowsPath
from typing import Any

from xenograft.errors import printable
from xenograft.reporting import data_words, model_words, style
from xenograft.reporting.checklist_item import NOT_RECORDED
from xenograft.reporting.groups import View
from xenograft.reporting.templating import moment
from xenograft.study.config import INCIDENTAL, StudyConfig

_HASH = 12
_PATHS = ("data", "images", "weights_dir", "cache_dir")


@dataclass(frozen=True, slots=True)
class Fact:
    """One row: `code` for text that is set as code (commands, hashes)."""

    name: str
    value: str
    code: bool = False


def facts(view: View) -> tuple[Fact, ...]:
    """Rows for a page, from the command to the time the test split was opened."""
    record = view.study.record
    environment = record.environment
    packages = environment.get("packages") or {}
    return (
        Fact("Command", printable(record.command) or NOT_RECORDED, code=True),
        Fact("Settings that are not the defaults", _settings(record.config)),
        Fact("Settings of the machine alone", _settings(record.config, incidental=True)),
        Fact("Data, labels, patients and splits (SHA-256)", _said(view.data.get("manifest_sha256")), code=True),
        *_weights(view),
        Fact("Seeds", data_words.joined(map(str, sorted({run.seed for run in view.study.runs})))),
        Fact("Python", _said(environment.get("python"))),
        Fact("Packages", ", ".join(f"{printable(k)} {printable(v)}" for k, v in packages.items()) or NOT_RECORDED),
        Fact("System", _said(environment.get("platform"))),
        Fact("Processor", _processor(environment)),
        Fact("GPU", "none" if environment.get("gpu") is None else printable(environment["gpu"])),
        Fact("Engine", model_words.engines(view) or NOT_RECORDED),
        *_times(view),
    )


def instructions(view: View) -> tuple[str, ...]:
    """Five lines that make the study again, for somebody with the same data."""
    record = view.study.record
    packages = record.environment.get("packages") or {}
    version = packages.get("xenograft")
    program = f"xenograft {printable(version)}" if version else "the same version of xenograft"
    weights = sorted(
        {printable(run.weights["file"]) for run in view.study.runs if run.weights and "file" in run.weights}
    )
    held = f"weight files {data_words.joined(weights)}" if weights else "no weight files; every network began at random"
    return (
        f"Install {program} under Python {_said(record.environment.get('python'))}, with the packages listed above.",
        f"Have the data set {printable(view.data.get('name') or NOT_RECORDED)} and {held}.",
        f"Run: {printable(record.command) or NOT_RECORDED}",
        _same_data(view.data.get("manifest_sha256")),
        "Compare the tables: on the same machine and versions they agree; on others the last digits may differ.",
    )


def opened(view: View) -> Fact:
    """The first and the last time a run read the test split."""
    times = sorted(run.test_opened for run in view.study.runs if run.test_opened)
    missing = len(view.study.runs) - len(times)
    if not times:
        return Fact("Test split opened", NOT_RECORDED)
    span = moment(times[0]) if times[0] == times[-1] else f"from {moment(times[0])} to {moment(times[-1])}"
    rest = f"; {NOT_RECORDED} for {style.plural(missing, 'run')}" if missing else ""
    return Fact("Test split opened", f"{span}, once by each run after its choices{rest}")


def _same_data(sha256: Any) -> str:
    if not sha256:
        return "The record holds no hash of the data to compare with."
    start = printable(sha256)[:_HASH]
    return f"Compare manifest_sha256 in study.json: {start}… means the same data, labels, patients and splits."


def _times(view: View) -> tuple[Fact, ...]:
    record = view.study.record
    ends = sorted(run.created for run in view.study.runs if run.created)
    return (
        Fact("Study begun", moment(record.created)),
        opened(view),
        *_looks(view),
        Fact("Last run recorded", moment(ends[-1]) if ends else NOT_RECORDED),
        Fact("Wall-clock time", style.duration(record.seconds) if record.seconds else NOT_RECORDED),
    )


def _looks(view: View) -> tuple[Fact, ...]:
    """Whether all choices of the study were over when a test split was first read: runs go one after the other."""
    runs = [run for run in view.study.runs if run.test_opened]
    first = min((run.test_opened for run in runs), key=_when, default=None)
    if first is None:
        return ()
    later = sum(_when(run.test_opened) > _when(first) for run in runs)
    if not later:
        return ()
    said = (
        f"{style.plural(later, 'run')} ended {'its' if later == 1 else 'their'} choices after another run had read the "
        "test split; no run is given what another one measured on test"
    )
    return (Fact("Runs after the first opening", said),)


def _when(iso: str) -> float:
    """Seconds; times that are no times come first."""
    try:
        return datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return 0.0


def _weights(view: View) -> tuple[Fact, ...]:
    found: dict[tuple[str, str], None] = {}
    for name in view.backbones:
        for run in view.study.runs:
            if run.backbone == name and run.weights:
                own = run.weights
                text = ", ".join(
                    (
                        _said(own.get("file")),
                        f"licence {_said(own.get('licence'))}",
                        f"origin {_said(own.get('origin'))}",
                        f"sha256 {_said(own.get('sha256'))}",
                    )
                )
                found[f"Weights of {style.backbone_name(name)}", text] = None
    return tuple(Fact(name, text, code=True) for name, text in found) or (Fact("Weights", "random in every run"),)


def _settings(config: Mapping[str, Any], *, incidental: bool = False) -> str:
    """Settings that differ from what the command line takes by itself."""
    usual = StudyConfig(data=Path()).as_json()
    given = {
        key: value
        for key, value in config.items()
        if (key in INCIDENTAL) is incidental and (key not in usual or value != usual[key])
    }
    return "; ".join(f"{printable(key)} = {_value(key, value)}" for key, value in given.items()) or "none"


def _value(key: str, value: Any) -> str:
    if key in _PATHS and isinstance(value, str) and "/" in value.replace("\\", "/"):
        return f"…/{printable(PureWindowsPath(value).name)}"  # a page is passed on; whose folder it was is not
    return shlex.quote(style.flat(value)) if isinstance(value, str) else style.flat(value)


def _processor(environment: Mapping[str, Any]) -> str:
    parts = [printable(environment["cpu"])] if environment.get("cpu") else []
    parts += [style.plural(int(environment["cores"]), "core")] if environment.get("cores") else []
    parts += [f"{environment['memory_gb']:g} GB of memory"] if environment.get("memory_gb") else []
    return ", ".join(parts) or NOT_RECORDED


def _said(value: Any) -> str:
    return printable(value) if value else NOT_RECORDED
