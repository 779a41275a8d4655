"""Images that need no labels: flat, deep, split, beside class folders, in a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.unlabelled import UNLABELLED, unlabelled_listing
from xenograft.errors import DataError, XenograftError


def image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def images(folder: Path, names: list[str]) -> Path:
    for value, name in enumerate(names):
        image(folder / name, value)
    return folder


def paths(folder: Path) -> list[str]:
    return [row.path for row in unlabelled_listing(folder, IngestOptions(), None).rows]


def test_a_flat_folder_is_read_and_what_is_no_image_is_said(tmp_path: Path) -> None:
    images(tmp_path, ["b.png", "a.png"])
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    manifest = ingest(tmp_path, IngestOptions(max_skip=0.5), labelled=False)
    assert manifest.column("path") == ["a.png", "b.png"]
    assert manifest.column("split") == ["test", "test"]
    assert manifest.classes == (UNLABELLED,)
    assert not manifest.test_given
    assert not manifest.patients_known
    assert [(skip.path, skip.code) for skip in manifest.skipped] == [("broken.jpg", "S-FILE-04")]
    assert "W-DATA-08" in [notice.code for notice in manifest.notices]
    assert all(len(content) == 64 for content in manifest.column("sha256"))


def test_a_folder_of_any_depth_beside_images_outside_of_classes(tmp_path: Path) -> None:
    images(tmp_path, ["x.png", "a/y.png", "a/b/c/z.png"])
    assert paths(tmp_path) == ["x.png", "a/y.png", "a/b/c/z.png"]


def test_class_folders_keep_labels_splits_and_the_known_set(phantom_folder: Path) -> None:
    labelled, unlabelled = ingest(phantom_folder), ingest(phantom_folder, labelled=False)
    assert unlabelled.classes == labelled.classes
    assert unlabelled.synthetic
    assert unlabelled.test_given
    assert unlabelled.patients_known
    assert sorted(unlabelled.subset("test").column("id")) == sorted(labelled.subset("test").column("id"))
    assert unlabelled.subset("test").patients.tolist() == labelled.subset("test").patients.tolist()


def test_split_folders_without_classes_name_splits(tmp_path: Path) -> None:
    manifest = ingest(images(tmp_path, ["train/a.png", "Test/b.png", "val/c.png"]), labelled=False)
    assert dict(zip(manifest.column("path"), manifest.column("split"), strict=True)) == {
        "train/a.png": "train", "Test/b.png": "test", "val/c.png": "val",
    }  # fmt: skip
    images(tmp_path, ["outside.png"])
    assert set(ingest(tmp_path, labelled=False).column("split")) == {"test"}


def test_one_class_and_a_leak_are_no_fault_where_nothing_is_trained(tmp_path: Path) -> None:
    folder = images(tmp_path, ["train/one/a.png", "test/one/b.png"])
    shutil.copy(folder / "train/one/a.png", folder / "test/one/a.png")
    manifest = ingest(folder, labelled=False)
    assert len(manifest) == 3
    assert len(manifest.where("test")) == 2
    assert len(set(manifest.column("group"))) == 2


def test_patients_come_by_the_rule_that_is_given(tmp_path: Path) -> None:
    folder = images(tmp_path, ["p1_1.png", "p1_2.png", "p2_1.png"])
    manifest = ingest(folder, IngestOptions(patient_regex=r"(p\d)_"), labelled=False)
    assert manifest.patients_known
    assert manifest.patients.tolist() == ["p1", "p1", "p2"]


def test_a_table_is_read_as_ever(tmp_path: Path) -> None:
    images(tmp_path, ["a.png", "b.png"])
    table = tmp_path / "t.csv"
    table.write_text("path,label,patient\na.png,x,1\nb.png,x,2\n")
    assert ingest(table, labelled=False).patients.tolist() == ["1", "2"]


def test_an_export_with_a_dicomdir_is_a_folder_of_images(tmp_path: Path) -> None:
    images(tmp_path, ["P1/S1/im1.png"])
    (tmp_path / "DICOMDIR").write_bytes(b"x")
    assert paths(tmp_path) == ["P1/S1/im1.png"]


@pytest.mark.parametrize("name", [None, "notes.txt", "deep/er/notes.txt", ".hidden.png"])
def test_a_folder_without_images_is_one_line(tmp_path: Path, name: str | None) -> None:
    if name:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match="holds no image, at any depth") as raised:
        ingest(tmp_path, labelled=False)
    assert raised.value.code == "E-DATA-07"


def test_nothing_there_and_nothing_readable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing at"):
        ingest(tmp_path / "none", labelled=False)
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="1 of 1 images cannot be used") as raised:
        ingest(tmp_path, labelled=False)
    assert raised.value.code == "E-DATA-01"


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("path,patient\na.png,1\nb.png,2\n", (UNLABELLED,)),
        ("path,label,patient\na.png,,1\nb.png,,2\n", (UNLABELLED,)),
        ("path,label,patient\na.png,x,1\nb.png,,2\n", (UNLABELLED, "x")),
    ],
)
def test_a_table_needs_no_labels_where_none_are_needed(tmp_path: Path, text: str, classes: tuple[str, ...]) -> None:
    images(tmp_path, ["a.png", "b.png"])
    table = tmp_path / "t.csv"
    table.write_text(text)
    manifest = ingest(table, labelled=False)
    assert manifest.classes == classes
    assert manifest.patients.tolist() == ["1", "2"]
    with pytest.raises(XenograftError):
        ingest(table)


def test_findings_that_nobody_gave_stay_unknown(tmp_path: Path) -> None:
    images(tmp_path, ["a.png", "b.png"])
    table = tmp_path / "t.csv"
    table.write_text("path,x,y\na.png,1,0\nb.png,,\n")
    manifest = ingest(table, IngestOptions(label_column="x,y"), labelled=False)
    assert manifest.labels.tolist() == [[1, 0], [-1, -1]]


def test_an_npz_file_needs_no_labels_beside_its_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "bare.npz", train_images=pixels[:4], test_images=pixels[4:])
    manifest = ingest(tmp_path / "bare.npz", labelled=False)
    assert manifest.classes == (UNLABELLED,)
    assert sorted(manifest.column("split")) == ["test"] * 2 + ["train"] * 4
    with pytest.raises(DataError, match="no array"):
        ingest(tmp_path / "bare.npz")
