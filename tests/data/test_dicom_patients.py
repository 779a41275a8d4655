"""A folder of DICOM files -> manifest: patients are told apart and never named; frames and windows are chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from xenograft.data.dicom_patients import RULE, SALT_FILE
from xenograft.data.glance import GlanceStore
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.prepared import pixel_facts, read_prepared
from xenograft.data.preprocess import DicomReading, Preprocess
from xenograft.errors import DataError, UsageError

SECRET = "PAT-4711-Mustermann"


def write_dicom(path: Path, pixels: Any, patient: str = "", *, frames: int = 0, **more: Any) -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    data.SOPClassUID, data.Modality = SecondaryCaptureImageStorage, "CR"
    data.PatientName, data.PhotometricInterpretation = SECRET, "MONOCHROME2"
    if patient:
        data.PatientID = patient
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    if frames:
        data.NumberOfFrames = frames
    for name, value in more.items():
        setattr(data, name, value)
    data.PixelData = pixels.astype("<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, ten patients of two images in each."""
    folder = tmp_path / "data"
    rng = np.random.default_rng(0)
    for number in range(40):
        label, patient = "ab"[number % 2], f"{SECRET}-{number % 2}-{number // 4}"
        pixels = rng.integers(0, 4096, (40, 48))
        write_dicom(folder / label / f"{number:02}.dcm", pixels, patient, WindowCenter=2048, WindowWidth=4096)
    return folder


def test_patients_are_hashed_with_a_salt_beside_the_data(root: Path, tmp_path: Path) -> None:
    manifest = ingest(root, cache=tmp_path / "cache")
    assert manifest.patient_rule == RULE
    assert len(set(manifest.column("patient"))) == 20
    assert (root / SALT_FILE).stat().st_mode & 0o077 == 0
    again = ingest(root, cache=tmp_path / "cache")
    assert again.column("patient") == manifest.column("patient")
    (root / SALT_FILE).unlink()
    other = ingest(root, cache=tmp_path / "cache")
    assert not set(other.column("patient")) & set(manifest.column("patient"))
    for path in [*(tmp_path / "cache").rglob("*"), root / SALT_FILE]:
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
    assert SECRET not in repr(manifest) + str(manifest.table.to_pylist())


def test_no_patient_is_cut_by_a_split(root: Path, tmp_path: Path) -> None:
    manifest = ingest(root, cache=tmp_path / "cache")
    splits: dict[str, set[str]] = {}
    for patient, split in zip(manifest.column("patient"), manifest.column("split"), strict=True):
        splits.setdefault(patient, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(manifest.counts()) == 3


def test_d11_images_without_patient_stand_alone(root: Path, tmp_path: Path) -> None:
    write_dicom(root / "a" / "98.dcm", np.full((40, 48), 7))
    write_dicom(root / "a" / "99.dcm", np.eye(40, 48) * 4000)
    manifest = ingest(root, cache=tmp_path / "cache")
    assert len(set(manifest.column("patient"))) == 22
    assert "W-DICOM-11" in {notice.code for notice in manifest.notices}


def test_d4_frames_stop_until_one_is_chosen(root: Path, tmp_path: Path) -> None:
    frames = np.stack([np.full((40, 48), 100), np.arange(40 * 48).reshape(40, 48), np.full((40, 48), 300)])
    write_dicom(root / "a" / "99.dcm", frames, "P", frames=3)
    with pytest.raises(DataError, match=r"E-DICOM-04 1 DICOM files hold several frames; .*--frame.*a/99.dcm"):
        ingest(root, cache=tmp_path / "cache")
    manifest = ingest(root, IngestOptions(frame="2"), cache=tmp_path / "cache")
    row = next(row for row in manifest.rows() if row.path == "a/99.dcm")
    pixels = read_prepared(manifest, row, Preprocess(size=40, dicom=DicomReading("2")))
    assert len(np.unique(pixels)) > 100
    looked = GlanceStore(dicom=DicomReading("2")).read(manifest)
    assert len(looked) == 41


def test_a_window_is_part_of_every_key(root: Path, tmp_path: Path) -> None:
    manifest = ingest(root, cache=tmp_path / "cache")
    row = next(manifest.rows())
    whole, narrow = Preprocess(size=40), Preprocess(size=40, dicom=DicomReading(centre=100, width=50))
    assert whole.as_json() != narrow.as_json()
    assert Preprocess.from_json(narrow.as_json()) == narrow
    assert Preprocess.from_json(whole.as_json()) == whole
    assert (read_prepared(manifest, row, whole) != read_prepared(manifest, row, narrow)).mean() > 0.5


def test_a_window_by_name_is_part_of_every_key_and_of_the_bundle(root: Path, tmp_path: Path) -> None:
    for path in sorted(root.rglob("*.dcm")):
        names = {"WindowCenter": [2048, 100], "WindowWidth": [4096, 50], "WindowCenterWidthExplanation": ["ALL", "LOW"]}
        write_dicom(path, np.random.default_rng(int(path.stem)).integers(0, 4096, (40, 48)), path.stem, **names)
    options = IngestOptions(window=" Low ")
    assert options.dicom == DicomReading(window="low")
    manifest = ingest(root, options, cache=tmp_path / "cache")
    row = next(manifest.rows())
    named, whole = Preprocess(size=40, dicom=options.dicom), Preprocess(size=40)
    assert Preprocess.from_json(named.as_json()) == named
    assert pixel_facts(named) != pixel_facts(whole)
    low = Preprocess(size=40, dicom=DicomReading(centre=100, width=50))
    np.testing.assert_array_equal(read_prepared(manifest, row, named), read_prepared(manifest, row, low))
    other = next(one for one in ingest(root, cache=tmp_path / "cache").rows() if one.path == row.path)
    assert other.pixels_sha256 != row.pixels_sha256  # the facts of one way to read are not taken for another


def test_readings_without_a_name_keep_their_keys() -> None:
    assert DicomReading("2", 40, 400).as_json() == {"frame": "2", "centre": 40, "width": 400}
    assert IngestOptions(window="first").dicom == DicomReading()


def test_a_name_that_no_file_has_stops_and_tells_which(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"E-DATA-01 40 of 40 .*S-DICOM-15 has no window named lung, and a preset is for"
    ):
        ingest(root, IngestOptions(window="lung"), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "bad",
    [
        {"frame": "0"},
        {"frame": "last"},
        {"window": "40"},
        {"window": "40,0"},
        {"window": "lung,bone"},
        {"window": " "},
        {"window": "nan"},
    ],
)
def test_what_cannot_be_asked_for_is_said_first(bad: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="E-USAGE-05"):
        IngestOptions(**bad)  # type: ignore[arg-type]
