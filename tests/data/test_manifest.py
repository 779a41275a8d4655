from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xenograft.data.manifest import SCHEMA, Manifest, Row


def row(k, label, split, patient):
    return Row(f"i{k}", f"{k}.png", label, split, patient, k, f"{k:064x}", f"{k + 100:064x}", 900, 30, 20, 8, "gray")


@pytest.fixture
def rows():
    return [
        row(0, "ill", "train", "p1"),
        row(1, "ill", "train", "p1"),
        row(2, "well", "test", "p2"),
        row(3, "ill", "test", "p3"),
    ]


@pytest.fixture
def manifest(rows):
    table = pa.Table.from_pylist([{f.name: getattr(r, f.name) for f in fields(Row)} for r in rows], schema=SCHEMA)
    return Manifest(Path("data"), "set", ("well", "ill"), table, "as given", "as given")


def test_the_table_has_the_columns_of_a_row():
    assert SCHEMA.names == [f.name for f in fields(Row)]


def test_rows_come_back_in_order(manifest, rows):
    assert list(manifest.rows()) == rows
    assert len(manifest) == 4


def test_labels_are_indices_into_the_classes(manifest):
    assert manifest.labels.tolist() == [1, 1, 0, 1]
    assert manifest.labels.dtype == np.int64
    assert replace(manifest, classes=("ill", "well")).labels.tolist() == [0, 0, 1, 0]


def test_patients(manifest):
    assert manifest.patients.tolist() == ["p1", "p1", "p2", "p3"]


def test_positions_of_a_split(manifest):
    assert manifest.where("test").tolist() == [2, 3]
    assert manifest.where("val").tolist() == []


def test_a_subset_has_its_own_labels(manifest):
    assert manifest.labels.tolist() == [1, 1, 0, 1]  # computed before, must not be carried over
    subset = manifest.subset("test")
    assert subset.column("id") == ["i2", "i3"]
    assert subset.labels.tolist() == [0, 1]
    assert subset.sha256 != manifest.sha256


def test_take_keeps_the_order_asked_for(manifest):
    assert manifest.take([3, 0, 3]).column("id") == ["i3", "i0", "i3"]


def test_an_empty_subset(manifest):
    empty = manifest.subset("val")
    assert (len(empty), list(empty.rows()), empty.counts()) == (0, [], {})
    assert empty.labels.tolist() == empty.patients.tolist() == empty.where("train").tolist() == []


def test_counts_by_split_and_class(manifest):
    assert manifest.counts() == {
        "train": {"well": {"images": 0, "patients": 0}, "ill": {"images": 2, "patients": 1}},
        "test": {"well": {"images": 1, "patients": 1}, "ill": {"images": 1, "patients": 1}},
    }


def test_the_hash_does_not_depend_on_the_place(manifest):
    assert replace(manifest, root=Path("elsewhere"), name="other").sha256 == manifest.sha256


@pytest.mark.parametrize("column", ["id", "label", "split", "patient", "sha256"])
def test_the_hash_depends_on_what_is_learnt_from(manifest, rows, column):
    values = manifest.column(column)
    values[0] = "ill" if values[0] == "well" else "well" if column == "label" else "changed"
    at = SCHEMA.get_field_index(column)
    changed = replace(manifest, table=manifest.table.set_column(at, SCHEMA.field(at), pa.array(values)))
    assert changed.sha256 != manifest.sha256


def test_the_hash_depends_on_the_order_of_the_classes(manifest):
    assert replace(manifest, classes=("ill", "well")).sha256 != manifest.sha256


# Several findings an image


@pytest.fixture
def several(rows):
    texts = ("Effusion|Mass", "", "?Mass", "Mass")
    changed = [replace(r, label=text) for r, text in zip(rows, texts, strict=True)]
    table = pa.Table.from_pylist([{f.name: getattr(r, f.name) for f in fields(Row)} for r in changed], schema=SCHEMA)
    return Manifest(Path("data"), "set", ("Effusion", "Mass"), table, "as given", "as given", multi_label=True)


def test_findings_are_a_table_of_present_absent_and_unknown(several):
    assert several.labels.tolist() == [[1, 1], [0, 0], [0, -1], [0, 1]]
    assert several.subset("test").labels.tolist() == [[0, -1], [0, 1]]
    assert several.subset("val").labels.shape == (0, 2)


def test_counts_of_findings_say_of_how_many_they_are_known(several):
    assert several.counts() == {
        "train": {
            "Effusion": {"images": 1, "patients": 1, "of": 2},
            "Mass": {"images": 1, "patients": 1, "of": 2},
        },
        "test": {"Effusion": {"images": 0, "patients": 0, "of": 2}, "Mass": {"images": 1, "patients": 1, "of": 1}},
    }


def test_sizes_count_images_and_patients_once(several, manifest):
    expected = {"train": {"images": 2, "patients": 1}, "test": {"images": 2, "patients": 2}}
    assert several.sizes() == manifest.sizes() == expected


def test_one_finding_as_two_classes(several):
    mass = several.for_label(1)
    assert (mass.classes, mass.multi_label) == (("no Mass", "Mass"), False)
    assert mass.column("id") == ["i0", "i1", "i3"]
    assert mass.labels.tolist() == [1, 0, 1]
    assert mass.counts()["train"]["no Mass"] == {"images": 1, "patients": 1}
    assert mass.table.schema == SCHEMA


def test_strata_of_classes_are_the_labels(manifest):
    assert manifest.strata.tolist() == manifest.labels.tolist()


def test_strata_of_findings_are_the_rarest_that_ten_patients_have():
    made = [replace(row(k, "Mass", "train", f"p{k}"), label="Effusion|Mass" if k % 2 else "Mass") for k in range(20)]
    made += [row(k, "", "train", f"p{k}") for k in range(20, 32)]
    table = pa.Table.from_pylist([{f.name: getattr(r, f.name) for f in fields(Row)} for r in made], schema=SCHEMA)
    manifest = Manifest(Path("data"), "set", ("Effusion", "Mass"), table, "", "", multi_label=True)
    assert manifest.strata.tolist() == [2, 1] * 10 + [0] * 12


def test_findings_kept_as_parquet_are_read_back(several, tmp_path):
    pq.write_table(several.table, tmp_path / "manifest.parquet")
    again = replace(several, table=pq.read_table(tmp_path / "manifest.parquet"))
    assert again.labels.tolist() == several.labels.tolist()
    assert again.sha256 == several.sha256
