"""A ranking through its verb, on phantoms with made networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import shufflenet_v2_x1_0

from xenograft.api import fit
from xenograft.backbones import catalog
from xenograft.data.ingest import ingest
from xenograft.errors import DataError, UsageError, WeightsError
from xenograft.ranking import RankingResult, rank
from xenograft.storage import read_json, write_json
from xenograft.study import ranking_plan
from xenograft.study.ranking_images import ranking_images
from xenograft.study.ranking_reason import reason

NAMES = "resnet18,shufflenet_v2_x1_0"
TIMES = ("created", "seconds", "command", "config")


class Lines:
    """A watcher that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def total(self, units: float) -> None: ...

    def begin(self, text: str, units: float) -> None: ...

    def advance(self, units: float) -> None: ...

    def end(self, text: str) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def weights(made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    shutil.copy(made_weights / "resnet18.imagenet1k.safetensors", folder)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        save_file(shufflenet_v2_x1_0().state_dict(), folder / "shufflenet_v2_x1_0.imagenet1k.safetensors")
    return folder


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A catalog of three, one of which has no weights here."""
    names = (*NAMES.split(","), "resnet50")
    monkeypatch.setattr(ranking_plan, "CATALOG", {name: catalog.CATALOG[name] for name in names})
    return


def ranked(data: Path, weights: Path, output: Path, **settings: Any) -> RankingResult:
    values = {"weights_dir": weights, "offline": True, "size": 32, "resamples": 6, "backbones": NAMES}
    return rank(data, output=output, **{**values, **settings})


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what differs from call to call."""
    rows = [{k: v for k, v in row.items() if k not in {"seconds", "embedded"}} for row in record["candidates"]]
    return {key: value for key, value in record.items() if key not in TIMES} | {"candidates": rows}


def test_a_record_ranks_and_compares(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    result = ranked(phantom_folder, weights, tmp_path / "r")
    record = read_json(result.json)
    assert record == json.loads(json.dumps(result.record))
    best, other = record["candidates"]
    assert best["value"] >= other["value"]
    assert best["behind"] is None
    assert best["tied"]
    assert other["behind"]["value"] == pytest.approx(best["value"] - other["value"])
    assert other["tied"] == (other["behind"]["low"] <= 0)
    for row in record["candidates"]:
        assert row["low"] <= row["value"] <= row["high"] <= 1
        assert row["basis"] in {"measured", "estimated", "assumed"}
        assert row["scores"]["leep"]["value"] is None
        assert row["scores"]["leep"]["why"]
        assert row["scores"]["logme"]["value"] is not None
    assert any(row["pareto"] for row in record["candidates"])
    assert result.page.is_file()
    assert result.table.is_file()
    assert result.figure.is_file()
    assert result.because == reason(record)


def test_the_same_call_gives_the_same_record(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    first, second = (ranked(phantom_folder, weights, tmp_path / name).record for name in "ab")
    assert lasting(first) == lasting(second)


def test_test_labels_change_nothing(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    first = ranked(phantom_folder, weights, tmp_path / "a").record
    other = tmp_path / phantom_folder.name
    shutil.copytree(phantom_folder, other)
    classes = sorted((other / "test").iterdir())
    files = [sorted(folder.iterdir()) for folder in classes]
    for here, there in ((files[0], classes[1]), (files[1], classes[0])):
        for path in here:
            path.rename(there / path.name)
    assert not np.array_equal(ingest(other).subset("test").labels, ingest(phantom_folder).subset("test").labels)
    assert lasting(ranked(other, weights, tmp_path / "b").record) == lasting(first)


def test_no_test_image_is_embedded(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    manifest = ingest(phantom_folder)
    record = ranked(phantom_folder, weights, tmp_path / "r", cache_dir=tmp_path / "cache", backbones="resnet18").record
    assert record["candidates"][0]["embedded"] == len(manifest) - len(manifest.subset("test"))
    assert set(record["data"]["sizes"]) == {"train", "val"}


def test_a_limit_keeps_patients_whole_and_classes_in_proportion(phantom_folder: Path) -> None:
    manifest = ingest(phantom_folder)
    pool, some = ranking_images(manifest, limit=0), ranking_images(manifest, limit=40)
    assert set(pool.column("split")) == {"train", "val"}
    assert 30 < len(some) <= 40
    assert abs(some.labels.mean() - pool.labels.mean()) < 0.15
    left = set(pool.column("id")) - set(some.column("id"))
    kept = dict(zip(pool.column("id"), pool.column("patient"), strict=True))
    assert not {kept[image] for image in left} & set(some.column("patient"))
    assert ranking_images(manifest, limit=40).sha256 == some.sha256


def test_one_candidate_is_said_to_be_alone(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    result = ranked(phantom_folder, weights, tmp_path / "r", backbones="resnet18")
    assert result.backbone == "resnet18"
    assert "the only candidate" in result.because
    assert "nothing to compare it with" in result.page.read_text()


@pytest.mark.usefixtures("two")
def test_candidates_are_those_with_weights_and_the_others_are_listed(
    phantom_folder: Path, weights: Path, tmp_path: Path
) -> None:
    record = ranked(phantom_folder, weights, tmp_path / "r", backbones=None).record
    assert {row["backbone"] for row in record["candidates"]} == set(NAMES.split(","))
    (left,) = record["left_out"]
    assert left["backbone"] == "resnet50"
    assert "resnet50.imagenet1k.safetensors" in left["why"]


@pytest.mark.usefixtures("two")
def test_no_weights_at_all(phantom_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(WeightsError, match="E-MODEL-20 no weights"):
        ranked(phantom_folder, tmp_path / "none", tmp_path / "r", backbones=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "logistic_aurok"}, "did you mean 'logistic_auroc'"),
        ({"score": "leep"}, "ImageNet classes"),
        ({"limit": 5}, "from 20 on"),
        ({"resamples": 1}, "at least 2"),
        ({"epochs": 3}, "takes no epochs"),
        ({"scroe": "logme"}, "unknown key"),
    ],
)
def test_what_cannot_be_used_is_said(
    phantom_folder: Path, weights: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ranked(phantom_folder, weights, tmp_path / "r", **settings)


def test_several_findings_are_refused(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    images = sorted((phantom_folder / "train").rglob("*.png"))[:40]
    rows = [f"{path.relative_to(phantom_folder)},{k % 2},{k % 3 == 0:d},p{k}" for k, path in enumerate(images)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,nodule,effusion,patient", *rows]))
    with pytest.raises(UsageError, match=r"E-USAGE-35 .*several findings .* --label-column"):
        ranked(
            table, weights, tmp_path / "r", images=phantom_folder,
            label_column="nodule,effusion", patient_column="patient",
        )  # fmt: skip


def test_another_folder_is_left_alone(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a ranking"):
        ranked(phantom_folder, weights, tmp_path)


@pytest.mark.usefixtures("two")
def test_fit_takes_the_quickest_that_cannot_be_told_apart_and_stays_with_it(
    phantom_folder: Path, weights: Path, tmp_path: Path
) -> None:
    settings = {"weights_dir": weights, "offline": True, "size": 32, "epochs": 1, "resamples": 100}
    lines = Lines()
    made = fit(phantom_folder, output=tmp_path / "m", backbone="auto", watcher=lines, **settings)
    record = read_json(tmp_path / "m-ranking" / "ranking.json")
    rows = {row["backbone"]: row for row in record["candidates"]}
    tied = record["choice"]["tied"]
    assert made.bundle.facts.backbone == max(tied, key=lambda name: rows[name]["images_per_second"])
    assert made.bundle.facts.chosen_because == reason(record)
    assert reason(record) in lines.said
    assert "Backbone: " in (tmp_path / "m" / "MODEL_CARD.md").read_text()
    # another machine would find other rates; a fit that began stays with what it chose
    other = next(name for name in rows if name != made.bundle.facts.backbone)
    kept = dict(record["choice"])
    again = fit(phantom_folder, output=tmp_path / "m", backbone="auto", **settings)
    assert len(again.study.runs) == 1
    assert read_json(tmp_path / "m-ranking" / "ranking.json") == record
    assert again.bundle.facts.backbone == kept["backbone"] != other


@pytest.mark.usefixtures("two")
def test_fit_chooses_of_those_that_the_settings_allow(
    phantom_folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(spec: catalog.BackboneSpec, size: int) -> None:
        if spec.name in refused:
            raise UsageError(f"{spec.name} takes no images of {size} px", code="E-USAGE-05")

    monkeypatch.setattr("xenograft.study.ranking_usable.check_size", refuse)
    settings = {"weights_dir": weights, "offline": True, "size": 32, "epochs": 1, "resamples": 100}
    refused = {"shufflenet_v2_x1_0"}
    made = fit(phantom_folder, output=tmp_path / "m", backbone="auto", **settings)
    assert made.bundle.facts.backbone == "resnet18"
    left = read_json(tmp_path / "m-ranking" / "ranking.json")["left_out"]
    assert {row["backbone"]: row["why"] for row in left}["shufflenet_v2_x1_0"].endswith("takes no images of 32 px")
    with pytest.raises(UsageError, match="shufflenet_v2_x1_0 takes no images"):  # it was asked for
        ranked(phantom_folder, weights, tmp_path / "r")
    refused |= {"resnet18"}
    with pytest.raises(UsageError, match="E-USAGE-05"):
        ranked(phantom_folder, weights, tmp_path / "none", backbones=None)


@pytest.mark.usefixtures("two")
def test_a_recipe_that_no_candidate_takes_ends_before_features(
    phantom_folder: Path, weights: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(UsageError, match=r"E-USAGE-27 .* no attention"):
        fit(phantom_folder, output=tmp_path / "m", backbone="auto", recipe="lora", weights_dir=weights, offline=True,
            size=32, cache_dir=cache)  # fmt: skip
    assert not (cache / "features").exists()
    assert not (tmp_path / "m-ranking" / "ranking.json").exists()


@pytest.mark.parametrize("recipe", ["scratch", "random"])
def test_auto_is_refused_where_imagenet_weights_play_no_part(tmp_path: Path, recipe: str) -> None:
    with pytest.raises(UsageError, match=f"E-USAGE-14 .*recipe {recipe} does not use"):
        fit(tmp_path, output=tmp_path / "m", backbone="auto", recipe=recipe)


def test_a_record_tells_neither_places_nor_test_images(phantom_folder: Path, weights: Path, tmp_path: Path) -> None:
    data = tmp_path / phantom_folder.name
    shutil.copytree(phantom_folder, data)
    train = sorted((data / "train").rglob("*.png"))
    there = sorted((data / "test" / train[0].parent.name).glob("*.png"))[0]
    shutil.copy(train[0], there)
    record = ranked(
        data, weights, tmp_path / "r", cache_dir=tmp_path / "c", allow_leak=True, backbones="resnet18"
    ).record
    assert not {"data", "images", "weights_dir", "cache_dir"} & record["config"].keys()
    assert record["config"]["size"] == 32
    assert str(tmp_path) not in json.dumps(record)
    notices = json.dumps(record["data"]["notices"])
    assert "W-LABEL-15" in notices
    assert "a test image" in notices
    assert f"test/{there.parent.name}/{there.name}" not in notices


def test_a_bundle_from_before_the_choice_is_still_read() -> None:
    from dataclasses import fields

    from xenograft.bundle import BundleFacts

    (field,) = [f for f in fields(BundleFacts) if f.name == "chosen_because"]
    assert field.default == ""


def test_a_damaged_ranking_beside_a_fit_is_said(tmp_path: Path) -> None:
    from xenograft.choosing import choose_backbone
    from xenograft.study.config import make_config
    from xenograft.study.watch import Silent

    write_json(tmp_path / "ranking.json", {"choice": {"backbone": "resnet18"}})
    with pytest.raises(DataError, match="another version"):
        choose_backbone(make_config({"data": "x"}), tmp_path, cache=tmp_path, watcher=Silent(), command="", again=True)
