import os

import pytest

from xenograft.data.importers import SPLIT_NAMES, read_listing
from xenograft.errors import DataError, LabelError, UsageError


def test_class_folders(write):
    listing = read_listing(write({"B/2.png": b"", "A/deep/er/1.jpg": b"", "A/0.png": b""}))
    assert [(row.path, row.label, row.split) for row in listing.rows] == [
        ("A/0.png", "A", ""),
        ("A/deep/er/1.jpg", "A", ""),
        ("B/2.png", "B", ""),
    ]
    assert all(row.id == row.path for row in listing.rows)
    assert not listing.declared_splits


@pytest.mark.parametrize("name", sorted(SPLIT_NAMES))
def test_split_folders_under_all_their_names(write, name):
    root = write({"train/A/1.png": b"", f"{name.title()}/A/2.png": b""})
    rows = {row.path: row.split for row in read_listing(root).rows}
    assert rows == {"train/A/1.png": "train", f"{name.title()}/A/2.png": SPLIT_NAMES[name]}


def test_hidden_files_and_traces_of_file_managers_are_passed_over(write):
    odd = (".DS_Store", "A/.hidden.png", "A/Thumbs.db", "A/.cache/1.png", ".git/1.png", "__MACOSX/A/._1.png")
    root = write({"A/1.png": b"", **dict.fromkeys(odd, b"")})
    assert [row.path for row in read_listing(root).rows] == ["A/1.png"]


def test_files_that_are_no_images_by_name_are_counted(write):
    listing = read_listing(write({"A/1.png": b"", "A/notes.txt": b"", "A/sizes.CSV": b"", "A/no_suffix": b""}))
    assert [row.path for row in listing.rows] == ["A/1.png", "A/no_suffix"]
    (notice,) = listing.notices
    assert (notice.code, notice.count, notice.items) == ("W-DATA-08", 2, ("A/notes.txt", "A/sizes.CSV"))


def test_l11_an_empty_split_folder(write):
    root = write({"train/A/1.png": b"", "test/A/readme.txt": b""})
    with pytest.raises(LabelError, match=r"split test of .* holds no image") as caught:
        read_listing(root)
    assert caught.value.code == "E-LABEL-11"


@pytest.mark.parametrize("files", [{}, {"1.png": b""}, {"A/readme.md": b""}], ids=["empty", "no folder", "no image"])
def test_a_folder_without_images_in_classes(write, tmp_path, files):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="expected class/file or split/class/file") as caught:
        read_listing(write(files))
    assert caught.value.code == "E-DATA-07"


def test_split_folders_beside_others_are_not_guessed_at(write):
    root = write({"train/A/1.png": b"", "test/A/2.png": b"", "chest_xray/train/A/1.png": b""})
    with pytest.raises(DataError, match=r"split folders \(test, train\) beside others \(chest_xray\)") as caught:
        read_listing(root)
    assert caught.value.code == "E-DATA-07"


def test_a_class_may_be_called_test(write):
    assert {row.label for row in read_listing(write({"test/1.png": b"", "control/2.png": b""})).rows} == {
        "test",
        "control",
    }


def test_folders_are_not_entered_through_links(write, tmp_path):
    root = write({"A/1.png": b""})
    (root / "A" / "loop").symlink_to(root, target_is_directory=True)
    (root / "A" / "2.png").symlink_to(root / "A" / "1.png")
    assert [row.path for row in read_listing(root).rows] == ["A/1.png", "A/2.png"]


def test_a_closed_folder_is_said(write, monkeypatch):
    root = write({"A/1.png": b""})

    def walk(place, onerror):
        onerror(PermissionError(13, "Permission denied", str(place)))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(DataError, match="A cannot be opened: no permission") as caught:
        read_listing(root)
    assert caught.value.code == "E-DATA-09"


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"there is nothing at .*typo") as caught:
        read_listing(tmp_path / "typo")
    assert caught.value.code == "E-DATA-06"


def test_neither_folder_nor_table(write):
    with pytest.raises(DataError, match=r"1\.xlsx is not a folder, CSV, TSV, JSONL or Parquet file") as caught:
        read_listing(write({"1.xlsx": b""}) / "1.xlsx")
    assert caught.value.code == "E-DATA-06"


def test_columns_of_a_folder(write):
    with pytest.raises(UsageError, match="is a folder; --images") as caught:
        read_listing(write({"A/1.png": b""}), patient_column="patient")
    assert caught.value.code == "E-USAGE-08"
