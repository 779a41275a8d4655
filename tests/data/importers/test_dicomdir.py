"""A DICOMDIR is an index: its images are listed, entries outside of its folder stop, and labels come from a table."""

from __future__ import annotations

import gc
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from xenograft.data.importers import dicomdir, read_listing
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.errors import DataError

SECRET = "Mustermann"


def image(patient: int) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = ComputedRadiographyImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[str(patient)])
    data.PatientID, data.PatientName = f"{SECRET}-{patient}", SECRET
    data.StudyDate, data.StudyTime, data.StudyID = "20200101", "120000", "1"
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(patient)])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(patient)])
    data.Modality, data.SeriesNumber, data.InstanceNumber = "CR", 1, 1
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 20, 24, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = np.random.default_rng(patient).integers(0, 4096, (20, 24)).astype("<u2").tobytes()
    return data


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A CD of twenty patients with an image each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a temporary folder of pydicom's
        files = FileSet()
        for patient in range(20):
            files.add(image(patient))
        files.write(tmp_path / "CD")
        del files
        gc.collect()
    return tmp_path / "CD"


def points(disc: Path, to: Any) -> None:
    """Let the first image's record name another file."""
    index = dcmread(disc / "DICOMDIR")
    record = next(one for one in index.DirectoryRecordSequence if one.DirectoryRecordType == "IMAGE")
    record["ReferencedFileID"].validation_mode = 0
    record.ReferencedFileID = to
    index.save_as(disc / "DICOMDIR")


def test_its_images_are_listed_below_its_folder(disc: Path) -> None:
    found = dicomdir.images(disc / "DICOMDIR")
    there = {path.relative_to(disc).as_posix() for path in disc.rglob("*") if path.is_file()}
    assert set(found) == there - {"DICOMDIR"}
    assert len(found) == 20


@pytest.mark.parametrize("data", ["DICOMDIR", "."])
def test_alone_it_names_no_labels(disc: Path, data: str) -> None:
    with pytest.raises(DataError, match=r"E-DICOM-18 .*names 20 images \(.*\) and no labels; .*--images ") as caught:
        read_listing(disc / data)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("images", ["CD", "CD/DICOMDIR"])
def test_a_table_gives_the_labels(disc: Path, tmp_path: Path, images: str) -> None:
    lines = [f"{path},{'ab'[k % 2]}" for k, path in enumerate(dicomdir.images(disc / "DICOMDIR"))]
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    manifest = ingest(tmp_path / "labels.csv", IngestOptions(images=tmp_path / images), cache=tmp_path / "cache")
    assert len(manifest) == 20
    assert manifest.root == disc
    assert SECRET not in str(manifest.table.to_pylist())


@pytest.mark.parametrize("to", [["..", "OTHER"], "../OTHER", "/etc/passwd", ["A", "", "B"], ["LINK", "X"]])
def test_d12_an_entry_outside_of_its_folder_stops(disc: Path, tmp_path: Path, to: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "X").write_bytes(b"secret")
    (disc / "LINK").symlink_to(tmp_path / "elsewhere")
    points(disc, to)
    shown = re.escape(to if isinstance(to, str) else "/".join(to))
    (tmp_path / "labels.csv").write_text("path,label\nx,a\n")
    for data, images in ((disc / "DICOMDIR", None), (disc, None), (tmp_path / "labels.csv", disc / "DICOMDIR")):
        with pytest.raises(DataError, match=f"E-DICOM-12 .*names 1 files outside of its folder: {shown}; "):
            read_listing(data, images=images)


@pytest.mark.parametrize("damaged", [False, True])
def test_among_class_folders_it_is_passed_over(disc: Path, tmp_path: Path, damaged: bool) -> None:
    left = b"" if damaged else (disc / "DICOMDIR").read_bytes()
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
    for k, path in enumerate(dicomdir.images(disc / "DICOMDIR")):
        (disc / path).rename(tmp_path / "data" / "ab"[k % 2] / f"{k}.dcm")
    (disc / "DICOMDIR").rename(tmp_path / "data" / "a" / "DICOMDIR")
    (tmp_path / "data" / "DICOMDIR").write_bytes(left)
    manifest = ingest(tmp_path / "data", cache=tmp_path / "cache")
    assert len(manifest) == 20
    assert manifest.skipped == ()
    assert "W-DATA-08" not in {notice.code for notice in manifest.notices}


def test_a_damaged_one_is_said(disc: Path) -> None:
    data = (disc / "DICOMDIR").read_bytes()
    for damaged in (b"text", data[:200], data[:500]):
        (disc / "DICOMDIR").write_bytes(damaged)
        with pytest.raises(DataError, match=r"E-DICOM-19 .*DICOMDIR"):
            read_listing(disc / "DICOMDIR")
