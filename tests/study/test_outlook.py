from __future__ import annotations

from pathlib import Path

import pytest

from xenograft.study import outlook as module
from xenograft.study.config import make_config
from xenograft.study.forecast import describe
from xenograft.study.outlook import RateKeeper, outlook, pace
from xenograft.study.rates import Rates
from xenograft.study.reading import read_data
from xenograft.study.run import open_pixels, plan
from xenograft.study.runs import make_workshop, run_arm
from xenograft.study.watch import Silent


@pytest.fixture
def _short_runs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IMAGES", 1)
    monkeypatch.setattr(module, "_SECONDS", 0.0)


@pytest.mark.usefixtures("_short_runs_count")
def test_runs_teach_the_rates_and_a_forecast_knows_what_is_stored(
    phantom_folder: Path, made_weights: Path, tmp_path: Path
) -> None:
    values = {"data": phantom_folder, "backbones": "resnet18", "seeds": 1, "size": 32, "epochs": 2, "resamples": 100}
    config = make_config(values | {"weights_dir": made_weights, "offline": True})
    cache, watcher = tmp_path / "cache", Silent()
    pixels = open_pixels(config, cache)
    workshop = make_workshop(config, pixels, cache=cache, watcher=watcher)
    probe, scratch = arms = list(plan(config))
    preprocesses = [arm.preprocess for arm in arms]
    manifest = read_data(config, pixels, cache=cache, watcher=watcher, preprocesses=preprocesses)
    before = outlook(arms, manifest, workshop)
    assert before.basis == {"embed": {"assumed"}, "train": {"assumed"}}
    assert before.read == 0

    keeper = RateKeeper(workshop, manifest)
    for arm in arms:
        keeper.begin(arm)
        keeper.end(arm, run_arm(arm, manifest, workshop, tmp_path / arm.id, resamples=100))
    after = outlook(arms, manifest, workshop)
    assert after.basis == {"train": {"measured"}}
    assert after.seconds["embed"] == 0
    assert describe(after)[0].endswith("rates measured on this machine")
    speeds = pace(Rates(tmp_path / "cache"), workshop)
    assert speeds.embedding(probe).measured
    assert speeds.training(scratch).measured


def test_short_runs_teach_nothing(phantom_folder: Path, made_weights: Path, tmp_path: Path) -> None:
    values = {"data": phantom_folder, "backbones": "resnet18", "recipes": "probe", "seeds": 1, "size": 32}
    config = make_config(values | {"weights_dir": made_weights, "offline": True, "epochs": 1, "resamples": 100})
    cache, watcher = tmp_path / "cache", Silent()
    pixels = open_pixels(config, cache)
    workshop = make_workshop(config, pixels, cache=cache, watcher=watcher)
    (arm,) = plan(config)
    manifest = read_data(config, pixels, cache=cache, watcher=watcher)
    keeper = RateKeeper(workshop, manifest)
    keeper.begin(arm)
    keeper.end(arm, run_arm(arm, manifest, workshop, tmp_path / arm.id, resamples=100))
    assert not (tmp_path / "cache" / "rates.json").exists()
