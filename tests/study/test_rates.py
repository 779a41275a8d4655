from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xenograft.backbones.catalog import CATALOG
from xenograft.features.engine import EngineChoice
from xenograft.study import measure_rates, rates
from xenograft.study.rates import Rate, Rates, gmacs_at
from xenograft.train.machine import Machine

ENGINE = EngineChoice("openvino", "bf16", "cpu", "2025.1")
R18, R50, MOBILE = CATALOG["resnet18"], CATALOG["resnet50"], CATALOG["mobilenet_v2"]
CPU = Machine("cpu")


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates.os, "cpu_count", lambda: 2)


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    Rates(tmp_path).record_embedding(R18, 224, ENGINE, 476.0)
    Rates(tmp_path).record_training(R18, 224, CPU, 21.5)
    known = Rates(tmp_path)
    assert known.embedding(R18, 224, ENGINE) == Rate(476.0, "measured")
    assert known.training(R18, 224, CPU) == Rate(21.5, "measured")
    known.record_embedding(R18, 224, ENGINE, 400.0)
    assert Rates(tmp_path).embedding(R18, 224, ENGINE).images_per_second == 400.0


def test_the_same_network_at_another_size_is_scaled_by_its_area() -> None:
    known = Rates(None)
    known.record_embedding(R18, 224, ENGINE, 400.0)
    assert known.embedding(R18, 448, ENGINE) == Rate(100.0, "estimated")


def test_the_version_of_the_engine_is_an_estimate_from_the_other() -> None:
    known = Rates(None)
    known.record_embedding(R18, 224, ENGINE, 400.0)
    assert known.embedding(R18, 224, replace(ENGINE, version="2026.0")) == Rate(400.0, "estimated")


def test_another_network_is_estimated_by_multiply_adds_from_the_nearest_of_its_kind() -> None:
    known = Rates(None)
    known.record_embedding(CATALOG["densenet161"], 224, ENGINE, 78.0)
    known.record_embedding(R18, 224, ENGINE, 476.0)
    known.record_embedding(MOBILE, 224, ENGINE, 700.0)
    dense = known.embedding(R50, 224, ENGINE)
    assert dense.images_per_second == pytest.approx(78.0 * 7.73 / 4.09)  # in ratio, densenet161 is nearer
    assert not dense.measured
    light = known.embedding(CATALOG["efficientnet_lite0"], 224, ENGINE)
    assert light.images_per_second == pytest.approx(700.0 * 0.30 / 0.38)


def test_a_depthwise_network_is_slower_than_its_multiply_adds_say() -> None:
    known = Rates(None)
    known.record_embedding(R18, 224, ENGINE, 300.0)
    assert known.embedding(MOBILE, 224, ENGINE).images_per_second == pytest.approx(300.0 * 1.81 / 0.30 / 3)


def test_the_last_stage_alone_is_estimated_from_the_whole() -> None:
    known = Rates(None)
    known.record_training(R18, 224, CPU, 20.0)
    assert known.training(R18, 224, CPU, trainable=1) == Rate(40.0, "estimated")


@pytest.mark.parametrize(
    "other",
    [
        replace(ENGINE, precision="f32"),
        replace(ENGINE, threads=1),
        EngineChoice("torch", "bf16", "cpu", "2.9"),
    ],
)
def test_other_conditions_tell_nothing(other: EngineChoice) -> None:
    known = Rates(None)
    known.record_embedding(R18, 224, ENGINE, 476.0)
    assert known.embedding(R18, 224, other).basis == "assumed"


def test_training_tells_nothing_about_embedding_nor_one_machine_about_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Rates(tmp_path)
    known.record_training(R18, 224, CPU, 20.0)
    assert known.embedding(R18, 224, EngineChoice("torch", "f32", "cpu", "2.9")).basis == "assumed"
    monkeypatch.setattr(rates, "_processor", lambda _device: "another")
    assert Rates(tmp_path).training(R18, 224, CPU).basis == "assumed"


def test_nothing_measured_is_a_cautious_constant() -> None:
    # 2 cores x 15e9 x 2 for bf16, over 1.81e9; training costs three passes at half the speed, here at f32
    assert Rates(None).embedding(R18, 224, ENGINE).images_per_second == pytest.approx(60 / 1.81)
    assert Rates(None).training(R18, 224, CPU).images_per_second == pytest.approx(15 / (3 * 1.81))


def test_multiply_adds_are_guessed_from_parameters_where_they_are_not_known() -> None:
    unknown = replace(R50, name="timm:unknown", gmacs=0.0)
    assert gmacs_at(unknown, 112) == pytest.approx(0.17 * 25.6 / 4)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_nonsense_is_not_recorded(tmp_path: Path, rate: float) -> None:
    Rates(tmp_path).record_embedding(R18, 224, ENGINE, rate)
    assert not (tmp_path / rates.FILE).exists()


def _one(folder: Path) -> dict[str, Any]:
    Rates(folder).record_embedding(R18, 224, ENGINE, 476.0)
    value: dict[str, Any] = json.loads((folder / rates.FILE).read_text())
    return value


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', '{"format": 2, "rates": []}', "\xff"])
def test_a_damaged_or_foreign_file_holds_nothing_and_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / rates.FILE).write_text(text, encoding="latin-1")
    assert Rates(tmp_path).embedding(R18, 224, ENGINE).basis == "assumed"
    Rates(tmp_path).record_embedding(R18, 224, ENGINE, 476.0)
    assert Rates(tmp_path).embedding(R18, 224, ENGINE).measured


@pytest.mark.parametrize(
    "change",
    [{"images_per_second": "476"}, {"images_per_second": -1.0}, {"gmacs": 0.0}, {"size": True}, {"more": 1}],
)
def test_a_row_that_is_not_ours_is_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    value = _one(tmp_path)
    value["rates"] = [value["rates"][0] | change]
    (tmp_path / rates.FILE).write_text(json.dumps(value))
    assert Rates(tmp_path).embedding(R18, 224, ENGINE).basis == "assumed"


def test_a_cache_that_cannot_be_written_only_forgets(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    known = Rates(tmp_path / "file" / "cache")
    known.record_embedding(R18, 224, ENGINE, 476.0)
    assert known.embedding(R18, 224, ENGINE).measured


def test_two_that_measure_at_once_keep_both(tmp_path: Path) -> None:
    first, second = Rates(tmp_path), Rates(tmp_path)
    first.record_embedding(R18, 224, ENGINE, 476.0)
    second.record_embedding(R50, 224, ENGINE, 204.0)
    assert Rates(tmp_path).embedding(R18, 224, ENGINE).measured


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_embedding_is_measured(engine: str) -> None:
    from importlib.metadata import version

    told: list[float] = []
    choice = EngineChoice(engine, "f32", "cpu", version(engine))
    found = measure_rates.measure_embedding(
        CATALOG["squeezenet1_1"], choice, size=64, seconds=0.1, progress=told.append
    )
    assert found > 1
    assert sum(told) >= 0.1


@pytest.mark.parametrize("trainable", ["all", 1])
def test_training_is_measured(trainable: Any) -> None:
    told: list[float] = []
    found = measure_rates.measure_training(
        CATALOG["squeezenet1_1"], Machine("cpu", micro_batch=4), size=64, seconds=0.1, trainable=trainable,
        progress=told.append,
    )  # fmt: skip
    assert found > 0.1
    assert sum(told) >= 0.1
