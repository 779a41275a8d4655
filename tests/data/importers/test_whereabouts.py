"""Images that do not lie where their table says."""

import pytest

from xenograft.data.importers import read_listing
from xenograft.data.importers.whereabouts import found_below
from xenograft.errors import LabelError

TABLE = b"path,label\na.png,sick\nb.png,well\n"


def test_bare_names_are_looked_for_in_the_folders_below(write, png):
    root = write({"images_001/images/a.png": png(), "images_002/images/b.png": png(1), "t.csv": TABLE})
    listing = read_listing(root / "t.csv")
    assert [(row.id, row.path) for row in listing.rows] == [
        ("a.png", "images_001/images/a.png"),
        ("b.png", "images_002/images/b.png"),
    ]
    assert listing.skipped == ()


def test_l2_a_name_that_lies_in_two_folders(write, png):
    root = write({"1/a.png": png(), "2/a.png": png(1), "2/b.png": png(2), "t.csv": TABLE})
    listing = read_listing(root / "t.csv")
    assert [row.path for row in listing.rows] == ["2/b.png"]
    (skip,) = listing.skipped
    assert skip.code == "S-LABEL-02"
    assert "2 files below" in skip.reason
    assert skip.reason.endswith("have this name: 1/a.png, 2/a.png")


def test_where_the_first_files_are_in_place_nothing_is_looked_for(write, png):
    root = write({"a.png": png(), "below/b.png": png(1), "t.csv": TABLE})
    listing = read_listing(root / "t.csv")
    assert [row.path for row in listing.rows] == ["a.png"]
    assert [(skip.path, skip.code) for skip in listing.skipped] == [("b.png", "S-LABEL-02")]


def test_paths_with_folders_are_not_looked_for_elsewhere(write, png):
    root = write({"x/y/a.png": png()})
    assert found_below(root, ["y/a.png"]) == {}


def test_paths_that_begin_with_the_name_of_the_folder(write, png):
    text = b"Path,label\ndata/train/a.png,sick\ndata/train/b.png,well\n"
    root = write({"train/a.png": png(), "train/b.png": png(1), "train.csv": text})
    assert [row.path for row in read_listing(root / "train.csv").rows] == ["train/a.png", "train/b.png"]


def test_l4_a_link_found_below_that_leaves_the_folder(write, png, tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    root = write({"1/b.png": png(1), "t.csv": TABLE})
    (root / "1/a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(LabelError) as caught:
        read_listing(root / "t.csv")
    assert caught.value.code == "E-LABEL-04"
