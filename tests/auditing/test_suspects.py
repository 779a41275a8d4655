import json

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from xenograft.auditing.suspects import check

COUNT = 600
CLASSES = ("normal", "pneumonia")


def by_code(made):
    return {finding.code: finding for finding in check(made)}


def classes_apart(classes=2, apart=4.0, width=32, count=COUNT):
    """Features whose classes lie `apart` standard deviations from each other, and the true labels."""
    rng = np.random.default_rng(4)
    labels = np.arange(count) // 2 % classes
    centres = apart / np.sqrt(2) * np.eye(width)[:classes]
    return (5 + centres[labels] + rng.normal(size=(count, width))).astype(np.float32), labels


def flipped(labels, share, classes=2):
    rng = np.random.default_rng(9)
    wrong = rng.choice(len(labels), int(share * len(labels)), replace=False)
    given = labels.copy()
    given[wrong] = (given[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return given, set(wrong.tolist())


def suspected(made):
    """(positions of the shown suspects, the finding)"""
    finding = by_code(made)["A-LABEL-01"]
    places = {path: k for k, path in enumerate(made.paths)}
    return [places[item[0]] for item in finding.items], finding


def test_planted_label_errors_are_found_and_the_most_certain_come_first(material):
    features, truth = classes_apart()
    given, wrong = flipped(truth, 0.05)
    made = material(count=COUNT, features=features, label=[CLASSES[k] for k in given])
    shown, finding = suspected(made)
    assert finding.severity == "warning"  # 30 of 600 and a few hard ones
    assert finding.total == COUNT
    assert 0.9 * len(wrong) <= finding.count <= 1.5 * len(wrong)
    assert len(shown) == 20
    assert len(set(shown) & wrong) >= 19
    assert all(
        item[1:] == (CLASSES[given[k]], CLASSES[truth[k]])
        for k, item in zip(shown, finding.items, strict=True)
        if k in wrong
    )
    assert finding.numbers["margins"] == sorted(finding.numbers["margins"])
    json.dumps(finding.as_json(), allow_nan=False)


def test_recall_and_precision_where_all_are_shown(material):
    features, truth = classes_apart(apart=5.0, count=300)
    given, wrong = flipped(truth, 0.05)
    shown, finding = suspected(material(count=300, features=features, label=[CLASSES[k] for k in given]))
    assert finding.count == len(shown)
    assert len(set(shown) & wrong) / len(wrong) >= 0.9
    assert len(set(shown) & wrong) / len(shown) >= 0.8


def test_rare_class_and_hard_cases_do_not_flood_the_list(material):
    rng = np.random.default_rng(0)
    labels = (np.arange(COUNT) // 2 % 10 == 0).astype(int)
    features = (labels[:, None] * np.eye(16)[0] * 2 + rng.normal(size=(COUNT, 16))).astype(np.float32)
    _, finding = suspected(material(count=COUNT, features=features, label=[CLASSES[k] for k in labels]))
    overlap = 0.16  # of two normals two standard deviations apart, with equal weights
    assert 0 < finding.count < overlap * COUNT


def test_three_classes_get_the_right_suggestion(material):
    names = ("a", "b", "c")
    features, truth = classes_apart(3, apart=6.0)
    given, wrong = flipped(truth, 0.03, 3)
    made = material(count=COUNT, classes=names, features=features, label=[names[k] for k in given])
    shown, finding = suspected(made)
    assert len(set(shown) & wrong) >= len(wrong) - 1
    assert all(names[truth[k]] == item[2] for k, item in zip(shown, finding.items, strict=True) if k in wrong)
    assert finding.severity == "note"


def test_clean_labels_pass(material):
    features, _ = classes_apart(apart=12.0)
    finding = by_code(material(count=COUNT, features=features))["A-LABEL-01"]
    assert (finding.severity, finding.count, finding.items) == ("passed", 0, ())


@pytest.mark.parametrize("spread", [1, 0])
def test_features_that_do_not_know_the_classes_judge_no_label(material, spread):
    features = spread * np.random.default_rng(0).normal(size=(COUNT, 32)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 2, COUNT)
    finding = by_code(material(count=COUNT, features=features, label=[CLASSES[k] for k in labels]))["A-LABEL-01"]
    assert finding.severity == "not_applicable"
    assert "hardly tell the classes apart" in finding.message


def test_the_patients_other_images_do_not_vouch_for_a_label(material):
    """The images of a patient are alike and all wrong: a model that saw one of them would believe the others."""
    rng = np.random.default_rng(0)
    patients = np.arange(400) // 4
    truth = patients % 2
    own = rng.normal(size=(100, 20))[patients]
    features = (own + 6 * truth[:, None] * np.eye(20)[0] + 0.1 * rng.normal(size=(400, 20))).astype(np.float32)
    given = np.where(patients < 3, 1 - truth, truth)
    made = material(
        count=400, features=features, patient=[f"P{p}" for p in patients], label=[CLASSES[k] for k in given]
    )
    shown, _ = suspected(made)
    assert len(set(shown) & set(range(12))) >= 11


def test_without_features_there_is_no_statement_about_labels(material):
    finding = by_code(material(count=60))["A-LABEL-01"]
    assert finding.severity == "not_applicable"
    assert "needs features of a backbone: run with --backbone" in finding.message


def test_one_patient_in_a_class_is_too_few(material):
    features, _ = classes_apart(count=60)
    patients = ["A" if k // 2 % 2 else f"B{k}" for k in range(60)]
    finding = by_code(material(count=60, features=features, patient=patients))["A-LABEL-01"]
    assert finding.severity == "not_applicable"


def test_an_image_unlike_all_others_is_found_by_its_thumbnail(material):
    usual = material(count=200)
    assert by_code(usual)["A-LABEL-02"].severity == "passed"
    thumbnails = usual.glances.thumbnails.copy()
    thumbnails[7] = 1 - thumbnails[7]
    thumbnails[30] = np.random.default_rng(0).random((32, 32))
    finding = by_code(material(count=200, thumbnails=thumbnails))["A-LABEL-02"]
    assert finding.severity == "note"
    assert {item[0] for item in finding.items} == {usual.paths[7], usual.paths[30]}
    assert finding.count == 2
    json.dumps(finding.as_json(), allow_nan=False)


def test_odd_images_of_one_patient_do_not_vouch_for_each_other(material):
    features, _ = classes_apart(apart=0, count=200)
    features[:12] = -features[:12]
    patients = ["odd" if k < 12 else f"P{k}" for k in range(200)]
    made = material(count=200, features=features, patient=patients)
    finding = by_code(made)["A-LABEL-02"]
    assert {item[0] for item in finding.items} == set(made.paths[:12])


def test_distances_are_those_of_scikit_learn(material):
    features = np.random.default_rng(0).standard_t(2, size=(1300, 6)).astype(np.float32)
    made = material(count=1300, features=features, patient=[f"P{k}" for k in range(1300)])
    finding = by_code(made)["A-LABEL-02"]
    nearest = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(features)
    fifth = nearest.kneighbors(features)[0][:, 5]  # the first is the image itself
    logs = np.log(np.sqrt(2 * np.maximum(fifth, 1e-12)))
    far = (logs - np.median(logs)) / (1.4826 * np.median(np.abs(logs - np.median(logs))))
    assert finding.count == (far > 5).sum()
    assert finding.numbers["deviations"] == pytest.approx(sorted(far[far > 5], reverse=True)[:20], abs=0.05)


@pytest.mark.parametrize("how", [{"thumbnails": np.full((60, 32, 32), 0.5)}, {"count": 20}])
def test_too_few_or_equal_images_have_no_outliers(material, how):
    assert by_code(material(**{"count": 60} | how))["A-LABEL-02"].severity == "not_applicable"


def test_the_same_data_give_the_same_findings(material):
    features, _ = classes_apart(apart=2.0)
    assert check(material(count=COUNT, features=features)) == check(material(count=COUNT, features=features))
