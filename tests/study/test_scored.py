"""Tables of predictions from any program: what is read, joined, left out and refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xenograft.errors import XenograftError
from xenograft.study.record import Predictions, write_predictions
from xenograft.study.score_sheet import Sheet
from xenograft.study.scored import Scored, named_apart, read_scored

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
    assert Sheet.read(source).has_split("val")
    assert not Sheet.read(source).has_split("train")


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
    "finding cell": ("E-LABEL-24", ["id", "a", "b", "p_a", "p_b"], [("x", "maybe", 0, 0.9, 0.8)]),
    "finding without truth": ("E-LABEL-07", ["id", "a", "p_a", "p_b"], [("x", 1, 0.9, 0.8)]),
    "finding without score": ("E-LABEL-18", ["id", "label", "p_a", "p_b"], [("x", "a|c", 0.9, 0.8)]),
    "finding and none": ("E-LABEL-24", ["id", "label", "p_a", "p_b"], [("x", "a|No Finding", 0.9, 0.8)]),
    "unknown findings": ("E-LABEL-10", ["id", "a", "b", "p_a", "p_b"], [("x", "", "", 0.9, 0.8)]),
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


FINDINGS = [("a", 1, 0, 0.9, 0.8), ("b", "", 1, 0.2, 0.7), ("c", "", "", 0.2, 0.1), ("d", 0, 0, 0.3, 0.4)]


@pytest.mark.parametrize("prefix", ["", "label_"])
def test_findings_with_a_column_each(prefix: str, tmp_path: Path) -> None:
    head = ["id", f"{prefix}Mass", f"{prefix}Effusion", "p_Mass", "p_effusion"]
    found = read_scored(table(tmp_path / "f.csv", head, FINDINGS))
    assert found.multi_label
    assert found.classes == ("Mass", "effusion")
    assert found.labels.tolist() == [[1, 0], [-1, 1], [0, 0]]  # of c nothing is known
    assert [n.code for n in found.notices] == ["W-DATA-38", "W-LABEL-21"]
    assert np.allclose(found.probabilities, [[0.9, 0.8], [0.2, 0.7], [0.3, 0.4]])  # need not sum to one
    assert found.counts == {"Mass": 1, "effusion": 1}
    assert found.known == {"Mass": 2, "effusion": 3}


def test_findings_as_names_in_one_cell(tmp_path: Path) -> None:
    rows = [
        ("a", "Mass|Effusion", 0.9, 0.8),
        ("b", "No Finding", 0.2, 0.7),
        ("c", "effusion|?Mass", 0.2, 0.1),
        ("d", "", 0, 0),
    ]
    found = read_scored(table(tmp_path / "f.csv", ["id", "label", "p_Mass", "p_Effusion"], rows))
    assert found.labels.tolist() == [[1, 1], [0, 0], [-1, 1]]
    assert found.ids == ("a", "b", "c")
    single = [("a", "Mass", 0.9, 0.8), ("b", "No Finding", 0.2, 0.7)]  # never two at once, and yet findings
    assert read_scored(table(tmp_path / "g.csv", ["id", "label", "p_Mass", "p_Effusion"], single)).multi_label


def test_findings_from_a_table_of_labels_with_thresholds_of_their_own(tmp_path: Path) -> None:
    head = ["path", "prediction", "p_Mass", "p_Effusion", "threshold_Mass", "threshold_Effusion", "error"]
    rows = [(r[0], "", r[3], r[4], 0.4, 0.6, "") for r in FINDINGS]
    labels = table(
        tmp_path / "l.csv", ["id", "Effusion", "Mass", "patient"], [(r[0], r[2], r[1], "p") for r in FINDINGS]
    )
    found = read_scored(table(tmp_path / "p.csv", head, rows), labels=labels)
    assert found.labels.tolist() == [[1, 0], [-1, 1], [0, 0]]
    assert found.threshold == (0.4, 0.6)
    assert found.patients_known


def test_one_finding_is_two_classes_on_the_images_where_it_is_known(tmp_path: Path) -> None:
    source = table(tmp_path / "f.csv", ["id", "Mass", "Effusion", "p_Mass", "p_Effusion"], FINDINGS)
    one = read_scored(source, finding="mass")
    assert (one.binary, one.classes, one.ids) == (True, ("no Mass", "Mass"), ("a", "d"))
    assert one.labels.tolist() == [1, 0]
    assert np.allclose(one.probabilities, [[0.1, 0.9], [0.7, 0.3]])
    assert read_scored(source).only([1]).classes == ("Effusion",)
    alone = table(tmp_path / "o.csv", ["id", "Mass", "p_Mass"], [r[:2] + r[3:4] for r in FINDINGS])
    assert read_scored(alone).binary
    for options in ({"finding": "Hernia"}, {"positive": "Mass"}):
        with pytest.raises(XenograftError, match="E-USAGE-24"):
            read_scored(source, **options)
    with pytest.raises(XenograftError, match="E-USAGE-24"):
        read_scored(
            table(tmp_path / "c.csv", ["path", "label", "score"], [(r[0], r[1], r[3]) for r in ROWS]), finding="Mass"
        )


def test_predictions_of_a_study_become_the_same_record(tmp_path: Path) -> None:
    """Parquet of our own runs, read as a table and taken from the record."""
    labels = np.array([[1, -1], [0, 1], [1, 0]])
    made = Predictions(
        ids=np.array(["a", "b", "c"]), split="test", labels=labels, patients=np.array(["p", "p", "q"]),
        probabilities=np.array([[0.9, 0.1], [0.2, 0.3], [0.5, 0.5]]),
    )  # fmt: skip
    run = tmp_path / "study" / "runs" / "one"
    run.mkdir(parents=True)
    (tmp_path / "study" / "study.json").write_text('{"classes": ["Mass", "Effusion"]}')
    write_predictions(run / "predictions.parquet", {"test": made})
    read = read_scored(run / "predictions.parquet")
    taken = Scored.of_predictions("one", ["Mass", "Effusion"], made)
    for table_ in (read, taken):
        assert table_.classes == ("Mass", "Effusion")
        assert table_.labels.tolist() == labels.tolist()
        assert np.allclose(table_.probabilities, made.probabilities)
        assert table_.patients.tolist() == ["p", "p", "q"]
