from __future__ import annotations

import pytest

from xenograft.errors import UsageError
from xenograft.train.recipes import RECIPES, Recipe, lookup, parse_recipes


def test_the_papers_settings_are_the_defaults() -> None:
    probe = lookup("probe")
    assert (probe.epochs, probe.batch_size, probe.pretrained, probe.trainable) == (20, 64, True, "none")


def test_regimes_are_rows() -> None:
    first = {"probe", "logistic", "random", "scratch", "partial", "full", "lp_ft"}
    assert set(RECIPES) == first | {"gradual", "layerwise", "l2_sp", "norm_only", "lora"}
    assert {name for name, r in RECIPES.items() if r.frozen} == {"probe", "logistic", "random"}
    assert {name for name, r in RECIPES.items() if not r.pretrained} == {"random", "scratch"}


def test_scaled_multiplies_every_rate() -> None:
    full = lookup("full").scaled(0.1)
    assert full.head_lr == pytest.approx(lookup("full").head_lr * 0.1)
    assert full.backbone_lr == pytest.approx(lookup("full").backbone_lr * 0.1)


def test_parse_keeps_order_and_drops_repeats() -> None:
    assert parse_recipes("scratch, probe,scratch") == ("scratch", "probe")


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"E-USAGE-10 .*'scratc'; did you mean 'scratch'"):
        lookup("scratc")


def test_records_show_only_what_a_recipe_uses() -> None:
    from dataclasses import replace

    assert lookup("probe").as_used().augment == "none"
    assert replace(lookup("probe"), views=30).as_used().views == 20
    assert replace(lookup("probe"), views=4).as_used().augment == "paper"
    assert replace(lookup("probe"), views=4, augment="none").as_used().views == 0
    assert replace(lookup("scratch"), views=4).as_used() == lookup("scratch")
    assert (lookup("logistic").as_used().epochs, lookup("logistic").as_used().head_lr) == (0, 0.0)


def test_older_recipes_are_recorded_as_before_later_fields_came() -> None:
    """The fingerprint of a finished run hashes this mapping."""
    assert lookup("full").as_json() == {
        "name": "full",
        "summary": "ImageNet weights, everything trained",
        "pretrained": True,
        "trainable": "all",
        "solver": "gradient",
        "head_first": False,
        "epochs": 20,
        "batch_size": 64,
        "head_lr": 1e-3,
        "backbone_lr": 1e-4,
        "optimiser": "adamw",
        "weight_decay": 1e-4,
        "warmup": 0.05,
        "patience": 5,
        "standardise": False,
        "augment": "paper",
        "views": 0,
    }


@pytest.mark.parametrize("name", RECIPES)
def test_a_record_gives_the_recipe_back(name: str) -> None:
    assert Recipe(**lookup(name).as_json()) == lookup(name)
    assert lookup(name).as_used().as_used() == lookup(name).as_used()


def test_later_fields_are_at_rest_where_nothing_uses_them() -> None:
    from dataclasses import replace

    later = {"unfreeze_every": 2, "lr_decay": 0.5, "l2_sp": 0.1, "l2_head": 0.1, "lora_rank": 4, "lora_alpha": 4.0}
    probe = replace(lookup("probe"), **later).as_used()  # type: ignore[arg-type]
    assert probe == lookup("probe").as_used()
    partial = replace(lookup("partial"), **later).as_used()  # type: ignore[arg-type]
    assert partial == replace(lookup("partial"), lr_decay=0.5, l2_sp=0.1, l2_head=0.1)
    for name in ("gradual", "layerwise", "l2_sp", "norm_only", "lora"):
        assert lookup(name).as_used() == lookup(name)
