import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from xenograft.data.importers import read_listing
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.errors import DataError, LabelError


def refused(path, code, **options):
    """The message of the LabelError that reading `path` ends in."""
    with pytest.raises(LabelError) as caught:
        read_listing(path, **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    return str(caught.value)


def skips(listing):
    return [(skip.path, skip.code) for skip in listing.skipped]


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "LABELS.CSV"])
def test_every_column_is_read(table, name):
    source = table(
        ("path", "id", "label", "split", "patient"),
        ("a.png", "1", "sick", "train", "p1"),
        ("b.png", "2", "well", "Testing", "p2"),
        name=name,
    )
    listing = read_listing(source)
    assert [(r.id, r.path, r.label, r.split, r.patient) for r in listing.rows] == [
        ("1", "a.png", "sick", "train", "p1"),
        ("2", "b.png", "well", "test", "p2"),
    ]
    assert listing.declared_splits == {"train", "test"}
    assert listing.root == source.parent


@pytest.mark.parametrize(
    ("header", "options"),
    [
        (("filename", "class"), {}),
        ((" Image_Path ", "DIAGNOSIS"), {}),
        (("image_id", "target"), {}),
        (("file", "finding"), {"label_column": "Finding"}),
    ],
    ids=str,
)
def test_columns_are_found_by_their_usual_names(table, header, options):
    (row,) = read_listing(table(header, ("a.png", "sick")), **options).rows
    assert (row.id, row.path, row.label) == ("a.png", "a.png", "sick")


def test_images_may_lie_elsewhere(table, tmp_path, png):
    source = table(("path", "label"), ("a.png", "sick"), pictures=False)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.png").write_bytes(png())
    assert read_listing(source, images=tmp_path / "scans").root == tmp_path / "scans"


@pytest.mark.parametrize("label", ["", "  "])
def test_l1_a_missing_label_is_skipped(table, label):
    listing = read_listing(table(("path", "label"), ("a.png", "sick"), ("b.png", label)))
    assert skips(listing) == [("b.png", "S-LABEL-01")]
    assert listing.skipped[0].reason == "labels.csv line 3: no label"
    assert len(listing.rows) == 1


def test_l1_a_short_line_has_no_label(write, png):
    root = write({"a.png": png(), "b.png": png(1), "labels.csv": b"path,label\na.png,x\nb.png\n"})
    assert skips(read_listing(root / "labels.csv")) == [("b.png", "S-LABEL-01")]


@pytest.mark.parametrize("path", ["gone.png", "n" * 300 + ".png"], ids=["gone", "name too long"])
def test_l2_an_unknown_path_is_skipped(table, write, path):
    source = table(("path", "label"), ("a.png", "sick"))
    source.write_text(f"path,label\na.png,sick\n{path},sick\n")
    listing = read_listing(source)
    assert skips(listing) == [(path, "S-LABEL-02")]
    assert "labels.csv line 3: no such file below" in listing.skipped[0].reason


def test_l3_a_repeated_row_is_merged(table):
    listing = read_listing(table(("path", "label"), ("a.png", "sick"), ("./a.png", "sick"), ("a.png", "Sick ")))
    assert len(listing.rows) == 1
    (notice,) = listing.notices
    assert (notice.code, notice.count, notice.items) == ("W-LABEL-03", 2, ("a.png", "a.png"))


@pytest.mark.parametrize(
    "second", [("a.png", "well", "train", "p1"), ("a.png", "sick", "test", "p1"), (".//a.png", "sick", "train", "p2")]
)
def test_l3_conflicting_rows(table, second):
    source = table(("path", "label", "split", "patient"), ("a.png", "sick", "train", "p1"), second, pictures=False)
    (source.parent / "a.png").write_bytes(b"x")
    said = refused(source, "E-LABEL-03")
    assert "labels.csv line 3: a.png was 'sick' train p1 in labels.csv line 2" in said


def test_l3_one_id_for_two_files(table):
    source = table(("path", "id", "label"), ("a.png", "7", "sick"), ("b.png", "7", "well"))
    assert "id 7 names b.png, and a.png in labels.csv line 2" in refused(source, "E-LABEL-03")


@pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "a/../../x.png", "nul\0.png"])
def test_l4_a_path_that_leaves_the_folder(table, path):
    source = table(("path", "label"), ("a.png", "sick"))
    source.write_text(f"path,label\na.png,sick\n{path},sick\n")
    said = refused(source, "E-LABEL-04")
    assert said.startswith('E-LABEL-04 labels.csv line 3: path "')
    assert "leaves the data folder; use paths below it" in said


def test_l4_a_link_that_leaves_the_folder(table, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    source = table(("path", "label"), ("out.png", "sick"), pictures=False)
    (source.parent / "out.png").symlink_to(tmp_path / "secret.png")
    refused(source, "E-LABEL-04")


def test_l5_a_byte_order_mark_is_accepted(table):
    source = table(("path", "label"), ("a.png", "sick"))
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    assert [row.path for row in read_listing(source).rows] == ["a.png"]


def test_l6_not_utf8_names_the_byte(table):
    source = table(("path", "label"), ("a.png", "sick"))
    source.write_bytes(b"path,label\na.png,pneumonie aigu\xeb\n")
    assert refused(source, "E-LABEL-06") == (
        "E-LABEL-06 labels.csv is not UTF-8: byte 0xeb at offset 31; save it as UTF-8"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("path;label\na.png;sick\n", "columns found: path;label;"),
        ("path\tlabel\na.png\tsick\n", "columns found: path\\tlabel;"),
        ("path,finding\na.png,sick\n", "has no column label; columns found: path, finding;"),
        ("picture,label\na.png,sick\n", "has no column path or id; columns found: picture, label;"),
        ("picture,label\n", "columns found: picture, label;"),
        ("", "columns found: none;"),
    ],
    ids=["semicolons", "tabs", "no label", "no path", "no rows", "empty file"],
)
def test_l7_columns_found_are_shown(write, text, shown):
    assert shown in refused(write({"labels.csv": text.encode()}) / "labels.csv", "E-LABEL-07")


@pytest.mark.parametrize("option", ["label_column", "patient_column"])
def test_l7_a_column_asked_for_is_missing(table, option):
    said = refused(table(("path", "label"), ("a.png", "sick")), "E-LABEL-07", **{option: "subject"})
    assert "has no column 'subject'; columns found: path, label;" in said


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("b.png,sick,very\n", "labels.csv line 4 has more cells than the header"),
        ('"b.png,sick\nc.png,well\n', "labels.csv after line 3: unexpected end of data; look for an open quote"),
    ],
    ids=["more cells", "open quote"],
)
def test_l7_a_broken_line(write, line, shown):
    root = write({"a.png": b"x", "labels.csv": f"path,label\n\na.png,sick\n{line}".encode()})
    assert shown in refused(root / "labels.csv", "E-LABEL-07")


def test_lines_are_counted_as_an_editor_does(write):
    text = 'path,label,comment\n\na.png,sick,"two\nlines"\n../b.png,sick,\n'
    said = refused(write({"a.png": b"x", "labels.csv": text.encode()}) / "labels.csv", "E-LABEL-04")
    assert "labels.csv line 5:" in said


def test_a_row_without_a_path(table):
    source = table(("path", "label"), ("a.png", "sick"))
    source.write_text("path,label\n,sick\n")
    assert "line 2 names no file" in refused(source, "E-LABEL-02")


def test_a_header_without_rows(write):
    assert "has a header and no rows" in refused(write({"t.csv": b"path,label\n"}) / "t.csv", "E-LABEL-02")


def test_an_unknown_split(table):
    said = refused(table(("path", "label", "split"), ("a.png", "sick", "holdout")), "E-LABEL-20")
    assert "split 'holdout' is not one of train, val, test" in said


def test_a_table_that_cannot_be_opened(table, monkeypatch):
    source = table(("path", "label"), ("a.png", "sick"))

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(source), "read_bytes", refuse)
    with pytest.raises(DataError, match=r"labels\.csv cannot be opened: Permission denied") as caught:
        read_listing(source)
    assert caught.value.code == "E-DATA-10"


def parquet(folder, **columns):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "labels.parquet")
    return folder / "labels.parquet"


def test_parquet(write, png):
    root = write({"a.png": png(), "b.png": png(1), "c.png": png(2), "d.png": png(3)})
    source = parquet(
        root,
        path=["a.png", "b.png", "c.png", "d.png"],
        label=pa.array([1.0, 0.0, None, math.nan]),
        patient=pa.array([10, 11, None, 12]),
    )
    listing = read_listing(source)
    assert [(r.path, r.label, r.patient) for r in listing.rows] == [("a.png", "1.0", "10"), ("b.png", "0.0", "11")]
    assert skips(listing) == [("c.png", "S-LABEL-01"), ("d.png", "S-LABEL-01")]
    assert listing.skipped[0].reason == "labels.parquet row 3: no label"


def test_l7_parquet_without_a_label(tmp_path):
    assert "columns found: path;" in refused(parquet(tmp_path / "t", path=["a.png"]), "E-LABEL-07")


def test_a_damaged_parquet_file(tmp_path):
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="is not a readable Parquet file") as caught:
        read_listing(tmp_path / "labels.parquet")
    assert caught.value.code == "E-DATA-10"


def test_what_a_table_tells_about_its_images_reaches_the_manifest(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["Image Index,Finding,Patient ID,Patient Age,Patient Gender,View Position,Hospital"]
    for k in range(60):
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(tmp_path / f"{k}.png")
        lines.append(f"{k}.png,{'ab'[k % 2]},p{k},{20 + k},{('Female', 'M')[k % 2]},AP,{'' if k else 'North'}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    manifest = ingest(tmp_path / "t.csv", IngestOptions(label_column="Finding"))
    told = dict(zip(manifest.column("id"), map(json.loads, manifest.column("acquisition")), strict=True))
    assert told["0.png"] == {"age": "20", "sex": "F", "view": "AP", "site": "North"}
    assert told["1.png"] == {"age": "21", "sex": "M", "view": "AP"}


def test_a_column_that_plays_another_part_tells_nothing(tmp_path, png):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "t.csv").write_text("path,sex\na.png,F\n")
    (row,) = read_listing(tmp_path / "t.csv", label_column="sex").rows
    assert row.label == "F"
    assert row.acquisition == ()
