"""Whole multi-label data sets, from their tables to checked splits."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from xenograft.data.ingest import IngestOptions, ingest
from xenograft.errors import LabelError, UsageError

OPTIONS = IngestOptions(label_column="Edema,Mass,Hernia", val=0.25, test=0.25)
SPLITS = ("train", "val", "test")


def notices(manifest):
    return {notice.code: notice for notice in manifest.notices}


def refused(code, data, options, kind=LabelError):
    with pytest.raises(kind) as caught:
        ingest(data, options)
    assert caught.value.code == code
    return str(caught.value)


@pytest.fixture
def findings(table):
    """A table of `count` images of patients with two each; `cell(k)` gives its three cells."""

    def making(cell, *, count=96, more=(), header=()):
        rows = [(f"{k:03}.png", f"p{k // 2}", *cell(k), *(column(k) for column in more)) for k in range(count)]
        return table(("path", "patient", "Edema", "Mass", "Hernia", *header), *rows)

    return making


def common(k):
    """Each finding in every second, fourth or third pair of images."""
    return (k // 2) % 2, int((k // 2) % 4 < 2), int((k // 2) % 3 == 0)


def relabelled(source, change):
    """The same table with the cells of each line changed."""
    lines = list(csv.reader(source.read_text().splitlines()))
    with source.open("w", newline="") as stream:
        csv.writer(stream).writerows([lines[0], *(change(k, line) for k, line in enumerate(lines[1:]))])
    return source


def test_a_table_of_findings_becomes_a_manifest(findings):
    manifest = ingest(findings(common), OPTIONS)
    assert (manifest.classes, manifest.multi_label) == (("Edema", "Mass", "Hernia"), True)
    found = {row.path: manifest.labels[at].tolist() for at, row in enumerate(manifest.rows())}
    assert found == {f"{k:03}.png": list(common(k)) for k in range(96)}
    assert all(0 < c["images"] < c["of"] for counts in manifest.counts().values() for c in counts.values())
    assert not set(manifest.patients[manifest.where("train")]) & set(manifest.patients[manifest.where("test")])
    assert "stratified by the rarest finding" in manifest.split_rule
    assert set(notices(manifest)) == {"W-LABEL-13"}
    assert ingest(findings(common), OPTIONS).sha256 == manifest.sha256


def test_no_positive_class_can_be_named(findings):
    said = refused("E-USAGE-07", findings(common), replace(OPTIONS, positive="Mass"), UsageError)
    assert "--positive 'Mass': an image may have any of 3 findings (Edema, Mass, Hernia)" in said


def test_l25_a_rare_finding_is_left_out_and_stops_nothing(findings):
    manifest = ingest(findings(lambda k: (*common(k)[:2], int(k < 2))), OPTIONS)
    assert manifest.classes == ("Edema", "Mass")
    assert manifest.labels.shape == (96, 2)
    notice = notices(manifest)["W-LABEL-25"]
    assert notice.count == 1
    assert "left out, for want of images: Hernia (none with it in " in notice.message


def test_l25_a_finding_that_every_image_has(findings):
    manifest = ingest(findings(lambda k: (*common(k)[:2], 1)), OPTIONS)
    assert "Hernia (none without it in train, none without it in val" in notices(manifest)["W-LABEL-25"].message


def test_l25_images_of_which_nothing_else_is_known_go_too(findings):
    manifest = ingest(findings(lambda k: (*common(k)[:2], "") if k < 90 else ("", "", 1)), OPTIONS)
    assert len(manifest) == 90
    assert "6 images of which only these are known were left out too" in notices(manifest)["W-LABEL-25"].message


def test_l12_no_finding_is_left(findings):
    said = refused("E-LABEL-12", findings(lambda _: (1, 0, "")), OPTIONS)
    assert "no finding has images with and without it in every split: Edema (none without it in train" in said


def test_l26_what_is_unknown_is_counted(findings):
    manifest = ingest(findings(lambda k: (*common(k)[:2], common(k)[2] if k % 4 else -1)), OPTIONS)
    notice = notices(manifest)["W-LABEL-26"]
    assert notice.count == 24
    assert notice.message == (
        "24 labels (8.3%) are missing or uncertain: they are neither learnt nor scored; most: Hernia 25%"
    )
    assert (manifest.labels[:, 2] == -1).sum() == 24


def test_l13_few_validation_images_with_or_without_a_finding(findings):
    manifest = ingest(findings(lambda k: (*common(k)[:2], int(k % 2))), replace(OPTIONS, val=0.5))
    assert "W-LABEL-13" not in notices(manifest)
    notice = notices(ingest(findings(common), OPTIONS))["W-LABEL-13"]
    assert "validation has fewer than 10 images with or without" in notice.message
    assert "Hernia (6 with" in notice.message
    assert notice.message.endswith("their threshold stays 0.5")


def test_l14_a_patient_in_two_splits(findings):
    source = findings(common, header=("split",), more=(lambda k: SPLITS[k % 3],))
    assert "patients lie in more than one split" in refused("E-LABEL-14", source, OPTIONS)
    assert ingest(source, replace(OPTIONS, allow_leak=True)).leak_allowed


def test_l15_identical_pixels_that_differ_in_a_finding(findings):
    source = findings(common)
    for k in (1, 3, 5):  # of one patient each: the first two pairs agree in what is known
        (source.parent / f"{k:03}.png").write_bytes((source.parent / f"{k - 1:03}.png").read_bytes())

    def change(k, line):
        return {1: [*line[:3], "", line[4]], 5: [*line[:3], "10"[int(line[3])], line[4]]}.get(k, line)

    notice = notices(ingest(relabelled(source, change), OPTIONS))["W-LABEL-15"]
    assert notice.message == (
        "3 groups of pixel-identical images (3 extra); none is cut by a split; in 1 of them one image has a finding "
        "and another has not"
    )


def test_l15_identical_pixels_in_two_splits(findings):
    source = findings(common, header=("split",), more=(lambda k: SPLITS[k // 2 % 4 % 3],))
    (source.parent / "000.png").write_bytes((source.parent / "002.png").read_bytes())
    assert "identical images lie in more than one split" in refused("E-LABEL-15", source, OPTIONS)


def test_l8_spellings_of_a_finding_are_one(table):
    cells = ("Mass|Edema", "mass |Edema", "Edema|Mass", "No Finding", "Edema", " Mass")
    source = table(("path", "label"), *((f"{k:03}.png", cells[k % 6]) for k in range(60)))
    manifest = ingest(source, replace(OPTIONS, label_column=None))
    assert manifest.classes == ("Edema", "Mass")
    found = dict(zip(manifest.column("path"), manifest.column("label"), strict=True))
    assert [found[f"{k:03}.png"] for k in range(6)] == ["Edema|Mass", "Edema|Mass", "Edema|Mass", "", "Edema", "Mass"]
    notice = notices(manifest)["W-LABEL-08"]
    assert notice.count == 10
    assert notice.message == "label 'mass' was read as 'Mass'"


def test_a_finding_whose_only_images_were_skipped_is_left_out_not_fatal(findings):
    source = findings(lambda k: (*common(k)[:2], int(k == 0)))
    (source.parent / "000.png").write_bytes(b"")
    manifest = ingest(source, replace(OPTIONS, max_skip=0.05))
    assert manifest.classes == ("Edema", "Mass")
    assert [skip.code for skip in manifest.skipped] == ["S-FILE-01"]


def test_nih_chestxray14_is_recognised_by_some_of_its_findings(write, png):
    files = {f"images_00{1 + p % 2}/images/{p:08d}_{k:03d}.png": png(2 * p + k) for p in range(30) for k in range(2)}
    cells = ("Mass|Hernia", "Mass", "No Finding", "Hernia")
    lines = [f"{name.rsplit('/')[-1]},{cells[at // 2 % 4]},{at // 2}" for at, name in enumerate(files)]
    text = "\n".join(["Image Index,Finding Labels,Patient ID", *lines])
    root = write({**files, "Data_Entry_2017.csv": text.encode()})
    manifest = ingest(root / "Data_Entry_2017.csv", IngestOptions(val=0.3, test=0.3))
    assert (manifest.catalog, manifest.classes) == ("nih_chest_xray14", ("Hernia", "Mass"))
    assert len(set(manifest.patients)) == 30
    assert any("mined from reports" in fact for fact in manifest.facts)


def test_chexpert_needs_its_columns_only(write, png):
    places = [f"train/patient{p:05d}/study{k}/view1_frontal.png" for p in range(40) for k in (1, 2)]
    lines = [f"data/{place},{'1.0' if at // 2 % 2 else '0.0'},{['', '-1.0', '1.0', '0.0'][at % 4]}" for at, place in
             enumerate(places)]  # fmt: skip
    text = "\n".join(["Path,Edema,Pleural Effusion", *lines])
    root = write({**{place: png(at) for at, place in enumerate(places)}, "train.csv": text.encode()})
    options = IngestOptions(label_column="Edema,Pleural Effusion", val=0.25, test=0.25)
    manifest = ingest(root / "train.csv", options)
    assert manifest.catalog == "chexpert"
    assert manifest.patients[0] == "patient00000"
    assert np.bincount(manifest.labels[:, 1] + 1).tolist() == [40, 20, 20]


def test_chestmnist_has_the_names_of_its_findings(tmp_path, monkeypatch):
    from xenograft.data import catalog

    sizes = (24, 14, 14)
    monkeypatch.setitem(catalog.CATALOG, "chestmnist", replace(catalog.lookup("chestmnist"), sizes=(sizes,)))
    rng = np.random.default_rng(0)
    arrays = {}
    for split, size in zip(SPLITS, sizes, strict=True):
        arrays[f"{split}_images"] = rng.integers(0, 255, (size, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.tile(np.eye(14, dtype=np.uint8), (2, 1))[:size]
    np.savez(tmp_path / "chestmnist.npz", **arrays)
    manifest = ingest(tmp_path / "chestmnist.npz", cache=tmp_path / "cache")
    assert manifest.catalog == "chestmnist"
    assert (len(manifest.classes), manifest.classes[12]) == (14, "pleural")
    assert manifest.labels[:14].tolist() == np.eye(14, dtype=int).tolist()
    assert manifest.split_rule.startswith("splits as given")
