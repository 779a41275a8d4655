"""One planted defect per check, found with its number; nothing is said about a clean set."""

import json

import numpy as np
import pytest

from xenograft.auditing.quality import check
from xenograft.data.facts import Skip
from xenograft.data.glance import SIDE, glance, unpacked

CODES = [f"A-QUAL-{k:02}" for k in range(1, 21)]


def finding(data, code):
    return next(found for found in check(data) if found.code == code)


def spoiled(count, values, usual):
    """`values` first, the `usual` one for the rest."""
    return [*values, *[usual] * (count - len(values))]


def test_a_clean_set_passes_every_check(material):
    found = check(material(count=120))
    assert [f.code for f in found] == CODES
    assert {f.severity for f in found} == {"passed"}
    assert all(f.message and not f.advice and not f.items for f in found)
    json.dumps([f.as_json() for f in found], allow_nan=False)


@pytest.mark.parametrize(
    ("code", "skip", "reason"),
    [
        ("A-QUAL-01", "S-FILE-01", "is empty"),
        ("A-QUAL-02", "S-FILE-02", "the JPEG data are damaged"),
        ("A-QUAL-03", "S-FILE-04", "is text inside"),
        ("A-QUAL-04", "S-FILE-09", "is 8 x 8 pixels"),
        ("A-QUAL-05", "S-FILE-10", "declares 50000 x 50000 pixels"),
        ("A-QUAL-06", "S-FILE-15", "cannot be opened"),
        ("A-QUAL-06", "S-ODD-99", "a code of the future"),
    ],
)
def test_a_file_that_was_left_out_is_in_one_family_with_its_reason(material, code, skip, reason):
    data = material(count=60, skipped=[Skip("a/x\n.png", skip, reason)])
    found = {f.code: f for f in check(data)}
    assert found[code].severity == "warning"
    assert (found[code].count, found[code].total) == (1, 61)
    assert reason in found[code].message
    assert found[code].items == (("a/x\\n.png",),)
    assert found[code].numbers == {"codes": {skip: 1}, "reasons": [f"{skip} {reason}"]}
    assert all(f.severity == "passed" for c, f in found.items() if c != code)


def test_examples_of_skips_are_at_most_twenty(material):
    found = finding(material(skipped=[Skip(f"{k}.png", "S-FILE-02", "cut") for k in range(33)]), "A-QUAL-02")
    assert found.count == 33
    assert len(found.items) == len(found.numbers["reasons"]) == 20


@pytest.mark.parametrize(
    ("code", "note", "severity"),
    [
        ("A-QUAL-07", "W-FILE-20", "warning"),
        ("A-QUAL-08", "W-FILE-03", "note"),
        ("A-QUAL-09", "W-FILE-08", "note"),
        ("A-QUAL-10", "W-FILE-05", "note"),
        ("A-QUAL-10", "W-FILE-07", "note"),
        ("A-QUAL-11", "W-DICOM-03", "note"),
        ("A-QUAL-11", "W-FILE-13", "note"),
    ],
)
def test_notes_of_the_readers_are_counted(material, code, note, severity):
    data = material(count=60, notes=spoiled(60, [note, f"W-FILE-22 {note}"], "W-FILE-23"))
    found = {f.code: f for f in check(data)}
    assert (found[code].severity, found[code].count, found[code].total) == (severity, 2, 60)
    assert found[code].items == ((data.paths[0],), (data.paths[1],))
    assert all(f.severity == "passed" for c, f in found.items() if c != code)


def test_other_notes_are_counted_by_code(material):
    found = finding(material(notes=spoiled(60, ["W-DICOM-03 W-DICOM-08", "W-DICOM-03"], "")), "A-QUAL-11")
    assert found.numbers["codes"] == {"W-DICOM-03": 2, "W-DICOM-08": 1}
    assert "2 x W-DICOM-03" in found.message


def test_tiny_images_are_a_warning_only_where_they_are_some(material):
    found = finding(material(height=spoiled(60, [40, 63], 64)), "A-QUAL-12")
    assert (found.severity, found.count, found.numbers["smallest_side"]) == ("warning", 2, 40)
    found = finding(material(width=[28] * 60, height=[28] * 60), "A-QUAL-12")
    assert (found.severity, found.count) == ("note", 60)


def test_very_uneven_sizes(material):
    side = np.linspace(200, 1000, 60)
    found = finding(material(width=side.astype(int), height=side.astype(int)), "A-QUAL-13")
    assert found.severity == "note"
    assert found.numbers["p99"] / found.numbers["p01"] > 4
    low, high = np.percentile(side.astype(int), (1, 99))
    assert (found.numbers["p01"], found.numbers["p99"]) == (pytest.approx(low), pytest.approx(high))


def test_extreme_aspect_ratios_worst_first(material):
    data = material(width=spoiled(60, [900, 240, 100], 256), height=spoiled(60, [240, 900, 1000], 240))
    found = finding(data, "A-QUAL-14")
    assert (found.severity, found.count) == ("warning", 3)
    assert found.items[0] == (data.paths[2],)
    assert "10.0 times" in found.message


@pytest.mark.parametrize(
    ("code", "column", "rare", "usual", "severity", "kinds"),
    [
        ("A-QUAL-15", "bits", 16, 8, "warning", ("8 bits", "16 bits")),
        ("A-QUAL-16", "colour", True, False, "warning", ("gray", "colour")),
        ("A-QUAL-17", "mode", "rgb", "gray", "note", ("gray", "rgb")),
    ],
)
def test_mixtures_are_counted_by_class(material, code, column, rare, usual, severity, kinds):
    plain = material(count=80)
    rarely = [rare if label == 1 and k < 40 else usual for k, label in enumerate(plain.labels)]
    found = finding(material(count=80, **{column: rarely}), code)
    assert (found.severity, found.count) == (severity, 20)
    assert found.numbers == {
        kinds[0]: {"normal": 40, "pneumonia": 20},
        kinds[1]: {"normal": 0, "pneumonia": 20},
    }
    assert "normal 0.0%" in found.message
    assert "pneumonia 50.0%" in found.message


def test_almost_blank_images(material):
    sd = np.full(60, 0.2)
    sd[7], sd[8] = 0.005, 0.06
    found = finding(material(statistics={"sd": sd}), "A-QUAL-18")
    assert (found.severity, found.count) == ("warning", 1)
    assert found.items == ((material().paths[7],),)


def test_a_constant_image_is_not_also_blank(material):
    sd = np.full(60, 0.2)
    sd[7] = 0
    found = finding(material(statistics={"sd": sd}, notes=spoiled(60, [""] * 7 + ["W-FILE-20"], "")), "A-QUAL-18")
    assert found.severity == "passed"


def test_deep_images_are_judged_by_their_window_not_by_stored_values(material):
    sd = np.full(60, 0.01)  # 12 bits in 16
    data = material(bits=[16] * 60, statistics={"sd": sd})
    assert finding(data, "A-QUAL-18").severity == "passed"
    thumbnails = data.glances.thumbnails.copy()
    thumbnails[11] = 0.5 + 0.002 * np.random.default_rng(0).normal(size=(SIDE, SIDE))
    found = finding(material(bits=[16] * 60, statistics={"sd": sd}, thumbnails=thumbnails), "A-QUAL-18")
    assert found.items == ((data.paths[11],),)


def test_saturated_images_stand_out_and_black_backgrounds_do_not(material):
    rng = np.random.default_rng(0)
    white, black = rng.uniform(0, 0.02, 60), rng.uniform(0.5, 0.7, 60)
    white[3] = 0.8
    found = finding(material(statistics={"white": white, "black": black}), "A-QUAL-19")
    assert (found.severity, found.count, found.items) == ("warning", 1, ((material().paths[3],),))
    black = rng.uniform(0, 0.05, 60)
    black[5] = 0.7
    found = finding(material(statistics={"white": white, "black": black}), "A-QUAL-19")
    assert {item[0] for item in found.items} == {material().paths[3], material().paths[5]}
    assert "1 at the highest value, 1 at the lowest" in found.message


def test_a_set_that_is_white_throughout_is_a_note(material):
    found = finding(material(statistics={"white": np.full(60, 0.9)}), "A-QUAL-19")
    assert (found.severity, found.count) == ("note", 60)
    assert "90%" in found.message


def test_a_picture_saturated_by_an_8_bit_conversion_is_seen_in_its_own_statistics(material):
    ramp = np.linspace(0, 4095, 96 * 96).reshape(96, 96)
    rows = np.stack([glance((ramp / 16).astype(np.uint8))] * 59 + [glance(np.minimum(ramp, 255).astype(np.uint8))])
    seen = unpacked(rows)
    found = finding(material(thumbnails=seen.thumbnails, statistics=seen.statistics), "A-QUAL-19")
    assert found.items == ((material().paths[59],),)


@pytest.mark.parametrize("planted", [[5], [1, 2, 30, 31, 44], range(0, 60, 3)])
def test_inverted_images_are_found_one_or_many(material, planted):
    thumbnails = material().glances.thumbnails.copy()
    thumbnails[list(planted)] = 1 - thumbnails[list(planted)]
    data = material(thumbnails=thumbnails)
    found = finding(data, "A-QUAL-20")
    assert (found.severity, found.count) == ("warning", len(list(planted)))
    assert {item[0] for item in found.items} <= {data.paths[k] for k in planted}


def test_one_class_inverted_is_found_though_the_mean_vanishes(material):
    plain = material()
    thumbnails = np.where(plain.labels[:, None, None] == 0, 1 - plain.glances.thumbnails, plain.glances.thumbnails)
    found = finding(material(thumbnails=thumbnails), "A-QUAL-20")
    sizes = np.bincount(plain.labels)
    assert found.count in sizes
    assert ("normal 0" in found.message) != ("pneumonia 0" in found.message)


def test_images_without_a_common_layout_cannot_be_called_inverted(material):
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(60, 4, 4)).repeat(8, axis=1).repeat(8, axis=2)
    found = finding(material(thumbnails=0.5 + 0.1 * waves), "A-QUAL-20")
    assert found.severity == "not_applicable"
    assert "share one layout" in found.message
    assert finding(material(count=8), "A-QUAL-20").severity == "not_applicable"
