"""The benchmark of scores: tasks are what they say, weights are weaker where they say, sums add up."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from xenograft.backbones import catalog
from xenograft.backbones.build import build
from xenograft.data.ingest import ingest
from xenograft.data.phantom import write_phantoms

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def _load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


def test_tasks_keep_patients_whole_and_classes_even(monkeypatch, tmp_path):
    tasks = _load("tasks", monkeypatch)
    data = write_phantoms(tmp_path / "data", count=120, size=64)
    made = {task.name: task for task in tasks.real_tasks(tmp_path / "work", data, train=50, test=12)}
    assert len(made) == 3  # no bacteria, no virus
    for task in made.values():
        again = ingest(task.data, _options(task.images))
        splits = dict(zip(again.column("path"), again.column("split"), strict=True))
        patients = {}
        for path, split in splits.items():
            patients.setdefault(Path(path).stem.split("_")[0], set()).add(split == "test")
        assert all(len(sides) == 1 for sides in patients.values())
        counts = again.counts()["test"]
        assert max(entry["images"] for entry in counts.values()) - min(e["images"] for e in counts.values()) <= 3


def _options(images):
    from xenograft.data.options import IngestOptions

    return IngestOptions(images=images, catalog="none")


def test_the_contrast_of_a_family_is_that_of_its_lesions(monkeypatch, tmp_path):
    tasks = _load("tasks", monkeypatch)
    for contrast in (0.0, 1.0):
        family = tasks.Family({"HEALTHY": (), "DISEASE": ("consolidation",)}, contrast=contrast)
        tasks._write(tmp_path / str(contrast), family, train=8, test=4, seed=3)
    faint = np.asarray(Image.open(tmp_path / "0.0/images/train/DISEASE/P0001_1.png"), dtype=float)
    plain = np.asarray(Image.open(tmp_path / "1.0/images/train/DISEASE/P0001_1.png"), dtype=float)
    healthy = [np.asarray(Image.open(tmp_path / f"{c}/images/train/HEALTHY/P0000_1.png")) for c in ("0.0", "1.0")]
    assert np.abs(plain - faint).max() > 20
    np.testing.assert_array_equal(*healthy)


def test_weakened_weights_keep_the_first_stages(monkeypatch):
    candidates = _load("candidates", monkeypatch)
    network = build(catalog.lookup("squeezenet1_1"), tensors=None, seed=0)
    assert candidates._last_modules(network, 1.0) == ("",)
    renewed = candidates._last_modules(network, 0.5)
    kept = [name for name, _ in network.trunk.named_parameters() if not name.startswith(renewed)]
    last = {id(parameter) for parameter in dict(network.stages())["features.9"]}
    names = dict(network.trunk.named_parameters())
    assert kept[0].startswith("features.0")
    assert not {id(names[name]) for name in kept} & last


def test_agreement_and_regret(monkeypatch):
    bench = _load("transferability", monkeypatch)
    reached = (0.6, 0.7, 0.8, 0.9)
    found = [
        {
            "task": task,
            "candidate": str(place),
            "scores": {"right": value, "wrong": -value, "missing": None if place == 3 else value},
            "probe": {"value": value},
            "full": {"value": 1 - value},
        }
        for task in ("a", "b", "c")
        for place, value in enumerate(reached)
    ]
    answer = bench.agreement(found)["agreement"]
    assert answer["probe"]["right"]["tau"]["value"] == pytest.approx(1)
    assert answer["probe"]["wrong"]["weighted_tau"]["value"] == pytest.approx(-1)
    assert answer["full"]["right"]["tau"]["value"] == pytest.approx(-1)
    assert answer["between"]["tau"]["value"] == pytest.approx(-1)
    assert answer["probe"]["right"]["regret"] == {"a": 0, "b": 0, "c": 0}
    assert answer["probe"]["wrong"]["regret"]["a"] == pytest.approx(0.3)
    assert answer["probe"]["missing"]["regret"]["a"] == pytest.approx(0.1)
    assert len(bench.rows(answer)) == 7
