"""Which images a bundle may be measured on, and that nothing else gets through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from xenograft.data.ingest import IngestOptions, ingest
from xenograft.data.manifest import Manifest
from xenograft.data.phantom import write_phantoms
from xenograft.data.preprocess import DicomReading, Preprocess
from xenograft.errors import DataError, LabelError, UsageError
from xenograft.perturbing import OWN, UNKNOWN, UNSEEN, WHOLE, _config, measurable, with_classes_of


@pytest.fixture(scope="module")
def own(phantom_folder: Path) -> Manifest:
    return ingest(phantom_folder)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = write_phantoms(tmp_path_factory.mktemp("other") / "elsewhere", count=60, size=64, seed=8)
    return ingest(folder)


def bundle(folder: Path, trained: Manifest, *, record: bool = False, catalog: str | None = None) -> Any:
    """What `measurable` looks at, with the training record beside it if asked."""
    facts = SimpleNamespace(
        classes=list(trained.classes),
        multi_label=trained.multi_label,
        data={
            "manifest_sha256": trained.sha256,
            "catalog": catalog or trained.catalog,
            "name": trained.name,
            "counts": trained.counts(),
        },
    )
    if record:
        beside = folder / "b-training"
        beside.mkdir()
        pq.write_table(trained.table, beside / "manifest.parquet")
    return SimpleNamespace(folder=folder / "b", facts=facts)


def without_splits(manifest: Manifest) -> Manifest:
    return replace(manifest, splits_given=False)


def test_of_its_own_data_only_the_test_split(tmp_path: Path, own: Manifest) -> None:
    made = bundle(tmp_path, own)
    for asked in (None, "test"):
        positions, chosen, relation = measurable(made, own, asked)
        assert (chosen, relation) == ("test", OWN)
        np.testing.assert_array_equal(positions, own.where("test"))
    for asked in ("train", "val", WHOLE):
        with pytest.raises(DataError, match=f"{asked} holds images it has seen") as error:
            measurable(made, own, asked)
        assert error.value.code == "E-DATA-43"
    with pytest.raises(UsageError, match="one of train, val, test, all"):
        measurable(made, own, "holdout")


def test_other_data_are_taken_whole_where_they_have_no_splits(tmp_path: Path, own: Manifest, other: Manifest) -> None:
    made = bundle(tmp_path, own)
    other = replace(other, name="elsewhere", catalog=None)
    assert measurable(made, other, None)[1:] == ("test", UNKNOWN)
    positions, chosen, relation = measurable(made, without_splits(other), None)
    assert (len(positions), chosen, relation) == (len(other), WHOLE, UNKNOWN)
    assert measurable(made, other, "train")[1:] == ("train", UNKNOWN)


def test_the_training_record_finds_single_images_that_were_trained_on(
    tmp_path: Path, own: Manifest, other: Manifest
) -> None:
    made = bundle(tmp_path, own, record=True)
    assert measurable(made, without_splits(other), None)[1:] == (WHOLE, UNSEEN)
    again = own.take(np.r_[own.where("test"), own.where("train")[:1]])
    with pytest.raises(DataError, match=f"1 of {len(again)} images were in the bundle's training") as error:
        measurable(made, without_splits(again), WHOLE)
    assert error.value.code == "E-DATA-43"
    alone = own.subset("test")
    assert measurable(made, alone, None)[2] == UNSEEN


def test_without_it_the_same_images_split_otherwise_are_refused(tmp_path: Path, own: Manifest) -> None:
    made = bundle(tmp_path, own)
    table = own.table.set_column(own.table.schema.get_field_index("split"), "split", own.table["split"][::-1])
    shuffled = replace(without_splits(own), table=table)
    assert shuffled.sha256 != own.sha256
    with pytest.raises(DataError, match="split in another way"):
        measurable(made, shuffled, None)
    known = bundle(tmp_path, own, catalog="chest_xray")
    part = replace(own.take(np.arange(50)), catalog="chest_xray", name="another")
    assert measurable(known, part, "test")[2] == UNKNOWN
    with pytest.raises(DataError, match="split in another way"):
        measurable(known, part, "train")


def test_an_empty_split_is_said(tmp_path: Path, own: Manifest, other: Manifest) -> None:
    with pytest.raises(DataError, match="no image in test"):
        measurable(bundle(tmp_path, own), other.subset("train"), "test")


def test_classes_are_put_in_the_order_of_the_bundle_or_refused(tmp_path: Path, own: Manifest) -> None:
    made = bundle(tmp_path, own)
    turned = replace(own, classes=own.classes[::-1])
    assert with_classes_of(made, turned).classes == own.classes
    assert with_classes_of(made, turned).sha256 == own.sha256
    np.testing.assert_array_equal(with_classes_of(made, turned).labels, own.labels)
    with pytest.raises(LabelError, match="cat, dog, those of the bundle NORMAL, PNEUMONIA") as error:
        with_classes_of(made, replace(own, classes=("cat", "dog")))
    assert error.value.code == "E-LABEL-30"
    with pytest.raises(LabelError, match="findings, any number an image"):
        with_classes_of(made, replace(own, multi_label=True))


@pytest.mark.parametrize(
    "dicom", [DicomReading(), DicomReading("middle"), DicomReading(None, 40.0, 400.0), DicomReading("2", window="lung")]
)
def test_dicom_files_are_read_as_the_bundle_reads_them(dicom: DicomReading) -> None:
    assert _config("data", Preprocess(dicom=dicom), {}).reading.dicom == dicom
    with pytest.raises(UsageError, match="leave them out") as error:
        _config("data", Preprocess(dicom=dicom), {"frame": "7"})
    assert error.value.code == "E-USAGE-25"


def test_options_of_reading_pass_through() -> None:
    config = _config("data", Preprocess(), {"patient_regex": "x", "threads": None, "resamples": 100})
    assert config.reading == IngestOptions(patient_regex="x")
    assert config.resamples == 100
