"""Frozen arms share one stack of heads, and give what each would give alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from xenograft.backbones import catalog
from xenograft.data.ingest import ingest
from xenograft.data.label_sets import encode
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.study import frozen
from xenograft.study.arm import Arm, measure
from xenograft.study.frozen import FrozenArm, feature_key, head_data, siblings
from xenograft.train.recipes import lookup


class FakeExtractor:
    """Features that depend on image, view and seed; notes what is embedded and what is read."""

    def __init__(self) -> None:
        self.notices: list[Any] = []
        self.embedded: list[int] = []
        self.read: list[int] = []

    def embed(self, manifest: Manifest, *, augment: Any, view: int, seed: int) -> None:
        self.embedded.append(view)

    def features(self, manifest: Manifest, *, augment: Any = None, view: int = 0, seed: int = 0) -> np.ndarray:
        self.read.append(view)
        rows = [np.random.default_rng([int(h[:8], 16), view, seed]).normal(size=7) for h in manifest.column("sha256")]
        return (np.stack(rows) + manifest.labels[:, None]).astype(np.float32)


def arm(recipe: str = "probe", *, seed: int = 0, scale: float = 1.0, **changes: Any) -> Arm:
    row = replace(lookup(recipe), epochs=4, **changes).as_used().scaled(scale)
    return Arm(catalog.lookup("resnet18"), row, seed, scale, Preprocess(size=32))


def workshop(*arms: Arm) -> Any:
    extractor = FakeExtractor()
    facts = {"name": "fake", "precision": "f32", "device": "cpu"}
    return SimpleNamespace(
        extractor=lambda _: extractor, arms=arms, heads={}, fake=extractor, engine_facts=lambda: facts
    )


@pytest.fixture(scope="module")
def splits(phantom_folder: Path) -> tuple[Manifest, Manifest]:
    manifest = ingest(phantom_folder)
    return manifest.subset("train"), manifest.subset("val")


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many heads each stack had."""
    sizes: list[int] = []
    real = frozen.fit_stack
    monkeypatch.setattr(
        frozen, "fit_stack", lambda data, jobs, **more: sizes.append(len(jobs)) or real(data, jobs, **more)
    )
    return sizes


def test_arms_on_the_same_features_are_fitted_at_once(splits: Any, stacks: list[int]) -> None:
    arms = [arm(seed=seed, scale=scale) for scale in (1.0, 0.1) for seed in (0, 1)]
    shop = workshop(*arms)
    trained = [FrozenArm(each, *splits, shop) for each in arms]
    assert stacks == [4]
    assert shop.heads == {}
    assert len({each.timings["fit"] for each in trained}) == 1
    for each, found in zip(arms, trained, strict=True):
        alone = FrozenArm(each, *splits, workshop())
        np.testing.assert_array_equal(found.head.weight, alone.head.weight)
        np.testing.assert_array_equal(found.predict(splits[1]), alone.predict(splits[1]))


def test_arms_on_other_features_are_no_siblings() -> None:
    first = arm()
    others = [
        arm("random"),
        arm("logistic"),
        arm("full"),
        arm(views=2),
        replace(arm(seed=1), preprocess=Preprocess(size=64)),
        replace(arm(seed=1), spec=catalog.lookup("resnet50")),
    ]
    assert siblings(first, workshop(first, *others)) == []
    assert siblings(first, workshop(*others, arm(seed=5))) == [arm(seed=5)]


@pytest.mark.parametrize(("recipe", "views"), [("random", 0), ("probe", 2)])
def test_random_features_are_shared_within_a_seed_alone(recipe: str, views: int) -> None:
    first = arm(recipe, views=views)
    assert feature_key(first) == feature_key(arm(recipe, views=views, scale=0.1))
    assert feature_key(first) != feature_key(arm(recipe, views=views, seed=1))


def test_views_are_embedded_in_order_and_read_when_they_are_needed(splits: Any) -> None:
    extractor = FakeExtractor()
    data = head_data(arm(views=3), *splits, extractor)  # type: ignore[arg-type]
    assert extractor.embedded == [0, 1, 2]
    assert extractor.read == [0]  # validation
    assert len(data.train) == 3
    assert not np.array_equal(data.train[0], data.train[1])
    with pytest.raises(IndexError):
        data.train[3]


class FindingsExtractor(FakeExtractor):
    """Features in which the known findings show."""

    def features(self, manifest: Manifest, **_: Any) -> np.ndarray:
        rows = [np.random.default_rng(int(h[:8], 16)).normal(size=7) for h in manifest.column("sha256")]
        return (np.stack(rows) + 3 * np.pad(manifest.labels, ((0, 0), (0, 4)))).astype(np.float32)


def with_findings(manifest: Manifest, seed: int) -> Manifest:
    """Three findings by chance, a fifth of the labels unknown."""
    names = ("effusion", "mass", "nodule")
    values = np.random.default_rng(seed).choice([1, 0, -1], size=(len(manifest), 3), p=[0.3, 0.5, 0.2])
    texts = pa.array([encode(row, names) for row in values], pa.string())
    at = manifest.table.schema.get_field_index("label")
    table = manifest.table.set_column(at, manifest.table.schema.field(at), texts)
    return replace(manifest, table=table, classes=names, multi_label=True)


@pytest.mark.parametrize("recipe", ["probe", "logistic"])
def test_findings_get_a_row_of_the_head_each(splits: Any, recipe: str) -> None:
    train, val = (with_findings(each, seed) for seed, each in enumerate(splits))
    shop = workshop()
    shop.extractor = lambda _: FindingsExtractor()
    trained = FrozenArm(arm(recipe, head_lr=0.3) if recipe == "probe" else arm(recipe), train, val, shop)
    assert trained.tensors()["head.weight"].shape == (3, 7)
    probabilities = trained.predict(val)
    assert probabilities.shape == (len(val), 3)
    assert not np.allclose(probabilities.sum(axis=1), 1.0)
    assert measure(val.labels, probabilities)["auroc"] > 0.7


def test_a_head_that_diverged_later_says_so(splits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = frozen.fit_stack
    monkeypatch.setattr(
        frozen, "fit_stack", lambda *args, **more: [replace(head, stopped="in epoch 3") for head in real(*args, **more)]
    )
    assert [str(notice.code) for notice in FrozenArm(arm(), *splits, workshop()).notices] == ["W-PROC-15"]


def test_a_logistic_head_is_fitted_alone(splits: Any, stacks: list[int]) -> None:
    trained = FrozenArm(arm("logistic"), *splits, workshop(arm("logistic"), arm()))
    assert stacks == []
    assert trained.chosen["C"] > 0
    assert trained.timings["fit"] > 0
