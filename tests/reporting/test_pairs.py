"""What is said of a comparison: its name, its place, and a reading that follows the adjusted p."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from xenograft.reporting import pairs


def arm(backbone: str = "resnet18", recipe: str = "probe", lr_scale: float = 1.0) -> dict[str, Any]:
    return {"backbone": backbone, "recipe": recipe, "lr_scale": lr_scale}


def recipes(difference: float = 0.03, **more: Any) -> dict[str, Any]:
    sides = {"a": arm(), "b": arm(recipe="scratch")}
    return {"family": "recipes", **sides, "metric": "auroc", "difference": difference, "low": 0.01, "high": 0.05} | more


def backbones(**more: Any) -> dict[str, Any]:
    return recipes(family="backbones", a=arm(), b=arm("mobilenet_v2")) | more


def test_names_tell_what_differs_and_heads_what_is_shared() -> None:
    assert (pairs.head(recipes()), pairs.name(recipes())) == ("ResNet18", "probe − scratch")
    assert (pairs.head(backbones()), pairs.name(backbones())) == ("probe", "ResNet18 − MobileNet v2")
    slow = recipes(a=arm(lr_scale=0.1), b=arm(recipe="scratch", lr_scale=0.1))
    assert pairs.head(slow) == "ResNet18 (lr × 0.1)"


@pytest.mark.parametrize(
    ("more", "reading"),
    [
        ({"p_holm": 0.05}, "probe higher"),
        ({"p_holm": 0.051}, "no difference shown"),  # although the interval excludes 0
        ({"p_holm": 0.001, "difference": -0.03, "low": -0.05, "high": -0.01}, "scratch higher"),
        ({"p_holm": 0.04, "low": -0.001}, "probe higher"),  # although the interval includes 0
        ({"p_holm": None}, "probe higher"),
        ({"p_holm": None, "low": -0.01}, "no difference shown"),
        ({"p_holm": None, "low": 0.0}, "no difference shown"),
        ({"p_holm": 0.001, "low": None}, "no interval"),
    ],
)
def test_the_adjusted_p_decides_where_there_is_one(more: dict[str, Any], reading: str) -> None:
    c = recipes(**more)
    assert pairs.reading(c) == reading
    assert pairs.shown(c) == reading.endswith("higher")


def test_backbones_are_read_by_their_names() -> None:
    assert pairs.reading(backbones(p_holm=0.01)) == "ResNet18 higher"
    assert pairs.reading(backbones(p_holm=0.01, difference=-0.02)) == "MobileNet v2 higher"


def test_recipes_come_before_backbones_and_auroc_where_tables_have_it() -> None:
    placed = [
        recipes(metric="accuracy"),
        recipes(metric="auroc"),
        recipes(a=arm(lr_scale=0.1), b=arm(recipe="scratch", lr_scale=0.1)),
        backbones(metric="accuracy"),
        backbones(metric="auroc"),
    ]
    for shuffled in itertools.permutations(placed):
        assert sorted(shuffled, key=pairs.order) == placed


def test_a_single_comparison_was_not_adjusted() -> None:
    assert pairs.adjusted(1) == "not adjusted, as it is the only comparison of the study"
    assert pairs.adjusted(12) == "adjusted for all 12 comparisons of the study (Holm)"
