"""What the model is asked about, in which order, how little is held at once, and what the record says."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from xenograft.data.batches import PixelSource
from xenograft.data.ingest import ingest
from xenograft.data.manifest import Manifest
from xenograft.data.perturbations import PERTURBATIONS, perturbed
from xenograft.data.preprocess import Preprocess
from xenograft.errors import UsageError
from xenograft.evaluation.robustness import robustness_card
from xenograft.study.robustness import BATCH, check_changes, measure_robustness, sample_patients


@pytest.fixture(scope="module")
def whole(phantom_folder: Path) -> Manifest:
    return ingest(phantom_folder)


@pytest.fixture(scope="module")
def test(whole: Manifest) -> Manifest:
    return whole.subset("test")


class Looking:
    """A model that answers with the brightness of an image, and remembers what it was given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(self, batches: Iterable[np.ndarray]) -> np.ndarray:
        rows = []
        for batch in batches:
            assert batch.dtype == np.uint8
            self.sizes.append(len(batch))
            self.shapes.add(batch.shape[1:])
            share = batch.reshape(len(batch), -1).mean(axis=1) / 255
            rows.append(np.stack([1 - share, share], axis=1))
        return np.concatenate(rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_answers_stand_beside_the_image_change_and_level_they_belong_to(test: Manifest, channels: Any) -> None:
    pixels, model = PixelSource(Preprocess(size=32, channels=channels)), Looking()
    record = measure_robustness(model, test, pixels, changes=["noise", "blur"], threshold=0.5, resamples=100)
    images = pixels.everything(test)
    clean, changed = Looking()([images]), {}
    for name in ("blur", "noise"):
        for level in range(1, 6):
            planes = [
                perturbed(np.ascontiguousarray(image.transpose(1, 2, 0)).squeeze(), name, level, content=content)
                for image, content in zip(images, test.column("sha256"), strict=True)
            ]
            stack = np.stack(planes).reshape(len(test), 32, 32, channels).transpose(0, 3, 1, 2)
            changed[name, level] = Looking()([stack])
    expected = robustness_card(
        test.labels, clean, changed, test.patients, threshold=0.5, resamples=100,
        rng=np.random.default_rng([0, len(test)]),
    )  # fmt: skip
    assert record["clean"] == expected["clean"]
    for got, wanted in zip(record["changes"], expected["changes"], strict=True):
        assert {k: got[k] for k in ("name", "first")} == {k: wanted[k] for k in ("name", "first")}
        for row, other in zip(got["levels"], wanted["levels"], strict=True):
            assert {k: row[k] for k in other} == other
    assert model.shapes == {(channels, 32, 32)}
    assert max(model.sizes) == BATCH
    assert record["passes"] == sum(model.sizes) == 11 * len(test)


def test_the_record_is_json_and_names_units(test: Manifest) -> None:
    pixels = PixelSource(Preprocess(size=32))
    record = measure_robustness(Looking(), test, pixels, changes=["jpeg"], threshold=0.5, resamples=100)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    (change,) = record["changes"]
    assert change["measure"] == PERTURBATIONS["jpeg"].measure
    assert tuple(row["strength"] for row in change["levels"]) == PERTURBATIONS["jpeg"].strengths
    assert (record["task"], record["side"], record["sampled_from"]) == ("binary", 32, None)
    assert record["patients_known"] is test.patients_known


def test_the_example_shows_what_the_model_saw(test: Manifest) -> None:
    pixels = PixelSource(Preprocess(size=32))
    record = measure_robustness(Looking(), test, pixels, changes=["brightness"], threshold=0.5, resamples=100)
    example = record["example"]
    column = record["classes"].index(example["class"])
    for picture in (example["clean"], *example["changes"]["brightness"]):
        data = base64.b64decode(picture["picture"].removeprefix("data:image/jpeg;base64,"))
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert image.shape == (32, 32)
        share = image.mean() / 255
        assert picture["probability"] == pytest.approx(share if column else 1 - share, abs=0.02)


def test_batches_are_drawn_as_the_model_needs_them_and_progress_reaches_the_end(test: Manifest) -> None:
    seen: list[tuple[int, int]] = []
    ahead: list[int] = []

    class Slow(Looking):
        def __call__(self, batches: Iterable[np.ndarray]) -> np.ndarray:
            def watched() -> Iterable[np.ndarray]:
                for number, batch in enumerate(batches):
                    ahead.append(number - len(self.sizes))
                    yield batch

            return super().__call__(watched())

    measure_robustness(
        Slow(), test, PixelSource(Preprocess(size=32)), changes=["crop"], threshold=0.5, resamples=100,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert set(ahead) == {0}
    total = 6 * len(test)
    assert [t for _, t in seen] == [total] * len(seen)
    assert seen[-1][0] == total
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_the_same_seed_gives_the_same_record(test: Manifest) -> None:
    def once(threads: int) -> dict[str, Any]:
        pixels = PixelSource(Preprocess(size=32), threads=threads)
        found = measure_robustness(Looking(), test, pixels, changes=["noise"], threshold=0.5, resamples=100, limit=12)
        return {k: v for k, v in found.items() if k != "seconds"}

    assert once(1) == once(3)


def test_several_classes_and_findings(test: Manifest) -> None:
    pixels = PixelSource(Preprocess(size=32))
    three = replace(test, classes=(*test.classes, "third"))

    def of_three(batches: Iterable[np.ndarray]) -> np.ndarray:
        found = Looking()(batches)
        return np.concatenate([0.8 * found, np.full((len(found), 1), 0.2)], axis=1)

    record = measure_robustness(of_three, three, pixels, changes=["blur"], resamples=100)
    assert record["task"] == "multiclass"
    assert record["clean"]["auroc"]["value"] is None  # no image of the third class
    assert record["clean"]["accuracy"]["value"] is not None
    many = replace(test, multi_label=True)
    record = measure_robustness(Looking(), many, pixels, changes=["blur"], threshold=[0.5, 0.4], resamples=100)
    assert (record["task"], record["threshold"]) == ("multilabel", [0.5, 0.4])
    assert record["example"]["class"] in test.classes


def test_a_sample_takes_whole_patients_of_every_class(whole: Manifest) -> None:
    for limit in (2, 10, 40):
        some = sample_patients(whole, limit, seed=1)
        assert len(some) <= max(limit, 6)
        assert set(some.labels) == {0, 1}
        counts = {p: int((whole.patients == p).sum()) for p in some.patients}
        assert all((some.patients == p).sum() == n for p, n in counts.items())
    forty, share = sample_patients(whole, 40, seed=1), float(whole.labels.mean())
    assert float(forty.labels.mean()) == pytest.approx(share, abs=0.15)
    assert list(forty.column("id")) == list(sample_patients(whole, 40, seed=1).column("id"))
    assert list(forty.column("id")) != list(sample_patients(whole, 40, seed=2).column("id"))
    assert sample_patients(whole, len(whole), seed=1) is whole
    with pytest.raises(UsageError, match="limit is 1"):
        sample_patients(whole, 1, seed=1)


def test_changes_keep_the_order_of_the_list() -> None:
    assert check_changes(["noise", "brightness", "noise"]) == ("brightness", "noise")
    for wrong in (["fog"], []):
        with pytest.raises(UsageError, match="choose from brightness") as error:
            check_changes(wrong)
        assert error.value.code == "E-USAGE-06"
