"""Paths and keys that may tell who a patient is: stand-ins everywhere, the same ones each time."""

import json

from xenograft.auditing.hiding import StandIn, hide, stand_ins
from xenograft.auditing.run import CHEAP, run_checks
from xenograft.data.facts import Skip


def named(material, **columns):
    """Two images have a name in their path, one patient's key is a name, and one such file was left out."""
    paths = material().manifest.column("path")
    paths[4], paths[7] = "train/normal/DOE_JOHN_3.png", "train/normal/Maria Gonzalez.png"
    patients = material().manifest.column("patient")
    patients[4] = patients[12] = "DOE_JOHN"
    skipped = [Skip("train/Anna Smith.png", "S-FILE-01", "empty")]
    return material(path=paths, patient=patients, skipped=skipped, **columns)


def test_names_get_numbers_by_their_place(material):
    found = stand_ins(named(material))
    assert found["train/normal/DOE_JOHN_3.png"] == StandIn("image 000005", ("A-PHI-01",))
    assert found["train/normal/Maria Gonzalez.png"].shown == "image 000008"
    assert found["train/Anna Smith.png"].shown == "file 000001"
    assert found["DOE_JOHN"].shown.startswith("patient 0000")
    assert len(found) == 4
    assert stand_ins(material()) == {}


def test_no_finding_shows_a_name_and_all_say_the_same_number(material):
    hashes = material().manifest.column("pixels_sha256")
    hashes[7] = hashes[4]
    data = named(material, pixels_sha256=hashes)
    assert data.splits[4] != data.splits[12], "the patient must cross splits to be named by a check"
    for checks in ({}, {"checks": CHEAP}):
        findings, _ = run_checks(data, **checks)
        text = json.dumps([f.as_json() for f in findings])
        assert not [name for name in ("DOE", "JOHN", "Gonzalez", "Smith") if name in text]
        found = {f.code: f for f in findings}
        assert found["A-DUP-02"].items == (("image 000005", "image 000008"),)
        assert "for example file 000001" in found["A-QUAL-01"].message
        assert "patient 0000" in found["A-SPLIT-01"].message


def test_everything_inside_is_replaced_and_a_name_inside_a_longer_one_is_left_to_that():
    names = {"a/Jane Roe.png": StandIn("image 000001", ()), "Jane Roe": StandIn("patient 000001", ())}
    value = {"Jane Roe": [("see a/Jane Roe.png.", 3)], "x": {"y": "Jane Roe, P2"}}
    shown = {"patient 000001": [("see image 000001.", 3)], "x": {"y": "patient 000001, P2"}}
    assert hide(value, names) == shown
    assert hide(value, {}) is value
