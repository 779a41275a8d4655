"""Tables of predictions from any program: what is read, joined, left out and refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xenograft.errors import XenograftError
from xenograft.study.scored import named_apart, names_split, read_scored

ROWS = [
    ("a.png", "ill", "p1", 0.9),
    ("b.png", "normal", "p2", 0.2),
    ("c.png", "ill", "p3", 0.6),
    ("d.png", "normal", "p2", 0.4),
]


def table(path: Path, head: list[str], rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return table(tmp_path / "one.csv", ["path", "label", "patient", "score"], ROWS)


def test_one_score_is_of_the_positive_class(one: Path) -> None:
    found = read_scored(one)
    assert found.classes == ("normal", "ill")
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert np.allclose(found.probabilities[:, 1], [0.9, 0.2, 0.6, 0.4])
    assert found.patients.tolist() == ["p1", "p2", "p3", "p2"]
    assert found.patients_known
    assert found.notices == ()


def test_the_positive_class_can_be_named(tmp_path: Path) -> None:
    rows = [(f"{k}.png", "AB"[k % 2], 0.3) for k in range(4)]
    source = table(tmp_path / "t.csv", ["id", "target", "prob"], rows)
    assert read_scored(source, positive="A").classes == ("B", "A")
    guessed = read_scored(source)
    assert guessed.classes == ("A", "B")
    assert "W-LABEL-23" in [n.code for n in guessed.notices]
    with pytest.raises(XenograftError, match="E-USAGE-07"):
        read_scored(source, positive="C")


def test_a_column_for_each_class_and_our_own_predictions(tmp_path: Path) -> None:
    head = ["path", "prediction", "p_normal", "p_ill", "threshold", "error"]
    rows = [(f"new/{r[0]}", "x", 1 - r[3], r[3], 0.55, "") for r in ROWS]
    rows.append(("new/e.png", "", "", "", 0.55, "S-FILE-01 is empty"))
    labels = table(tmp_path / "labels.csv", ["path", "label", "patient"], [r[:3] for r in ROWS])
    found = read_scored(table(tmp_path / "p.csv", head, rows), labels=labels)
    assert found.classes == ("normal", "ill")
    assert found.threshold == 0.55
    assert [n.code for n in found.notices] == ["W-DATA-38", "W-LABEL-29"]  # an answer is missing; joined by names
    assert found.ids[0] == "new/a.png"
    turned = read_scored(tmp_path / "p.csv", labels=labels, positive="normal")
    assert turned.classes == ("ill", "normal")
    assert np.allclose(turned.probabilities, found.probabilities[:, ::-1])


def test_nothing_found_comes_first_whatever_the_order_of_columns(tmp_path: Path) -> None:
    rows = [(r[0], r[1], r[3], 1 - r[3]) for r in ROWS]
    found = read_scored(table(tmp_path / "o.csv", ["id", "label", "p_ill", "p_normal"], rows))
    assert found.classes == ("normal", "ill")
    assert np.allclose(found.probabilities[:, 1], [0.9, 0.2, 0.6, 0.4])


def test_the_split_that_is_meant(tmp_path: Path) -> None:
    rows = [(r[0], r[1], r[3], "val" if k < 2 else "test") for k, r in enumerate(ROWS * 1)]
    source = table(tmp_path / "s.csv", ["id", "label", "score", "split"], rows)
    assert read_scored(source).ids == ("c.png", "d.png")
    assert read_scored(source, split="val").ids == ("a.png", "b.png")
    assert names_split(source, "val")
    assert not names_split(source, "train")


def test_without_patients_it_is_said(tmp_path: Path) -> None:
    found = read_scored(table(tmp_path / "n.csv", ["id", "label", "score"], [(r[0], r[1], r[3]) for r in ROWS]))
    assert not found.patients_known
    assert [n.code for n in found.notices] == ["W-LABEL-21"]
    assert len(set(found.patients)) == 4


def test_numbers_of_classes_as_labels(tmp_path: Path) -> None:
    rows = [(f"{k}", str(k % 3), *np.eye(3)[k % 3]) for k in range(6)]
    found = read_scored(table(tmp_path / "k.csv", ["id", "label", "p_a", "p_b", "p_c"], rows))
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]


BROKEN: dict[str, tuple[str, list[str], list[Any]]] = {
    "no image": ("E-LABEL-07", ["label", "score"], [("ill", 0.1)]),
    "no score": ("E-LABEL-07", ["id", "label"], [("a", "ill")]),
    "no truth": ("E-LABEL-07", ["id", "score"], [("a", 0.5)]),
    "twice": ("E-LABEL-03", ["id", "label", "score"], [("a", "ill", 0.1), ("a", "ill", 0.1)]),
    "logit": ("E-DATA-37", ["id", "label", "score"], [("a", "ill", 2.5), ("b", "normal", 0.1)]),
    "text": ("E-DATA-37", ["id", "label", "score"], [("a", "ill", "high"), ("b", "normal", 0.1)]),
    "nan": ("E-DATA-37", ["id", "label", "score"], [("a", "ill", "nan"), ("b", "normal", 0.1)]),
    "sum": ("E-DATA-37", ["id", "label", "p_x", "p_y"], [("a", "x", 0.7, 0.7)]),
    "one class": ("E-LABEL-10", ["id", "label", "score"], [("a", "ill", 0.1), ("b", "ill", 0.2)]),
    "foreign class": ("E-LABEL-18", ["id", "label", "p_x", "p_y"], [("a", "z", 0.5, 0.5)]),
    "findings": ("E-DATA-37", ["id", "label_0", "label_1", "p_0", "p_1"], [("a", 1, 0, 0.9, 0.8)]),
    "nothing": ("E-LABEL-02", ["id", "label", "score"], []),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_evaluated_is_one_line(case: str, tmp_path: Path) -> None:
    code, head, rows = BROKEN[case]
    with pytest.raises(XenograftError, match=code) as caught:
        read_scored(table(tmp_path / "b.csv", head, rows))
    assert "\n" not in str(caught.value)


def test_l18_labels_that_do_not_match(one: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "labels.csv", ["path", "label"], [("a.png", "ill"), ("b.png", "normal")])
    with pytest.raises(XenograftError, match=r"E-LABEL-18 .*2 of 4"):
        read_scored(one, labels=labels)


def test_l18_tables_of_other_images_or_labels(one: Path, tmp_path: Path) -> None:
    fewer = table(tmp_path / "fewer.csv", ["path", "label", "patient", "score"], ROWS[:3])
    other = table(
        tmp_path / "other.csv", ["path", "label", "patient", "score"], [("a.png", "normal", "p1", 0.9), *ROWS[1:]]
    )
    for path in (fewer, other):
        with pytest.raises(XenograftError, match="E-LABEL-18"):
            read_scored(path).in_order_of(read_scored(one))
    shuffled = table(tmp_path / "shuffled.csv", ["path", "label", "patient", "score"], ROWS[::-1])
    assert read_scored(shuffled).in_order_of(read_scored(one)).ids == read_scored(one).ids


def test_files_called_alike_are_told_apart(tmp_path: Path) -> None:
    places = [
        table(tmp_path / run / "p.csv", ["id", "label", "score"], [(r[0], r[1], r[3]) for r in ROWS]) for run in "xy"
    ]
    tables = named_apart([read_scored(place) for place in places], places)
    assert [t.name for t in tables] == ["x", "y"]


def test_tables_of_a_study_take_their_names_from_its_record(tmp_path: Path) -> None:
    run = tmp_path / "study" / "runs" / "one"
    run.mkdir(parents=True)
    (tmp_path / "study" / "study.json").write_text('{"classes": ["normal", "ill"]}')
    rows = [(r[0], int(r[1] == "ill"), 1 - r[3], r[3]) for r in ROWS]
    found = read_scored(table(run / "predictions.csv", ["id", "label", "p_0", "p_1"], rows))
    assert found.classes == ("normal", "ill")
    assert found.labels.tolist() == [1, 0, 1, 0]
