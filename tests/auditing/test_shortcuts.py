import json
import math

import numpy as np
import pytest

from xenograft.auditing.shortcuts import check
from xenograft.data.catalog import recognise

COUNT = 800
LABELS = np.arange(COUNT) // 2 % 2


def by_code(material):
    return {finding.code: finding for finding in check(material)}


def told(name, values):
    return [json.dumps({name: value} if value else {}) for value in values]


def noise(seed=7):
    return np.random.default_rng(seed).normal(size=COUNT)


def test_nothing_is_found_where_nothing_is(material):
    findings = check(material(count=COUNT))
    assert [f.code for f in findings] == [f"A-SHORT-{k:02}" for k in range(1, 15)]
    severity = {f.code: f.severity for f in findings}
    assert {severity[f"A-SHORT-{k:02}"] for k in (1, 5, 6, 7, 8, 9)} == {"passed"}
    assert {severity[f"A-SHORT-{k:02}"] for k in (2, 3, 4, 10, 11, 12, 13, 14)} == {"not_applicable"}
    assert all(f.advice == "" and f.count == 0 and f.total == COUNT for f in findings)


def test_file_size_is_found_with_its_true_auroc(material):
    finding = by_code(material(count=COUNT, bytes=np.exp(10 + 0.3 * (1.3 * LABELS + noise())).astype(int)))[
        "A-SHORT-01"
    ]
    truth = 0.5 * (1 + math.erf(1.3 / 2))  # binormal: Phi(1.3 / sqrt 2) = 0.82
    assert finding.severity == "warning"
    for measured in (finding.numbers["pooled"], finding.numbers["test"]):
        assert measured["low"] < truth < measured["high"]
    assert "cross-validated by patient" in finding.message
    assert f"{COUNT // 5} images" in finding.message
    assert finding.advice
    json.dumps(finding.as_json(), allow_nan=False)


def test_smaller_files_of_the_positive_class_are_the_same_shortcut(material):
    finding = by_code(material(count=COUNT, bytes=np.exp(10 - 0.3 * (1.3 * LABELS + noise())).astype(int)))[
        "A-SHORT-01"
    ]
    assert finding.severity == "warning"


@pytest.mark.parametrize(
    ("code", "columns"),
    [
        ("A-SHORT-02", {"width": 200 + 10 * LABELS}),
        ("A-SHORT-03", {"bits": 8 + 8 * LABELS}),
        ("A-SHORT-03", {"mode": ["rgb" if label else "gray" for label in LABELS]}),
        ("A-SHORT-04", {"path": [f"x/{k}.{'jpg' if label else 'png'}" for k, label in enumerate(LABELS)]}),
        ("A-SHORT-05", {"statistics": {"mean": 0.5 + 0.02 * (2 * LABELS + noise())}}),
        ("A-SHORT-07", {"statistics": {"border_sd": 0.3 + 0.02 * (2 * LABELS + noise())}}),
        ("A-SHORT-10", {"acquisition": told("age", [f"{age:.0f}" for age in 50 + 10 * (2 * LABELS + noise())])}),
        ("A-SHORT-11", {"acquisition": told("sex", ["F" if z > 0 else "M" for z in 2 * LABELS - 1 + noise()])}),
        ("A-SHORT-12", {"acquisition": told("view", ["AP" if label else "" for label in LABELS])}),
        ("A-SHORT-13", {"acquisition": told("manufacturer", ["GE" if label else "Agfa" for label in LABELS])}),
        ("A-SHORT-14", {"acquisition": told("modality", ["DX" if label else "CR" for label in LABELS])}),
        ("A-SHORT-15", {"acquisition": told("site", ["north" if label else "south" for label in LABELS])}),
    ],
)
def test_every_family_is_found_by_its_own_code(material, code, columns):
    findings = check(material(count=COUNT, **columns))
    assert [f.code for f in findings if f.severity in {"warning", "note"}] == [code]
    assert next(f for f in findings if f.code == code).severity == "warning"


def marked(place):
    """Thumbnails with a bright spot in the positive class."""
    rng = np.random.default_rng(1)
    thumbnails = rng.normal(0.5, 0.05, (COUNT, 32, 32))
    thumbnails[LABELS == 1, place, place] += 0.3
    return np.clip(thumbnails, 0, 1)


def test_a_mark_on_the_border_warns_and_one_inside_is_only_noted(material):
    unchanged = {"histograms": np.full((COUNT, 32), 1 / 32), "statistics": {}}
    border = by_code(material(count=COUNT, thumbnails=marked(slice(0, 2)), **unchanged))
    assert border["A-SHORT-08"].severity == "warning"
    inside = by_code(material(count=COUNT, thumbnails=marked(slice(12, 20)), **unchanged))
    assert inside["A-SHORT-08"].severity == "passed"
    assert inside["A-SHORT-09"].severity == "note"
    assert inside["A-SHORT-09"].numbers["test"]["low"] > 0.9
    assert "no proof" in inside["A-SHORT-09"].advice


def only_in_training(material, **options):
    """File size gives the class away in train and val, not in test."""
    test = material(count=COUNT).splits == "test"
    size = np.where(test, 1000 + 100 * noise(), 1000 + 100 * (2 * LABELS + noise()))
    return by_code(material(count=COUNT, bytes=size.astype(int), **options))["A-SHORT-01"]


def test_a_shortcut_that_test_does_not_have_is_noted(material):
    finding = only_in_training(material)
    assert finding.severity == "note"
    assert finding.numbers["test"]["low"] < 0.6
    assert finding.numbers["pooled"]["low"] > 0.7


def test_splits_drawn_here_do_not_decide(material):
    assert only_in_training(material, declared_splits=False).severity == "warning"


def test_three_classes(material):
    labels = np.arange(600) // 2 % 3
    size = 1000 + 100 * (2 * labels + np.random.default_rng(0).normal(size=600))
    finding = by_code(material(count=600, classes=("a", "b", "c"), bytes=size.astype(int)))["A-SHORT-01"]
    assert finding.severity == "warning"
    assert "one-against-rest" in finding.message


def test_a_class_that_only_test_has(material):
    labels, splits = np.arange(600) // 2 % 3, np.array(material(count=600).manifest.column("split"))
    labels[(labels == 2) & (splits != "test")] = 1
    size = 1000 + 100 * (2 * labels + np.random.default_rng(0).normal(size=600))
    names = ("a", "b", "c")
    made = material(
        count=600, classes=names, bytes=size.astype(int), label=[names[k] for k in labels], split=splits.tolist()
    )
    assert by_code(made)["A-SHORT-01"].numbers["test"]["value"] > 0.5


def test_patients_are_not_cut_by_the_cross_validation(material):
    """Every patient has a size of its own and a label at random: knowing other images of the patient would help."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 20)
    labels = rng.permutation(np.arange(40) % 2)[patients]
    pixels = rng.normal(0.5, 0.1, (40, 32, 32))[patients]
    made = material(
        count=COUNT,
        patient=[f"P{p}" for p in patients],
        label=[("normal", "pneumonia")[k] for k in labels],
        split=["test" if p % 5 == 0 else "train" for p in patients],
        thumbnails=np.clip(pixels, 0, 1),
    )
    finding = by_code(made)["A-SHORT-09"]
    assert finding.numbers["pooled"]["low"] < 0.5 < finding.numbers["pooled"]["high"]
    assert finding.severity == "passed"


def test_too_few_patients_are_not_passed(material):
    made = material(count=40, patient=["A" if k % 4 > 1 else f"B{k}" for k in range(40)], split=["train"] * 40)
    findings = check(made)
    assert {f.severity for f in findings} == {"not_applicable"}
    assert "fewer than 10 patients" in findings[0].message


def test_large_sets_are_sampled_and_say_so(material):
    count = 12_000
    labels = np.arange(count) // 2 % 2
    size = 1000 + 100 * (labels + np.random.default_rng(0).normal(size=count))
    flat = np.full((count, 32, 32), 0.5)
    made = material(count=count, bytes=size.astype(int), thumbnails=flat, histograms=np.ones((count, 32)) / 32)
    finding = by_code(made)["A-SHORT-01"]
    assert "10000 images" in finding.message
    assert finding.total == count


def test_the_same_data_give_the_same_findings(material):
    made = material(count=200)
    assert check(made) == check(made)


@pytest.mark.realdata
def test_chest_xrays_file_size_alone(material, chest_xray):
    paths = sorted(path.relative_to(chest_xray).as_posix() for path in chest_xray.rglob("*.jp*g"))
    labels = [path.split("/")[1] for path in paths]
    spec = recognise(chest_xray, set(labels), paths)
    finding = by_code(
        material(
            count=len(paths),
            thumbnails=np.zeros((len(paths), 32, 32)),
            classes=("NORMAL", "PNEUMONIA"),
            path=paths,
            label=labels,
            split=[path.split("/")[0] for path in paths],
            patient=[spec.patient(path) for path in paths],
            bytes=[(chest_xray / path).stat().st_size for path in paths],
        )
    )["A-SHORT-01"]
    assert finding.severity == "warning"
    assert finding.numbers["test"]["value"] == pytest.approx(0.83, abs=0.01)
