from __future__ import annotations

import pytest

from xenograft.errors import UsageError
from xenograft.train.recipes import RECIPES, lookup, parse_recipes


def test_the_papers_settings_are_the_defaults() -> None:
    probe = lookup("probe")
    assert (probe.epochs, probe.batch_size, probe.pretrained, probe.trainable) == (20, 64, True, "none")


def test_regimes_are_rows() -> None:
    assert set(RECIPES) == {"probe", "logistic", "random", "scratch", "partial", "full", "lp_ft"}
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
