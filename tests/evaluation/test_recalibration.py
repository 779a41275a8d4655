import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from xenograft.errors import DataError
from xenograft.evaluation.calibration import calibration_metrics
from xenograft.evaluation.metrics import binary_metrics
from xenograft.evaluation.recalibration import (
    COLDEST,
    HOTTEST,
    METHODS,
    Isotonic,
    Platt,
    Temperature,
    from_json,
    logistic_fit,
)


def drawn(n=400, seed=0, *, slope=1.0, intercept=0.0):
    """Labels from the true probability, and scores whose log-odds are slope times the true ones plus intercept."""
    rng = np.random.default_rng(seed)
    log_odds = 2 * rng.normal(size=n)
    return (rng.random(n) < expit(log_odds)).astype(int), expit(slope * log_odds + intercept)


def drawn_classes(n, seed=0, *, sharpness=1.0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 4))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return labels, softmax(sharpness * logits, axis=1)


def auroc(labels, scores):
    return binary_metrics(labels, scores, threshold=0.5)["auroc"]


class Scorer(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision is its one feature."""

    def fit(self, features, labels):
        self.classes_ = np.unique(labels)
        return self

    def decision_function(self, features):
        return features[:, 0]

    def predict(self, features):
        return (features[:, 0] > 0).astype(int)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0, 3.0])
def test_a_known_temperature_is_recovered(slope):
    labels, scores = drawn(100_000, slope=slope)
    fitted = Temperature.fit(labels, scores)
    assert fitted.temperature == pytest.approx(slope, rel=0.02)
    after = calibration_metrics(labels, fitted.apply(scores))
    assert after["slope"] == pytest.approx(1, abs=0.02)
    assert after["smooth_ece"] < 0.01
    labels, table = drawn_classes(50_000, sharpness=slope)
    assert Temperature.fit(labels, table).temperature == pytest.approx(slope, rel=0.02)


def test_temperature_has_the_lowest_log_loss():
    labels, table = drawn_classes(300, sharpness=1.5)
    assert table.min() > 1e-7  # nothing is clipped

    def loss(temperature):
        return -np.log(softmax(np.log(table) / temperature, axis=1)[np.arange(300), labels]).mean()

    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9})
    fitted = Temperature.fit(labels, table)
    assert fitted.temperature == pytest.approx(best.x, rel=1e-5)
    assert fitted.apply(table) == pytest.approx(softmax(np.log(table) / fitted.temperature, axis=1))


def test_two_columns_and_one_are_the_same_task():
    labels, scores = drawn(slope=2.0)
    table = np.stack([1 - scores, scores], axis=1)
    for method in (Temperature, Platt, Isotonic):
        one, two = method.fit(labels, scores), method.fit(labels, table)
        assert one == two
        assert two.apply(table)[:, 1] == pytest.approx(one.apply(scores), abs=1e-12)
        assert two.apply(table).sum(axis=1) == pytest.approx(1)


def test_temperature_stops_at_its_bounds():
    labels = np.arange(40) % 2
    separated = np.where(labels == 1, 0.7, 0.3)
    assert Temperature.fit(labels, separated).temperature == COLDEST
    assert Temperature.fit(labels, 1 - separated).temperature == HOTTEST


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, 1.0), (2.0, -1.0), (1.0, 0.0)])
def test_a_known_distortion_is_recovered(slope, intercept):
    labels, scores = drawn(100_000, slope=slope, intercept=intercept)
    fitted = Platt.fit(labels, scores)
    assert fitted.slope == pytest.approx(1 / slope, rel=0.02)
    assert fitted.intercept == pytest.approx(-intercept / slope, abs=0.03)
    after = calibration_metrics(labels, fitted.apply(scores))
    assert (after["slope"], after["in_the_large"]) == pytest.approx((1, 0), abs=1e-3)


def test_platt_is_that_of_scikit_learn():
    labels, scores = drawn(120, slope=2.0, intercept=0.5)
    odds = logit(scores)[:, None]
    reference = CalibratedClassifierCV(
        FrozenEstimator(Scorer().fit(odds, labels)), method="sigmoid", ensemble=False
    ).fit(odds, labels)
    fitted = Platt.fit(labels, scores)
    sigmoid = reference.calibrated_classifiers_[0].calibrators[0]
    assert (fitted.slope, fitted.intercept) == pytest.approx((-sigmoid.a_, -sigmoid.b_), rel=1e-3, abs=1e-4)
    assert fitted.apply(scores) == pytest.approx(reference.predict_proba(odds)[:, 1], abs=1e-4)


def test_platt_minimises_the_loss_of_smoothed_targets():
    labels, scores = drawn(60, slope=0.7)
    positives = labels.sum()
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (60 - positives + 2))
    odds = logit(scores)

    def loss(beta):
        eta = beta[0] * odds + beta[1]
        return (np.logaddexp(0, eta) - targets * eta).sum()

    best = minimize(loss, [1, 0], method="BFGS", options={"gtol": 1e-9})
    fitted = Platt.fit(labels, scores)
    assert (fitted.slope, fitted.intercept) == pytest.approx(tuple(best.x), abs=1e-5)
    plain = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], labels)
    assert fitted.slope < plain.coef_[0, 0]  # the smoothing


def test_platt_is_finite_on_separated_classes():
    labels = np.arange(40) % 2
    fitted = Platt.fit(labels, np.where(labels == 1, 0.7, 0.3))
    got = fitted.apply(np.array([0.3, 0.7]))
    assert got == pytest.approx([1 / 22, 21 / 22])  # the smoothed targets themselves


def test_a_fit_without_an_end_is_nan():
    values, shares = np.linspace(-1, 1, 20), np.full((1, 20), 0.05)
    slope, intercept = logistic_fit(values, (values > 0).astype(float), shares)
    assert np.isnan(slope).all()
    assert np.isnan(intercept).all()


def test_isotonic_is_that_of_scikit_learn():
    labels, scores = drawn(300, slope=2.0)
    fitted = Isotonic.fit(labels, scores)
    reference = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
    new = np.r_[0, np.random.default_rng(1).random(500), 1]
    assert fitted.apply(new) == pytest.approx(reference.predict(new), abs=1e-12)
    assert fitted.apply(scores).mean() == pytest.approx(labels.mean())


def test_isotonic_follows_what_no_line_can():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    labels = (rng.random(20_000) < scores**4).astype(int)
    half = slice(10_000, None)
    errors = {
        method: calibration_metrics(
            labels[half], METHODS[method].fit(labels[:10_000], scores[:10_000]).apply(scores[half])
        )["smooth_ece"]
        for method in METHODS
    }
    assert errors["isotonic"] < 0.015
    assert errors["isotonic"] < errors["temperature"] / 3


@pytest.mark.parametrize("method", [Temperature, Platt])
def test_the_order_of_images_is_kept(method):
    labels, scores = drawn(2000, slope=3.0, intercept=1.0)
    scores = np.round(scores, 4)
    scores[:4] = [0, 1e-40, 1 - 2**-53, 1]
    after = method.fit(labels, scores).apply(scores)
    assert auroc(labels, after) == auroc(labels, scores)
    assert np.array_equal(np.unique(scores, return_inverse=True)[1], np.unique(after, return_inverse=True)[1])
    assert ((after >= 0) & (after <= 1)).all()


def test_isotonic_makes_ties_only():
    labels, scores = drawn(500)
    after = Isotonic.fit(labels, scores).apply(scores)
    assert (np.diff(after[np.argsort(scores)]) >= 0).all()
    assert auroc(labels, after) >= auroc(labels, scores)  # on the images it was fitted on


def test_overconfident_network_outputs_are_softened():
    probabilities = softmax(np.array([[-60.0, 60.0], [0.0, 90.0], [2.0, 0.0]]), axis=1)
    after = Temperature(20.0, 100).apply(probabilities)
    assert after[:, 1] == pytest.approx(expit(np.array([120, 90, -2]) / 20), rel=1e-6)
    assert Temperature(2.0, 100).apply(np.array([0.0, 1.0])) == pytest.approx([0, 1], abs=1e-7)


def test_top_class_is_kept_by_temperature():
    labels, table = drawn_classes(500, sharpness=2.0)
    after = Temperature.fit(labels, table).apply(table)
    assert np.array_equal(after.argmax(axis=1), table.argmax(axis=1))
    assert after.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("method", METHODS)
def test_json_keeps_every_bit(method):
    labels, scores = drawn()
    fitted = METHODS[method].fit(labels, scores)
    record = json.loads(json.dumps(fitted.as_json(), allow_nan=False))
    assert record["method"] == method
    again = from_json(record)
    assert again == fitted
    assert again.n == 400
    assert np.array_equal(again.apply(scores), fitted.apply(scores))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "method: got None"),
        ({"method": ["platt"]}, "method"),
        ({"method": "beta"}, "temperature | platt | isotonic"),
        ({"method": "temperature", "n": 9}, "temperature: got None"),
        ({"method": "temperature", "temperature": 0.0, "n": 9}, "temperature: got 0.0"),
        ({"method": "temperature", "temperature": float("nan"), "n": 9}, "a finite number"),
        ({"method": "temperature", "temperature": True, "n": 9}, "a finite number"),
        ({"method": "temperature", "temperature": 1.0, "n": 0}, "n: got 0"),
        ({"method": "temperature", "temperature": 1.0, "n": 9.5}, "n: got 9.5"),
        ({"method": "platt", "slope": -1.0, "intercept": 0.0, "n": 9}, "slope: got -1.0"),
        ({"method": "platt", "slope": 1.0, "intercept": "0", "n": 9}, "intercept: got '0'"),
        ({"method": "isotonic", "scores": [0.1, 0.2], "shares": [0.5], "n": 9}, "as many of both"),
        ({"method": "isotonic", "scores": [0.2, 0.1], "shares": [0.5, 0.6], "n": 9}, "increasing"),
        ({"method": "isotonic", "scores": [0.1, 0.2], "shares": [0.6, 0.5], "n": 9}, "increasing"),
        ({"method": "isotonic", "scores": [0.1, 0.2], "shares": [0.5, 1.5], "n": 9}, "shares: got values"),
        ({"method": "isotonic", "scores": [0.1, "0.2"], "shares": [0.5, 0.6], "n": 9}, "scores: got '0.2'"),
        ({"method": "isotonic", "scores": [], "shares": [], "n": 9}, "a list of numbers"),
    ],
)
def test_foreign_json(record, message):
    with pytest.raises(DataError, match=message.replace("|", r"\|")):
        from_json(record)


def test_a_class_record_reads_only_its_own():
    with pytest.raises(DataError, match="method: got 'platt'; allowed: temperature"):
        Temperature.from_json(Platt(1.0, 0.0, 9).as_json())


@pytest.mark.parametrize("method", METHODS.values())
def test_too_few_images_of_a_class(method):
    labels, scores = (np.arange(100) < 9).astype(int), np.linspace(0, 1, 100)
    with pytest.raises(DataError, match="9 images of class 1; allowed: 10 or more") as caught:
        method.fit(labels, scores)
    assert caught.value.code == "E-DATA-05"
    with pytest.raises(DataError, match="0 images of class 0"):
        method.fit(np.ones(100, dtype=int), scores)


def test_unusable_input():
    labels, scores = drawn()
    with pytest.raises(DataError, match="a slope above 0"):
        Platt.fit(1 - labels, scores)
    with pytest.raises(DataError, match="for every image"):
        Platt.fit(labels, np.full(400, 0.3))
    classes, table = drawn_classes(400)
    for method in (Platt, Isotonic):
        with pytest.raises(DataError, match="shape"):
            method.fit(classes, table)
    for fitted in (Platt(1.0, 0.0, 9), Isotonic((0.0, 1.0), (0.0, 1.0), 9)):
        with pytest.raises(DataError, match=r"shape \(400, 4\)"):
            fitted.apply(table)
    for wrong in (np.array(0.5), np.full((3, 1), 0.5), np.full((2, 2, 2), 0.5)):
        with pytest.raises(DataError, match="shape"):
            Temperature(1.0, 9).apply(wrong)
    with pytest.raises(DataError, match="values"):
        Temperature(1.0, 9).apply(scores + 1)


def test_applying_needs_neither_sklearn_nor_torch():
    code = (
        "import sys, numpy as np\n"
        "from xenograft.evaluation.recalibration import Isotonic, Platt, Temperature\n"
        "for m in (Temperature(2.0, 9), Platt(1.0, 0.5, 9), Isotonic((0.1, 0.9), (0.0, 1.0), 9)):\n"
        "    m.apply(np.array([0.2, 0.8]))\n"
        "print([name for name in ('sklearn', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
