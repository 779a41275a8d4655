import csv
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.phantom import write_phantoms
from xenograft.errors import DataError, LabelError, UsageError

FEW = IngestOptions(val=0.5, test=0.5)
SKIPS = replace(FEW, max_skip=0.5)
SPLITS = ("train", "val", "test")
REAL = Path(__file__).parents[2].parent / "shared/data/chest_xray_224"


def refused(code, data, options=FEW, kind=LabelError, **more):
    """The one-line message of the error that ingest ends in."""
    with pytest.raises(kind) as caught:
        ingest(data, options, **more)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    return str(caught.value)


def notices(manifest):
    return {notice.code: notice for notice in manifest.notices}


def by_path(manifest, column):
    return dict(zip(manifest.column("path"), manifest.column(column), strict=True))


def written(report):
    return list(csv.reader(report.read_text(encoding="utf-8").splitlines()))


# Whole data sets


def test_a_folder_of_classes_is_split_by_itself(folder):
    root = folder("B", "A", count=20)
    manifest = ingest(root, IngestOptions())
    assert manifest.classes == ("A", "B")
    assert manifest.name == "data"
    counts = manifest.counts()
    assert {split: counts[split]["A"]["images"] for split in SPLITS} == {"train": 14, "val": 2, "test": 4}
    assert by_path(manifest, "label")["B/03.png"] == "B"
    assert (root / "B/03.png").stat().st_size == by_path(manifest, "bytes")["B/03.png"]
    assert "by patient" in manifest.split_rule
    assert ingest(root, IngestOptions()).sha256 == manifest.sha256
    assert ingest(root, IngestOptions(split_seed=1)).sha256 != manifest.sha256


def test_no_patient_keys_is_a_warning(folder):
    manifest = ingest(folder("A", "B"), FEW)
    assert notices(manifest)["W-LABEL-21"].count == 10
    assert len(set(manifest.patients)) == 10


def test_inputs_are_not_modified(folder):
    root = folder("A", "B")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*.png")}
    ingest(root, FEW)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("kind", ["labels.csv", "labels.tsv", "labels.parquet"])
def test_every_kind_of_table_gives_the_same_manifest(table, kind):
    rows = [("path", "label", "patient"), *((f"{k}.png", "ab"[k % 2], f"p{k // 2}") for k in range(16))]
    source = table(*rows, name=kind.replace("parquet", "csv"))
    reference = ingest(source, FEW)
    if kind.endswith("parquet"):
        columns = dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))
        pq.write_table(pa.table(columns), source.with_name(kind))
    manifest = ingest(source.with_name(kind), FEW)
    assert manifest.sha256 == reference.sha256
    assert manifest.patient_rule == "patient key from the table's patient column"


def test_phantoms_are_recognised_and_marked(tmp_path):
    manifest = ingest(write_phantoms(tmp_path / "chests", count=60, size=64), IngestOptions())
    assert (manifest.catalog, manifest.synthetic, manifest.classes) == ("phantom", True, ("NORMAL", "PNEUMONIA"))
    assert any("say nothing about patients" in fact for fact in manifest.facts)
    assert manifest.patients[0].startswith("P0")
    assert "W-LABEL-21" not in notices(manifest)


def test_progress_reaches_the_end(folder):
    seen = []
    ingest(folder("A", "B"), FEW, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)


# Positive class


def test_normal_is_the_negative_class(folder):
    assert ingest(folder("Normal", "Edema"), FEW).classes == ("Normal", "Edema")


def test_the_positive_class_can_be_named(folder):
    root = folder("A", "B")
    assert ingest(root, replace(FEW, positive="A")).classes == ("B", "A")
    said = refused("E-USAGE-07", root, replace(FEW, positive="C"), UsageError)
    assert "--positive 'C': the classes are A, B; name one of two" in said


def test_no_positive_class_among_three(folder):
    refused("E-USAGE-07", folder("A", "B", "C"), replace(FEW, positive="A"), UsageError)


# Files


def test_f1_a_skip_is_counted_and_listed(folder, tmp_path):
    root = folder("A", "B", count=20)
    (root / "A/03.png").write_bytes(b"")
    manifest = ingest(root, SKIPS, skip_report=tmp_path / "skipped.csv")
    assert [(skip.path, skip.code) for skip in manifest.skipped] == [("A/03.png", "S-FILE-01")]
    assert "A/03.png" not in manifest.column("path")
    assert len(manifest) == 39
    header, row = written(tmp_path / "skipped.csv")
    assert header == ["path", "code", "reason"]
    assert row[:2] == ["A/03.png", "S-FILE-01"]


def test_f1_too_many_skips_stop_the_run(folder, tmp_path):
    root = folder("A", "B")
    (root / "A/03.png").write_bytes(b"")
    said = refused("E-DATA-01", root, FEW, DataError, skip_report=tmp_path / "skipped.csv")
    assert "1 of 10 images cannot be used (10.0%; --max-skip allows 1.0%): A/03.png: S-FILE-01" in said
    assert len(written(tmp_path / "skipped.csv")) == 2  # written all the same


def test_f1_skips_may_not_exceed_the_share_but_may_equal_it(folder):
    root = folder("A", "B")
    (root / "A/03.png").write_bytes(b"")
    assert len(ingest(root, replace(FEW, max_skip=0.1)).skipped) == 1
    refused("E-DATA-01", root, replace(FEW, max_skip=0.09), DataError)


def test_f1_skips_may_not_remove_a_class(folder, write):
    root = folder("A", "B")
    write({"C/1.png": b""})
    said = refused("E-DATA-01", root, SKIPS, DataError)
    assert "skipped files leave class c without images" in said
    assert "C/1.png: S-FILE-01" in said


def test_f1_skips_may_not_remove_all_of_a_split(folder, write):
    root = folder("train/A", "train/B")
    write({"test/A/1.png": b"", "test/B/1.png": b""})
    assert "leave split test without images" in refused("E-LABEL-11", root, SKIPS)


def test_f1_all_files_unreadable(write):
    root = write({"A/1.png": b"", "B/1.png": b""})
    refused("E-DATA-01", root, replace(FEW, max_skip=1.0), DataError)


@pytest.mark.parametrize(
    ("code", "name", "make"),
    [
        ("W-FILE-03", "odd.jpg", lambda f: f.saved(f.noise(), "PNG")),
        ("W-FILE-05", "odd.jpg", lambda f: f.jpeg(f.noise(channels=4), quality=90)),
        ("W-FILE-07", "odd.png", lambda f: f.saved(f.noise(channels=4), "PNG")),
        ("W-FILE-08", "odd.jpg", lambda f: f.jpeg(exif=f.exif(6))),
        ("W-FILE-20", "odd.png", lambda f: f.saved(f.noise() * 0 + 7, "PNG")),
        ("W-FILE-21", "odd.png", lambda f: f.saved(f.noise(channels=3), "PNG")),
    ],
    ids=["f3_wrong_ending", "f5_cmyk", "f7_alpha", "f8_orientation", "f20_constant", "colour"],
)
def test_what_was_done_to_files_is_counted(folder, write, faults, code, name, make):
    from PIL import Image

    root = folder("A", "B")
    data = make(faults) if code != "W-FILE-05" else faults.jpeg(Image.fromarray(faults.noise(channels=4), "CMYK"))
    write({f"A/{name}": data})
    notice = notices(ingest(root, FEW))[code]
    assert (notice.count, notice.items) == (1, (f"A/{name}",))
    assert notice.message.startswith("1 files: ")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_f18_a_name_that_is_not_utf8_is_skipped_and_escaped(folder, png, tmp_path):
    root = folder("A", "B")
    Path(os.fsdecode(os.fsencode(root) + b"/A/caf\xe9.png")).write_bytes(png(77))
    manifest = ingest(root, SKIPS, skip_report=tmp_path / "skipped.csv", cache=tmp_path / "cache")
    assert [(skip.path, skip.code) for skip in manifest.skipped] == [("A/caf\\udce9.png", "S-FILE-18")]
    assert written(tmp_path / "skipped.csv")[1][0] == "A/caf\\udce9.png"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_f18_a_line_break_in_a_name_is_escaped(folder, write, png):
    root = folder("A", "B")
    write({"A/two\nlines.png": png(77), "A/bad\nfile.png": b""})
    manifest = ingest(root, SKIPS)
    assert "A/two\\nlines.png" in manifest.column("id")
    assert "A/two\nlines.png" in manifest.column("path")
    assert manifest.skipped[0].path == "A/bad\\nfile.png"


def test_p10_changed_bytes_are_read_again(folder, png, tmp_path):
    root = folder("A", "B")
    first = ingest(root, FEW, cache=tmp_path / "cache")
    assert ingest(root, FEW, cache=tmp_path / "cache").sha256 == first.sha256
    (root / "A/03.png").write_bytes(png(500))
    os.utime(root / "A/03.png", ns=(1, 1))
    again = ingest(root, FEW, cache=tmp_path / "cache")
    assert again.sha256 == ingest(root, FEW).sha256
    assert by_path(again, "sha256")["A/03.png"] != by_path(first, "sha256")["A/03.png"]
    changed = [p for p, h in by_path(again, "pixels_sha256").items() if by_path(first, "pixels_sha256")[p] != h]
    assert changed == ["A/03.png"]


# Labels

COLUMNS = ("path", "label")
ROWS = [(f"{k}.png", "AB"[k % 2]) for k in range(12)]


def test_l1_missing_labels_are_skipped_and_counted(table, tmp_path):
    source = table(COLUMNS, *ROWS, ("x.png", ""))
    manifest = ingest(source, SKIPS, skip_report=tmp_path / "skipped.csv")
    assert len(manifest) == 12
    assert written(tmp_path / "skipped.csv")[1:] == [["x.png", "S-LABEL-01", "labels.csv line 14: no label"]]
    assert "S-LABEL-01" in refused("E-DATA-01", source, FEW, DataError)


def test_l2_unknown_paths_within_the_limit_are_skipped(table):
    source = table(COLUMNS, *ROWS)
    source.write_text(source.read_text() + "gone.png,A\n")
    assert [skip.code for skip in ingest(source, SKIPS).skipped] == ["S-LABEL-02"]


def test_l2_unknown_paths_beyond_the_limit_list_five(table, tmp_path):
    source = table(COLUMNS, *ROWS)
    source.write_text(source.read_text() + "".join(f"gone{k}.png,A\n" for k in range(7)))
    said = refused("E-LABEL-02", source, FEW, DataError, skip_report=tmp_path / "skipped.csv")
    assert "7 of 19 images cannot be used" in said
    assert [f"gone{k}.png" in said for k in range(7)] == [True] * 5 + [False] * 2
    assert len(written(tmp_path / "skipped.csv")) == 8


def test_l2_every_path_unknown_lists_five_too(table):
    said = refused("E-LABEL-02", table(COLUMNS, *ROWS, pictures=False), FEW, DataError)
    assert said.count("S-LABEL-02") == 5


def test_l2_unknown_paths_may_not_remove_a_class(table):
    source = table(COLUMNS, *ROWS)
    source.write_text(source.read_text() + "gone.png,RARE\n")
    assert "class rare" in refused("E-DATA-01", source, SKIPS, DataError)


def test_l2_unknown_paths_may_not_remove_a_split(table):
    source = table((*COLUMNS, "split"), *((*row, "train") for row in ROWS))
    source.write_text(source.read_text() + "gone.png,A,test\n")
    refused("E-LABEL-11", source, SKIPS)


def test_l3_repeated_rows_are_merged_with_a_warning(table):
    manifest = ingest(table(COLUMNS, *ROWS, ROWS[0]), FEW)
    assert len(manifest) == 12
    assert notices(manifest)["W-LABEL-03"].count == 1


def test_l3_conflicting_labels(table):
    assert "keep one" in refused("E-LABEL-03", table(COLUMNS, *ROWS, ("0.png", "B")))


def test_l8_variants_of_labels_are_merged_with_a_warning(table):
    rows = [(path, {3: "b ", 5: " B", 7: "b"}.get(k, label)) for k, (path, label) in enumerate(ROWS)]
    manifest = ingest(table(COLUMNS, *rows), FEW)
    assert manifest.classes == ("A", "B")
    notice = notices(manifest)["W-LABEL-08"]
    assert notice.count == 3
    assert "label 'b ' was read as 'B'" in notice.message


def test_l8_variants_in_folder_names(folder):
    manifest = ingest(folder("train/A", "val/A", "test/a", *(f"{s}/B" for s in SPLITS)), FEW)
    assert manifest.classes == ("A", "B")
    assert notices(manifest)["W-LABEL-08"].count == 5


def test_l8_a_space_after_every_comma_does_not_reach_the_class_names(table):
    assert ingest(table(COLUMNS, *((path, f" {label}") for path, label in ROWS)), FEW).classes == ("A", "B")


def test_l9_a_formula_as_file_name_is_neutralised(folder, write, tmp_path):
    root = folder("A", "B")
    write({"=1+1/1.png": b""})
    refused("E-DATA-01", root, FEW, DataError, skip_report=tmp_path / "skipped.csv")
    assert written(tmp_path / "skipped.csv")[1][0] == "'=1+1/1.png"


def test_l10_one_class(folder):
    assert "all 5 images have the label 'A'; two classes or more" in refused("E-LABEL-10", folder("A"))


def test_l11_an_empty_split(folder):
    root = folder("train/A", "train/B")
    (root / "test").mkdir()
    assert "split test" in refused("E-LABEL-11", root)


def test_l11_no_training_images(folder):
    assert "split train" in refused("E-LABEL-11", folder("test/A", "test/B"))


@pytest.mark.parametrize("split", SPLITS)
def test_l12_a_class_absent_from_a_split(folder, split):
    places = [f"{s}/{label}" for s in SPLITS for label in "AB" if (s, label) != (split, "B")]
    assert f"class 'B' has no image in split {split}" in refused("E-LABEL-12", folder(*places))


def test_l12_too_few_patients_to_split(folder):
    assert "class A has 3 patients, 5 folds need" in refused("E-LABEL-12", folder("A", "B", count=3), IngestOptions())


@pytest.mark.parametrize("count", [9, 10])
def test_l13_fewer_than_ten_in_validation(folder, count):
    found = notices(ingest(folder(*(f"{s}/{label}" for s in SPLITS for label in "AB"), count=count), FEW))
    assert ("W-LABEL-13" in found) == (count < 10)
    if count < 10:
        assert "validation has 9 images" in found["W-LABEL-13"].message
        assert "no threshold is tuned" in found["W-LABEL-13"].message


# Leaks


@pytest.fixture
def leaking(table):
    """Patients p0 to p6 are in train and in test."""
    rows = [(f"{k}.png", "AB"[k % 2], "train", f"p{k}") for k in range(12)]
    rows += [(f"{k + 20}.png", "AB"[k % 2], "test", f"p{k}" if k < 7 else f"q{k}") for k in range(12)]
    return table(("path", "label", "split", "patient"), *rows)


def test_l14_a_patient_in_two_splits_stops_the_run(leaking):
    said = refused("E-LABEL-14", leaking)
    assert "7 patients lie in more than one split (test and train" in said
    assert "p0, p1, p2, p3, p4 and 2 more" in said
    assert "--allow-leak" in said


def test_l14_an_allowed_leak_is_stamped(leaking):
    manifest = ingest(leaking, replace(FEW, allow_leak=True))
    assert manifest.leak_allowed
    notice = notices(manifest)["W-LABEL-14"]
    assert notice.message.startswith("LEAK ALLOWED: 7 patients")
    assert (notice.count, notice.items) == (7, ("p0", "p1", "p2", "p3", "p4"))


def test_allowing_a_leak_that_is_not_there_stamps_nothing(folder):
    assert not ingest(folder("A", "B"), replace(FEW, allow_leak=True)).leak_allowed


@pytest.mark.parametrize("other", ["same bytes", "another compression", "another format"])
def test_l15_identical_pixels_across_splits_stop_the_run(folder, write, faults, other):
    root = folder("train/A", "train/B", "test/A", "test/B")
    pixels = faults.noise(24, 24, seed=0)
    data = {
        "same bytes": (root / "train/A/00.png").read_bytes(),
        "another compression": faults.saved(pixels, "PNG", compress_level=9),
        "another format": faults.tiff(pixels),
    }[other]
    write({"test/A/copy.img": data})
    said = refused("E-LABEL-15", root)
    assert "1 identical images lie in more than one split" in said
    assert "train/A/00.png" in said
    assert "test/A/copy.img" in said
    manifest = ingest(root, replace(FEW, allow_leak=True))
    assert manifest.leak_allowed
    leak, groups = (notice for notice in manifest.notices if notice.code == "W-LABEL-15")
    assert leak.message.startswith("LEAK ALLOWED: 1 identical images")
    assert groups.message == "1 groups of pixel-identical images (1 extra)"


def test_l15_copies_are_kept_in_one_split(folder, write, faults):
    root = folder("A", "B", count=20)
    write({f"A/copy{k}.tif": faults.tiff(faults.noise(24, 24, seed=k)) for k in range(8)})
    manifest = ingest(root, IngestOptions())
    splits, groups = by_path(manifest, "split"), by_path(manifest, "group")
    assert all(splits[f"A/copy{k}.tif"] == splits[f"A/{k:02}.png"] for k in range(8))
    assert all(groups[f"A/copy{k}.tif"] == groups[f"A/{k:02}.png"] for k in range(8))
    notice = notices(manifest)["W-LABEL-15"]
    assert notice.message == "8 groups of pixel-identical images (8 extra); none is cut by a split"


# Patients


def regex(root, pattern, **more):
    return ingest(root, replace(FEW, patient_regex=pattern, **more))


@pytest.fixture
def people(write, png):
    """Two images of each of 16 patients at two sites."""
    names = [f"{label}/s{s}_n{n}_{k}.png" for label in "AB" for s in "12" for n in range(4) for k in "xy"]
    return write({name: png(seed) for seed, name in enumerate(names)})


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        (r"(?P<patient>[AB]/s\d_n\d)_(x|y)", "A/s1_n0"),
        (r"([AB])/s(\d)_n(\d)", "A/1/0"),
        (r"[AB]/s\d_n\d", "A/s1_n0"),
        (r"(B/s\d_n\d)|(A/s\d_n\d)", "A/s1_n0"),
    ],
    ids=["named group", "groups", "no group", "alternatives"],
)
def test_patients_by_regular_expression(people, pattern, key):
    manifest = regex(people, pattern)
    assert by_path(manifest, "patient")["A/s1_n0_x.png"] == key
    assert len(set(manifest.patients)) == 16
    splits = by_path(manifest, "split")
    assert all(splits[path] == splits[path.replace("_x", "_y")] for path in splits)
    assert repr(pattern) in manifest.patient_rule


def test_a_regular_expression_that_cannot_be_read(people):
    said = refused("E-USAGE-08", people, replace(FEW, patient_regex="(s1"), UsageError)
    assert "--patient-regex '(s1'" in said


@pytest.mark.parametrize("pattern", [r"A/s\d_n\d", r"(A/s\d)|B", r"A/(?P<patient>s\d)|B"])
def test_a_regular_expression_that_misses_some(people, pattern):
    said = refused("E-LABEL-22", people, replace(FEW, patient_regex=pattern))
    assert "16 images have no patient key" in said
    assert "B/s1_n0_x.png" in said


def test_a_patient_column_with_gaps(table):
    rows = [(*row, "" if k == 3 else f"p{k}") for k, row in enumerate(ROWS)]
    assert "1 images have no patient key" in refused("E-LABEL-22", table((*COLUMNS, "patient"), *rows))


def test_an_empty_patient_column_asked_for(table):
    source = table((*COLUMNS, "who"), *((*row, "") for row in ROWS))
    refused("E-LABEL-22", source, replace(FEW, patient_column="who"))


def test_the_regular_expression_comes_before_the_column(table):
    source = table((*COLUMNS, "patient"), *((*row, "same") for row in ROWS))
    assert set(regex(source, r"\d+").patients) == {str(k) for k in range(12)}


# The chest set


@pytest.fixture
def chest(write, png):
    """The layout and names of the pediatric chest X-rays, 14 patients a class, the tiny validation split included."""

    def making(val=2, **extra):
        names = []
        for split, start, count in (("train", 0, 14), ("test", 50, 4), ("val", 80, val)):
            for k in range(start, start + count):
                names += [f"{split}/NORMAL/{'NORMAL2-' if k % 2 else ''}IM-{k:04}-0001.jpeg"]
                names += [f"{split}/PNEUMONIA/person{k}_{'virus' if k % 2 else 'bacteria'}_{k}.jpeg"]
        files = {name: png(seed) for seed, name in enumerate(names)}
        return write({**files, **extra})

    return making


def test_the_distributed_validation_split_is_merged_into_train(chest):
    manifest = ingest(chest(), IngestOptions())
    assert manifest.catalog == "chest_xray"
    assert manifest.classes == ("NORMAL", "PNEUMONIA")
    counts = manifest.counts()
    assert sum(counts[s]["NORMAL"]["images"] for s in ("train", "val")) == 16
    assert counts["test"]["NORMAL"]["images"] == 4
    assert "validation: 1" in manifest.split_rule


def test_a_larger_validation_split_is_the_users_own(chest):
    manifest = ingest(chest(val=10), IngestOptions())
    assert manifest.catalog == "chest_xray"
    assert manifest.split_rule == "splits as given (seed 0)"
    assert manifest.counts()["val"]["NORMAL"]["images"] == 10


def test_bacteria_and_virus_of_one_number_are_two_patients(chest, png):
    extra = {"test/PNEUMONIA/person2_virus_7.jpeg": png(900), "test/NORMAL/NORMAL2-IM-0002-0001.jpeg": png(901)}
    patients = by_path(ingest(chest(**extra), IngestOptions()), "patient")
    assert patients["test/PNEUMONIA/person2_virus_7.jpeg"] == "person2_virus"
    assert patients["train/PNEUMONIA/person2_bacteria_2.jpeg"] == "person2_bacteria"
    assert patients["test/NORMAL/NORMAL2-IM-0002-0001.jpeg"] == "NORMAL2-IM-0002"
    assert patients["train/NORMAL/IM-0002-0001.jpeg"] == "IM-0002"


def test_l14_a_patient_of_the_chest_set_in_train_and_test(chest, png):
    extra = {"test/PNEUMONIA/person2_bacteria_7.jpeg": png(900)}
    assert "person2_bacteria" in refused("E-LABEL-14", chest(**extra), IngestOptions())


def test_one_foreign_name_and_the_set_is_not_recognised(chest, png):
    manifest = ingest(chest(**{"train/NORMAL/scan.png": png(900)}), IngestOptions())
    assert (manifest.catalog, manifest.facts) == (None, ())


def test_the_rule_can_be_asked_for_or_refused(chest, png):
    root = chest(**{"train/NORMAL/scan.png": png(900)})
    said = refused("E-LABEL-22", root, IngestOptions(catalog="chest_xray"))
    assert "1 images have no patient key" in said
    (root / "train/NORMAL/scan.png").unlink()
    assert ingest(root, IngestOptions(catalog="none")).catalog is None
    refused("E-USAGE-04", root, IngestOptions(catalog="chest"), UsageError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"val": 0.0},
        {"test": 0.0},
        {"val": 0.9},
        {"test": -0.1},
        {"max_skip": 1.5},
        {"min_side": 0},
        {"split_seed": -1},
        {"val": "a"},
    ],
    ids=str,
)
def test_options_that_cannot_be_used(wrong):
    with pytest.raises(UsageError) as caught:
        IngestOptions(**wrong)
    assert caught.value.code == "E-USAGE-11"


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason=f"the pediatric chest X-rays are not at {REAL}")
def test_the_real_chest_xrays(tmp_path):
    manifest = ingest(REAL, IngestOptions(), cache=tmp_path, skip_report=tmp_path / "skipped.csv")
    assert (len(manifest), manifest.catalog, manifest.skipped) == (5840, "chest_xray", ())
    counts = {s: {c: n["images"] for c, n in classes.items()} for s, classes in manifest.counts().items()}
    train = {c: counts["train"][c] + counts["val"][c] for c in manifest.classes}
    assert train == {"NORMAL": 1341, "PNEUMONIA": 3875}
    assert counts["test"] == {"NORMAL": 234, "PNEUMONIA": 390}
    assert train["PNEUMONIA"] / sum(train.values()) == pytest.approx(0.743, abs=0.0005)
    assert counts["test"]["PNEUMONIA"] / sum(counts["test"].values()) == 0.625
    assert "30 groups of pixel-identical images (32 extra)" in notices(manifest)["W-LABEL-15"].message
    patients = {split: set(manifest.subset(split).patients) for split in SPLITS}
    assert not patients["train"] & patients["test"]
    assert not patients["train"] & patients["val"]
    assert not patients["val"] & patients["test"]
    assert len(patients["test"]) == 428
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("names", "positive", "guessed"),
    [
        (("Tumor", "no_tumor"), "Tumor", False),
        (("Cardiomegaly", "No_Finding"), "Cardiomegaly", False),
        (("covid", "non-covid"), "covid", False),
        (("NORMAL", "PNEUMONIA"), "PNEUMONIA", False),
        (("melanoma", "nevus"), "nevus", True),
        (("nodule", "other"), "other", True),
    ],
)
def test_the_positive_class_is_said_when_it_is_guessed(names: tuple[str, str], positive: str, guessed: bool) -> None:
    from xenograft.data.importers import RawRow
    from xenograft.data.ingest import IngestOptions, _classes, _positive_notices

    classes = _classes([RawRow(name, name, name) for name in names], IngestOptions())
    assert classes[1] == positive
    assert bool(_positive_notices(classes, IngestOptions())) is guessed
    assert _positive_notices(classes, IngestOptions(positive=positive)) == []
