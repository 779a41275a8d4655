import json
import math
from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.operating_points import (
    Cost,
    Sensitivity,
    Specificity,
    Youden,
    at_cost,
    at_sensitivity,
    at_specificity,
    choose,
    chosen_with_uncertainty,
)
from xenograft.evaluation.threshold import MIN_PER_CLASS, youden
from xenograft.evaluation.uncertainty import cluster_weights, percentile_interval

LABELS = np.repeat([0, 1], [10, 20])
SCORES = np.r_[np.arange(10) / 20, 0.25 + np.arange(20) / 40]  # negatives 0 to 0.45, positives 0.25 to 0.725


def sample(seed, n=90, digits=2):
    """Overlapping classes with ties; two to three images of each of some patients."""
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, n // 2, n)
    labels = (patients % 3 == 0).astype(int)
    scores = np.clip(np.round(0.25 * labels + 0.75 * rng.random(n), digits), 0, 1)
    return labels, scores, patients


def candidates(scores):
    distinct = sorted(set(scores.tolist()))
    middle = [a + (b - a) / 2 for a, b in pairwise(distinct)]
    return [0.0, *middle, *([1.0] if distinct[-1] < 1 else [])]


def counts(labels, scores, cut):
    called = scores >= cut
    tp, fp = int((called & (labels == 1)).sum()), int((called & (labels == 0)).sum())
    return tp, fp, int((labels == 1).sum()), int((labels == 0).sum())


def brute_sensitivity(labels, scores, target):
    reached = []
    for cut in candidates(scores):
        tp, _, positives, _ = counts(labels, scores, cut)
        if Fraction(tp, positives) >= Fraction(str(target)):
            reached.append(cut)
    return max(reached)


def brute_specificity(labels, scores, target):
    reached = []
    for cut in candidates(scores):
        _, fp, _, negatives = counts(labels, scores, cut)
        if 1 - Fraction(fp, negatives) >= Fraction(str(target)):
            reached.append(cut)
    return min(reached, default=math.nan)


def brute_cost(labels, scores, miss, alarm, prevalence):
    def cost(cut):
        tp, fp, positives, negatives = counts(labels, scores, cut)
        p = Fraction(positives, positives + negatives) if prevalence is None else Fraction(str(prevalence))
        return p * Fraction(positives - tp, positives) * miss + (1 - p) * Fraction(fp, negatives) * alarm

    return min(candidates(scores), key=lambda cut: (cost(cut), abs(cut - 0.5), cut))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("target", [0.05, 0.5, 0.8, 0.95, 1])
def test_targets_against_a_loop_over_all_thresholds(seed, target):
    labels, scores, _ = sample(seed, digits=1 + seed % 3)
    assert at_sensitivity(labels, scores, target).threshold == brute_sensitivity(labels, scores, target)
    expected = brute_specificity(labels, scores, target)
    if math.isnan(expected):
        with pytest.raises(DataError, match="score 1"):
            at_specificity(labels, scores, target)
    else:
        assert at_specificity(labels, scores, target).threshold == expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("miss", "alarm"), [(1, 1), (5, 1), (1, 30)])
@pytest.mark.parametrize("prevalence", [None, 0.5, 0.03])
def test_cost_against_a_loop_over_all_thresholds(seed, miss, alarm, prevalence):
    labels, scores, _ = sample(seed, digits=1 + seed % 3)
    got = at_cost(labels, scores, false_negative=miss, false_positive=alarm, prevalence=prevalence)
    assert got.threshold == brute_cost(labels, scores, miss, alarm, prevalence)


def test_the_point_says_what_it_reached():
    got = at_sensitivity(LABELS, SCORES, 0.9)  # 18 of 20: from 0.3, whose next lower score is 0.275
    assert got.threshold == pytest.approx(0.2875)
    assert (got.sensitivity, got.specificity, got.everything) == (0.9, 0.6, None)
    got = at_specificity(LABELS, SCORES, 0.8)  # 8 of 10: above 0.35, also that of a positive
    assert got.threshold == pytest.approx(0.3625)
    assert (got.sensitivity, got.specificity) == (0.75, 0.8)
    assert json.loads(json.dumps(asdict(got)))["rule"] == "specificity of at least 0.8"


@pytest.mark.parametrize(("target", "found"), [(0.7, 7), (0.1 + 0.2, 3), (0.3, 3), (0.31, 4), (1e-6, 1)])
def test_shares_are_compared_in_whole_numbers(target, found):
    labels = np.repeat([0, 1], 10)
    scores = np.arange(20) / 20
    assert at_sensitivity(labels, scores, target).sensitivity == found / 10
    assert at_specificity(1 - labels, 1 - scores, target).specificity == found / 10


def test_a_target_that_only_calling_everything_positive_reaches_is_named():
    scores = np.where(np.arange(30) == 29, 0.05, SCORES + 0.1)  # the worst image of all is a positive
    got = at_sensitivity(LABELS, scores, 1.0)
    assert (got.threshold, got.everything, got.sensitivity, got.specificity) == (0.0, "positive", 1, 0)
    assert at_sensitivity(LABELS, scores, 0.95).everything is None
    got = at_specificity(LABELS, np.where(np.arange(30) == 0, 0.99, SCORES), 1.0)
    assert (got.threshold, got.everything, got.sensitivity, got.specificity) == (1.0, "negative", 0, 1)


def test_neighbouring_floats_are_still_separated():
    low = 0.7
    high = float(np.nextafter(low, 1))
    got = at_sensitivity(LABELS, np.where(LABELS == 1, high, low), 1.0)
    assert low < got.threshold <= high
    assert (got.sensitivity, got.specificity) == (1, 1)


def test_a_specificity_out_of_reach_is_refused_with_the_reason():
    scores = np.where(np.arange(30) < 2, 1.0, SCORES)
    with pytest.raises(DataError, match="2 of 10 negatives score 1") as caught:
        at_specificity(LABELS, scores, 0.9)
    assert caught.value.code == "E-DATA-05"
    assert at_specificity(LABELS, scores, 0.8).specificity == 0.8


def test_extreme_costs_call_everything_alike():
    assert at_cost(LABELS, SCORES, false_negative=1000, false_positive=1).everything is None  # 0.25 and above is enough
    labels, overlapping = np.repeat([0, 1], 15), np.tile(np.arange(15) / 15, 2)
    assert at_cost(labels, overlapping, false_negative=1e6, false_positive=1).everything == "positive"
    assert at_cost(labels, overlapping, false_negative=1e-6, false_positive=1).everything == "negative"


def test_a_stated_prevalence_moves_the_point_of_least_cost():
    rare, common = (
        at_cost(LABELS, SCORES, false_negative=1, false_positive=1, prevalence=p).threshold for p in (0.05, 0.95)
    )
    given = at_cost(LABELS, SCORES, false_negative=1, false_positive=1)
    stated = at_cost(LABELS, SCORES, false_negative=1, false_positive=1, prevalence=2 / 3)
    assert common < given.threshold < rare
    assert stated.threshold == given.threshold


@pytest.mark.parametrize("seed", range(12))
def test_youden_is_that_of_the_threshold_module_and_equal_costs_at_one_half(seed):
    labels, scores, _ = sample(seed, digits=1 + seed % 3)
    expected = youden(labels, scores)
    assert choose(Youden(), labels, scores).threshold == expected
    assert at_cost(labels, scores, false_negative=2, false_positive=2, prevalence=0.5).threshold == expected


@pytest.mark.parametrize("scores", [np.full(30, 0.3), np.ones(30), np.zeros(30), 1 - SCORES])
def test_youden_without_anything_to_gain(scores):
    assert choose(Youden(), LABELS, scores).threshold == youden(LABELS, scores)


RULES = {
    Sensitivity(0.9): lambda labels, scores: brute_sensitivity(labels, scores, 0.9),
    Specificity(0.9): lambda labels, scores: brute_specificity(labels, scores, 0.9),
    Cost(3, 1): lambda labels, scores: brute_cost(labels, scores, 3, 1, None),
    Cost(3, 1, 0.2): lambda labels, scores: brute_cost(labels, scores, 3, 1, 0.2),
    Youden(): youden,
}


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_resamples_against_a_loop_that_copies_the_drawn_images(rule):
    labels, scores, patients = sample(3)
    resamples = 60
    weights = cluster_weights(labels, patients, resamples=resamples, rng=np.random.default_rng(8)).astype(int)
    cuts, parts, undecided = [], [], 0
    for w in weights:
        drawn_labels, drawn = np.repeat(labels, w), np.repeat(scores, w)
        cuts.append(RULES[rule](drawn_labels, drawn))
        left, called = w == 0, scores >= cuts[-1]
        undecided += len(set(drawn >= cuts[-1])) == 1
        parts.append(
            [
                (called & left & (labels == 1)).sum(),
                (left & (labels == 1)).sum(),
                (~called & left & (labels == 0)).sum(),
                (left & (labels == 0)).sum(),
            ]
        )
    tp, positives, tn, negatives = np.array(parts).T
    got = chosen_with_uncertainty(
        rule, labels, scores, patients, resamples=resamples, rng=np.random.default_rng(8), level=0.9
    )
    assert (got["threshold"]["low"], got["threshold"]["high"]) == percentile_interval(np.array(cuts), 0.9)
    assert got["threshold"]["value"] == choose(rule, labels, scores).threshold
    for name, right, of in (("sensitivity", tp, positives), ("specificity", tn, negatives)):
        assert got[name]["left_out"] == pytest.approx(right.sum() / of.sum())
        assert (got[name]["low"], got[name]["high"]) == pytest.approx(percentile_interval(right / of, 0.9))
        assert got[name]["chosen_on"] == getattr(choose(rule, labels, scores), name)
    assert got["undecided"] == undecided / resamples


def test_left_out_patients_show_the_optimism_of_the_chosen_point():
    """Youden's sum on the 60 images that chose it, on the left-out ones, and in truth, over 60 validation sets."""
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], 30)
    normal = np.vectorize(lambda z: 0.5 * (1 + math.erf(z / math.sqrt(2))))
    sums = []
    for _ in range(60):
        z = labels + rng.normal(size=60)  # one standard deviation apart
        got = chosen_with_uncertainty(Youden(), labels, normal(z), np.arange(60), resamples=100, rng=rng)
        cut = np.interp(got["threshold"]["value"], normal(np.linspace(-5, 6, 2000)), np.linspace(-5, 6, 2000))
        true = normal(1 - cut) + normal(cut)
        sums.append([*(got["sensitivity"][k] + got["specificity"][k] for k in ("chosen_on", "left_out")), true])
    chosen_on, left_out, true = np.mean(sums, axis=0)
    assert chosen_on > true + 0.05
    assert abs(left_out - true) < 0.03


def test_copies_of_images_do_not_narrow_the_interval():
    single = chosen_with_uncertainty(
        Sensitivity(0.9), LABELS, SCORES, np.arange(30), resamples=200, rng=np.random.default_rng(1)
    )
    copied = [np.repeat(a, 4) for a in (LABELS, SCORES, np.arange(30))]
    again = chosen_with_uncertainty(Sensitivity(0.9), *copied, resamples=200, rng=np.random.default_rng(1))
    assert again["threshold"]["low"] < again["threshold"]["high"]
    assert again == single


def test_the_order_of_the_images_does_not_matter():
    labels, scores, patients = sample(4)
    order = np.random.default_rng(0).permutation(labels.size)
    straight, shuffled = (
        chosen_with_uncertainty(
            Cost(2, 1), labels[rows], scores[rows], patients[rows], resamples=50, rng=np.random.default_rng(1)
        )
        for rows in (slice(None), order)
    )
    assert shuffled == straight


def test_a_class_of_one_patient_is_never_left_out():
    patients = np.where(LABELS == 1, 99, np.arange(30))
    got = chosen_with_uncertainty(Youden(), LABELS, SCORES, patients, resamples=40, rng=np.random.default_rng(1))
    assert got["sensitivity"] == {
        "chosen_on": got["sensitivity"]["chosen_on"],
        "left_out": None,
        "low": None,
        "high": None,
    }
    assert got["specificity"]["left_out"] is not None
    json.dumps(got, allow_nan=False)


@pytest.mark.parametrize(("odd", "score", "others"), [(29, 0.3, 0.6), (0, 0.7, 0.4)])
def test_undecided_resamples_are_counted_by_their_own_images(odd, score, others):
    """Youden stays at 0.5, which tells only the one misplaced image apart, where it is drawn."""
    scores = np.where(np.arange(30) == odd, score, others)
    weights = cluster_weights(LABELS, np.arange(30), resamples=100, rng=np.random.default_rng(2))
    got = chosen_with_uncertainty(Youden(), LABELS, scores, np.arange(30), resamples=100, rng=np.random.default_rng(2))
    assert got["threshold"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert got["undecided"] == (weights[:, odd] == 0).mean() > 0.2


def test_a_specificity_reached_in_some_resamples_only():
    scores = np.where(np.arange(30) < 2, 1.0, SCORES)  # 2 of 10 negatives: a resample with 3 of them has none
    got = chosen_with_uncertainty(
        Specificity(0.8), LABELS, scores, np.arange(30), resamples=200, rng=np.random.default_rng(1)
    )
    assert got["threshold"]["value"] == at_specificity(LABELS, scores, 0.8).threshold
    assert got["threshold"]["low"] is None
    assert got["specificity"]["low"] is None


@pytest.mark.parametrize("few", [0, 1])
def test_too_few_of_a_class(few):
    labels = np.where(np.arange(60) < MIN_PER_CLASS - 1, few, 1 - few)
    with pytest.raises(DataError, match=rf"9 of class {few}.*|51 of class {1 - few}.*9 of class {few}") as caught:
        at_sensitivity(labels, np.linspace(0, 1, 60), 0.9)
    assert "fixed threshold 0.5" in str(caught.value)
    with pytest.raises(DataError, match="at least 10 of each"):
        chosen_with_uncertainty(Youden(), labels, np.linspace(0, 1, 60), np.arange(60), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sensitivity(0), "target: got 0"),
        (lambda: Specificity(1.01), "target: got 1.01"),
        (lambda: Sensitivity(math.nan), "target: got nan"),
        (lambda: Cost(0, 1), "false_negative: got 0"),
        (lambda: Cost(1, math.inf), "false_positive: got inf"),
        (lambda: Cost(1, 1, 1), "prevalence: got 1"),
        (lambda: at_sensitivity(LABELS, SCORES[:-1], 0.9), "scores"),
        (lambda: at_cost(LABELS, SCORES + 1, false_negative=1, false_positive=1), "scores"),
    ],
)
def test_unusable_input(make, message):
    with pytest.raises(DataError, match=message) as caught:
        make()
    assert caught.value.code == "E-DATA-05"


@pytest.mark.nightly
def test_coverage_of_the_threshold_and_bias_of_what_it_reaches():
    """One image a patient, 60 of each class one standard deviation apart, 300 sets: sensitivity of at least 0.9."""
    rng = np.random.default_rng(17)
    labels = np.repeat([0, 1], 60)
    cut = 1 - 1.2815515655446004  # the tenth percentile of the positives
    rows = []
    for _ in range(300):
        z = labels + rng.normal(size=120)
        scores = 1 / (1 + np.exp(-z))
        got = chosen_with_uncertainty(Sensitivity(0.9), labels, scores, np.arange(120), resamples=400, rng=rng)
        chosen = math.log(got["threshold"]["value"]) - math.log1p(-got["threshold"]["value"])
        covered = got["threshold"]["low"] <= 1 / (1 + math.exp(-cut)) <= got["threshold"]["high"]
        true = 0.5 * (1 + math.erf((1 - chosen) / math.sqrt(2)))
        rows.append([covered, got["sensitivity"]["left_out"] - true, got["sensitivity"]["chosen_on"] - true])
    covered, left_out, chosen_on = np.mean(rows, axis=0)
    assert 0.90 <= covered <= 0.99
    assert abs(left_out) < 0.01
    assert chosen_on > abs(left_out)
