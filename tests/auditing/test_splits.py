"""Planted leaks and drifts; shares, tests and intervals against statsmodels-free, independent arithmetic."""

import json

import numpy as np
import pytest
from scipy.stats import chi2_contingency, norm

from xenograft.auditing.splits import check

CODES = [f"A-SPLIT-{k:02}" for k in range(1, 9)]


def finding(data, code):
    return next(found for found in check(data) if found.code == code)


def sided(material, train, test, *, per_patient=1, **options):
    """Images of (normal, pneumonia) in train and test; patients of `per_patient` images."""
    label, split = [], []
    for name, counts in (("train", train), ("test", test)):
        for cls, count in zip(("normal", "pneumonia"), counts, strict=True):
            label += [cls] * count
            split += [name] * count
    patient = [f"{c[0]}{s}{k // per_patient}" for k, (c, s) in enumerate(zip(label, split, strict=True))]
    return material(count=len(label), label=label, split=split, patient=patient, **options)


def test_a_clean_set_passes_every_check(material):
    found = check(material(count=240))
    assert [f.code for f in found] == CODES
    assert {f.severity for f in found} == {"passed"}
    json.dumps([f.as_json() for f in found], allow_nan=False)


def test_a_patient_in_two_splits_is_an_error_with_one_image_of_each(material):
    plain = material(count=240)
    patients = plain.patients.astype(object)
    test = np.flatnonzero(plain.splits == "test")
    train = np.flatnonzero(plain.splits == "train")
    patients[test[:2]] = patients[train[0]]
    found = finding(material(count=240, patient=patients), "A-SPLIT-01")
    assert (found.severity, found.count, found.total) == ("error", 1, 119)
    assert {plain.paths[test[0]], plain.paths[train[0]]} == set(found.items[0])
    assert found.numbers == {"patients": [patients[train[0]]], "images": 4, "test_images": 2}
    assert "test and train" not in found.message
    assert "(test, train)" in found.message


def test_without_patient_keys_nothing_about_patients_passes(material):
    found = {f.code: f for f in check(material(count=240, has_patients=False))}
    for code in ("A-SPLIT-01", "A-SPLIT-07", "A-SPLIT-08"):
        assert found[code].severity == "not_applicable"
        assert "patient keys" in found[code].message


def test_a_class_missing_from_a_split(material):
    plain = material(count=240)
    label = np.where(plain.splits == "val", "normal", plain.manifest.column("label"))
    found = finding(material(count=240, label=label), "A-SPLIT-02")
    assert (found.severity, found.count, found.total) == ("error", 1, 6)
    assert "pneumonia in val" in found.message


def test_few_images_or_few_patients_of_a_class(material):
    found = finding(sided(material, (40, 40), (40, 9)), "A-SPLIT-03")
    assert (found.severity, found.count) == ("warning", 1)
    assert "pneumonia in test: 9 images of 9 patients" in found.message
    data = sided(material, (40, 40), (40, 40), per_patient=8)
    assert finding(data, "A-SPLIT-03").numbers["small"][0] == "normal in train: 40 images of 5 patients"
    assert (
        finding(sided(material, (40, 40), (40, 40), per_patient=8, has_patients=False), "A-SPLIT-03").severity
        == "passed"
    )


def test_the_drift_of_the_real_set_is_told_with_its_numbers(material):
    """Kermany's official split: 3,883 of 5,232 (74.2 %) with pneumonia to develop on, 390 of 624 (62.5 %) in test."""
    found = finding(sided(material, (1349, 3883), (234, 390)), "A-SPLIT-04")
    assert found.severity == "warning"
    assert "74.2%" in found.message
    assert "62.5%" in found.message
    assert "-11.7 points" in found.message
    row = found.numbers["classes"][0]
    assert row["class"] == "pneumonia"
    # one image per patient: the bootstrap within each side must agree with the normal approximation
    p, q = 3883 / 5232, 390 / 624
    half = norm.ppf(0.975) * np.sqrt(p * (1 - p) / 5232 + q * (1 - q) / 624)
    assert row["low"] == pytest.approx(q - p - half, abs=0.006)
    assert row["high"] == pytest.approx(q - p + half, abs=0.006)
    expected = chi2_contingency([[1349, 3883], [234, 390]], correction=False).pvalue
    assert found.numbers["p_value"] == pytest.approx(expected)


def test_an_interval_over_patients_is_wider_than_one_over_images(material):
    alone = finding(sided(material, (200, 200), (200, 160)), "A-SPLIT-04").numbers["classes"][0]
    clustered = finding(sided(material, (200, 200), (200, 160), per_patient=10), "A-SPLIT-04").numbers["classes"][0]
    ratio = (clustered["high"] - clustered["low"]) / (alone["high"] - alone["low"])
    assert ratio == pytest.approx(np.sqrt(10), rel=0.25)


def test_a_small_but_certain_drift_is_a_note_and_chance_passes(material):
    assert finding(sided(material, (1500, 1500), (1640, 1360)), "A-SPLIT-04").severity == "note"
    found = finding(sided(material, (60, 60), (31, 29)), "A-SPLIT-04")
    assert (found.severity, found.count, found.advice) == ("passed", 0, "")
    assert "chance" in found.message


def test_fisher_is_used_where_chi_squared_is_poor(material):
    found = finding(sided(material, (30, 1), (5, 4)), "A-SPLIT-04")
    # hypergeometric tail by hand: all tables as probable as this one or less
    from scipy.stats import hypergeom

    chances = hypergeom(40, 5, 9).pmf(np.arange(6))
    assert found.numbers["p_value"] == pytest.approx(chances[chances <= chances[4] * (1 + 1e-7)].sum())


def test_several_classes_get_intervals_that_hold_together(material):
    classes = ("a", "b", "c")
    label = ["a"] * 60 + ["b"] * 60 + ["c"] * 60 + ["a"] * 20 + ["b"] * 20 + ["c"] * 80
    split = ["train"] * 180 + ["test"] * 120
    patient = [str(k) for k in range(300)]
    found = finding(material(count=300, classes=classes, label=label, split=split, patient=patient), "A-SPLIT-04")
    assert found.severity == "warning"
    assert found.message.startswith("c: 33.3%")
    assert [row["class"] for row in found.numbers["classes"]] == ["a", "b", "c"]
    assert found.numbers["images"] == [[60, 60, 60], [20, 20, 80]]


def test_validation_is_compared_with_training(material):
    plain = material(count=400)
    label = np.array(plain.manifest.column("label"))
    val = np.flatnonzero(plain.splits == "val")
    label[val[: len(val) * 9 // 10]] = "normal"
    found = finding(material(count=400, label=label), "A-SPLIT-05")
    assert found.severity == "warning"
    assert "in train" in found.message
    assert "in val" in found.message
    assert finding(sided(material, (40, 40), (40, 40)), "A-SPLIT-05").severity == "not_applicable"


def test_splits_that_were_made_here_do_not_drift_and_cut_no_patient(material):
    found = {f.code: f for f in check(material(count=240, declared_splits=False))}
    assert found["A-SPLIT-04"].severity == found["A-SPLIT-05"].severity == "not_applicable"
    assert found["A-SPLIT-01"].severity == "passed"
    assert "made here" in found["A-SPLIT-01"].message


def test_balance_counts_images_and_patients(material):
    data = sided(material, (80, 20), (40, 10), per_patient=5)
    found = finding(data, "A-SPLIT-06")
    assert (found.severity, found.count) == ("note", 30)
    assert found.numbers["ratio"] == 4
    assert {s: c for s, c in found.numbers["counts"].items() if s != "val"} == data.manifest.counts()


def test_images_per_patient_by_class(material):
    patient = [f"A{k}" for k in range(30)] + ["B"] * 20 + [f"C{k}" for k in range(50)]
    label = ["normal"] * 30 + ["pneumonia"] * 70
    found = finding(material(count=100, patient=patient, label=label, split=["train"] * 100), "A-SPLIT-07")
    assert (found.severity, found.count, found.total) == ("warning", 1, 81)
    assert found.numbers["all"] == {"median": 1, "mean": pytest.approx(100 / 81), "most": 20}
    assert found.numbers["by_class"]["normal"] == {"median": 1, "mean": 1, "most": 1}
    assert found.numbers["largest_share_of_a_split"] == pytest.approx(0.2)
    assert "20%" in found.message


def test_patients_with_several_labels(material):
    label = ["normal", "pneumonia"] * 120
    found = finding(material(count=240, label=label), "A-SPLIT-08")
    assert (found.severity, found.count, found.total) == ("note", 120, 120)
    assert len(found.items) == 20
    assert all(len(item) == 2 for item in found.items)


def test_the_same_data_give_the_same_interval(material):
    first, second = (finding(sided(material, (50, 50), (50, 30)), "A-SPLIT-04") for _ in range(2))
    assert first == second
