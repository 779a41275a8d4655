from dataclasses import replace

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.transferability import scores as module
from xenograft.transferability.cross_validated import cross_validated
from xenograft.transferability.scores import SCORES, score_all

from .makers import source, task


@pytest.fixture(scope="module")
def scored():
    features, labels, groups = task(0, n=80, d=6, classes=3, patients=50)
    return score_all(features, labels, groups, source=source(n=80)), (features, labels, groups)


def test_every_score_has_a_value_within_its_bounds(scored):
    assert list(scored[0]) == list(SCORES)
    for name, entry in scored[0].items():
        assert entry["why"] is None
        assert (SCORES[name].low is None) or entry["value"] >= SCORES[name].low
        assert (SCORES[name].high is None) or entry["value"] <= SCORES[name].high


@pytest.mark.parametrize("row", SCORES.values(), ids=lambda row: row.name)
def test_more_separated_classes_score_higher(row):
    """The one thing that all of them must do; TransRate as published does it for many classes only."""
    classes = 8 if row.name == "transrate" else 2
    values = []
    for gain in (0.0, 3.0):
        features, labels, groups = task(1, n=200, d=8, gain=gain, classes=classes)
        table = source(1, n=200, z=8, labels=labels, gain=gain)
        values.append(score_all(features, labels, groups, source=table, names=[row.name])[row.name]["value"])
    assert values[1] > values[0]


@pytest.mark.parametrize("row", SCORES.values(), ids=lambda row: row.name)
def test_what_a_score_needs_is_what_it_uses(row):
    features, labels, groups = task(2, n=60, patients=30)
    name = row.name
    without = score_all(features, labels, groups, names=[name])[name]
    assert (without["value"] is None) == row.needs_source
    assert ("not given" in (without["why"] or "")) == row.needs_source
    one_patient = score_all(features, labels, labels, source=source(), names=[name])[name]
    assert (one_patient["value"] is None) == row.needs_groups


def test_no_score_of_one_class_or_equal_features_but_a_reason():
    features, labels, groups = task(3, n=40)
    one = score_all(features, np.zeros_like(labels), groups)
    assert all(entry["value"] is None for entry in one.values())
    assert one["logme"]["why"] == "all images are of one class"
    equal = score_all(np.ones((40, 3)), labels, groups, source=source(n=40))
    defined = {name for name, entry in equal.items() if entry["value"] is not None}
    assert defined == {"logme", "leep", "nce"}


def test_two_images_do_not_crash():
    found = score_all(np.array([[0.0, 1], [1, 0]]), np.array([0, 1]), np.arange(2), source=np.eye(2))
    assert found["leep"]["value"] == 0
    assert found["gbc"]["value"] is None
    assert found["knn_auroc"]["value"] is None


def test_half_precision_is_as_good_as_its_digits(scored):
    values, (features, labels, groups) = scored
    half = score_all(features.astype(np.float16), labels, groups, source=source(n=80).astype(np.float32))
    for name in set(SCORES) - {"nleep"}:
        assert half[name]["value"] == pytest.approx(values[name]["value"], abs=0.03)


def test_folds_and_fits_are_done_once_and_are_those_of_cross_validated(monkeypatch):
    calls = []
    for name in ("grouped_folds", "cross_validated"):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, real=real, **k: calls.append(name) or real(*a, **k))
    features, labels, groups = task(patients=30)
    names = ["knn_auroc", "knn_accuracy", "logistic_auroc", "logistic_accuracy"]
    found = score_all(features, labels, groups, names=names)
    assert sorted(calls) == ["cross_validated", "cross_validated", "grouped_folds"]
    assert found["knn_auroc"]["value"] == cross_validated(features, labels, groups, model="knn").auroc


def test_only_what_is_undefined_becomes_a_reason(monkeypatch):
    def broken(material):
        raise DataError("a fault", code="E-DATA-05")

    monkeypatch.setitem(module.SCORES, "gbc", replace(SCORES["gbc"], compute=broken))
    features, labels, groups = task()
    with pytest.raises(DataError, match="a fault"):
        score_all(features, labels, groups, names=["gbc"])


def test_wrong_arguments_stop():
    features, labels, groups = task()
    with pytest.raises(DataError, match="did you mean 'logme'"):
        score_all(features, labels, groups, names=["logm"])
    with pytest.raises(DataError, match="nan"):
        score_all(np.where(features > 2, np.nan, features), labels, groups, names=["nce"])
    with pytest.raises(DataError, match="several findings"):
        score_all(features, np.eye(2)[labels], groups)
    with pytest.raises(DataError, match="patient keys"):
        score_all(features, labels, groups[1:])
    with pytest.raises(DataError, match="sum of 1"):
        score_all(features, labels, groups, source=np.full((60, 3), 0.2), names=["logme"])
