"""``--frame all``: every frame is an image, read as from the original, and nobody is named in the cache."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from xenograft.data.dicom_patients import SALT_FILE
from xenograft.data.importers.frames import PATIENT_RULE, every_frame
from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.manifest import Manifest
from xenograft.data.prepared import read_prepared
from xenograft.data.preprocess import DicomReading, Preprocess
from xenograft.data.readers import read_picture
from xenograft.errors import DataError, FileError

SECRET = "Mustermann-4711"
UID = "1.2.826.0.1.3680043.8.498.4711"
ALL = IngestOptions(frame="all", max_skip=0.5)


def dicom(path: Path, pixels: Any, patient: str = "", *, compress: bool = False, **more: Any) -> None:
    """Of (H, W) or (N, H, W), with a name, dates and UIDs in it."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = UID
    data.StudyInstanceUID = data.SeriesInstanceUID = UID
    data.PatientName, data.StudyDate, data.Modality = SECRET, "19991231", "US"
    data.ImageComments, data.WindowCenterWidthExplanation = SECRET, SECRET
    data.PatientAge, data.Manufacturer, data.PixelSpacing = "045Y", "Maker", [0.5, 0.25]
    data.add_new(0x00090010, "LO", SECRET)
    if patient:
        data.PatientID = patient
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PixelRepresentation, data.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    for name, value in more.items():
        setattr(data, name, value)
    data.PixelData = pixels.astype("<u2").tobytes()
    if compress:
        data.compress(RLELossless, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(path, enforce_file_format=True)


def noise(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 4096, shape)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of twelve patients with a file of three frames each, and one of a single frame for every third."""
    folder = tmp_path / "data"
    for number in range(24):
        label, patient = "ab"[number % 2], f"{SECRET}-{number}"
        dicom(folder / label / f"{number:02}.dcm", noise(number, 3, 24, 32), patient, compress=number % 4 == 0)
        if number % 3 == 0:
            dicom(folder / label / f"{number:02}-still.dcm", noise(100 + number, 24, 32), patient)
    return folder


def rows_of(manifest: Manifest, start: str) -> list[Any]:
    return [row for row in manifest.rows() if row.path.startswith(start)]


def test_every_frame_is_an_image_that_reads_as_from_the_original(root: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.dcm")}
    manifest = ingest(root, ALL, cache=tmp_path / "cache")
    assert len(manifest) == 24 * 3 + 8
    assert [row.id for row in rows_of(manifest, "a/00.dcm")] == [f"a/00.dcm/{k:04}" for k in (1, 2, 3)]
    for name in ("a/00.dcm", "b/01.dcm"):
        for number, row in enumerate(rows_of(manifest, name), start=1):
            original = read_picture(root / name, frame=number)
            np.testing.assert_array_equal(read_picture(manifest.root / row.path).pixels, original.pixels)
            assert f'"identifying_tags": "{dict(original.acquisition)["identifying_tags"]}"' in row.acquisition
            assert '"age": "45"' in row.acquisition
            assert '"pixel_spacing": "0.5x0.25"' in row.acquisition
    assert {path: path.read_bytes() for path in before} == before
    (said,) = [notice for notice in manifest.notices if notice.code == "W-DICOM-17"]
    assert said.message.startswith("24 DICOM files gave 72 frames")


def test_frames_and_single_files_of_a_patient_stay_together(root: Path, tmp_path: Path) -> None:
    manifest = ingest(root, ALL, cache=tmp_path / "cache")
    assert manifest.patient_rule == PATIENT_RULE
    assert len(set(manifest.column("patient"))) == 24
    for number in (0, 3):
        of = rows_of(manifest, f"{'ab'[number % 2]}/{number:02}")
        assert len(of) == 4
        assert len({(row.patient, row.group, row.split) for row in of}) == 1
    stills = ingest(root, IngestOptions(frame="first"), cache=tmp_path / "cache")
    assert {row.patient for row in stills.rows()} == set(manifest.column("patient"))


def test_a_file_without_patient_is_the_patient_of_its_frames(root: Path, tmp_path: Path) -> None:
    dicom(root / "a" / "98.dcm", noise(98, 3, 24, 32))
    dicom(root / "a" / "99.dcm", noise(99, 3, 24, 32))
    manifest = ingest(root, ALL, cache=tmp_path / "cache")
    assert {row.patient for row in rows_of(manifest, "a/98.dcm")} == {"a/98.dcm"}
    assert {row.patient for row in rows_of(manifest, "a/99.dcm")} == {"a/99.dcm"}
    assert "W-DICOM-11" in {notice.code for notice in manifest.notices}


def test_d13_nothing_that_identifies_comes_into_the_cache(root: Path, tmp_path: Path) -> None:
    manifest = ingest(root, ALL, cache=tmp_path / "cache")
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(kept) > 80
    for path in kept:
        for told in (SECRET, UID, "19991231", "1.2.840.10008.5.1.4.1.1.3.1"):
            assert told.encode() not in path.read_bytes(), path
    assert SECRET not in repr(manifest) + str(manifest.table.to_pylist())
    assert not (manifest.root / SALT_FILE).exists()


def test_they_are_unpacked_once_and_again_when_a_file_changes(root: Path, tmp_path: Path) -> None:
    first = ingest(root, ALL, cache=tmp_path / "cache")
    stamps = {path: path.stat().st_mtime_ns for path in first.root.rglob("*") if path.is_file()}
    told: list[tuple[int, int]] = []
    again = ALL.listing(root, tmp_path / "cache", progress=lambda *of: told.append(of))
    assert again.root == first.root
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    dicom(root / "a" / "00.dcm", noise(555, 4, 24, 32), f"{SECRET}-0")
    other = ALL.listing(root, tmp_path / "cache", progress=lambda *of: told.append(of))
    assert other.root != first.root
    assert len(other.rows) == 81
    assert told[-1] == (81, 81)


def test_a_12_bit_ramp_keeps_its_levels_and_its_window(root: Path, tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 64 * 64).reshape(64, 64)
    window = {"WindowCenter": [2048, 300], "WindowWidth": [4096, 100], "WindowCenterWidthExplanation": ["WIDE", "Thin"]}
    dicom(root / "a" / "ramp.dcm", np.stack([ramp, ramp[::-1]]), "P", **window)
    manifest = ingest(root, ALL, cache=tmp_path / "cache")
    upright, turned = rows_of(manifest, "a/ramp.dcm")
    whole = read_prepared(manifest, upright, Preprocess(size=64, dicom=DicomReading("all")))
    assert len(np.unique(whole)) > 200
    thin = read_prepared(manifest, turned, Preprocess(size=64, dicom=DicomReading("all", 300, 100)))
    np.testing.assert_array_equal(thin, _prepared(root / "a" / "ramp.dcm", 2, (300.0, 100.0)))


def _prepared(path: Path, frame: int, window: Any) -> Any:
    from xenograft.data.preprocess import prepare

    return prepare(read_picture(path, frame=frame, window=window).pixels, Preprocess(size=64))


def test_a_named_window_is_kept_by_the_name_that_was_given(root: Path, tmp_path: Path) -> None:
    for path in root.rglob("*.dcm"):
        path.unlink()
    for number in range(24):
        dicom(
            root / "ab"[number % 2] / f"{number}.dcm",
            noise(number, 2, 24, 32),
            f"P{number}",
            WindowCenter=[2048, 300],
            WindowWidth=[4096, 100],
            WindowCenterWidthExplanation=[SECRET, "THIN ONE"],
        )
    manifest = ingest(root, IngestOptions(frame="all", window="thin one"), cache=tmp_path / "cache")
    row = rows_of(manifest, "a/0.dcm")[1]
    found = read_picture(manifest.root / row.path, window="thin one").pixels
    np.testing.assert_array_equal(found, read_picture(root / "a" / "0.dcm", frame=2, window=(300.0, 100.0)).pixels)
    assert SECRET.encode() not in (manifest.root / row.path).read_bytes()


def test_what_holds_for_one_frame_is_kept_for_that_frame_only(root: Path, tmp_path: Path) -> None:
    def groups(slope: float, centre: float | None) -> Dataset:
        rescale, voi, group = Dataset(), Dataset(), Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, -10, "US"
        group.PixelValueTransformationSequence = [rescale]
        if centre is not None:
            voi.WindowCenter, voi.WindowWidth = centre, 1000
            group.FrameVOILUTSequence = [voi]
        return group

    frame = noise(7, 24, 32)
    own = [groups(1, 500), groups(2, 1500), groups(0.5, None)]
    dicom(root / "a" / "enhanced.dcm", np.stack([frame] * 3), "P", PerFrameFunctionalGroupsSequence=own)
    manifest = ingest(root, ALL, cache=tmp_path / "cache")
    found = [read_picture(manifest.root / row.path) for row in rows_of(manifest, "a/enhanced.dcm")]
    for picture, (slope, centre) in zip(found, ((1, 500), (2, 1500)), strict=False):
        units = frame * slope - 10
        want = np.clip((units - (centre - 0.5)) / 999 + 0.5, 0, 1) * 65535
        assert np.abs(picture.pixels - want).max() <= 0.5 + 1e-6
    assert "W-DICOM-14" in found[2].notes
    assert np.abs(found[2].pixels - frame / 4095 * 65535).max() <= 0.5 + 1e-6


def test_damaged_files_and_frames_are_skipped_and_other_images_stay(root: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(noise(3, 40, 40).astype(np.uint8)).save(root / "a" / "photo.png")
    dicom(root / "a" / "few.dcm", noise(1, 3, 24, 32), compress=True, NumberOfFrames=3)
    few = dcmread(root / "a" / "few.dcm")
    few.NumberOfFrames = 90_000
    few.save_as(root / "a" / "few.dcm")
    dicom(root / "a" / "bomb.dcm", noise(1, 100_001, 1, 1))
    torn = dcmread(root / "a" / "00.dcm")
    parts = list(generate_frames(torn.PixelData, number_of_frames=3))
    torn.PixelData = encapsulate([parts[0], bytes(len(parts[1])), parts[2]])
    torn.save_as(root / "a" / "torn.dcm")
    (root / "a" / "cut.dcm").write_bytes((root / "a" / "02.dcm").read_bytes()[:2000])
    manifest = ingest(root, ALL, cache=tmp_path / "cache")
    assert [(skip.path, skip.code) for skip in manifest.skipped] == [
        ("a/bomb.dcm", "S-FILE-10"),
        ("a/cut.dcm", "S-DICOM-06"),
        ("a/few.dcm", "S-DICOM-07"),
        ("a/torn.dcm/0002", "S-FILE-02"),
    ]
    assert [row.id for row in rows_of(manifest, "a/torn.dcm")] == ["a/torn.dcm/0001", "a/torn.dcm/0003"]
    (photo,) = rows_of(manifest, "a/photo.png")
    assert (manifest.root / photo.path).read_bytes() == (root / "a" / "photo.png").read_bytes()
    assert photo.patient == "a/photo.png"


def test_a_table_names_files_and_its_patients_count(root: Path, tmp_path: Path) -> None:
    lines = [f"i{k},{'ab'[k % 2]}/{k:02}.dcm,{'xy'[k % 2]},p{k // 2}" for k in range(24)]
    table = tmp_path / "labels.csv"
    table.write_text("id,path,label,patient\n" + "\n".join(lines) + "\n")
    manifest = ingest(table, IngestOptions(frame="all", images=root), cache=tmp_path / "cache")
    assert len(manifest) == 72
    assert [(row.id, row.patient) for row in rows_of(manifest, "b/01.dcm")] == [(f"i1/{k:04}", "p0") for k in (1, 2, 3)]


def test_single_frame_files_are_left_where_they_are(tmp_path: Path) -> None:
    for number in range(24):
        dicom(tmp_path / "data" / "ab"[number % 2] / f"{number}.dcm", noise(number, 24, 32), f"P{number}")
    manifest = ingest(tmp_path / "data", ALL, cache=tmp_path / "cache")
    assert manifest.root == tmp_path / "data"
    assert not (tmp_path / "cache" / "unpacked").exists()


def test_d5_a_missing_codec_stops(root: Path, tmp_path: Path) -> None:
    data = (root / "a" / "00.dcm").read_bytes()
    (root / "a" / "odd.dcm").write_bytes(data.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.7\0"))
    with pytest.raises(DataError, match=r"E-DICOM-05 1 DICOM files need what is not installed .*a/odd.dcm"):
        ingest(root, ALL, cache=tmp_path / "cache")


def test_what_was_unpacked_is_not_gone_through_again(root: Path, tmp_path: Path) -> None:
    listing = ALL.listing(root, tmp_path / "cache")
    assert every_frame(listing, cache=tmp_path / "cache") is listing


def test_who_reads_a_file_as_it_is_gets_no_frame_of_many(root: Path) -> None:
    with pytest.raises(FileError, match=r"E-DICOM-04 holds 3 frames, .*export each frame as a file"):
        read_picture(root / "a" / "00.dcm", frame="all")
