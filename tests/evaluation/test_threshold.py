import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.metrics import binary_metrics
from xenograft.evaluation.threshold import MIN_PER_CLASS, enough, thresholds_for, youden


@pytest.mark.parametrize("seed", range(10))
def test_no_threshold_is_better(seed):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 80)]
    scores = np.clip(np.round(0.2 * labels + rng.random(82) * 0.8, 1 + seed % 3), 0, 1)

    def j(threshold):
        got = binary_metrics(labels, scores, threshold=threshold)
        return got["recall"] + got["specificity"] - 1

    assert j(youden(labels, scores)) == pytest.approx(max(j(t) for t in [*scores, 0.0, 1.0]))


def test_midpoint_between_neighbouring_scores():
    assert youden(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.4, 0.9])) == pytest.approx(0.3)


def test_ties_go_to_the_one_nearest_a_half_then_to_the_lower():
    labels = np.array([0, 1, 0, 1])
    assert youden(labels, np.array([0.0, 0.1, 0.2, 0.9])) == pytest.approx(0.55)
    assert youden(labels, np.array([0.2, 0.3, 0.7, 0.8])) == pytest.approx(0.25)


@pytest.mark.parametrize("scores", [[0.3, 0.3, 0.3], [0.9, 0.9, 0.1], [1.0, 1.0, 1.0]])
def test_scores_that_separate_nothing_give_a_half(scores):
    assert youden(np.array([0, 0, 1]), np.array(scores)) == 0.5


def test_neighbouring_floats_are_still_separated():
    low = 0.7
    high = float(np.nextafter(low, 1))
    cut = youden(np.array([0, 1]), np.array([low, high]))
    assert low < cut <= high


def test_both_classes_are_needed():
    with pytest.raises(DataError, match="0 of class 0 and 2 of class 1") as caught:
        youden(np.array([1, 1]), np.array([0.2, 0.3]))
    assert caught.value.code == "E-DATA-05"


def test_enough():
    assert enough(np.repeat([0, 1], MIN_PER_CLASS))
    assert not enough(np.repeat([0, 1], [MIN_PER_CLASS - 1, 50]))
    assert not enough(np.ones(50, dtype=int))


def findings(n=80):
    """Three findings of which the third has too few positives, with gaps."""
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < [0.5, 0.4, 0.0]).astype(np.int64)
    labels[: MIN_PER_CLASS - 1, 2] = 1
    scores = np.clip(0.3 * labels + 0.6 * rng.random((n, 3)), 0, 1)
    labels[:, :2][rng.random((n, 2)) < 0.3] = -1
    return labels, scores


def test_each_finding_has_its_own_threshold_from_the_images_where_it_is_known():
    labels, scores = findings()
    expected = [youden(labels[rows, k], scores[rows, k]) for k in (0, 1) for rows in [labels[:, k] != -1]]
    assert thresholds_for(labels, scores) == {"fixed": 0.5, "youden": [*expected, 0.5]}
    other = np.where(labels == -1, 1 - scores, scores)
    assert thresholds_for(labels, other) == thresholds_for(labels, scores)
    assert thresholds_for(labels[:, ::-1], scores[:, ::-1])["youden"] == [0.5, *expected[::-1]]


def test_findings_that_are_all_too_rare_have_the_fixed_threshold_only():
    labels, scores = findings()
    assert thresholds_for(labels[:, 2:], scores[:, 2:]) == {"fixed": 0.5}
    nothing = np.full_like(labels, -1)
    assert thresholds_for(nothing, scores) == {"fixed": 0.5}
    enough_negatives = np.where(labels == -1, 0, labels)
    enough_negatives[:, 0] = 1  # nothing to tell apart
    assert thresholds_for(enough_negatives[:, [0, 2]], scores[:, [0, 2]]) == {"fixed": 0.5}


def test_two_classes_have_one_threshold_and_more_have_none():
    labels = np.arange(60) % 2
    scores = np.clip(0.4 * labels + 0.6 * np.random.default_rng(1).random(60), 0, 1)
    assert thresholds_for(labels, np.stack([1 - scores, scores], axis=1)) == {
        "fixed": 0.5, "youden": youden(labels, scores),
    }  # fmt: skip
    assert thresholds_for(np.arange(60) % 3, np.full((60, 3), 1 / 3)) == {"fixed": 0.5}
