"""Makers of small data sets: `write` puts files below a folder, `folder` and `table` make whole sets of noise."""

import csv
import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("data_faults", Path(__file__).parent / "readers/faults.py")
_faults = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_faults)


@pytest.fixture(scope="session")
def faults():
    return _faults


@pytest.fixture(scope="session")
def png():
    """Bytes of a small picture; every seed another one."""
    return lambda seed=0, side=24: _faults.saved(_faults.noise(side, side, seed=seed), "PNG", compress_level=0)


@pytest.fixture
def write(tmp_path):
    """Write ``{relative path: bytes}`` below tmp_path/data and return that folder."""

    def writing(files):
        for name, data in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / "data"

    return writing


@pytest.fixture
def folder(write, png):
    """A folder of ``places x count`` different pictures, e.g. ``folder("train/A", "train/B", count=3)``."""

    def making(*places, count=5):
        names = [f"{place}/{k:02}.png" for place in places for k in range(count)]
        return write({name: png(seed) for seed, name in enumerate(names)})

    return making


@pytest.fixture
def table(write, png):
    """A CSV of rows (first the header) with a different picture for each name in its first column."""

    def making(*rows, name="labels.csv", pictures=True):
        names = dict.fromkeys(row[0] for row in rows[1:]) if pictures else ()
        root = write({name: png(seed) for seed, name in enumerate(names)})
        root.mkdir(parents=True, exist_ok=True)
        with (root / name).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, delimiter="\t" if name.endswith("tsv") else ",").writerows(rows)
        return root / name

    return making
