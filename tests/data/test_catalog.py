from pathlib import Path

import pytest

from xenograft.data.catalog import CATALOG, CHEST_XRAY, PHANTOM, lookup, recognise
from xenograft.data.phantom import SYNTHETIC_MARK
from xenograft.errors import UsageError

CLASSES = {"NORMAL", "PNEUMONIA"}
PATHS = ["train/PNEUMONIA/person12_bacteria_46.jpeg", "test/NORMAL/NORMAL2-IM-0115-0001.jpeg"]


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person12_bacteria_46.jpeg", "person12_bacteria"),
        ("person12_bacteria_47.jpeg", "person12_bacteria"),
        ("person12_virus_46.jpeg", "person12_virus"),
        ("person120_virus_46.jpeg", "person120_virus"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
        ("deep/er/IM-0115-0001-0002.jpeg", "IM-0115"),
        ("person12_fungus_1.jpeg", None),
        ("my-IM-0115.jpeg", None),
        ("0001.png", None),
    ],
)
def test_patients_of_the_chest_set(name, patient):
    assert CHEST_XRAY.patient(name) == patient


def test_the_chest_set_is_recognised_by_classes_and_names(tmp_path):
    assert recognise(tmp_path, CLASSES, PATHS) is CHEST_XRAY
    assert recognise(tmp_path, {"normal", "Pneumonia"}, PATHS) is CHEST_XRAY


def test_one_foreign_name_is_enough_for_not_recognised(tmp_path):
    assert recognise(tmp_path, CLASSES, [*PATHS, "train/NORMAL/scan1.png"]) is None


@pytest.mark.parametrize("classes", [{"NORMAL"}, {*CLASSES, "COVID"}, {"A", "B"}], ids=str)
def test_other_classes_are_not_recognised(tmp_path, classes):
    assert recognise(tmp_path, classes, PATHS) is None


def test_phantoms_are_recognised_by_their_mark_and_names(tmp_path):
    assert recognise(tmp_path, CLASSES, ["train/NORMAL/P0001_1.png"]) is None
    (tmp_path / SYNTHETIC_MARK).write_text("")
    assert recognise(tmp_path, CLASSES, ["train/NORMAL/P0001_1.png"]) is PHANTOM
    assert recognise(tmp_path, CLASSES, ["train/NORMAL/scan1.png"]) is None
    assert PHANTOM.patient("P0001_2.png") == "P0001"


def test_lookup_names_the_known_ones():
    assert lookup("chest_xray") is CHEST_XRAY
    with pytest.raises(UsageError, match="unknown data set 'chest'; known: chest_xray, phantom, none") as caught:
        lookup("chest")
    assert caught.value.code == "E-USAGE-04"


@pytest.mark.parametrize("spec", CATALOG.values(), ids=lambda spec: spec.name)
def test_every_data_set_says_where_it_is_from_and_what_to_know(spec):
    assert all((spec.title, spec.source, spec.patient_rule, spec.facts))
    assert CATALOG[spec.name] is spec


def test_the_chest_set_says_that_it_does_not_generalise():
    assert any("10.1007/s10140-021-01954-x" in fact and "0.54" in fact for fact in CHEST_XRAY.facts)
    assert recognise(Path("nowhere"), CLASSES, []) is CHEST_XRAY  # no name contradicts
