import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.metrics import METRICS, binary_metrics, multiclass_metrics
from xenograft.evaluation.multilabel import multilabel_metrics
from xenograft.evaluation.paired import paired_difference, paired_difference_multiclass, paired_difference_multilabel
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.uncertainty import cluster_weights

N = 200
LABELS = np.arange(N) % 2
PATIENTS = np.arange(N) // 4 * 2 + LABELS  # two images of one class per patient
OPTIONS = {"threshold_a": 0.5, "threshold_b": 0.5, "resamples": 300}


def arm(seed, gain):
    """Scores that share an image's difficulty over all arms and are better with more gain."""
    difficulty = np.random.default_rng(0).normal(size=N)
    z = gain * (2 * LABELS - 1) + 1.5 * difficulty + 0.3 * np.random.default_rng(seed).normal(size=N)
    return 1 / (1 + np.exp(-z))


def rng():
    return np.random.default_rng(42)


def test_identical_arms_do_not_differ():
    got = paired_difference(LABELS, arm(1, 1), arm(1, 1), PATIENTS, **OPTIONS, rng=rng())
    assert tuple(got) == METRICS
    assert all(v == {"difference": 0, "low": 0, "high": 0, "p": 1} for v in got.values())


def test_the_difference_is_a_minus_b():
    a, b = arm(1, 2.0), arm(2, 0.5)
    got = paired_difference(LABELS, a, b, PATIENTS, **OPTIONS, rng=rng())
    expected = binary_metrics(LABELS, a, threshold=0.5)["auroc"] - binary_metrics(LABELS, b, threshold=0.5)["auroc"]
    assert got["auroc"]["difference"] == pytest.approx(expected)
    assert 0 < got["auroc"]["low"] < expected < got["auroc"]["high"]
    assert got["loss"]["high"] < 0
    back = paired_difference(LABELS, b, a, PATIENTS, **OPTIONS, rng=rng())
    for metric in METRICS:
        assert back[metric]["difference"] == pytest.approx(-got[metric]["difference"])
        assert back[metric]["low"] == pytest.approx(-got[metric]["high"])


def test_pairing_is_narrower_than_two_independent_intervals():
    a, b = arm(1, 1.0), arm(2, 1.0)
    got = paired_difference(LABELS, a, b, PATIENTS, **OPTIONS, rng=rng())["auroc"]

    def width(scores):
        table = np.stack([1 - scores, scores], axis=1)
        card = scorecard(LABELS, table, PATIENTS, thresholds={"fixed": 0.5}, resamples=300, rng=rng())
        auroc = card["policies"]["fixed"]["metrics"]["auroc"]
        return auroc["high"] - auroc["low"]

    assert got["high"] - got["low"] < 0.5 * np.hypot(width(a), width(b))


def test_seeds_are_averaged_within_each_resample():
    seeds_a, seeds_b = [arm(s, 1.5) for s in (1, 2, 3)], [arm(s, 0.5) for s in (4, 5)]
    got = paired_difference(
        LABELS, seeds_a, seeds_b, PATIENTS, threshold_a=[0.4, 0.5, 0.6], threshold_b=0.5, resamples=100, rng=rng()
    )
    mean_a = np.mean(
        [binary_metrics(LABELS, s, threshold=t)["f1"] for s, t in zip(seeds_a, (0.4, 0.5, 0.6), strict=True)]
    )
    mean_b = np.mean([binary_metrics(LABELS, s, threshold=0.5)["f1"] for s in seeds_b])
    assert got["f1"]["difference"] == pytest.approx(mean_a - mean_b)
    stacked = paired_difference(
        LABELS, np.stack(seeds_a), np.stack(seeds_b), PATIENTS,
        threshold_a=np.array([0.4, 0.5, 0.6]), threshold_b=[0.5, 0.5], resamples=100, rng=rng(),
    )  # fmt: skip
    assert stacked == got


def test_undefined_differences_are_none():
    got = paired_difference(np.ones(N, dtype=int), arm(1, 1), arm(2, 1), PATIENTS, **OPTIONS, rng=rng())
    assert got["auroc"] == {"difference": None, "low": None, "high": None, "p": None}


def test_multiclass():
    labels = np.arange(N) // 2 % 3
    clear = 0.1 + 0.7 * np.eye(3)[labels]
    noise = np.random.default_rng(1).dirichlet([1, 1, 1], N)
    got = paired_difference_multiclass(labels, [clear, noise], noise, np.arange(N), resamples=100, rng=rng())
    gain = multiclass_metrics(labels, clear)["f1"] - multiclass_metrics(labels, noise)["f1"]
    assert got["f1"]["difference"] == pytest.approx(gain / 2)
    assert got["f1"]["low"] > 0
    same = paired_difference_multiclass(labels, noise, noise, np.arange(N), resamples=20, rng=rng())
    assert all(v["low"] == v["high"] == 0 for v in same.values())


def test_unusable_input():
    good = arm(1, 1)
    with pytest.raises(DataError, match="scores_b"):
        paired_difference(LABELS, good, good[:-1], PATIENTS, **OPTIONS, rng=rng())
    with pytest.raises(DataError, match="no seed"):
        paired_difference(LABELS, [], good, PATIENTS, **OPTIONS, rng=rng())
    with pytest.raises(DataError, match="one for each of 1"):
        paired_difference(LABELS, good, good, PATIENTS, **OPTIONS | {"threshold_a": [0.1, 0.2]}, rng=rng())
    with pytest.raises(DataError, match="threshold: got 2"):
        paired_difference(LABELS, good, good, PATIENTS, **OPTIONS | {"threshold_b": 2}, rng=rng())
    with pytest.raises(DataError, match="probabilities_a"):
        paired_difference_multiclass(LABELS, good, good, PATIENTS, rng=rng())


def findings(seed, gain):
    """Scores of three findings with gaps; better with more gain."""
    rng = np.random.default_rng(7)
    truth = (rng.random((N, 3)) < [0.5, 0.3, 0.2]).astype(np.int64)
    labels = np.where(rng.random((N, 3)) < 0.2, -1, truth)
    z = gain * (2 * truth - 1) + 1.5 * rng.normal(size=(N, 3)) + 0.3 * np.random.default_rng(seed).normal(size=(N, 3))
    return labels, 1 / (1 + np.exp(-z))


def test_identical_arms_of_findings_do_not_differ():
    labels, scores = findings(1, 1)
    got = paired_difference_multilabel(labels, scores, scores, PATIENTS, resamples=50, rng=rng())
    assert tuple(got) == METRICS
    assert all(v == {"difference": 0, "low": 0, "high": 0, "p": 1} for v in got.values())


@pytest.mark.parametrize("cuts", [0.5, [0.4, 0.5, 0.6]])
def test_findings_differ_by_their_means_over_findings_and_seeds(cuts):
    labels, first = findings(1, 2.0)
    seeds, b = [first, findings(2, 1.5)[1]], findings(3, 0.5)[1]
    got = paired_difference_multilabel(labels, seeds, b, PATIENTS, thresholds=cuts, resamples=200, rng=rng())
    for metric in ("auroc", "f1", "average_precision"):
        a, other = ([multilabel_metrics(labels, s, thresholds=cuts)[metric] for s in arms] for arms in (seeds, [b]))
        assert got[metric]["difference"] == pytest.approx(np.mean(a) - other[0])
    assert 0 < got["auroc"]["low"] < got["auroc"]["difference"] < got["auroc"]["high"]
    filled = np.where(labels == -1, 0.5, b)
    again = paired_difference_multilabel(labels, seeds, filled, PATIENTS, thresholds=cuts, resamples=200, rng=rng())
    assert again == got


def test_findings_in_another_order_differ_alike():
    labels, a = findings(1, 2.0)
    b, order = findings(3, 0.5)[1], [2, 0, 1]
    straight = paired_difference_multilabel(labels, a, b, PATIENTS, resamples=50, rng=rng())
    shuffled = paired_difference_multilabel(
        labels[:, order], a[:, order], b[:, order], PATIENTS, resamples=50, rng=rng()
    )
    for metric in METRICS:
        assert shuffled[metric] == pytest.approx(straight[metric])


def test_unusable_findings():
    labels, good = findings(1, 1)
    with pytest.raises(DataError, match="probabilities_b"):
        paired_difference_multilabel(labels, good, good[:, :2], PATIENTS, rng=rng())
    with pytest.raises(DataError, match="no seed"):
        paired_difference_multilabel(labels, [], good, PATIENTS, rng=rng())
    with pytest.raises(DataError, match="one for each of 3 findings"):
        paired_difference_multilabel(labels, good, good, PATIENTS, thresholds=[0.5, 0.5], rng=rng())


def test_p_is_the_share_of_resamples_beyond_zero():
    a, b = arm(1, 0.9), arm(2, 0.7)
    got = paired_difference(LABELS, a, b, PATIENTS, **OPTIONS, rng=rng())["auroc"]
    weights = cluster_weights(LABELS, PATIENTS, resamples=OPTIONS["resamples"], rng=rng()).astype(float)
    one, two = (binary_metrics(LABELS, s, threshold=0.5, weights=weights)["auroc"] for s in (a, b))
    beyond = min((one - two <= 0).sum(), (one - two >= 0).sum())
    assert got["p"] == pytest.approx(min(1, 2 * (beyond + 1) / (len(one) + 1)))
    assert 2 / (len(one) + 1) <= got["p"] <= 1
