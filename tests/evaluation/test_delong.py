import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

from xenograft.errors import DataError
from xenograft.evaluation.delong import (
    clustered_delong_interval,
    clustered_delong_test,
    delong_interval,
    delong_test,
    normal_quantile,
    wins,
)
from xenograft.evaluation.metrics import binary_metrics
from xenograft.evaluation.uncertainty import bootstrap, percentile_interval

Z = 1.959963984540054

# The ovarian cancer patients of DeLong et al. (1988), those with all three tests: albumin, total protein, K-G score and
# outcome, as printed in the SAS/STAT user's guide (LOGISTIC, "Comparing Receiver Operating Characteristic Curves").
OVARIAN = np.fromstring(
    """3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1
    3.8 5.7 5 1 3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0
    2.3 4.4 6 1 4.2 7.6 4 0 4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1
    3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1 4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0
    3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1 2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1
    3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)
OUTCOME = OVARIAN[:, 3].astype(int)
ALBUMIN, PROTEIN, KG = OVARIAN[:, 0] / 10, OVARIAN[:, 1] / 10, 1 - OVARIAN[:, 2] / 10


def sample(seed, size=60, grid=None, patients=None):
    """Labels, two correlated arms (rounded to `grid` values for ties) and patients with images of both classes."""
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, 0, 1, rng.integers(0, 2, size - 4)]
    owner = np.r_[0, 1, 2, 3, rng.integers(0, patients or size, size - 4)]
    shared = rng.normal(size=size) + rng.normal(size=max(4, patients or size))[owner]
    arms = [1 / (1 + np.exp(-(gain * labels + shared + rng.normal(size=size)))) for gain in (1.5, 0.8)]
    if grid:
        arms = [np.round(a * grid) / grid for a in arms]
    return labels, arms[0], arms[1], owner


def components(labels, scores):
    """Placement values by all pairs (DeLong et al. 1988, Eq. 4): V10 of the positives, V01 of the negatives."""
    psi = 0.5 + 0.5 * np.sign(scores[labels == 1][:, None] - scores[labels == 0][None, :])
    return psi.mean(axis=1), psi.mean(axis=0)


def pairwise_covariance(labels, *arms):
    """Covariance matrix of the AUROCs by all pairs (DeLong et al. 1988, Eq. 5)."""
    v10, v01 = zip(*(components(labels, a) for a in arms), strict=True)
    return np.atleast_2d(np.cov(v10)) / len(v10[0]) + np.atleast_2d(np.cov(v01)) / len(v01[0])


def clustered_covariance(labels, owner, a, b):
    """Obuchowski (1997) as written there, patient by patient: covariance of the AUROCs of two arms."""
    names = np.unique(owner)
    m, n = np.sum(labels == 1), np.sum(labels == 0)
    i10 = sum((labels[owner == k] == 1).any() for k in names)
    i01 = sum((labels[owner == k] == 0).any() for k in names)

    def sums(scores):
        v10, v01 = np.zeros(labels.size), np.zeros(labels.size)
        v10[labels == 1], v01[labels == 0] = components(labels, scores)
        theta = v10.sum() / m
        return (
            [v10[owner == k].sum() - theta * np.sum(labels[owner == k] == 1) for k in names],
            [v01[owner == k].sum() - theta * np.sum(labels[owner == k] == 0) for k in names],
        )

    (x_a, y_a), (x_b, y_b) = sums(a), sums(b)
    s10 = i10 / ((i10 - 1) * m) * np.dot(x_a, x_b)
    s01 = i01 / ((i01 - 1) * n) * np.dot(y_a, y_b)
    s11 = len(names) / (len(names) - 1) * (np.dot(x_a, y_b) + np.dot(x_b, y_a))
    return s10 / m + s01 / n + s11 / (m * n)


def test_wins_are_differences_of_midranks():
    labels, scores, _, _ = sample(1, grid=7)
    positive = labels == 1
    won, lost = wins(positive, scores)
    ranks = rankdata(scores)
    assert np.array_equal(won / 2, ranks[positive] - rankdata(scores[positive]))
    n = positive.sum()
    assert np.array_equal(lost / 2, n - (ranks[~positive] - rankdata(scores[~positive])))


@pytest.mark.parametrize("grid", [None, 9, 2])
@pytest.mark.parametrize("seed", range(6))
def test_value_and_variance_agree_with_all_pairs(seed, grid):
    labels, scores, _, _ = sample(seed, grid=grid)
    got = delong_interval(labels, scores)
    assert got["value"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert got["variance"] == pytest.approx(pairwise_covariance(labels, scores)[0, 0], rel=1e-9)
    logit = math.log(got["value"] / (1 - got["value"]))
    half = Z * math.sqrt(got["variance"]) / (got["value"] * (1 - got["value"]))
    assert got["low"] == pytest.approx(1 / (1 + math.exp(half - logit)), abs=1e-12)
    assert got["high"] == pytest.approx(1 / (1 + math.exp(-half - logit)), abs=1e-12)
    assert got["method"] == "logit"


@pytest.mark.parametrize("grid", [None, 9, 2])
@pytest.mark.parametrize("seed", range(6))
def test_difference_agrees_with_all_pairs(seed, grid):
    labels, a, b, _ = sample(seed, grid=grid)
    covariance = pairwise_covariance(labels, a, b)
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    got = delong_test(labels, a, b)
    difference = roc_auc_score(labels, a) - roc_auc_score(labels, b)
    assert got["difference"] == pytest.approx(difference, abs=1e-12)
    assert got["z"] == pytest.approx(difference / error, rel=1e-9)
    assert got["p"] == pytest.approx(2 * norm.sf(abs(difference / error)), rel=1e-9)
    assert (got["low"], got["high"]) == pytest.approx((difference - Z * error, difference + Z * error), abs=1e-9)
    assert got["method"] == "wald"


@pytest.mark.parametrize(("scores", "value", "error"), [
    (ALBUMIN, 0.7366, 0.0927),
    (KG, 0.7258, 0.1028),
    (PROTEIN, 0.6478, 0.1000),
])  # fmt: skip
def test_published_areas(scores, value, error):
    got = delong_interval(OUTCOME, scores)
    assert got["value"] == pytest.approx(value, abs=5e-5)
    assert math.sqrt(got["variance"]) == pytest.approx(error, abs=5e-5)


@pytest.mark.parametrize(("scores", "difference", "low", "high", "chi_square", "p"), [
    (ALBUMIN, 0.0108, -0.1761, 0.1976, 0.0127, 0.9102),
    (PROTEIN, -0.0780, -0.2830, 0.1271, 0.5554, 0.4561),
])  # fmt: skip
def test_published_comparison(scores, difference, low, high, chi_square, p):
    got = delong_test(OUTCOME, scores, KG)
    assert (got["difference"], got["low"], got["high"]) == pytest.approx((difference, low, high), abs=5e-5)
    assert (got["z"] ** 2, got["p"]) == pytest.approx((chi_square, p), abs=5e-5)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_agree_with_the_formulas_patient_by_patient(seed):
    labels, a, b, owner = sample(seed, size=70, grid=20, patients=18)
    got = clustered_delong_interval(labels, a, owner)
    assert got["value"] == delong_interval(labels, a)["value"]
    assert got["variance"] == pytest.approx(clustered_covariance(labels, owner, a, a), rel=1e-9)
    variance = (
        clustered_covariance(labels, owner, a, a)
        + clustered_covariance(labels, owner, b, b)
        - 2 * clustered_covariance(labels, owner, a, b)
    )
    test = clustered_delong_test(labels, a, b, owner)
    assert test["difference"] / test["z"] == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_one_image_a_patient_needs_no_clusters():
    labels, a, b, _ = sample(3)
    keys = np.random.default_rng(0).permutation([f"patient{i}" for i in range(labels.size)])
    assert clustered_delong_interval(labels, a, keys)["variance"] == pytest.approx(
        delong_interval(labels, a)["variance"], rel=1e-12
    )
    assert clustered_delong_test(labels, a, b, keys)["p"] == pytest.approx(delong_test(labels, a, b)["p"], rel=1e-9)


def test_copies_of_an_image_add_nothing_within_patients():
    labels, a, b, _ = sample(4)
    single = delong_interval(labels, a)
    copies = [np.repeat(v, 5) for v in (labels, a, b, np.arange(labels.size))]
    clustered = clustered_delong_interval(copies[0], copies[1], copies[3])
    assert clustered["low"] == pytest.approx(single["low"], abs=1e-12)
    assert clustered_delong_test(*copies)["p"] == pytest.approx(delong_test(labels, a, b)["p"], rel=1e-9)
    assert delong_interval(copies[0], copies[1])["variance"] < single["variance"] / 4


def test_spread_is_that_of_the_cluster_bootstrap():
    labels, a, b, _ = sample(5, size=400)
    owner = np.arange(400) // 4
    labels = labels[owner * 4]  # patients of one class, as the strata of the bootstrap want them

    def aurocs(weights):
        first, second = (binary_metrics(labels, s, threshold=0.5, weights=weights)["auroc"] for s in (a, b))
        return {"a": first, "difference": first - second}

    drawn = bootstrap(aurocs, labels, owner, resamples=3000, rng=np.random.default_rng(1))
    assert clustered_delong_interval(labels, a, owner)["variance"] == pytest.approx(drawn["a"].var(), rel=0.08)
    test = clustered_delong_test(labels, a, b, owner)
    assert test["difference"] / test["z"] == pytest.approx(drawn["difference"].std(), rel=0.05)


@given(seed=st.integers(0, 500), grid=st.integers(1, 8), patients=st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_exchanged_arms_and_turned_scores(seed, grid, patients):
    labels, a, b, owner = sample(seed, size=24, grid=grid, patients=patients)
    there, back = clustered_delong_test(labels, a, b, owner), clustered_delong_test(labels, b, a, owner)
    assert back["difference"] == -there["difference"]
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]), abs=1e-12)
    assert back["p"] == there["p"]
    assert back["method"] == there["method"]
    straight = clustered_delong_interval(labels, a, owner)
    turned = clustered_delong_interval(1 - labels, np.round(1 - a, 9), owner)
    assert turned["value"] == pytest.approx(straight["value"])
    assert (turned["low"], turned["high"]) == pytest.approx((straight["low"], straight["high"]), abs=1e-9)
    mirrored = clustered_delong_interval(1 - labels, a, owner)
    assert (mirrored["low"], mirrored["high"]) == pytest.approx((1 - straight["high"], 1 - straight["low"]), abs=1e-9)
    assert 0 <= straight["low"] <= straight["value"] <= straight["high"] <= 1
    assert straight["high"] - straight["low"] > 0.01


def test_arms_that_order_alike_do_not_differ():
    labels, a, _, owner = sample(6, grid=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (a, a**3):
            assert delong_test(labels, a, same) == clustered_delong_test(labels, a, same, owner)
            assert delong_test(labels, a, same) == {
                "difference": 0, "low": 0, "high": 0, "z": 0, "p": 1, "method": "identical",
            }  # fmt: skip


def newcombe(value, m, n):
    """Limits of Newcombe (2006), method 5, with another root finder; a perfect value keeps its own limit."""
    star = (m + n) / 2 - 1

    def gap(at):
        variance = at * (1 - at) / (m * n) * (1 + star * (1 - at) / (2 - at) + star * at / (1 + at))
        return (value - at) ** 2 - Z * Z * variance

    low = 0 if value == 0 else brentq(gap, 1e-12, value - 1e-9)
    high = 1 if value == 1 else brentq(gap, value + 1e-9, 1 - 1e-12)
    return low, high


@pytest.mark.parametrize(("m", "n"), [(2, 2), (30, 10), (200, 300)])
def test_a_perfect_arm_has_an_interval_that_says_so(m, n):
    labels = np.repeat([0, 1], [n, m])
    scores = np.linspace(0, 1, m + n)
    got = delong_interval(labels, scores)
    assert (got["value"], got["variance"], got["high"], got["method"]) == (1, 0, 1, "score")
    assert got["low"] == pytest.approx(newcombe(1, m, n)[0], abs=1e-9)
    assert got["low"] < 1
    worst = delong_interval(labels, 1 - scores)
    assert (worst["value"], worst["low"], worst["high"]) == (0, 0, pytest.approx(1 - got["low"]))
    by_patient = clustered_delong_interval(np.tile(labels, 2), np.tile(scores, 2), np.tile(np.arange(m + n), 2))
    assert by_patient["low"] == got["low"]


def test_equal_scores_have_an_interval():
    labels = np.repeat([0, 1], [10, 20])
    got = delong_interval(labels, np.full(30, 0.3))
    assert (got["value"], got["variance"], got["method"]) == (0.5, 0, "score")
    assert (got["low"], got["high"]) == pytest.approx(newcombe(0.5, 20, 10), abs=1e-9)


def test_parts_that_cancel_leave_no_variance():
    """Every patient loses with one class what it wins with the other, so patients do not vary."""
    labels, owner = np.tile([0, 1], 3), np.repeat([0, 1, 2], 2)
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    got = clustered_delong_interval(labels, scores, owner)
    assert (got["value"], got["variance"], got["method"]) == (pytest.approx(2 / 3), 0, "score")
    assert (got["low"], got["high"]) == pytest.approx(newcombe(2 / 3, 3, 3), abs=1e-9)


def test_two_perfect_arms_are_not_proved_equal():
    labels = np.repeat([0, 1], [10, 20])
    first, second = np.linspace(0, 1, 30), np.r_[np.linspace(0.4, 0, 10), np.linspace(0.5, 1, 20)]
    got = delong_test(labels, first, second)
    room = 1 - delong_interval(labels, first)["low"]
    assert (got["difference"], got["z"], got["p"], got["method"]) == (0, 0, 1, "square-and-add")
    assert (got["low"], got["high"]) == pytest.approx((-room, room))
    flat = delong_test(labels, first, np.full(30, 0.5))
    assert (flat["difference"], flat["z"], flat["p"], flat["method"]) == (0.5, None, None, "square-and-add")
    low, high = newcombe(0.5, 20, 10)
    assert flat["low"] == pytest.approx(0.5 - math.hypot(room, high - 0.5), abs=1e-9)
    assert flat["high"] == pytest.approx(0.5 + (0.5 - low), abs=1e-9)


def test_a_single_image_of_a_class_has_no_variance():
    labels, scores = np.array([1, 0, 0, 0, 0]), np.array([0.6, 0.2, 0.4, 0.7, 0.1])
    got = delong_interval(labels, scores)
    assert (got["value"], got["variance"], got["method"]) == (0.75, None, "score")
    assert (got["low"], got["high"]) == pytest.approx(newcombe(0.75, 1, 4), abs=1e-9)
    test = delong_test(labels, scores, scores[::-1])
    assert (test["z"], test["p"], test["method"]) == (None, None, "square-and-add")
    assert test["low"] < test["difference"] < test["high"]


def test_one_class_is_undefined():
    scores = np.array([0.1, 0.5, 0.9])
    for labels in (np.zeros(3, dtype=int), np.ones(3, dtype=int)):
        assert set(delong_interval(labels, scores).values()) == {None}
        assert set(delong_test(labels, scores, scores[::-1]).values()) == {None}


def test_a_higher_level_is_wider():
    labels, a, b, _ = sample(8)
    assert delong_interval(labels, a, level=0.99)["low"] < delong_interval(labels, a, level=0.9)["low"]
    assert delong_test(labels, a, b, level=0.99)["high"] > delong_test(labels, a, b, level=0.9)["high"]
    assert delong_test(labels, a, b, level=0.99)["p"] == delong_test(labels, a, b)["p"]
    assert normal_quantile(0.95) == pytest.approx(Z, abs=1e-12)


def test_many_images_take_no_pairs():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200_000)  # their pairs would fill 80 GB
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.1), 0, 1)
    assert delong_interval(labels, scores)["value"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 2, 1]}, "labels"),
        ({"scores_a": [0.1, 0.2]}, "scores_a"),
        ({"scores_b": [0.1, 0.2, 1.2]}, "scores_b"),
        ({"scores_b": [0.1, 0.2, math.nan]}, "scores_b"),
        ({"patients": [1, 2]}, "patients: got shape"),
        ({"level": 95}, "level: got 95"),
        ({"labels": [], "scores_a": [], "scores_b": [], "patients": []}, "labels"),
    ],
)
def test_unusable_input(change, message):
    good = {"labels": [0, 1, 1], "scores_a": [0.1, 0.2, 0.3], "scores_b": [0.3, 0.2, 0.1], "patients": [1, 2, 3]}
    given = {
        k: v if k == "level" else np.array(v, dtype=int if k == "labels" else None) for k, v in (good | change).items()
    }
    with pytest.raises(DataError, match=message):
        clustered_delong_test(**given)


def binormal(rng, patients, images, gain, within=0.5):
    """Patients of alternating class with several images each: AUROC Phi(gain / sqrt 2), correlation `within`."""
    labels = np.repeat(np.arange(patients) % 2, images)
    owner = np.repeat(np.arange(patients), images)
    z = gain * labels + math.sqrt(within) * rng.normal(size=patients)[owner]
    return labels, z + math.sqrt(1 - within) * rng.normal(size=owner.size), owner


def logistic(z):
    return 1 / (1 + np.exp(-z))


def test_clustered_intervals_cover_and_plain_ones_do_not():
    rng = np.random.default_rng(2)
    truth = norm.cdf(1.2 / math.sqrt(2))
    clustered = plain = 0
    for _ in range(1000):
        labels, z, owner = binormal(rng, patients=60, images=4, gain=1.2, within=0.7)
        got, naive = clustered_delong_interval(labels, logistic(z), owner), delong_interval(labels, logistic(z))
        clustered += got["low"] <= truth <= got["high"]
        plain += naive["low"] <= truth <= naive["high"]
    assert 0.93 <= clustered / 1000 <= 0.97
    assert plain / 1000 < 0.8


def test_level_of_the_clustered_test():
    rng = np.random.default_rng(3)
    clustered = plain = 0
    for _ in range(1000):
        labels, z, owner = binormal(rng, patients=60, images=4, gain=1.2)
        a, b = (logistic(z + rng.normal(size=60)[owner] + 0.5 * rng.normal(size=240)) for _ in range(2))
        clustered += clustered_delong_test(labels, a, b, owner)["p"] < 0.05
        plain += delong_test(labels, a, b)["p"] < 0.05
    assert 0.03 <= clustered / 1000 <= 0.07
    assert plain / 1000 > 0.12


@pytest.mark.nightly
@pytest.mark.parametrize(("patients", "least"), [(20, 0.89), (100, 0.93), (428, 0.93)])
@pytest.mark.parametrize(("gain", "one_class"), [(1.0, True), (2.3, True), (1.0, False), (2.3, False)])
def test_clustered_intervals_against_the_cluster_bootstrap(patients, least, gain, one_class):
    """Coverage of the analytic interval is near its level and no worse than the percentile bootstrap's."""
    rng = np.random.default_rng(patients)
    truth = norm.cdf(gain / math.sqrt(2))
    analytic, resampled = [], []
    for _ in range(1000):
        labels, z, owner = binormal(rng, patients=patients, images=2, gain=gain)
        if not one_class:  # every patient has an image of each class
            mixed = np.arange(labels.size) % 2
            z, labels = z + gain * (mixed - labels), mixed
        scores = logistic(z)
        got = clustered_delong_interval(labels, scores, owner)
        analytic.append(got["low"] <= truth <= got["high"])
        if len(resampled) < 400:

            def auroc(weights, labels=labels, scores=scores):
                return {"auroc": binary_metrics(labels, scores, threshold=0.5, weights=weights)["auroc"]}

            low, high = percentile_interval(bootstrap(auroc, labels, owner, resamples=300, rng=rng)["auroc"])
            resampled.append(low <= truth <= high)
    assert least <= np.mean(analytic) <= 0.975
    assert np.mean(analytic) > np.mean(resampled) - 0.03
