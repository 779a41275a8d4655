"""Sizes and subsets of a learning curve: nested, by patient, the validation part in its share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from xenograft.data.label_sets import encode
from xenograft.data.manifest import SCHEMA, Manifest
from xenograft.errors import UsageError
from xenograft.study.learning_subsets import default_sizes, make_subsets


def manifest(counts: Sequence[tuple[int, int, int]], *, findings: bool = False) -> Manifest:
    """Two images a patient; (train, val, test) patients of each class. With findings, class k has finding k, 0 none."""
    classes = [f"c{k}" for k in range(len(counts))]
    rows, number = [], 0
    for k, of_split in enumerate(counts):
        for split, count in zip(("train", "val", "test"), of_split, strict=True):
            for _ in range(count):
                number += 1
                for image in range(2):
                    label = classes[k]
                    if findings:
                        label = encode([int(j == k) for j in range(1, len(counts))], classes[1:])
                    rows.append((f"{number}-{image}", label, split, f"p{number}", number))
    columns = {
        "id": [r[0] for r in rows], "path": [r[0] for r in rows], "label": [r[1] for r in rows],
        "split": [r[2] for r in rows], "patient": [r[3] for r in rows], "group": [r[4] for r in rows],
        "sha256": [r[0] for r in rows],
    }  # fmt: skip
    for field in SCHEMA:
        filler = "" if field.type == pa.string() else False if field.type == pa.bool_() else 0
        columns.setdefault(field.name, [filler] * len(rows))
    table = pa.table({field.name: pa.array(columns[field.name], field.type) for field in SCHEMA})
    return Manifest(Path(), "made", tuple(classes[1:] if findings else classes), table, "", "", multi_label=findings)


def test_sizes_double_from_ten_patients_of_every_class_to_all() -> None:
    subsets = make_subsets(manifest([(600, 90, 50), (200, 30, 50)]), repeats=3)
    assert subsets.sizes[-1] == subsets.whole == 800
    assert 37 <= subsets.sizes[0] <= 43
    ratios = np.array(subsets.sizes[1:]) / subsets.sizes[:-1]
    assert (ratios > 1.5).all()
    assert (ratios < 2.6).all()
    for repeat in range(3):
        labels = subsets.at(subsets.sizes[0], repeat).train.labels
        assert np.bincount(labels).min() >= 20  # two images a patient


def test_a_rare_class_does_not_push_the_start_to_the_end() -> None:
    subsets = make_subsets(manifest([(780, 90, 50), (20, 10, 50)]), repeats=2)
    assert subsets.sizes[0] == math.ceil(800 / 8)


@pytest.mark.parametrize(("start", "whole"), [(30, 3133), (2, 9), (9, 10), (10, 10), (5, 100_000), (100, 150)])
def test_default_sizes_increase_and_end_with_everybody(start: int, whole: int) -> None:
    sizes = default_sizes(start, whole)
    assert sizes[-1] == whole
    assert sizes[0] == min(start, whole)
    assert list(sizes) == sorted(set(sizes))
    assert len(sizes) <= 10


def test_subsets_are_nested_by_patient_and_differ_between_repeats() -> None:
    subsets = make_subsets(manifest([(300, 60, 20), (100, 20, 20)]), sizes=(20, 50, 400), repeats=2)
    for repeat in range(2):
        small, medium, whole = (set(subsets.at(n, repeat).train.column("id")) for n in (20, 50, 400))
        assert small < medium < whole
        assert len(small) == 40
    assert subsets.at(20, 0).train.sha256 != subsets.at(20, 1).train.sha256
    assert set(subsets.at(400, 0).train.column("id")) == set(subsets.at(400, 1).train.column("id"))


def test_validation_keeps_its_share_and_a_minimum() -> None:
    subsets = make_subsets(manifest([(300, 60, 20), (100, 20, 20)]), sizes=(10, 100, 400), repeats=2)
    sizes = [len(set(subsets.at(n, 0).val.column("patient"))) for n in (10, 100, 400)]
    assert sizes == [subsets.least_val, 20, 80]
    assert subsets.least_val > 2  # 2 would be its share
    for repeat in range(2):
        assert np.bincount(subsets.at(10, repeat).val.labels).min() >= 4
    assert set(subsets.at(10, 0).val.column("id")) < set(subsets.at(100, 0).val.column("id"))


def test_no_test_image_is_in_any_subset() -> None:
    subsets = make_subsets(manifest([(30, 6, 20), (10, 4, 20)]), repeats=2)
    for size in subsets.sizes:
        chosen = subsets.at(size, 0)
        assert set(chosen.train.column("split")) == {"train"}
        assert set(chosen.val.column("split")) == {"val"}


@pytest.mark.parametrize(("size", "said"), [(41, "more than the 40"), (2, "2 of every class")])
def test_sizes_that_cannot_be_had_are_refused(size: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_subsets(manifest([(30, 6, 20), (10, 4, 20)]), sizes=(20, size), repeats=2)


def test_findings_are_dealt_by_the_rarest() -> None:
    made = manifest([(300, 60, 20), (100, 20, 20), (40, 20, 20)], findings=True)
    subsets = make_subsets(made, repeats=3)
    for repeat in range(3):
        labels = subsets.at(subsets.sizes[0], repeat).train.labels
        assert (labels == 1).sum(axis=0).min() >= 4
        held = subsets.at(subsets.sizes[0], repeat).val.labels
        assert ((held == 1).any(axis=0) & (held == 0).any(axis=0)).all()
