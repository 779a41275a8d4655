import json
import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import precision_score

from xenograft.errors import DataError
from xenograft.evaluation.metrics import binary_metrics
from xenograft.evaluation.predictive_values import (
    clustered_predictive_intervals,
    predictive_intervals,
    predictive_values,
)
from xenograft.evaluation.uncertainty import cluster_weights

ENTRIES = ("ppv", "npv", "lr_positive", "lr_negative")


def numbers(entry):
    return [entry["value"], entry["low"], entry["high"]]


def images(tp, fp, fn, tn):
    """Labels and scores with these counts at the threshold 0.5."""
    return np.repeat([1, 0, 1, 0], [tp, fp, fn, tn]), np.repeat([0.9, 0.9, 0.1, 0.1], [tp, fp, fn, tn])


def rng():
    return np.random.default_rng(6)


def test_bayes_at_the_prevalence_of_the_images_is_the_precision():
    labels = np.random.default_rng(0).integers(0, 2, 200)
    called = (labels + np.random.default_rng(1).random(200) > 0.7).astype(int)
    got = binary_metrics(labels, called.astype(float), threshold=0.5)
    ppv, npv = predictive_values(got["recall"], got["specificity"], prevalence=labels.mean())
    assert ppv == pytest.approx(precision_score(labels, called))
    assert npv == pytest.approx(precision_score(1 - labels, 1 - called))


def test_bayes_by_counting_a_population():
    """Of 10 000 people 1 % are ill; 90 of the 100 are found, and 5 % of the 9 900 are called falsely."""
    ppv, npv = predictive_values(0.9, 0.95, prevalence=0.01)
    assert ppv == pytest.approx(90 / (90 + 495))
    assert npv == pytest.approx(9405 / (9405 + 10))
    many = predictive_values(np.array([0.9, 0.0, 1.0]), np.array([0.95, 1.0, 0.0]), prevalence=0.01)
    assert many[0] == pytest.approx([90 / 585, np.nan, 0.01], nan_ok=True)
    assert many[1] == pytest.approx([9405 / 9415, 0.99, np.nan], nan_ok=True)


def test_worked_example_of_the_70_gene_signature():
    """Mercaldo et al. 2007, second example; the figures are those the R package CIfinder 1.1 prints for it."""
    got = predictive_intervals(tp=31, fn=3, fp=12, tn=32, prevalence=0.07)
    assert numbers(got["ppv"]) == pytest.approx([0.2010444, 0.1331384, 0.2919216], abs=5e-8)
    assert numbers(got["npv"]) == pytest.approx([0.9909508, 0.9734141, 0.9969560], abs=5e-8)
    assert got["ppv"]["method"] == got["npv"]["method"] == "logit"


def test_adjusted_logit_of_the_same_package():
    """CIfinder 1.1 for the same table without a false alarm: adjusted PPV 0.2886800 to 0.8676335."""
    got = predictive_intervals(tp=31, fn=3, fp=0, tn=44, prevalence=0.07)
    assert numbers(got["ppv"]) == [1, pytest.approx(0.2886800, abs=5e-8), 1]
    assert got["ppv"]["method"] == "adjusted logit"
    assert got["npv"]["method"] == "logit"  # its own cells are not empty
    assert got["lr_positive"]["value"] is got["lr_positive"]["high"] is None
    assert got["lr_positive"]["unbounded"]
    assert not got["lr_negative"]["unbounded"]


def test_worked_example_of_a_likelihood_ratio():
    """Scott et al. 2008, table 1: 3.75 (3.32 to 4.24)."""
    got = predictive_intervals(tp=670, fn=74, fp=202, tn=640, prevalence=0.5)["lr_positive"]
    assert numbers(got) == pytest.approx([3.75, 3.32, 4.24], abs=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_formulas_as_printed(seed):
    tp, fn, fp, tn = (int(n) for n in np.random.default_rng(seed).integers(1, 200, 4))
    n1, n0, p, z = tp + fn, fp + tn, 0.2, norm.ppf(0.95)
    se, sp = tp / n1, tn / n0
    ppv = math.log(p * se / ((1 - sp) * (1 - p)))
    npv = math.log((1 - p) * sp / ((1 - se) * p))
    of_ppv = math.sqrt((1 - se) / se / n1 + sp / (1 - sp) / n0)  # eq. 8
    of_npv = math.sqrt(se / (1 - se) / n1 + (1 - sp) / sp / n0)  # eq. 9
    expected = {
        "ppv": [1 / (1 + math.exp(-ppv - z * k * of_ppv)) for k in (0, -1, 1)],
        "npv": [1 / (1 + math.exp(-npv - z * k * of_npv)) for k in (0, -1, 1)],
        "lr_positive": [se / (1 - sp) * math.exp(z * k * of_ppv) for k in (0, -1, 1)],
        "lr_negative": [(1 - se) / sp * math.exp(z * k * of_npv) for k in (0, -1, 1)],
    }
    got = predictive_intervals(tp=tp, fn=fn, fp=fp, tn=tn, prevalence=p, level=0.9)
    for name in ENTRIES:
        assert numbers(got[name]) == pytest.approx(expected[name])


@pytest.mark.parametrize(
    ("cells", "name", "value", "end"),
    [
        ({"tp": 0, "fn": 30, "fp": 5, "tn": 40}, "ppv", 0, "low"),
        ({"tp": 25, "fn": 0, "fp": 5, "tn": 40}, "npv", 1, "high"),
        ({"tp": 25, "fn": 5, "fp": 45, "tn": 0}, "npv", 0, "low"),
        ({"tp": 25, "fn": 0, "fp": 5, "tn": 40}, "lr_negative", 0, "low"),
    ],
)
def test_an_empty_cell_ends_its_interval_at_the_observed_value(cells, name, value, end):
    got = predictive_intervals(**cells, prevalence=0.3)[name]
    assert got["value"] == got[end] == value
    assert got["low"] < got["high"]
    assert got["method"] == "adjusted logit"


def test_nothing_called_so_is_undefined():
    got = predictive_intervals(tp=0, fn=30, fp=0, tn=40, prevalence=0.3)
    assert got["ppv"] == got["lr_positive"]
    assert got["ppv"] == {"value": None, "low": None, "high": None, "method": "undefined", "unbounded": False}
    assert numbers(got["npv"])[0] == pytest.approx(0.7)
    got = predictive_intervals(tp=30, fn=0, fp=40, tn=0, prevalence=0.3)
    assert got["npv"]["method"] == got["lr_negative"]["method"] == "undefined"
    json.dumps(got, allow_nan=False)


def test_coverage_of_the_logit_interval():
    generator = np.random.default_rng(2)
    se, sp, p = 0.85, 0.9, 0.1
    truth = [float(v) for v in predictive_values(se, sp, prevalence=p)] + [se / (1 - sp), (1 - se) / sp]
    covered = np.zeros(4)
    for _ in range(2000):
        tp, tn = int(generator.binomial(60, se)), int(generator.binomial(90, sp))
        got = predictive_intervals(tp=tp, fn=60 - tp, fp=90 - tn, tn=tn, prevalence=p)
        for k, name in enumerate(ENTRIES):
            high = math.inf if got[name]["unbounded"] else got[name]["high"]
            covered[k] += got[name]["low"] <= truth[k] <= high
    assert (covered / 2000 > 0.935).all()
    assert (covered / 2000 < 0.975).all()


def clustered(seed, patients=50):
    """Some patients with up to five images, whose calls resemble each other."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), generator.integers(1, 6, patients))
    labels = (owner % 2).astype(int)
    shared = generator.normal(size=patients)[owner]
    z = 1.6 * labels - 0.8 + shared + 0.3 * generator.normal(size=owner.size)
    return labels, 1 / (1 + np.exp(-z)), owner


def test_bootstrap_against_a_loop():
    labels, scores, owner = clustered(3)
    got = clustered_predictive_intervals(
        labels, scores, owner, threshold=0.4, prevalence=0.2, resamples=60, rng=rng(), level=0.8
    )
    drawn = {name: [] for name in ENTRIES}
    for w in cluster_weights(labels, owner, resamples=60, rng=rng()).astype(int):
        y, called = np.repeat(labels, w), np.repeat(scores, w) >= 0.4
        se, fpr = called[y == 1].mean(), called[y == 0].mean()
        drawn["ppv"].append(0.2 * se / (0.2 * se + 0.8 * fpr))
        drawn["npv"].append(0.8 * (1 - fpr) / (0.8 * (1 - fpr) + 0.2 * (1 - se)))
        drawn["lr_positive"].append(se / fpr)
        drawn["lr_negative"].append((1 - se) / (1 - fpr))
    se, fpr = (scores[labels == k].__ge__(0.4).mean() for k in (1, 0))
    assert got["lr_positive"]["value"] == pytest.approx(se / fpr)
    for name in ENTRIES:
        # Quantiles are read off the ratio / (1 + ratio) scale, so between two draws they may differ a little.
        expected = np.quantile(drawn[name], [0.1, 0.9])
        assert numbers(got[name])[1:] == pytest.approx(expected, rel=0.02)
        assert got[name]["method"] == "patient bootstrap"
        assert got[name]["low"] < got[name]["value"] < got[name]["high"]


def test_one_image_a_patient_is_near_the_logit_interval():
    labels, scores = images(tp=150, fp=60, fn=50, tn=240)
    got = clustered_predictive_intervals(
        labels, scores, np.arange(500), threshold=0.5, prevalence=0.1, resamples=2000, rng=rng()
    )
    logit = predictive_intervals(tp=150, fp=60, fn=50, tn=240, prevalence=0.1)
    for name in ENTRIES:
        assert got[name]["value"] == pytest.approx(logit[name]["value"])
        assert numbers(got[name])[1:] == pytest.approx(numbers(logit[name])[1:], rel=0.05)


def test_a_score_at_the_threshold_is_positive():
    labels, scores = images(tp=20, fp=6, fn=5, tn=30)
    at, below = (
        clustered_predictive_intervals(
            labels, scores, np.arange(61), threshold=cut, prevalence=0.1, resamples=40, rng=rng()
        )
        for cut in (0.9, 0.5)
    )
    assert at == below
    assert at["lr_positive"]["value"] == pytest.approx(0.8 * 6)


def test_copies_of_images_do_not_narrow_the_intervals():
    for cells in ({"tp": 20, "fp": 6, "fn": 5, "tn": 30}, {"tp": 20, "fp": 0, "fn": 5, "tn": 30}):
        labels, scores = images(**cells)
        owner = np.arange(labels.size)
        options = {"threshold": 0.5, "prevalence": 0.1, "resamples": 200}
        single = clustered_predictive_intervals(labels, scores, owner, **options, rng=rng())
        copied = (np.repeat(a, 4) for a in (labels, scores, owner))
        again = clustered_predictive_intervals(*copied, **options, rng=rng())
        for name in ENTRIES:
            assert numbers(again[name]) == pytest.approx(numbers(single[name]))


def test_no_resample_fills_an_empty_cell_so_the_adjusted_logit_stands_in():
    labels, scores = images(tp=20, fp=0, fn=5, tn=30)
    options = {"threshold": 0.5, "prevalence": 0.1, "resamples": 100}
    got = clustered_predictive_intervals(labels, scores, np.arange(55), **options, rng=rng())
    logit = predictive_intervals(tp=20, fp=0, fn=5, tn=30, prevalence=0.1)
    assert got["ppv"]["method"] == got["lr_positive"]["method"] == "adjusted logit, patients"
    assert numbers(got["ppv"]) == pytest.approx(numbers(logit["ppv"]))
    assert got["lr_positive"]["low"] == pytest.approx(logit["lr_positive"]["low"])
    assert got["npv"]["method"] == "patient bootstrap"
    pairs = np.r_[np.arange(25), 25 + np.arange(30) // 2]  # two images of each healthy patient
    fewer = clustered_predictive_intervals(labels, scores, pairs, **options, rng=rng())
    half = predictive_intervals(tp=20, fp=0, fn=5, tn=15, prevalence=0.1)
    assert numbers(fewer["ppv"]) == pytest.approx(numbers(half["ppv"]))
    nobody = clustered_predictive_intervals(labels, 0.1 * scores, pairs, **options, rng=rng())
    assert nobody["ppv"]["method"] == "undefined"
    assert nobody["ppv"]["value"] is None
    json.dumps([got, fewer, nobody], allow_nan=False)


@pytest.mark.parametrize("cells", [{"tp": 20, "fp": 4, "fn": 6, "tn": 30}, {"tp": 9, "fp": 12, "fn": 4, "tn": 30}])
def test_a_cell_of_few_patients_has_the_logit_interval(cells):
    labels, scores = images(**cells)
    got, copied = (
        clustered_predictive_intervals(
            np.repeat(labels, n),
            np.repeat(scores, n),
            np.repeat(np.arange(labels.size), n),
            threshold=0.5,
            prevalence=0.1,
            resamples=40,
            rng=rng(),
        )
        for n in (1, 3)
    )
    logit = predictive_intervals(**cells, prevalence=0.1)
    few, others = (ENTRIES[::2], ENTRIES[1::2]) if cells["fp"] < 5 else (ENTRIES[1::2], ENTRIES[::2])
    for name in few:
        assert numbers(got[name]) == pytest.approx(numbers(logit[name]))
        assert numbers(copied[name]) == pytest.approx(numbers(logit[name]))
        assert got[name]["method"] == copied[name]["method"] == "logit, patients"
    for name in others:
        assert got[name]["method"] == copied[name]["method"] == "patient bootstrap"


def test_a_ratio_that_some_resamples_make_infinite_has_no_upper_limit():
    labels, scores = images(tp=20, fp=5, fn=5, tn=30)
    got = clustered_predictive_intervals(
        labels, scores, np.arange(60), threshold=0.5, prevalence=0.1, resamples=2000, rng=rng(), level=0.999
    )
    assert got["lr_positive"]["value"] == pytest.approx(0.8 * 7)
    assert got["lr_positive"]["low"] > 1
    assert got["lr_positive"]["high"] is None
    assert got["lr_positive"]["unbounded"]
    assert (got["ppv"]["high"], got["ppv"]["unbounded"]) == (1, False)
    json.dumps(got, allow_nan=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predictive_values(1.2, 0.5, prevalence=0.5), "sensitivity"),
        (lambda: predictive_values(np.ones(2), np.ones(3), prevalence=0.5), "specificity"),
        (lambda: predictive_values(0.5, 0.5, prevalence=0), "prevalence: got 0"),
        (lambda: predictive_intervals(tp=-1, fp=1, fn=1, tn=1, prevalence=0.5), "tp: got -1"),
        (lambda: predictive_intervals(tp=1, fp=0, fn=1, tn=0, prevalence=0.5), "0 of class 0 and 2 of class 1"),
        (lambda: predictive_intervals(tp=1, fp=1, fn=1, tn=1, prevalence=1), "prevalence: got 1"),
        (lambda: predictive_intervals(tp=1, fp=1, fn=1, tn=1, prevalence=0.5, level=95), "level: got 95"),
        (
            lambda: clustered_predictive_intervals(
                np.ones(5, dtype=int), np.ones(5), np.arange(5), threshold=0.5, prevalence=0.5, rng=rng()
            ),
            "0 of class 0 and 5 of class 1",
        ),
        (
            lambda: clustered_predictive_intervals(
                *images(1, 1, 1, 1), np.arange(4), threshold=1.5, prevalence=0.5, rng=rng()
            ),
            "threshold: got 1.5",
        ),
    ],
)
def test_unusable_input(call, message):
    with pytest.raises(DataError, match=message) as caught:
        call()
    assert caught.value.code == "E-DATA-05"


@pytest.mark.nightly
def test_coverage_with_several_images_a_patient():
    """PPV and NPV at a prevalence of 0.1, 50 patients with up to five images each, over 400 sets."""
    huge = clustered(0, patients=400_000)
    got = binary_metrics(*huge[:2], threshold=0.5)
    truth = predictive_values(got["recall"], got["specificity"], prevalence=0.1)
    covered, as_images = np.zeros(2), np.zeros(2)
    for seed in range(1, 401):
        labels, scores, owner = clustered(seed)
        for groups, count in ((owner, covered), (np.arange(owner.size), as_images)):
            found = clustered_predictive_intervals(
                labels, scores, groups, threshold=0.5, prevalence=0.1, resamples=400, rng=rng()
            )
            count += [
                found[name]["low"] <= v <= found[name]["high"] for name, v in zip(("ppv", "npv"), truth, strict=True)
            ]
    assert (covered / 400 >= 0.90).all()
    assert (as_images < covered - 20).all()
