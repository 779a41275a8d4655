import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from xenograft.errors import DataError
from xenograft.evaluation.calibration import (
    CALIBRATION,
    ERRORS,
    brier_parts,
    calibration_card,
    calibration_metrics,
    error_interval,
    logistic_recalibration,
)
from xenograft.evaluation.uncertainty import bootstrap, percentile_interval


def drawn(n=300, seed=0, *, slope=1.0, intercept=0.0):
    """Labels from the true probability, and scores whose log-odds are slope times the true ones plus intercept."""
    rng = np.random.default_rng(seed)
    log_odds = 2 * rng.normal(size=n)
    return (rng.random(n) < expit(log_odds)).astype(int), expit(slope * log_odds + intercept)


def random_weights(n, resamples=4, seed=7):
    return np.random.default_rng(seed).integers(0, 3, size=(resamples, n))


def test_losses_are_those_of_scikit_learn():
    labels, scores = drawn(slope=2.0)
    weights = random_weights(300)
    got = calibration_metrics(labels, scores, weights=weights)
    assert tuple(got) == CALIBRATION
    for row, loss, brier in zip(weights, got["log_loss"], got["brier"], strict=True):
        assert loss == pytest.approx(log_loss(labels, scores, sample_weight=row))
        assert brier == pytest.approx(brier_score_loss(labels, scores, sample_weight=row))


@given(seed=st.integers(0, 10_000), bins=st.integers(1, 40), decimals=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_parts_of_the_brier_score_sum_to_it(seed, bins, decimals):
    labels, scores = drawn(60, seed, slope=1.7)
    got = calibration_metrics(labels, np.round(scores, decimals), bins=bins, weights=random_weights(60, seed=seed))
    total = got["reliability"] - got["resolution"] + got["uncertainty"]
    total += got["within_variance"] - got["within_covariance"]
    assert total == pytest.approx(got["brier"], abs=1e-12)


def test_parts_of_the_brier_score_by_hand():
    # Three forecasts, 0.2 (1 of 4 came true), 0.5 (1 of 2) and 0.8 (4 of 4): groups are the distinct values.
    scores = np.repeat([0.2, 0.5, 0.8], [4, 2, 4])
    labels = np.array([1, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    got = calibration_metrics(labels, scores, bins=10)
    assert got["reliability"] == pytest.approx((4 * 0.05**2 + 0 + 4 * 0.2**2) / 10)
    assert got["resolution"] == pytest.approx((4 * 0.35**2 + 2 * 0.1**2 + 4 * 0.4**2) / 10)
    assert got["uncertainty"] == pytest.approx(0.24)
    assert got["within_variance"] == pytest.approx(0, abs=1e-15)
    assert got["within_covariance"] == pytest.approx(0, abs=1e-15)
    assert got["brier"] == pytest.approx((0.64 + 3 * 0.04 + 2 * 0.25 + 4 * 0.04) / 10)
    assert got["ece_mass"] == pytest.approx((4 * 0.05 + 4 * 0.2) / 10)


def test_parts_of_the_brier_score_within_bins():
    labels, scores = drawn(50)
    groups = np.arange(50) % 3
    parts = brier_parts(labels, scores, groups, np.full((1, 50), 1 / 50))
    inside = [groups == k for k in range(3)]
    variance = sum(scores[g].var() * g.sum() for g in inside) / 50
    covariance = sum(np.cov(scores[g], labels[g], bias=True)[0, 1] * g.sum() for g in inside) / 50
    assert parts["within_variance"][0] == pytest.approx(variance)
    assert parts["within_covariance"][0] == pytest.approx(2 * covariance)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (2.5, 1.0), (0.2, -2.0), (-1.0, 0.0)])
def test_slope_and_intercept_are_those_of_logistic_regression(slope, intercept):
    labels, scores = drawn(slope=slope, intercept=intercept)
    weights = random_weights(300)
    got = calibration_metrics(labels, scores, weights=weights)
    odds = logit(np.clip(scores, 1e-7, 1 - 1e-7))
    for k, row in enumerate(weights):
        fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], labels, sample_weight=row)
        assert got["slope"][k] == pytest.approx(fit.coef_[0, 0], rel=1e-4)
        assert got["intercept"][k] == pytest.approx(fit.intercept_[0], rel=1e-4, abs=1e-4)
        large = brentq(lambda a, row=row: (row * (labels - expit(a + odds))).sum(), -20, 20, xtol=1e-13)
        assert got["in_the_large"][k] == pytest.approx(large, abs=1e-9)


def test_known_distortion_shows_in_slope_and_intercept():
    labels, scores = drawn(200_000, slope=2.0, intercept=1.0)
    got = calibration_metrics(labels, scores)
    assert got["slope"] == pytest.approx(0.5, abs=0.01)
    assert got["intercept"] == pytest.approx(-0.5, abs=0.02)
    assert got["in_the_large"] < -0.5
    labels, scores = drawn(200_000)
    got = calibration_metrics(labels, scores)
    assert (got["slope"], got["intercept"], got["in_the_large"]) == pytest.approx((1, 0, 0), abs=0.02)


def test_without_a_finite_fit_the_answer_is_nan():
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    separated = calibration_metrics(np.array([0, 0, 0, 1, 1, 1]), scores)
    reversed_ = calibration_metrics(np.array([1, 1, 1, 0, 0, 0]), scores)
    touching = calibration_metrics(np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.5, 0.5, 0.7, 0.8]))
    equal = calibration_metrics(np.array([0, 1, 1]), np.full(3, 0.4))
    for got in (separated, reversed_, touching, equal):
        assert np.isnan(got["slope"])
        assert np.isnan(got["intercept"])
        assert np.isfinite(got["in_the_large"])
    assert equal["in_the_large"] == pytest.approx(logit(2 / 3) - logit(0.4))
    single = calibration_metrics(np.ones(6, dtype=int), scores)
    assert np.isnan([single[m] for m in ("slope", "intercept", "in_the_large")]).all()
    assert single["uncertainty"] == pytest.approx(0, abs=1e-12)


def test_a_resample_is_judged_by_the_images_in_it():
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.2, 0.4, 0.6, 0.8])
    got = calibration_metrics(
        labels, scores, weights=np.array([[1, 1, 1, 1], [1, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
    )
    assert np.isnan(got["slope"]).tolist() == [False, True, True, True]
    assert np.isnan(got["in_the_large"]).tolist() == [False, False, True, True]
    assert all(np.isnan(values[3]) for values in got.values())
    assert not np.isnan(got["smooth_ece"][:3]).any()


@pytest.mark.parametrize("spread", [1e-4, 0.02, 1.0, 8.0])
def test_fits_settle_near_separation(spread):
    odds = spread * np.linspace(-1, 1, 40)
    labels = (np.arange(40) >= 20).astype(int)
    labels[[19, 20]] = labels[[20, 19]]  # one pair out of order
    got = calibration_metrics(labels, expit(odds))
    unit = logit(expit(odds)) / spread

    def loss(beta):
        return np.logaddexp(0, (1 - 2 * labels) * (beta[0] + beta[1] * unit)).sum()

    best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
    assert got["slope"] * spread == pytest.approx(best.x[1], rel=1e-4)
    assert got["intercept"] == pytest.approx(0, abs=1e-6)


def test_certain_scores_are_finite():
    labels, scores = drawn(100)
    got = calibration_metrics(labels, np.where(scores > 0.6, 1.0, np.where(scores < 0.4, 0.0, scores)))
    assert all(np.isfinite(value) for value in got.values())
    assert 0 < got["slope"] < 0.5
    right = np.arange(20) % 2
    perfect = calibration_metrics(right, right.astype(float))
    assert [perfect[m] for m in ("brier", *ERRORS)] == pytest.approx([0, 0, 0, 0], abs=1e-12)


def test_far_off_scores_have_an_intercept():
    got = calibration_metrics(np.arange(10) % 2, np.full(10, 1e-7))
    assert got["in_the_large"] == pytest.approx(-logit(1e-7))


def test_binned_errors_by_brute_force():
    labels, scores = drawn(400, slope=2.0)
    got = calibration_metrics(labels, scores, bins=10)
    share, mean = calibration_curve(labels, scores, n_bins=10, strategy="uniform")
    held = np.histogram(scores, bins=10, range=(0, 1))[0]
    assert got["ece_width"] == pytest.approx((held[held > 0] * np.abs(share - mean)).sum() / 400)
    order = np.argsort(scores)
    blocks = order.reshape(10, 40)
    expected = np.abs(labels[blocks].mean(axis=1) - scores[blocks].mean(axis=1)).mean()
    assert got["ece_mass"] == pytest.approx(expected)


def test_weights_are_repeated_images():
    labels, scores = drawn(80, slope=1.5)
    weights = random_weights(80, resamples=3)
    got = calibration_metrics(labels, scores, weights=weights)
    bins_free = [m for m in CALIBRATION if m in {"log_loss", "brier", "slope", "intercept", "in_the_large", "ece_width", "smooth_ece", "uncertainty"}]  # fmt: skip # noqa: E501
    for k, row in enumerate(weights):
        alone = calibration_metrics(np.repeat(labels, row), np.repeat(scores, row))
        assert [got[m][k] for m in bins_free] == pytest.approx([alone[m] for m in bins_free], abs=1e-7)
    flat = calibration_metrics(labels, scores, weights=weights[0])
    assert {m: float(v) for m, v in flat.items()} == pytest.approx({m: v[0] for m, v in got.items()}, abs=1e-9)
    assert np.shape(flat["brier"]) == ()


def test_invariances_of_smooth_ece():
    labels, scores = drawn(200, slope=2.0)
    value = calibration_metrics(labels, scores)["smooth_ece"]
    order = np.random.default_rng(0).permutation(200)
    assert calibration_metrics(labels[order], scores[order])["smooth_ece"] == pytest.approx(value, abs=1e-9)
    assert calibration_metrics(1 - labels, 1 - scores)["smooth_ece"] == pytest.approx(value, abs=1e-6)
    assert calibration_metrics(np.tile(labels, 3), np.tile(scores, 3))["smooth_ece"] == pytest.approx(value, abs=1e-9)


def test_smooth_ece_is_near_that_of_the_authors():
    scores = (np.arange(40) + 0.5) / 40
    labels = (np.arange(40) * 7 % 40 < np.arange(40)).astype(int)
    # relplot 1.0.3, which halves the bandwidth's bracket ten times on a grid of 200 points
    assert calibration_metrics(labels, scores)["smooth_ece"] == pytest.approx(0.0494, abs=0.002)
    assert calibration_metrics(labels, scores**2)["smooth_ece"] == pytest.approx(0.1431, abs=0.002)


def test_smooth_ece_moves_little_when_scores_do():
    labels, scores = np.arange(100) % 2, np.full(100, 0.5)
    nudged = scores + np.where(labels == 1, 1e-3, -1e-3)  # the plain ECE of distinct scores leaps from 0 to 0.5
    before, after = (calibration_metrics(labels, s)["smooth_ece"] for s in (scores, nudged))
    assert before == pytest.approx(0, abs=1e-3)
    assert abs(after - before) < 0.05


def test_errors_vanish_with_n_where_calibrated_and_not_elsewhere():
    small, large = (
        np.mean([[calibration_metrics(*drawn(n, seed))[m] for m in ERRORS] for seed in range(5)], axis=0)
        for n in (100, 20_000)
    )
    assert (large < 0.012).all()
    assert (small > 3 * large).all()  # the upward bias of small samples
    for shift in (0.05, 0.2):
        rng = np.random.default_rng(1)
        risk = rng.uniform(0.1, 0.7, 20_000)
        got = calibration_metrics((rng.random(20_000) < risk).astype(int), risk + shift)
        assert [got[m] for m in ERRORS] == pytest.approx([shift] * 3, abs=0.015)


def test_binary_card():
    labels, scores = drawn(200, slope=1.5)
    patients = np.arange(200) // 2
    got = calibration_card(labels, scores, patients, resamples=200, rng=np.random.default_rng(0))
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert {k: got[k] for k in ("n", "patients", "resamples", "level", "bins", "per_class")} == {
        "n": 200, "patients": 100, "resamples": 200, "level": 0.95, "bins": 10, "per_class": {},
    }  # fmt: skip
    assert {m: row["value"] for m, row in got["metrics"].items()} == pytest.approx(calibration_metrics(labels, scores))
    for name, row in got["metrics"].items():
        assert row["low"] < row["high"]
        assert row["low"] <= row["value"] <= row["high"]
        assert ("if_calibrated" in row) == ("if_calibrated_high" in row) == (name in ERRORS)
    table = np.stack([1 - scores, scores], axis=1)
    assert calibration_card(labels, table, patients, resamples=200, rng=np.random.default_rng(0)) == got
    assert calibration_card(labels, scores, patients, resamples=200, rng=np.random.default_rng(1)) != got


@pytest.mark.parametrize("cells", [1, 1 << 14])
def test_memory_bounds_do_not_change_a_digit(monkeypatch, cells):
    labels, scores = drawn(150)

    def card():
        return calibration_card(labels, scores, np.arange(150), resamples=100, rng=np.random.default_rng(0))

    whole = card()
    monkeypatch.setattr("xenograft.evaluation.uncertainty._CELLS", cells)
    assert card() == whole


def test_card_says_what_a_calibrated_model_would_show():
    _, scores = drawn(150, slope=3.0)
    rng = np.random.default_rng(5)
    alike = [calibration_metrics((rng.random(150) < scores).astype(int), scores) for _ in range(100)]
    labels, _ = drawn(150)
    got = calibration_card(labels, scores, np.arange(150), resamples=20, rng=np.random.default_rng(0))
    for name in ERRORS:
        row = got["metrics"][name]
        assert row["if_calibrated"] == pytest.approx(np.mean([one[name] for one in alike]), rel=0.1)
        assert row["if_calibrated"] < row["if_calibrated_high"] < row["value"]
        assert row["low"] > 0  # not by chance
    patients = np.argsort(np.argsort(scores)) // 5  # images of a patient are alike
    fewer = calibration_card(labels, scores, patients, resamples=20, rng=np.random.default_rng(0))
    for name in ERRORS:  # and share their luck: as if they were fewer
        assert fewer["metrics"][name]["if_calibrated"] > 1.3 * got["metrics"][name]["if_calibrated"]


def test_error_intervals_take_the_bias_off():
    resampled = 0.1 + np.linspace(-0.04, 0.06, 101)  # mean 0.11, where the value is 0.08
    low, high = error_interval(0.08, resampled, np.full(10, 0.05), 0.9)
    assert low == pytest.approx(min(2 * 0.08 - 0.155, 0.065 - 0.03))
    assert high == pytest.approx(max(2 * 0.08 - 0.065, 0.155 - 0.03))
    assert error_interval(0.08, resampled, np.full(10, 0.08), 0.9) == (0, high)  # chance gives as much
    assert error_interval(0.01, resampled, np.full(10, 0.0), 0.9)[0] == 0
    assert np.isnan(error_interval(0.08, np.full(10, np.nan), np.full(10, 0.05))).all()
    with pytest.raises(DataError, match="level"):
        error_interval(0.08, resampled, resampled, 95)


def patients_of(n, images, temperature, rng):
    """Two classes of patients with some images each, whose scores are calibrated at temperature 1."""
    risk = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    group = rng.integers(0, 5, n // images)
    labels = np.repeat((rng.random(n // images) < risk[group]).astype(int), images)
    return labels, expit(temperature * logit(np.repeat(risk[group], images))), np.arange(n) // images


@pytest.mark.nightly
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_coverage(temperature, images):
    risk = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    said = expit(temperature * logit(risk))
    rng = np.random.default_rng(0)
    truth = {
        "slope": 1 / temperature,
        "intercept": 0,
        "in_the_large": 0,  # by symmetry
        "brier": np.mean(risk * (1 - said) ** 2 + (1 - risk) * said**2),
        "log_loss": -np.mean(risk * np.log(said) + (1 - risk) * np.log(1 - said)),
        "ece_mass": np.abs(said - risk).mean(),
        "ece_width": np.abs(said - risk).mean(),
    }
    hits = dict.fromkeys(truth, 0)
    for _ in range(300):
        case = patients_of(400, images, temperature, rng)
        got = calibration_card(*case, resamples=300, rng=rng)["metrics"]
        for name, value in truth.items():
            hits[name] += got[name]["low"] <= value <= got[name]["high"]
    assert all(0.9 <= count / 300 <= 0.99 for count in hits.values()), hits


def test_intervals_let_the_share_of_positives_vary():
    rng = np.random.default_rng(0)
    scores = np.full(400, 0.3) + rng.uniform(-1e-3, 1e-3, 400)
    labels = (np.arange(400) < 120).astype(int)
    got = calibration_card(labels, scores, np.arange(400), resamples=1000, rng=rng)["metrics"]["in_the_large"]
    width = 2 * 1.96 / np.sqrt(400 * 0.3 * 0.7)  # of a logit
    assert got["high"] - got["low"] == pytest.approx(width, rel=0.1)

    def large(weights):
        shares = weights / weights.sum(axis=1, keepdims=True)
        return {"": logistic_recalibration(labels == 1, logit(scores), shares)["in_the_large"]}

    low, high = percentile_interval(bootstrap(large, labels, np.arange(400), resamples=200, rng=rng)[""])
    assert high - low < 0.05 * width  # strata of class hold it fixed


def test_multiclass_card():
    rng = np.random.default_rng(0)
    table = rng.dirichlet([1, 1, 1], 300)
    labels = np.array([rng.choice(3, p=row) for row in table])
    got = calibration_card(labels, table, np.arange(300), resamples=60, rng=rng)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert list(got["metrics"]) == ["log_loss", "brier", *(f"top_label_{m}" for m in ERRORS)]
    assert list(got["per_class"]) == ["0", "1", "2"]
    assert got["metrics"]["log_loss"]["value"] == pytest.approx(log_loss(labels, table))
    expected = np.square(table - np.eye(3)[labels]).sum(axis=1).mean()
    assert got["metrics"]["brier"]["value"] == pytest.approx(expected)
    top = calibration_metrics((table.argmax(axis=1) == labels).astype(int), table.max(axis=1))
    for name in ERRORS:
        assert got["metrics"][f"top_label_{name}"]["value"] == pytest.approx(top[name])
        assert got["metrics"][f"top_label_{name}"]["if_calibrated"] > 0
    for k in range(3):
        values = {m: row["value"] for m, row in got["per_class"][str(k)].items()}
        assert values == pytest.approx(calibration_metrics((labels == k).astype(int), table[:, k]))


def test_findings_card_counts_known_labels_only():
    labels, scores = drawn(240, slope=2.0)
    findings = np.stack(
        [labels, np.where(np.arange(240) % 3, labels, -1), np.full(240, -1), np.zeros(240, int)], axis=1
    )
    got = calibration_card(
        findings, np.stack([scores] * 4, axis=1), np.arange(240), resamples=60, rng=np.random.default_rng(0)
    )
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert got["metrics"] == {}
    known = np.arange(240) % 3 > 0
    for place, rows in (("0", slice(None)), ("1", known)):
        values = {m: row["value"] for m, row in got["per_class"][place].items()}
        assert values == pytest.approx(calibration_metrics(labels[rows], scores[rows]))
    assert all(value is None for row in got["per_class"]["2"].values() for value in row.values())
    absent = got["per_class"]["3"]
    assert absent["slope"] == {"value": None, "low": None, "high": None}
    assert absent["brier"]["value"] == pytest.approx(np.square(scores).mean())


def test_unusable_input():
    labels, scores = drawn(30)
    with pytest.raises(DataError, match="bins: got 0") as caught:
        calibration_metrics(labels, scores, bins=0)
    assert caught.value.code == "E-DATA-05"
    with pytest.raises(DataError, match="weights: got shape"):
        calibration_metrics(labels, scores, weights=np.ones(3))
    with pytest.raises(DataError, match="1 nan of 30"):
        calibration_metrics(labels, np.r_[np.nan, scores[1:]])
    with pytest.raises(DataError, match="patients"):
        calibration_card(labels, scores, np.arange(3), rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="misses a sum of 1"):
        calibration_card(labels, np.stack([scores, scores], axis=1), np.arange(30), rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="resamples: got 0"):
        calibration_card(labels, scores, np.arange(30), resamples=0, rng=np.random.default_rng(0))
