from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xenograft.study.arm import Arm
from xenograft.study.config import StudyConfig
from xenograft.study.forecast import (
    Features,
    Forecast,
    Images,
    Pace,
    Row,
    describe,
    duration,
    features_of,
    forecast,
    reading_seconds,
)
from xenograft.study.rates import Basis, Rate
from xenograft.study.run import plan

IMAGES = Images(train=600, val=100, test=200)


def arms(**settings: Any) -> list[Arm]:
    return list(plan(StudyConfig(data=Path(), **{"backbones": ("resnet18",), **settings})))


def pace(embedding: Basis = "measured", training: Basis = "measured") -> Pace:
    return Pace(lambda _: Rate(100.0, embedding), lambda _: Rate(10.0, training))


def test_seeds_share_the_features_of_a_frozen_backbone() -> None:
    found = forecast(arms(recipes=("probe",)), IMAGES, pace=pace())
    assert found.seconds == {"read": 0, "embed": 3 + 900 / 100, "fit": 1.5, "train": 0, "evaluate": 1.5}
    assert found.total == 15
    assert found.measured


def test_recipes_share_them_too() -> None:
    found = forecast(arms(recipes=("probe", "logistic")), IMAGES, pace=pace())
    assert found.seconds["embed"] == 12
    assert found.seconds["fit"] == 3


def test_random_features_are_those_of_their_seed() -> None:
    assert forecast(arms(recipes=("random",)), IMAGES, pace=pace()).seconds["embed"] == 3 * 12


def test_views_multiply_the_training_images_alone() -> None:
    found = forecast(arms(recipes=("probe",), views=20, seeds=2), IMAGES, pace=pace())
    # each seed draws its own views; validation and test are embedded once
    assert found.seconds["embed"] == pytest.approx(3 + (20 * 600 + 300) / 100 + 3 + 20 * 600 / 100)


def test_training_by_hand() -> None:
    found = forecast(arms(recipes=("scratch",), seeds=1), IMAGES, pace=pace())
    assert found.seconds["train"] == pytest.approx(20 * (600 / 10 + 100 / 30) + 200 / 30)
    assert found.seconds["embed"] == found.seconds["fit"] == 0
    assert found.early


def test_a_head_before_training_needs_features_of_train_and_validation() -> None:
    found = forecast(arms(recipes=("lp_ft",), seeds=1), IMAGES, pace=pace())
    assert found.seconds["embed"] == 3 + 7
    assert found.seconds["fit"] == 0.5
    shared = forecast(arms(recipes=("probe", "lp_ft"), seeds=1), IMAGES, pace=pace())
    assert shared.seconds["embed"] == 3 + 9


def test_what_is_stored_is_not_computed_again() -> None:
    half = forecast(arms(recipes=("probe",)), IMAGES, pace=pace(), stored=lambda _, features: 0.5)
    assert half.seconds["embed"] == 3 + 4.5
    whole = forecast(arms(recipes=("probe",)), IMAGES, pace=pace(), stored=lambda _, features: 1.0)
    assert whole.seconds["embed"] == 0
    assert whole.basis == {}


def test_rows_add_up() -> None:
    found = forecast(arms(backbones=("resnet18", "resnet50")), IMAGES, pace=pace(), read=4.0)
    assert [row.backbone for row in found.rows] == ["resnet18", "resnet50"]
    assert found.total == pytest.approx(4 + sum(row.total for row in found.rows))


def test_features_of_arms_are_told_apart() -> None:
    (probe,) = arms(recipes=("probe",), seeds=1)
    assert [f.split for f in features_of(probe)] == ["train", "val", "test"]
    wide = replace(probe, preprocess=replace(probe.preprocess, size=320))
    assert not set(features_of(probe)) & set(features_of(wide))
    (scratch,) = arms(recipes=("scratch",), seeds=1)
    assert features_of(scratch) == []
    assert Features("resnet18", True, probe.preprocess, "train") in features_of(probe)


def test_shares_of_a_data_set_that_is_not_split() -> None:
    assert Images.of(5840) == (3971, 701, 1168)


def test_large_files_are_read_by_their_bytes() -> None:
    assert reading_seconds(3000) == 2
    assert reading_seconds(3000, 1_200_000_000, cores=2) == 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "less than 1 s"),
        (1.2, "1 s"),
        (40.4, "40 s"),
        (59.7, "1 min"),
        (94, "1 min 30 s"),
        (388, "6 min 30 s"),
        (597, "10 min"),
        (1500, "25 min"),
        (3585, "1 h"),
        (12100, "3 h 20 min"),
        (35900, "10 h"),
        (100_000, "28 h"),
        (400_000, "5 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def _found(embed: Basis | None, train: Basis | None = None, *, early: bool = False) -> Forecast:
    basis = {stage: frozenset({b}) for stage, b in (("embed", embed), ("train", train)) if b}
    return Forecast(10.0, (Row("resnet18", {"embed": 352.0, "fit": 25.0, "evaluate": 0.4}, basis),), early)


def test_the_sentence() -> None:
    assert describe(_found("measured")) == [
        "forecast: about 6 min 30 s (embedding 5 min 50 s, heads 25 s, reading 10 s); rates measured on this machine"
    ]


@pytest.mark.parametrize(
    ("embed", "train", "end"),
    [
        (
            "assumed",
            None,
            "s); rough, no rate was measured on this machine yet (xenograft doctor measures)",
        ),
        (
            "assumed",
            "assumed",
            "s); rough, no rate was measured on this machine yet (xenograft doctor --training measures)",
        ),
        (
            "measured",
            "assumed",
            "; embedding: rates measured on this machine; training: rough, no rate was measured on this machine yet "
            "(xenograft doctor --training measures)",
        ),
        ("estimated", "estimated", "s); rates estimated from others that were measured on this machine"),
        (None, None, "; nothing has to be computed but heads and scores"),
    ],
)
def test_where_the_rates_come_from(embed: Basis | None, train: Basis | None, end: str) -> None:
    assert describe(_found(embed, train))[0].endswith(end)


def test_early_stops_several_backbones_and_no_work() -> None:
    assert "less where training stops early;" in describe(_found("measured", early=True))[0]
    quick, slow = Row("quick", {"embed": 10.0}, {}), Row("slow", {"train": 600.0}, {})
    assert describe(Forecast(0.0, (quick, slow)))[1] == "by backbone: slow 10 min, quick 10 s"
    assert describe(forecast([], IMAGES, pace=pace())) == []
