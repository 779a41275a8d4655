"""A comparison through its conductor: made photographs against phantoms, with a made network."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xenograft.data.ingest import ingest
from xenograft.errors import DataError, LabelError, UsageError
from xenograft.similarity.embedding import map_by_pca
from xenograft.storage import write_csv
from xenograft.study import runs, similarity_measures
from xenograft.study import similarity as conductor
from xenograft.study.config import make_config
from xenograft.study.run import open_pixels
from xenograft.study.similarity import COLUMNS, flat, run_similarity
from xenograft.study.similarity_plan import SimilarityPlan
from xenograft.study.similarity_sets import (
    SETS,
    ImageSet,
    joint_groups,
    noise_like,
    read_sets,
    sample_patients,
    shown_rows,
    skips,
    write_sheet,
)
from xenograft.study.watch import Silent

from .similarity_places import check_record, photos

PLAN = ("limit", "seed", "random", "after", "train_limit", "split")


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Few halvings, and no t-SNE, whose thousand steps are most of the time of a small comparison."""
    with pytest.MonkeyPatch.context() as patch:
        for name, count in (("HALVINGS", 40), ("HALVES", 2), ("PROBED", 2)):
            patch.setattr(similarity_measures, name, count)
        patch.setattr(conductor, "map_by_tsne", lambda one, other, *, seed: map_by_pca(one, other))  # noqa: PLW0108
        yield


@pytest.fixture(scope="module")
def natural(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("natural") / "photos")


@pytest.fixture(scope="module")
def run_in(natural: Path, phantom_folder: Path, made_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    cache = tmp_path_factory.mktemp("cache")

    def made(folder: Path, **given: Any) -> dict[str, Any]:
        plan = {key: given.pop(key) for key in PLAN if key in given}
        place, medical = given.pop("natural", natural), given.pop("data", phantom_folder)
        values = {
            "backbones": "resnet18", "size": 32, "resamples": 100, "weights_dir": made_weights, "offline": True,
        }  # fmt: skip
        config = make_config({**values, "data": medical, **given})
        asked = SimilarityPlan(place, config, **{"limit": 24, "random": 0, **plan})
        return run_similarity(asked, folder, cache=cache, watcher=Silent(), command="x")

    return made


@pytest.fixture
def run(run_in: Any, tmp_path: Path) -> Any:
    return lambda **given: run_in(tmp_path / "out", **given)


@pytest.fixture
def sets(natural: Path, phantom_folder: Path, tmp_path: Path) -> Any:
    """Reads and samples, without any network."""

    def made(**given: Any) -> dict[str, ImageSet]:
        plan = {key: given.pop(key) for key in PLAN if key in given}
        place, medical = given.pop("natural", natural), given.pop("data", phantom_folder)
        asked = SimilarityPlan(place, make_config({"data": medical, **given}), **plan)
        pixels = open_pixels(asked.config, tmp_path / "cache")
        found = read_sets(asked, pixels, cache=tmp_path / "cache", watcher=Silent(), preprocesses=[])
        return dict(zip(SETS, found, strict=True))

    return made


@pytest.fixture(scope="module")
def plain(run_in: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The record of photographs against phantoms, and its folder."""
    folder = tmp_path_factory.mktemp("plain") / "out"
    return run_in(folder, random=1), folder


def test_the_record_follows_its_shape_and_the_table_holds_every_number(plain: Any) -> None:
    record, folder = plain
    check_record(json.loads(json.dumps(record, allow_nan=False)))
    assert [subject["id"] for subject in record["subjects"]] == ["resnet18-imagenet", "resnet18-random-seed0"]
    assert [stage["width"] for stage in record["subjects"][0]["stages"]] == [64, 64, 128, 256, 512]
    assert record["natural"]["images"] == 40
    assert record["natural"]["used"] <= 24
    assert record["medical"]["synthetic"]
    assert any("used as luminance" in notice for notice in record["natural"]["notices"])
    with (folder / "similarity.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.reader(table))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) - 1 == len(list(flat(record))) == 2 * 5 * 7 * 5 + 5 * 2 + 2 * 2 * 2
    subject = record["subjects"][1]
    value = subject["stages"][1]["measures"]["ratio"]["natural_medical"]["value"]
    wanted = ["resnet18-random-seed0", subject["stages"][1]["name"], "ratio", "natural_medical"]
    assert [float(row[4]) for row in rows if row[:4] == wanted] == [pytest.approx(value)]
    assert not list(folder.glob("*.json"))  # the verb writes it, last


def test_the_same_call_gives_the_same_numbers_and_another_seed_another_sample(plain: Any, run: Any, sets: Any) -> None:
    first, again, other = plain[0], run(), sets(limit=24, seed=1)
    assert first["subjects"][0] == again["subjects"][0]
    for name in ("natural", "medical", "noise"):
        assert first[name] == again[name]
    assert first["natural"]["manifest_sha256"] != other["natural"].used.sha256


def test_photographs_and_phantoms_are_further_apart_than_halves_are(plain: Any) -> None:
    ratio = plain[0]["subjects"][0]["stages"][-1]["measures"]["ratio"]
    assert ratio["natural_medical"]["low"] > max(ratio[f"{n}_{n}"]["high"] for n in ("natural", "medical"))


@pytest.mark.parametrize(("split", "taken"), [(None, "test"), ("train", "train"), ("all", "all")])
def test_only_test_images_are_measured_where_the_data_name_them(
    sets: Any, phantom_folder: Path, split: str | None, taken: str
) -> None:
    used = sets(split=split)["medical"].used
    sizes = ingest(phantom_folder, labelled=False).sizes()
    assert len(used) == (120 if taken == "all" else sizes[taken]["images"])
    assert set(used.column("split")) == ({"train", "test"} if taken == "all" else {taken})


def test_inputs_are_left_as_they_are(sets: Any, natural: Path, phantom_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for folder in (natural, phantom_folder) for path in folder.rglob("*")}
    sets()
    assert before == {p: p.stat().st_mtime_ns for folder in (natural, phantom_folder) for p in folder.rglob("*")}


def test_the_same_folder_twice_is_said_to_be_a_yardstick(run: Any, natural: Path) -> None:
    record = run(data=natural, limit=40)
    (text,) = [notice for notice in record["medical"]["notices"] if notice.startswith("W-DATA-45")]
    assert "all 40 images are the same in both sets" in text
    measures = record["subjects"][0]["stages"][-1]["measures"]
    assert measures["ratio"]["natural_medical"]["value"] < 1.05
    assert measures["two_sample_auroc"]["natural_medical"]["value"] < 0.7


def test_images_in_both_sets_are_counted(sets: Any, natural: Path, tmp_path: Path) -> None:
    other = photos(tmp_path / "other", 30, seed=5)
    for name in sorted(path.name for path in natural.iterdir())[:3]:
        shutil.copy(natural / name, other / f"copy-{name}")
    for images in sets(data=other).values():
        assert any("3 images lie in both sets" in str(notice) for notice in images.notices)


def test_skipped_files_are_counted_and_listed(sets: Any, tmp_path: Path) -> None:
    deep = photos(tmp_path / "deep", 30, depth=2)
    (deep / "f0/broken.jpg").write_bytes(b"x")
    found = sets(natural=deep, max_skip=0.1)
    assert found["natural"].facts("s.jpg")["skipped"] == 1
    assert [row[:3] for row in skips(found)] == [("natural", "f0/broken.jpg", "S-FILE-04")]


def test_colour_is_kept_where_it_is_asked_for(plain: Any, run: Any, tmp_path: Path) -> None:
    gray, colour = plain[0], run(colour=True)
    assert not any("W-FILE-21" in notice for notice in colour["natural"]["notices"])
    ratios = [r["subjects"][0]["stages"][0]["measures"]["ratio"]["natural_medical"]["value"] for r in (gray, colour)]
    assert ratios[0] != ratios[1]
    with Image.open(tmp_path / "out/thumbnails-natural.jpg") as sheet:
        assert sheet.mode == "RGB"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, Any]]:
    seen: list[tuple[Any, Any, Any]] = []
    real = runs.train_arm

    def spy(arm: Any, train: Any, val: Any, *more: Any, **given: Any) -> Any:
        seen.append((arm, train, val))
        return real(arm, train, val, *more, **given)

    monkeypatch.setattr(runs, "train_arm", spy)
    return seen


def test_training_changes_features_of_images_that_no_network_saw(run: Any, trained: Any, phantom_folder: Path) -> None:
    record = run(after=True, recipes="partial", seeds=2, epochs=1, train_limit=20)
    check_record(json.loads(json.dumps(record, allow_nan=False)))
    assert [(c["recipe"], c["seed"]) for c in record["changes"]] == [("partial", 0), ("partial", 1)]
    before = {stage["name"]: stage for stage in record["subjects"][0]["stages"]}
    for change, (arm, train, val) in zip(record["changes"], trained, strict=True):
        assert (change["recipe"], change["seed"]) == (arm.recipe.name, arm.seed)
        assert set(train.column("split")) == {"train"}
        assert set(val.column("split")) == {"val"}
        assert change["training"]["patients"] == len(set(train.patients)) <= 20
        assert change["training"]["epochs"] == 1
        for stage in change["stages"]:
            found = stage["measures"]["ratio"]
            assert found["before"] == pytest.approx(
                before[stage["name"]]["measures"]["ratio"]["natural_medical"]["value"]
            )
            assert found["difference"]["value"] == pytest.approx(found["after"] - found["before"])
    assert trained[0][1].sha256 != trained[1][1].sha256  # a draw for every seed
    first, last = (record["changes"][0]["stages"][at] for at in (0, -1))
    assert first["cka"]["medical"]["value"] == pytest.approx(1)  # partial leaves the first stages as they are
    assert last["cka"]["medical"]["value"] < 0.999999
    assert all(entry["difference"]["value"] == pytest.approx(0) for entry in first["measures"].values())
    test = set(ingest(phantom_folder).subset("test").column("sha256"))
    assert not test & {content for _, *parts in trained for part in parts for content in part.column("sha256")}


def test_every_recipe_is_trained_with_every_seed(natural: Path) -> None:
    config = make_config({"data": natural, "backbones": "resnet18,resnet50", "recipes": "full,partial", "seeds": 2})
    asked = SimilarityPlan(natural, config, after=True, random=2)
    assert [arm.spec.name for arm in asked.arms()] == ["resnet18", "resnet50"]
    first = asked.arms()[0]
    assert [(arm.recipe.name, arm.seed) for arm in asked.trained_arms(first)] == [
        ("full", 0), ("full", 1), ("partial", 0), ("partial", 1),
    ]  # fmt: skip
    assert [(arm.recipe.pretrained, arm.seed) for arm in asked.random_arms(first)] == [(False, 0), (False, 1)]


def test_without_labels_nothing_is_trained(run: Any, natural: Path) -> None:
    with pytest.raises(DataError, match="no images in class folders") as raised:
        run(data=natural, after=True, recipes="full", seeds=1, epochs=1)
    assert raised.value.code == "E-DATA-07"
    folder = photos(natural.parent / "one" / "class")
    with pytest.raises(LabelError, match="two classes or more"):
        run(data=folder.parent, after=True, recipes="full", seeds=1, epochs=1)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"limit": 5}, "limit is 5; a whole number of at least 20"),
        ({"random": -1}, "random is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"split": "half"}, "split 'half'"),
        ({"train_limit": 5}, "name its recipes"),
        ({"epochs": 1}, "name its recipes"),
        ({"val": 0.3, "split_seed": 4}, "val, split_seed: this is said to --after"),
        ({"test": 0.3}, "test: this is"),
        ({"allow_leak": True}, "allow_leak: this is"),
        ({"positive": "x"}, "positive: this is"),
        ({"precision": "bf16"}, "precision: this is"),
        ({"after": True, "recipes": "probe,full"}, "--after probe: only recipes that change pretrained features"),
        ({"after": True, "recipes": "scratch"}, "--after scratch"),
        ({"after": True, "recipes": "full", "split": "all"}, "only the test split holds images"),
        ({"after": True, "recipes": "full", "folds": 3}, "no folds"),
    ],
)
def test_what_cannot_be_asked_for(run: Any, given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as raised:
        run(**given)
    assert raised.value.code == "E-USAGE-32"


def test_too_few_images_or_patients_are_one_line(sets: Any, natural: Path, tmp_path: Path) -> None:
    few = photos(tmp_path / "few", 8)
    with pytest.raises(DataError, match="natural images: 8 of 8 patients were found and 8 of 8 taken") as raised:
        sets(natural=few)
    assert raised.value.code == "E-DATA-44"
    with pytest.raises(DataError, match="medical images: 40 of 4 patients"):
        sets(data=natural, patient_regex=r"n0{6}(\d)")
    with pytest.raises(UsageError, match="no image in it"):
        sets(data=natural, split="val")


def test_a_folder_of_something_else_is_left_alone(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(UsageError):
        run()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_patients_are_taken_whole_up_to_the_limit(phantom_folder: Path) -> None:
    manifest = ingest(phantom_folder, labelled=False)
    seen = set()
    for seed in range(5):
        taken = sample_patients(manifest, 40, rng=np.random.default_rng(seed), name="medical")
        seen.add(taken.sha256)
        groups = manifest.column("group")
        assert len(taken) == sum(groups.count(group) for group in set(taken.column("group"))) <= 40
        assert len(taken) >= 36
    assert len(seen) == 5
    assert len(sample_patients(manifest, 500, rng=np.random.default_rng(0), name="medical")) == 120


def test_patients_of_two_sets_are_never_one_unless_their_pixels_are(phantom_folder: Path) -> None:
    manifest = ingest(phantom_folder, labelled=False)
    one, other = manifest.subset("train"), manifest.subset("test")
    groups = joint_groups(one, other, 7)
    assert not set(groups["natural"]) & set(groups["medical"])
    assert len(set(groups["noise"]) - set(groups["natural"]) - set(groups["medical"])) == 7
    same = joint_groups(one, one, 3)
    assert same["natural"].tolist() == same["medical"].tolist()


def test_noise_has_the_moments_of_the_images_and_is_the_same_every_time() -> None:
    images = np.random.default_rng(0).integers(60, 160, (8, 1, 32, 32), dtype=np.uint8)
    noise = noise_like(images, 20, seed=3)
    assert noise.shape == (20, 1, 32, 32)
    assert noise.dtype == np.uint8
    assert noise.mean() == pytest.approx(images.mean(), abs=0.6)
    assert noise.std() == pytest.approx(images.std(), abs=0.6)
    assert np.array_equal(noise, noise_like(images, 20, seed=3))
    assert not np.array_equal(noise, noise_like(images, 20, seed=4))
    assert len(np.unique(noise.reshape(20, -1), axis=0)) == 20


def test_a_sheet_shows_its_images_in_order(tmp_path: Path) -> None:
    images = np.stack([np.full((1, 64, 64), 10 * number, dtype=np.uint8) for number in range(23)])
    with Image.open(io.BytesIO(write_sheet(tmp_path / "s.jpg", images).read_bytes())) as sheet:
        pixels = np.asarray(sheet.convert("L"))
    assert pixels.shape == (96, 960)
    for number in range(23):
        y, x = 48 * (number // 20) + 24, 48 * (number % 20) + 24
        assert int(pixels[y, x]) == pytest.approx(10 * number, abs=2)
    assert pixels[90, 900] == pytest.approx(255, abs=2)


def test_a_map_shows_three_hundred_images_at_most() -> None:
    assert shown_rows(10).tolist() == list(range(10))
    rows = shown_rows(1000)
    assert len(rows) == 300
    assert (rows[0], rows[-1]) == (0, 999)


def test_a_table_names_patients(sets: Any, tmp_path: Path, natural: Path) -> None:
    rows = [(path.name, k % 2, k // 2) for k, path in enumerate(sorted(natural.iterdir()))]
    write_csv(tmp_path / "t.csv", ("path", "label", "patient"), rows)
    facts = sets(data=tmp_path / "t.csv", images=natural, limit=39)["medical"].facts("s.jpg")
    assert facts["patients_known"]
    assert facts["used"] == 38  # two images a patient
    assert facts["patients"] == 19


def test_an_interrupted_training_goes_on(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Any
) -> None:
    folder = tmp_path / "out" / conductor.CHECKPOINTS
    asked = {"after": True, "recipes": "partial", "epochs": 1, "train_limit": 20}
    real = similarity_measures.Ruler.change

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(similarity_measures.Ruler, "change", stop)
    with pytest.raises(KeyboardInterrupt):
        run(seeds=1, **asked)
    (kept,) = folder.iterdir()
    written = kept.stat().st_mtime_ns
    seen = []
    monkeypatch.setattr(
        similarity_measures.Ruler, "change", lambda *given: (seen.append(kept.stat().st_mtime_ns), real(*given))[1]
    )
    record = run(seeds=1, **asked)
    assert set(seen) == {written}  # the finished epoch was not trained again
    assert record["changes"][0]["training"]["epochs"] == 1
    assert not folder.exists()


def test_patients_with_too_many_images_for_halves_are_one_line(sets: Any, tmp_path: Path, natural: Path) -> None:
    other = photos(tmp_path / "other", 120, seed=9)
    with pytest.raises(DataError, match=r"medical images: 120 of 12 patients, the largest of which, .*, has 10; ") as e:
        sets(data=other, patient_regex=r"n0{5,6}(\d+)\d\.")
    assert e.value.code == "E-DATA-44"
