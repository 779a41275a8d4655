"""Where in a downloaded folder the images are: class folders, metadata tables, archives, Parquet shards."""

from __future__ import annotations

import json
import zipfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xenograft.data.importers import hub_archives, hub_layout
from xenograft.errors import XenograftError

from .hub_makers import picture, write_classes, write_shard


@pytest.fixture
def read(tmp_path):
    def reading(folder=tmp_path / "copy", **options):
        return hub_layout.read(folder, origin="hf:owner/name@123", cache=tmp_path / "cache", **options)

    return reading


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def labels(listing):
    return Counter((row.split, row.label) for row in listing.rows)


@pytest.mark.parametrize("depth", ["", "a", "a/b/c"])
def test_class_folders_are_found_however_deep(copy, read, depth):
    write_classes(copy / depth, 3)
    assert labels(read()) == {("", "NORMAL"): 3, ("", "PNEUMONIA"): 3}


def test_folders_inside_a_class_are_no_classes(copy, read):
    for label in ("COVID", "Normal"):
        write_classes(copy / "base" / label, 2, classes=("images", "more"))
    assert labels(read()) == {("", "COVID"): 4, ("", "Normal"): 4}


def test_several_data_sets_side_by_side_are_named(copy, read):
    for name in ("first", "second"):
        write_classes(copy / name / "train", 2)
    with pytest.raises(XenograftError, match=r"E-DATA-35 .*first, second"):
        read()
    assert len(read(config="second").rows) == 4


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata_beside_images_gives_labels_patients_and_splits(copy, read, kind):
    for split, count in (("train", 4), ("test", 2)):
        (copy / split).mkdir()
        lines = [
            {"file_name": f"{k}.png", "label": "ab"[k % 2], "patient_id": f"{split}{k // 2}"} for k in range(count)
        ]
        for k, line in enumerate(lines):
            (copy / split / line["file_name"]).write_bytes(picture(k))
        text = "\n".join(map(json.dumps, lines))
        if kind == "csv":
            text = "\n".join(["file_name,label,patient_id", *(",".join(line.values()) for line in lines)])
        (copy / split / f"metadata.{kind}").write_text(text + "\n")
    listing = read()
    assert labels(listing) == {(s, c): n for s, n in (("train", 2), ("test", 1)) for c in "ab"}
    assert {row.patient for row in listing.rows} == {"train0", "train1", "test0"}
    assert listing.rows[0].path in {"train/0.png", "test/0.png"}


def test_metadata_without_labels_leaves_them_to_the_folders(copy, read):
    write_classes(copy / "train", 2)
    write_classes(copy / "test", 2)
    (copy / "metadata.csv").write_text("file_name,caption\ntrain/NORMAL/normal_0.png,fine\n")
    assert labels(read())[("train", "PNEUMONIA")] == 2


def test_the_one_table_that_labels_images_is_read(copy, read):
    (copy / "images").mkdir()
    for k in range(4):
        (copy / f"images/{k}.png").write_bytes(picture(k))
    (copy / "notes.csv").write_text("a,b\n1,2\n")
    (copy / "labels.csv").write_text("filename,label\n" + "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(4)))
    assert labels(read()) == {("", "a"): 2, ("", "b"): 2}


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (["name.py", "README.md"], "refs/convert/parquet"),
        (["data.tar.gz"], "unpack them"),
        (["images/1.png", "images/2.png", "labels.csv"], "labels.csv"),
        (["train/1.png", "test/2.png"], "class folders"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_a_remedy(copy, read, files, hint):
    for name in files:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(picture(1))
    with pytest.raises(XenograftError, match="E-DATA-35") as caught:
        read()
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_archives_are_unpacked_by_split_without_what_is_no_data(copy, read):
    for split in ("train", "test"):
        members = {f"{c}/{k}.png": picture(k) for c in "ab" for k in range(3)}
        zipped(copy / f"{split}.zip", members | {"__MACOSX/a/._0.png": b"x", "run.py": b"x", "a/.hidden.png": b"x"})
    listing = read()
    assert labels(listing) == {(s, c): 3 for s in ("train", "test") for c in "ab"}
    assert not list(listing.root.rglob("*.py"))
    assert not (copy / "train").exists()  # what was downloaded is not changed
    assert read().root == listing.root


@pytest.mark.parametrize("name", ["../../out.png", "/out.png", "a/../../../out.png"])
def test_an_archive_that_leaves_its_folder_is_refused(copy, read, tmp_path, name):
    zipped(copy / "data.zip", {"a/1.png": picture(1), name: picture(2)})
    with pytest.raises(XenograftError, match="E-LABEL-04"):
        read()
    assert not list(tmp_path.rglob("out.png"))


def test_links_in_an_archive_are_not_made(copy, read):
    with zipfile.ZipFile(copy / "data.zip", "w") as archive:
        for c in "ab":
            archive.writestr(f"{c}/1.png", picture(1))
        link = zipfile.ZipInfo("a/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    assert len(read().rows) == 2


def test_an_archive_that_claims_too_much_is_refused(copy, read, monkeypatch):
    zipped(copy / "data.zip", {"a/1.png": bytes(100_000), "b/1.png": bytes(100_000)})
    monkeypatch.setattr(hub_archives, "SIZE_LIMIT", 150_000)
    with pytest.raises(XenograftError, match="E-FILE-22"):
        read()


def test_a_damaged_archive_is_one_line(copy, read):
    (copy / "data.zip").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(XenograftError, match="E-DATA-10"):
        read()


ROWS = [(picture(k), f"person{k // 2}_bacteria_{k}.png", k % 2) for k in range(6)]


def test_parquet_pictures_become_files_of_the_very_same_bytes(copy, read):
    write_shard(copy / "data/train-00000-of-00002.parquet", ROWS[:3], names=["NORMAL", "PNEUMONIA"])
    write_shard(copy / "data/train-00001-of-00002.parquet", ROWS[3:], names=["NORMAL", "PNEUMONIA"])
    write_shard(copy / "data/test-00000-of-00001.parquet", ROWS[:2], names=["NORMAL", "PNEUMONIA"])
    listing = read()
    assert labels(listing) == {
        ("train", "NORMAL"): 3,
        ("train", "PNEUMONIA"): 3,
        ("test", "NORMAL"): 1,
        ("test", "PNEUMONIA"): 1,
    }
    train = sorted((row for row in listing.rows if row.split == "train"), key=lambda row: row.path)
    assert [(listing.root / row.path).read_bytes() for row in train] == [data for data, *_ in ROWS]
    assert train[0].path == "train/person0_bacteria_0.png"
    made = {path: path.stat().st_mtime_ns for path in listing.root.rglob("*.png")}
    assert {path: path.stat().st_mtime_ns for path in read().root.rglob("*.png")} == made


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.parquet", "train"),
        ("plain/validation/0003.parquet", "val"),
        ("data/valid-00000-of-00001-0123456789abcdef.parquet", "val"),
        ("images_test_part1.parquet", "test"),
        ("data/part.0.parquet", ""),
        ("constrained.parquet", ""),
    ],
)
def test_the_name_of_a_shard_says_its_split(copy, read, name, split):
    write_shard(copy / name, ROWS, names=["a", "b"])
    listing = read()
    assert {row.split for row in listing.rows} == {split}
    assert len(listing.rows) == len(ROWS)
    assert listing.notices == ()


def test_class_names_may_stand_in_the_readme_or_nowhere(copy, read):
    write_shard(copy / "train.parquet", ROWS, metadata=False)
    assert labels(read()) == {("train", "0"): 3, ("train", "1"): 3}
    (copy / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n"
        "      class_label:\n        names:\n          '0': fine\n          '1': ill\n---\n# A set\n"
    )
    assert labels(read()) == {("train", "fine"): 3, ("train", "ill"): 3}


def test_labels_may_be_text_and_patients_a_column(copy, read):
    rows = [(data, None, ["no", "yes"][label]) for data, _, label in ROWS]
    write_shard(copy / "all.parquet", rows, patient=("Patient_ID", [1, 1, 2, 2, 3, 3]))
    listing = read()
    assert labels(listing) == {("", "no"): 3, ("", "yes"): 3}
    assert [row.patient for row in listing.rows] == ["1", "1", "2", "2", "3", "3"]
    assert "Patient_ID" in listing.patient_rule


def test_no_name_from_the_data_leads_out_of_the_folder(copy, read, tmp_path):
    called = ["../../evil.png", "/etc/passwd", "a\\..\\b.png", "..", "", "CON\0.png", "same.png", "SAME.png", "x" * 300]
    rows = [(picture(k), name, k % 2) for k, name in enumerate(called)]
    write_shard(copy / "train.parquet", rows, names=["a", "b"])
    listing = read()
    assert len(listing.rows) == len(called)
    assert len({row.path.lower() for row in listing.rows}) == len(called)
    for row, (data, *_) in zip(listing.rows, rows, strict=True):
        path = (listing.root / row.path).resolve()
        assert path.is_relative_to(listing.root.resolve())
        assert path.read_bytes() == data
        assert len(path.name) < 120
    assert not list(tmp_path.rglob("evil.png")) or all(
        p.is_relative_to(listing.root) for p in tmp_path.rglob("evil.png")
    )


def test_an_ending_that_promises_another_format_gives_way_to_the_bytes(copy, read):
    write_shard(
        copy / "train.parquet", [(picture(0, "JPEG"), "a.png", 0), (picture(1, "JPEG"), "b.jpeg", 1)], names="ab"
    )
    assert [row.path for row in read().rows] == ["train/a.jpg", "train/b.jpeg"]


def test_rows_without_picture_or_label_are_skipped_with_their_place(copy, read):
    rows = [*ROWS, (None, "outside.png", 1), (picture(9), "9.png", None), (picture(8), "8.png", -1)]
    write_shard(copy / "train.parquet", rows, names=["a", "b"])
    listing = read()
    assert len(listing.rows) == 6
    assert [(skip.path, skip.code) for skip in listing.skipped] == [
        ("train.parquet row 7", "S-LABEL-02"),
        ("train.parquet row 8", "S-LABEL-01"),
        ("train.parquet row 9", "S-LABEL-01"),
    ]


def test_splits_without_labels_and_unknown_splits_are_left_out_and_said(copy, read):
    write_shard(copy / "data/train-00000-of-00001.parquet", ROWS, names=["a", "b"])
    write_shard(copy / "data/test-00000-of-00001.parquet", [(d, n, -1) for d, n, _ in ROWS], names=["a", "b"])
    write_shard(copy / "data/extra-00000-of-00001.parquet", ROWS, names=["a", "b"])
    listing = read()
    assert {row.split for row in listing.rows} == {"train"}
    assert listing.declared_splits == {"train"}
    assert [notice.code for notice in listing.notices] == ["W-DATA-36", "W-DATA-36"]
    assert "extra" in listing.notices[0].message
    assert "test" in listing.notices[1].message


def test_subsets_are_told_by_the_readme_or_by_folders(copy, read):
    for name in ("gray", "colour"):
        write_shard(copy / name / "train/0000.parquet", ROWS, names=[f"{name} a", f"{name} b"])
        write_shard(copy / name / "test/0000.parquet", ROWS, names=[f"{name} a", f"{name} b"])
    with pytest.raises(XenograftError, match=r"E-USAGE-22 .*colour, gray"):
        read()
    assert labels(read(config="gray")) == {(s, f"gray {c}"): 3 for s in ("train", "test") for c in "ab"}
    (copy / "README.md").write_text(
        "---\nconfigs:\n- config_name: mine\n  data_files:\n  - split: train\n    path: gray/train/*\n"
        "  - split: validation\n    path: [colour/test/*]\n---\n"
    )
    assert {row.split for row in read().rows} == {"train", "val"}
    with pytest.raises(XenograftError, match=r"E-USAGE-22 .*mine"):
        read(config="gray")


def test_lists_of_labels_are_findings(copy, read):
    several = [["Mass", "Effusion"], ["Mass"], [], None]
    write_shard(copy / "train.parquet", [(d, n, s) for (d, n, _), s in zip(ROWS, several, strict=False)])
    listing = read()
    assert listing.findings == ("Effusion", "Mass")
    assert [row.label for row in listing.rows] == ["Effusion|Mass", "Mass", ""]
    assert len(listing.skipped) == 1


def test_indices_in_lists_have_the_names_of_the_schema(copy, read):
    feature = {"label": {"feature": {"names": ["No Finding", "Mass", "Edema"], "_type": "ClassLabel"}, "_type": "List"}}
    write_shard(copy / "train.parquet", [(ROWS[k][0], f"{k}.png", s) for k, s in enumerate(([0], [1, 2], [2]))])
    table = pq.read_table(copy / "train.parquet")
    about = {"huggingface": json.dumps({"info": {"features": feature}})}
    pq.write_table(table.replace_schema_metadata(about), copy / "train.parquet")
    assert [row.label for row in read().rows] == ["", "Edema|Mass", "Edema"]


def test_what_lacks_labels_or_has_odd_ones_is_refused(copy, read):
    write_shard(copy / "train.parquet", [(d, n, {"grade": k}) for d, n, k in ROWS])
    with pytest.raises(XenograftError, match="E-LABEL-24"):
        read()
    with pytest.raises(XenograftError, match=r"E-LABEL-07 .*--label-column"):
        read(label_column="grade")
    write_shard(copy / "train.parquet", ROWS, names=["a", "b"])
    with pytest.raises(XenograftError, match="E-LABEL-07"):
        read(patient_column="who")


def test_a_damaged_shard_is_one_line(copy, read):
    write_shard(copy / "train.parquet", ROWS, names=["a", "b"])
    whole = (copy / "train.parquet").read_bytes()
    (copy / "train.parquet").write_bytes(whole[:200])
    with pytest.raises(XenograftError, match="E-DATA-10"):
        read()
    (copy / "train.parquet").write_bytes(whole[:40] + np.random.default_rng(0).bytes(600) + whole[640:])
    with pytest.raises(XenograftError, match="E-DATA-10"):
        read()


def test_parquet_without_pictures_is_no_obstacle(copy, read):
    write_classes(copy / "train", 2)
    pq.write_table(pa.table({"text": ["a"]}), copy / "notes.parquet")
    assert len(read().rows) == 4
