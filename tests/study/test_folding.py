"""Cross-validation by patient: what each fold holds, and what no fold may do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.data.manifest import SCHEMA, Manifest
from xenograft.errors import LabelError, UsageError
from xenograft.study.folding import facts, folded, keeps_test

CLASSES = ("normal", "ill")
BLANK = {"string": "", "int64": 0, "bool": False}


def manifest(
    labels: list[str], groups: list[int], splits: list[str] | None = None, *, several: bool = False
) -> Manifest:
    count = len(labels)
    columns = {
        "id": [f"i{k:03}" for k in range(count)],
        "path": [f"{k:03}.png" for k in range(count)],
        "label": labels,
        "split": splits or ["train"] * count,
        "patient": [f"p{group:03}" for group in groups],
        "group": groups,
    }
    filled = {field.name: columns.get(field.name, [BLANK[str(field.type)]] * count) for field in SCHEMA}
    table = pa.table({field.name: pa.array(filled[field.name], field.type) for field in SCHEMA}, schema=SCHEMA)
    return Manifest(Path(), "made", CLASSES, table, "", "", test_given=splits is not None, multi_label=several)


def simple(patients: int = 12, splits: bool = False) -> Manifest:
    """Two images a patient, patients of both classes in turn; the last four are test where splits are given."""
    groups = [k // 2 for k in range(2 * patients)]
    names = ["test" if g >= patients - 4 else ("val" if g < 2 else "train") for g in groups] if splits else None
    return manifest([CLASSES[g % 2] for g in groups], groups, names)


def splits_of(part: Manifest) -> np.ndarray:
    return np.array(part.column("split"))


def groups_of(part: Manifest, split: str) -> set[int]:
    return {g for g, s in zip(part.column("group"), part.column("split"), strict=True) if s == split}


@pytest.mark.parametrize("k", [3, 4, 6])
def test_every_image_is_tested_once_and_validates_once(k: int) -> None:
    whole = simple()
    parts = folded(whole, k)
    assert len(parts) == k
    for split in ("test", "val"):
        times = np.sum([splits_of(part) == split for part in parts], axis=0)
        assert times.tolist() == [1] * len(whole)
    assert all(set(splits_of(part)) == {"train", "val", "test"} for part in parts)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_test_split_that_was_given_is_that_of_every_fold(k: int) -> None:
    whole = simple(splits=True)
    given_test = splits_of(whole) == "test"
    parts = folded(whole, k)
    for part in parts:
        assert np.array_equal(splits_of(part) == "test", given_test)
    times = np.sum([splits_of(part) == "val" for part in parts], axis=0)
    assert np.array_equal(times, np.where(given_test, 0, 1))


@pytest.mark.parametrize("splits", [False, True])
def test_folds_are_the_same_images_in_other_splits(splits: bool) -> None:
    whole = simple(20, splits=splits)
    parts = folded(whole, 3)
    for part in parts:
        assert part.table.drop_columns("split") == whole.table.drop_columns("split")
        assert (part.classes, part.test_given) == (whole.classes, whole.test_given)
    assert len({part.sha256 for part in parts}) == 3
    assert [part.split_rule for part in parts] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    again, other = folded(whole, 3), folded(whole, 3, seed=1)
    assert [part.sha256 for part in again] == [part.sha256 for part in parts]
    assert [part.sha256 for part in other] != [part.sha256 for part in parts]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), k=st.integers(3, 5), patients=st.integers(10, 30), given_test=st.booleans(),
    several=st.booleans(),
)  # fmt: skip
def test_no_group_is_ever_cut(seed: int, k: int, patients: int, given_test: bool, several: bool) -> None:
    """Groups of one to six images, of one class or both, in any order."""
    rng = np.random.default_rng(seed)
    groups = np.r_[np.arange(patients), rng.integers(0, patients, 2 * patients)]
    labels = np.where(rng.random(groups.size) < 0.1, 1 - groups % 2, groups % 2)
    order = rng.permutation(groups.size)
    groups, labels = groups[order], labels[order]
    splits = np.where(rng.random(patients) < 0.25, "test", "train")[groups].tolist() if given_test else None
    texts = rng.choice(["", "ill", "normal|ill"], groups.size) if several else np.array(CLASSES)[labels]
    whole = manifest(texts.tolist(), groups.tolist(), splits, several=several)
    free = np.array(whole.column("split")) != "test" if given_test else np.full(groups.size, True)
    deals = [groups[free]] if several else [groups[free & (labels == c)] for c in np.unique(labels[free])]
    if min(len(set(deal)) for deal in deals) < k:
        with pytest.raises(LabelError, match="E-LABEL-12"):
            folded(whole, k)
        return
    parts = folded(whole, k)
    for part in parts:
        held = [groups_of(part, split) for split in ("train", "val", "test")]
        assert sum(map(len, held)) == len(set.union(*held)) == len(set(groups))
    validated = Counter(g for part in parts for g in groups_of(part, "val"))
    assert set(validated.values()) == {1}


def test_classes_are_spread_evenly() -> None:
    groups = list(range(60))
    whole = manifest([CLASSES[g % 3 == 0] for g in groups], groups)
    for part in folded(whole, 4):
        assert {split: int((part.labels[part.where(split)] == 1).sum()) for split in ("val", "test")} == {
            "val": 5, "test": 5,
        }  # fmt: skip


@pytest.mark.parametrize(("splits", "k"), [(False, 2), (True, 1)])
def test_too_few_folds(splits: bool, k: int) -> None:
    with pytest.raises(UsageError, match=r"E-USAGE-11 .*folds is"):
        folded(simple(splits=splits), k)


@pytest.mark.parametrize("splits", [False, True])
def test_l12_a_class_with_fewer_patients_than_folds(splits: bool) -> None:
    """Twelve patients have six of each class; eight without the test split have four."""
    with pytest.raises(LabelError, match=r"E-LABEL-12 .*class normal has [46] patients, 7 folds"):
        folded(simple(splits=splits), 7)


@pytest.mark.parametrize("splits", [False, True])
def test_facts_say_what_was_done(splits: bool) -> None:
    whole = simple(splits=splits)
    assert keeps_test(whole) is splits
    found = facts(whole, folded(whole, 3))
    assert (found["folds"], found["test"]) == (3, "fixed" if splits else "rotating")
    assert found["rule"].startswith("3 folds by patient, stratified by class, over")
    assert [set(sizes) for sizes in found["sizes"]] == [{"train", "val", "test"}] * 3
    assert all(sum(s["images"] for s in sizes.values()) == 24 for sizes in found["sizes"])
    assert sum(sizes["test"]["patients"] for sizes in found["sizes"]) == 12
