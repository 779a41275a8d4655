"""A learning curve through its conductor, on phantoms with a made network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score

from xenograft.errors import DataError, UsageError
from xenograft.study import runs
from xenograft.study.arm import Arm
from xenograft.study.config import make_config
from xenograft.study.learning import run_learning
from xenograft.study.learning_plan import LearningPlan
from xenograft.study.learning_points import Points
from xenograft.study.run import plan
from xenograft.study.watch import Silent


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def asked(phantom_folder: Path, made_weights: Path) -> LearningPlan:
    return LearningPlan(config(phantom_folder, made_weights), sizes=(8, 14, 24, 37))


def config(folder: Path, weights: Path, **settings: Any) -> Any:
    values = {
        "backbones": "resnet18", "recipes": "probe", "seeds": 2, "epochs": 2, "size": 32, "resamples": 100,
        "weights_dir": weights, "offline": True,
    }  # fmt: skip
    return make_config(values | {"data": folder} | settings)


def run(asked: LearningPlan, folder: Path, cache: Path) -> dict[str, Any]:
    return run_learning(asked, folder, cache=cache, watcher=Silent(), command="x")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Arm, Any, Any]]:
    """(arm, train, val) of every training that took place."""
    seen: list[tuple[Arm, Any, Any]] = []
    real = runs.train_arm

    def spy(arm: Arm, train: Any, val: Any, workshop: Any, **more: Any) -> Any:
        seen.append((arm, train, val))
        return real(arm, train, val, workshop, **more)

    monkeypatch.setattr(runs, "train_arm", spy)
    return seen


def test_a_record_holds_every_point_and_is_json(asked: LearningPlan, tmp_path: Path, cache: Path) -> None:
    record = run(asked, tmp_path / "lc", cache)
    json.dumps(record, allow_nan=False)
    (curve,) = record["curves"]
    assert [point["size"] for point in curve["points"]] == [8, 14, 24, 37]
    for point in curve["points"]:
        assert len(point["values"]) == 2
        assert point["low"] <= point["value"] <= point["high"]
    assert curve["law"]["doubling"]["from"] == 37
    assert [entry["target"] for entry in curve["targets"]] == [0.9, 0.95]
    assert [row["patients"] for row in record["subsets"]] == pytest.approx([8, 14, 24, 37], abs=1)
    assert record["catch_up"] == []


def test_the_values_are_those_of_the_scores_on_disk(
    asked: LearningPlan, tmp_path: Path, cache: Path, phantom_folder: Path
) -> None:
    from xenograft.data.ingest import ingest

    record = run(asked, tmp_path, cache)
    test = ingest(phantom_folder).subset("test")
    common = json.loads(next((tmp_path / "points").glob("*.json")).read_text())["common"]
    points = Points(tmp_path, common)
    for facts in points.every():
        point = next(p for p in record["curves"][0]["points"] if p["size"] == facts["size"])
        area = roc_auc_score(test.labels, points.scores(facts)[:, 1])
        assert point["values"][facts["repeat"]] == pytest.approx(area)


def test_no_test_image_is_seen_by_training(asked: LearningPlan, tmp_path: Path, cache: Path, trained: Any) -> None:
    run(asked, tmp_path, cache)
    assert len(trained) == 8
    for _, train, val in trained:
        assert set(train.column("split")) == {"train"}
        assert set(val.column("split")) == {"val"}


def test_recipes_share_their_subsets_and_join_one_folder(
    asked: LearningPlan, tmp_path: Path, cache: Path, trained: Any
) -> None:
    run(asked, tmp_path, cache)
    probe = {(arm.seed, len(train)): train.sha256 for arm, train, _ in trained}
    trained.clear()
    control = replace(asked, config=replace(asked.config, recipes=("random",), seeds=1), sizes=(8, 14))
    record = run(control, tmp_path, cache)
    assert [arm.recipe.name for arm, _, _ in trained] == ["random", "random"]
    for arm, train, _ in trained:
        assert probe[arm.seed, len(train)] == train.sha256
    assert [(c["recipe"], len(c["points"])) for c in record["curves"]] == [("probe", 4), ("random", 2)]
    (pair,) = record["catch_up"]
    assert [row["size"] for row in pair["needs"]] == [8, 14, 24, 37]
    assert [row["size"] for row in pair["saves"]] == [8, 14]
    assert record["curves"][1]["law"] is None


def test_a_network_that_is_really_trained_leaves_no_checkpoint(
    asked: LearningPlan, tmp_path: Path, cache: Path
) -> None:
    scratch = replace(asked.config, recipes=("scratch",), seeds=1, epochs=1)
    record = run(replace(asked, config=scratch, sizes=(8,)), tmp_path, cache)
    assert record["curves"][0]["points"][0]["steps"] == 1
    assert sorted(path.suffix for path in (tmp_path / "points").iterdir()) == [".json", ".npy"]


def test_finished_points_are_kept_and_an_interruption_loses_one_at_most(
    asked: LearningPlan, tmp_path: Path, cache: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Points.make, []

    def stopped(self: Points, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Points, "make", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(asked, tmp_path, cache)
    assert len(trained) == 3
    whole = run(asked, tmp_path, cache)
    assert len(trained) == 8
    again = run(asked, tmp_path, cache)
    assert len(trained) == 8
    assert again["curves"] == whole["curves"]


def test_other_settings_and_other_weights_are_refused(
    asked: LearningPlan, tmp_path: Path, cache: Path, trained: Any
) -> None:
    run(asked, tmp_path, cache)
    for other in (replace(asked, config=replace(asked.config, epochs=3)), replace(asked, least_steps=9)):
        with pytest.raises(DataError, match="other data, weights or settings") as caught:
            run(other, tmp_path, cache)
        assert caught.value.code == "E-DATA-11"
    path = next((tmp_path / "points").glob("*.json"))
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"fingerprint": "of other weights"}))
    with pytest.raises(DataError, match="remove that point"):
        run(asked, tmp_path, cache)
    assert len(trained) == 8


@pytest.mark.parametrize("damage", [b"", b"junk"])
def test_damaged_scores_are_found(asked: LearningPlan, tmp_path: Path, cache: Path, damage: bytes) -> None:
    run(asked, tmp_path, cache)
    path = next((tmp_path / "points").glob("*.npy"))
    path.write_bytes(damage)
    with pytest.raises(DataError, match=r"remove .*\.json to make this point again"):
        run(asked, tmp_path, cache)


def test_least_steps_train_small_sizes_longer(asked: LearningPlan, tmp_path: Path, cache: Path, trained: Any) -> None:
    record = run(replace(asked, least_steps=6), tmp_path, cache)
    points = record["curves"][0]["points"]
    assert all(point["steps"] >= 6 for point in points)
    assert {arm.recipe.epochs for arm, train, _ in trained if len(train) <= 64} == {6}
    assert record["conduct"]["least_steps"] == 6


def test_the_same_call_gives_the_same_values(asked: LearningPlan, tmp_path: Path, cache: Path) -> None:
    first, second = (run(asked, tmp_path / name, cache) for name in "ab")
    assert first["curves"][0]["points"][0]["values"] == second["curves"][0]["points"][0]["values"]
    assert first["curves"][0]["law"] == second["curves"][0]["law"]


@pytest.mark.parametrize(
    "changes",
    [{"sizes": (0,)}, {"sizes": (2.5,)}, {"targets": (0.5,)}, {"targets": (1.0,)}, {"least_steps": 0}],
)
def test_what_cannot_be_asked_is_refused(asked: LearningPlan, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(asked, **changes)
    with pytest.raises(UsageError, match="no folds"):
        replace(asked, config=replace(asked.config, lr_scales=(1.0, 0.1)))


def test_a_refused_call_leaves_no_folder(asked: LearningPlan, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError):
        run(replace(asked, sizes=(5000,)), tmp_path / "new", cache)
    assert not (tmp_path / "new").exists()


def test_small_sizes_open_their_stages_after_the_same_share_of_training(asked: LearningPlan) -> None:
    made = replace(asked, config=replace(asked.config, recipes=("gradual",), epochs=4), least_steps=12)
    arm = next(iter(plan(made.config)))
    subset = SimpleNamespace(train=range(20))
    longer = made.arm(arm, subset).recipe  # type: ignore[arg-type]
    assert (longer.epochs, longer.unfreeze_every) == (12, 3)


def test_what_cannot_be_trained_is_refused_first(asked: LearningPlan, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError) as refused:
        run(replace(asked, config=replace(asked.config, recipes=("lora",))), tmp_path / "new", cache)
    assert refused.value.code == "E-USAGE-27"
    assert not (tmp_path / "new").exists()
