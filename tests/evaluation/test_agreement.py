import math

import numpy as np
import pytest
from sklearn import metrics as sk

from xenograft.errors import DataError
from xenograft.evaluation.agreement import AGREEMENT, agreement_metrics
from xenograft.evaluation.metrics import binary_metrics, multiclass_metrics


def case(seed, classes, n=150):
    """Labels that hold every class, and predictions of which about half are right."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, n - classes)]
    return labels, np.where(rng.random(n) < 0.5, labels, rng.integers(0, classes, n))


def reference(labels, predicted, classes, weights=None):
    kappas = {
        name: sk.cohen_kappa_score(labels, predicted, labels=range(classes), weights=kind, sample_weight=weights)
        for name, kind in (("kappa", None), ("kappa_linear", "linear"), ("kappa_quadratic", "quadratic"))
    }
    return kappas | {
        "matthews": sk.matthews_corrcoef(labels, predicted, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted, sample_weight=weights),
    }


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed, classes):
    labels, predicted = case(seed, classes)
    got = agreement_metrics(labels, predicted, classes=classes)
    assert tuple(got) == AGREEMENT
    assert got == pytest.approx(reference(labels, predicted, classes), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("fractions", [False, True])
def test_weights_agree_with_scikit_learn(classes, fractions):
    labels, predicted = case(5, classes)
    rng = np.random.default_rng(1)
    weights = rng.random((4, 150)) if fractions else rng.integers(0, 4, (4, 150))
    got = agreement_metrics(labels, predicted, classes=classes, weights=weights)
    for b, drawn in enumerate(weights):
        assert {m: v[b] for m, v in got.items()} == pytest.approx(
            reference(labels, predicted, classes, drawn), abs=1e-12
        )
    one = agreement_metrics(labels, predicted, classes=classes, weights=weights[0])
    assert one["kappa"].shape == ()


def images(table):
    """Labels and predictions that make this table of counts."""
    cells = np.repeat(np.arange(np.size(table)), np.ravel(table))
    return np.divmod(cells, len(table))


def test_kappa_of_a_published_table():
    """Fleiss, Levin & Paik 2003, Table 18.1: two raters, 100 patients; kappa 0.68."""
    labels, predicted = images([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
    assert agreement_metrics(labels, predicted, classes=3)["kappa"] == pytest.approx((0.89 - 0.66) / (1 - 0.66))


def test_linear_kappa_by_hand():
    """Costs 0, 1, 2: observed (1 + 5 + 1) + 2 * 4 of 100; expected from the margins 80, 10, 10 and 80, 5, 15."""
    labels, predicted = images([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
    expected = (80 * 5 + 10 * 80 + 10 * 15 + 10 * 5 + 2 * (80 * 15 + 10 * 80)) / 100
    got = agreement_metrics(labels, predicted, classes=3)
    assert got["kappa_linear"] == pytest.approx(1 - 15 / expected)


def test_matthews_is_the_correlation_of_two_classes():
    labels, predicted = case(2, 2)
    got = agreement_metrics(labels, predicted, classes=2)["matthews"]
    assert got == pytest.approx(np.corrcoef(labels, predicted)[0, 1])


def test_matthews_of_more_classes_is_gorodkin_s_ratio_of_covariances():
    labels, predicted = case(3, 4)
    x, y = (np.eye(4)[one] - np.eye(4)[one].mean(axis=0) for one in (labels, predicted))
    expected = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    assert agreement_metrics(labels, predicted, classes=4)["matthews"] == pytest.approx(expected)


def test_two_classes_have_one_kappa():
    labels, predicted = case(4, 2)
    got = agreement_metrics(labels, predicted, classes=2)
    assert got["kappa"] == pytest.approx(got["kappa_linear"])
    assert got["kappa"] == pytest.approx(got["kappa_quadratic"])


def test_balanced_accuracy_is_the_mean_recall():
    rng = np.random.default_rng(6)
    labels = np.arange(90) % 3
    table = rng.dirichlet([1, 1, 1], 90) * 0.6 + 0.4 * np.eye(3)[labels]
    got = agreement_metrics(labels, table.argmax(axis=1), classes=3)["balanced_accuracy"]
    assert got == pytest.approx(multiclass_metrics(labels, table)["recall"])
    two = agreement_metrics(labels == 0, table[:, 0] >= 0.5, classes=2)["balanced_accuracy"]
    binary = binary_metrics(labels == 0, table[:, 0], threshold=0.5)
    assert two == pytest.approx((binary["recall"] + binary["specificity"]) / 2)


def test_perfect_and_reversed():
    labels = np.array([0, 1, 0, 1])
    assert agreement_metrics(labels, labels, classes=2) == pytest.approx(dict.fromkeys(AGREEMENT, 1.0))
    reverse = agreement_metrics(labels, 1 - labels, classes=2)
    assert reverse == pytest.approx(dict.fromkeys(AGREEMENT, -1.0) | {"balanced_accuracy": 0.0})


def test_one_class_on_one_side():
    got = agreement_metrics(np.array([0, 0, 1]), np.zeros(3, dtype=int), classes=2)
    assert math.isnan(got["matthews"])
    assert (got["kappa"], got["balanced_accuracy"]) == (0, 0.5)


def test_the_same_single_class_on_both_sides():
    got = agreement_metrics(np.zeros(3, dtype=int), np.zeros(3, dtype=int), classes=3)
    assert all(math.isnan(v) for v in got.values())


def test_undefined_resamples_are_nan_whatever_the_fractions():
    labels, predicted = case(7, 3)
    weights = np.random.default_rng(8).random((50, 150)) * (predicted == 1)
    got = agreement_metrics(labels, predicted, classes=3, weights=weights)
    assert np.isnan(got["matthews"]).all()
    weights *= labels == 1
    got = agreement_metrics(labels, predicted, classes=3, weights=weights)
    assert all(np.isnan(values).all() for values in got.values())


@pytest.mark.parametrize(
    ("labels", "predicted", "classes", "message"),
    [
        ([0, 1], [0], 2, "predicted: got shape"),
        ([0, 2], [0, 1], 2, "labels: got values 0 to 2"),
        ([0, 1], [0, 2], 2, "predicted: got values 0 to 2"),
        ([0, 0], [0, 0], 1, "classes: got 1"),
        ([0.0, 1.0], [0, 1], 2, "integers"),
    ],
)
def test_unusable_input(labels, predicted, classes, message):
    with pytest.raises(DataError, match=message) as caught:
        agreement_metrics(np.array(labels), np.array(predicted), classes=classes)
    assert caught.value.code == "E-DATA-05"
