import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.transferability.task import Undefined, check_groups, check_source, check_task, class_means, spread

from .makers import source, task


def test_classes_are_numbered_without_gaps_and_features_widened():
    table, labels = check_task(np.array([[1], [2], [3]], dtype=np.float16), np.array([7, 2, 7]))
    assert table.dtype == np.float64
    assert labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 2), dtype=int), "several findings an image one by one"),
        (np.array([[1.0], [np.nan]]), np.array([0, 1]), "1 nan or infinite of 2"),
        (np.array([[1.0], [np.inf]]), np.array([0, 1]), "1 nan or infinite of 2"),
        (np.zeros(3), np.array([0, 1, 0]), r"shape \(3,\)"),
        (np.zeros((1, 3)), np.array([0]), "N >= 2"),
        (np.zeros((3, 0)), np.array([0, 1, 0]), "D >= 1"),
        (np.array([["a"], ["b"]]), np.array([0, 1]), "real numbers"),
        (np.zeros((3, 1)), np.array([0, 1]), r"\(3,\) integers"),
        (np.zeros((2, 1)), np.array([0.0, 1.0]), "integers"),
        (np.zeros((2, 1)), np.array([-1, 1]), "without a label"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(features, labels, message):
    with pytest.raises(DataError, match=message) as caught:
        check_task(features, labels)
    assert not isinstance(caught.value, Undefined)
    assert caught.value.code == "E-DATA-05"


def test_one_class_is_undefined_not_wrong():
    with pytest.raises(Undefined, match="one class"):
        check_task(np.eye(3), np.ones(3, dtype=int))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.full((3, 2), 0.6), "misses a sum of 1"),
        (np.array([[1.2, -0.2]] * 3), "in \\[0, 1\\]"),
        (np.ones(3), r"\(N, Z\)"),
        (np.full((2, 2), 0.5), r"\(2,\) integers"),
    ],
)
def test_source_must_be_probabilities(table, message):
    with pytest.raises(DataError, match=message):
        check_source(table, np.array([0, 1, 0]))


def test_source_and_groups_pass():
    table, labels = check_source(source(n=3), np.array([4, 4, 5]))
    assert table.shape == (3, 7)
    assert labels.tolist() == [0, 0, 1]
    assert check_groups(np.array(["b", "a", "b"]), size=3).tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="patient keys"):
        check_groups(np.arange(2), size=3)


def test_class_means_by_loop():
    features, labels, _ = task(classes=3)
    means, shares = class_means(features, labels)
    for c in range(3):
        assert means[c] == pytest.approx(features[labels == c].mean(axis=0))
        assert shares[c] == pytest.approx((labels == c).mean())


def test_spread_is_the_trace_of_the_covariance():
    features, _, _ = task(d=5)
    assert spread(features) == pytest.approx(np.trace(np.cov(features.T, bias=True)))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 / 3])
def test_equal_features_have_no_spread_whatever_rounding_says(value):
    with pytest.raises(Undefined, match="same for all images"):
        spread(np.full((333, 7), value))
