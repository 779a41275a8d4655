"""The projection to a million rows, and each measurement once on few rows."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from xenograft.similarity.pairwise import pairwise

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def similarity(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("similarity")


def _found(**seconds):
    return {name: {"seconds": value, "beyond_mb": 100.0} for name, value in seconds.items()}


def test_projection_takes_the_measured_exponent_and_two(similarity):
    found = similarity.rows(40_000, 10**6, _found(half=10.0, euclidean=20.0, product=15.0, scipy=400.0, cosine=7.0))
    by_name = {line.what: line for line in found}
    assert by_name["exponent, from 20,000 to 40,000 rows"].value == pytest.approx(1)
    assert by_name["euclidean, 1,000,000 × 1,000,000, projected with exponent measured"].value * 3600 == pytest.approx(
        500
    )
    assert by_name["euclidean, 1,000,000 × 1,000,000, projected with exponent 2"].value * 3600 == pytest.approx(12_500)
    assert by_name["pairs of the tiles in a second"].value == pytest.approx(160)
    assert [line.ratio for line in found[:2]] == [20, 0.75]
    assert [line.what for line in found if line.unit == "MiB"] == [
        "memory of euclidean, beyond the data", "memory of cosine, beyond the data",
    ]  # fmt: skip


def test_the_full_size_is_measured_and_not_projected(similarity):
    found = similarity.rows(10**6, 10**6, _found(euclidean=20.0, product=15.0, scipy=400.0))
    assert not [line for line in found if "projected" in line.what]


@pytest.mark.parametrize("form", ["euclidean", "sampled", "cosine", "scipy", "product"])
def test_each_measurement_runs(similarity, form):
    found = similarity.measure(form, 60)
    assert found["seconds"] > 0
    assert found["before_mb"] > 0
    if form in {"euclidean", "scipy"}:
        assert found["between"] == pytest.approx(pairwise(*similarity._made(60))["between"], rel=1e-9)
