from __future__ import annotations

from pathlib import Path

import pytest

from xenograft.errors import UsageError
from xenograft.study.config import make_config, read_toml


def test_defaults_need_only_data() -> None:
    config = make_config({"data": "images"})
    assert config.recipes == ("probe", "scratch")
    assert config.seeds == 3
    assert config.reading.max_skip == 0.01


def test_flat_keys_reach_both_records() -> None:
    config = make_config(
        {"data": "x", "backbones": "paper", "recipes": ["random"], "lr_scales": "1,0.1", "patient_regex": "P(.)"}
    )
    assert len(config.backbones) == 8
    assert config.lr_scales == (1.0, 0.1)
    assert config.reading.patient_regex == "P(.)"


def test_overrides_reach_the_recipe() -> None:
    recipe = make_config({"data": "x", "epochs": 5, "views": 4}).recipe("probe")
    assert (recipe.epochs, recipe.views, recipe.batch_size) == (5, 4, 64)


def test_the_cache_limit_is_in_bytes() -> None:
    assert make_config({"data": "x"}).cache_bytes == 20 * 2**30
    assert make_config({"data": "x", "cache_limit": "500M"}).cache_bytes == 500 * 2**20
    assert make_config({"data": "x", "cache_limit": 0}).cache_bytes == 0


def test_json_round_trip() -> None:
    config = make_config({"data": "x", "weights_dir": "w", "seeds": 2, "val": 0.2})
    assert make_config({k: v for k, v in config.as_json().items() if v is not None}) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": "x", "bakbones": "paper"}, r"unknown key 'bakbones'; did you mean 'backbones'"),
        ({"recipes": "probe"}, "no data set"),
        ({"data": "x", "seeds": 0}, "seeds is 0; a whole number of at least 1"),
        ({"data": "x", "backbones": ""}, "no backbone in"),
        ({"data": "x", "lr_scales": "fast"}, "lr_scales is 'fast'"),
        ({"data": "x", "lr_scales": "0"}, "above 0"),
        ({"data": "x", "normalise": "imagenet"}, "normalise is 'imagenet'"),
        ({"data": "x", "cache_limit": "20"}, "E-USAGE-16 cache limit '20' is no size"),
        ({"data": "x", "augment": "heavy"}, "unknown augmentation"),
        ({"data": "x", "recipes": "probes"}, "did you mean 'probe'"),
    ],
)
def test_what_cannot_be_used_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_config(values)


def test_toml(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('data = "chest"\nbackbones = ["resnet18"]\nseeds = 1\n')
    assert make_config(read_toml(path)).backbones == ("resnet18",)
    path.write_text("data = ")
    with pytest.raises(UsageError, match="E-USAGE-12"):
        read_toml(path)


@pytest.mark.parametrize(
    "values",
    [{"epochs": "5"}, {"seeds": 1.5}, {"seeds": True}, {"threads": -1}, {"threads": 0}, {"size": 8}, {"offline": "no"},
     {"lr_scales": "inf"}],
)  # fmt: skip
def test_types_are_checked(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="E-USAGE-11"):
        make_config({"data": "x", **values})
