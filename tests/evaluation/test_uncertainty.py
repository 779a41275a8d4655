import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.errors import DataError
from xenograft.evaluation.metrics import binary_metrics
from xenograft.evaluation.uncertainty import (
    bootstrap,
    cluster_weights,
    percentile_interval,
    summary,
    weight_chunks,
    wilson,
)


def test_an_image_weighs_as_often_as_its_patient_was_drawn():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    patients = np.array(["a", "a", "b", "c", "d", "d", "d"])
    weights = cluster_weights(labels, patients, resamples=400, rng=np.random.default_rng(0))
    assert weights.shape == (400, 7)
    assert weights.dtype == np.float32
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 4] == weights[:, 6]).all()
    assert (weights[:, 0] + weights[:, 2] == 2).all()  # two patients drawn in stratum {0}
    assert (weights[:, 3] + weights[:, 4] == 2).all()
    assert set(np.unique(weights)) == {0, 1, 2}
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.15


@given(seed=st.integers(0, 1000), classes=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_every_resample_holds_every_class(seed, classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 12)
    weights = cluster_weights(labels, rng.integers(0, 6, 12), resamples=25, rng=rng)
    for k in np.unique(labels):
        assert (weights[:, labels == k].sum(axis=1) > 0).all()


def test_a_patient_with_both_classes_is_a_stratum_of_its_own():
    labels, patients = np.array([0, 1, 0, 1, 0, 1]), np.array([1, 1, 2, 2, 3, 4])
    weights = cluster_weights(labels, patients, resamples=50, rng=np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] + weights[:, 2] == 2).all()
    assert (weights[:, 4:] == 1).all()  # single patients of their strata


def test_rows_depend_on_the_generator_only():
    labels = np.random.default_rng(0).integers(0, 3, 40)
    patients = np.arange(40) // 2
    whole = cluster_weights(labels, patients, resamples=210, rng=np.random.default_rng(5))
    for chunk in (1, 20, 50, 1000):
        parts = list(weight_chunks(labels, patients, resamples=210, rng=np.random.default_rng(5), chunk=chunk))
        assert np.array_equal(np.concatenate(parts), whole)
    fewer = cluster_weights(labels, patients, resamples=33, rng=np.random.default_rng(5))
    assert np.array_equal(fewer, whole[:33])
    rng = np.random.default_rng(5)
    first, second = (cluster_weights(labels, patients, resamples=20, rng=rng) for _ in range(2))
    assert np.array_equal(first, whole[:20])
    assert not np.array_equal(first, second)


def test_chunks_stay_small_on_large_sets():
    labels = np.zeros(50_000, dtype=int)
    chunks = weight_chunks(labels, np.arange(50_000), resamples=2000, rng=np.random.default_rng(0))
    assert next(chunks).nbytes <= 8 << 20


def accuracy(correct):
    return lambda weights: {"accuracy": (weights * correct).sum(axis=1) / weights.sum(axis=1)}


def spread(correct, labels, patients, resamples=4000):
    drawn = bootstrap(accuracy(correct), labels, patients, resamples=resamples, rng=np.random.default_rng(3))[
        "accuracy"
    ]
    return drawn.std()


def test_one_image_per_patient_is_the_plain_stratified_bootstrap():
    labels = np.repeat([0, 1], [100, 200])
    correct = np.r_[np.arange(100) < 70, np.arange(200) < 180].astype(float)
    exact = math.sqrt(100 * 0.7 * 0.3 + 200 * 0.9 * 0.1) / 300
    assert spread(correct, labels, np.arange(300)) == pytest.approx(exact, rel=0.04)


def test_copies_of_an_image_do_not_narrow_the_interval():
    labels = np.repeat([0, 1], [100, 200])
    correct = np.r_[np.arange(100) < 70, np.arange(200) < 180].astype(float)
    single = spread(correct, labels, np.arange(300))
    copied = [np.repeat(a, 4) for a in (correct, labels, np.arange(300))]
    assert spread(*copied) == pytest.approx(single, rel=1e-9)
    as_rows = spread(copied[0], copied[1], np.arange(1200))
    assert as_rows == pytest.approx(single / 2, rel=0.05)


def test_coverage_of_auroc_with_several_images_per_patient():
    rng = np.random.default_rng(11)
    labels, patients = np.repeat([0, 1], 60), np.arange(120) // 3
    truth = 0.5 * (1 + math.erf(1 / 2))  # binormal, one standard deviation apart: Phi(1 / sqrt 2)
    by_patient = by_row = 0
    for _ in range(200):
        z = labels + math.sqrt(0.6) * rng.normal(size=40)[patients] + math.sqrt(0.4) * rng.normal(size=120)
        scores = 1 / (1 + np.exp(-z))

        def covered(groups, scores=scores):
            def auroc(weights):
                return {"auroc": binary_metrics(labels, scores, threshold=0.5, weights=weights)["auroc"]}

            low, high = percentile_interval(bootstrap(auroc, labels, groups, resamples=300, rng=rng)["auroc"])
            return low <= truth <= high

        by_patient += covered(patients)
        by_row += covered(np.arange(120))
    assert 0.90 <= by_patient / 200 <= 0.98
    assert by_row < by_patient - 10


@pytest.mark.parametrize(
    ("labels", "patients", "resamples", "message"),
    [
        ([], [], 10, "labels"),
        ([-1, 0], [1, 2], 10, "labels"),
        ([0, 1], [1], 10, "patients"),
        ([[0, 1], [1, 1]], [1], 10, "patients"),
        ([[0, 2]], [1], 10, "labels"),
        ([0, 1], [1, 2], 0, "resamples"),
    ],
)
def test_unusable_input(labels, patients, resamples, message):
    with pytest.raises(DataError, match=message):
        weight_chunks(
            np.array(labels, dtype=int), np.array(patients), resamples=resamples, rng=np.random.default_rng(0)
        )


def test_percentile_interval():
    values = np.arange(101.0)
    assert percentile_interval(values) == pytest.approx((2.5, 97.5))
    assert percentile_interval(values, 0.5) == pytest.approx((25, 75))
    assert percentile_interval(np.r_[values, [np.nan] * 5]) == pytest.approx((2.5, 97.5))
    assert all(math.isnan(v) for v in percentile_interval(np.r_[values, [np.nan] * 6]))
    assert all(math.isnan(v) for v in percentile_interval(np.array([])))
    with pytest.raises(DataError, match="level"):
        percentile_interval(values, 95)


def test_summary_writes_none_for_nan():
    assert summary(math.nan, np.array([np.nan]), level=0.95) == {"value": None, "low": None, "high": None}
    assert summary(1.0, np.ones(3), level=0.95, key="difference") == {"difference": 1, "low": 1, "high": 1}


def test_wilson():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == 1
    assert wilson(5, 20, level=0.5)[0] > wilson(5, 20)[0]
    assert all(math.isnan(v) for v in wilson(0, 0))
    with pytest.raises(DataError, match="successes"):
        wilson(3, 2)


def test_findings_are_drawn_by_patient_without_strata():
    labels = np.array([[1, 0], [0, -1], [0, 0], [0, 1], [1, 1]])
    patients = np.array(["a", "a", "b", "c", "c"])
    weights = cluster_weights(labels, patients, resamples=600, rng=np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()
    assert set(np.unique(weights)) == {0, 1, 2, 3}  # single patients of their sets of findings vary too
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.1
    one_class = np.zeros(5, dtype=int)
    assert np.array_equal(weights, cluster_weights(one_class, patients, resamples=600, rng=np.random.default_rng(0)))


def test_draws_of_single_labels_keep_their_bits():
    labels, patients = np.arange(60) // 2 % 3, np.arange(60) // 4
    weights = cluster_weights(labels, patients, resamples=50, rng=np.random.default_rng(9))
    assert hashlib.sha256(weights.astype("<f4").tobytes()).hexdigest()[:16] == "6dd853fefb7e5095"


def test_plain_draws_of_findings_spread_as_the_mean_of_images_does():
    correct = (np.arange(300) < 210).astype(float)
    exact = math.sqrt(0.7 * 0.3 / 300)
    assert spread(correct, np.zeros((300, 2), dtype=int), np.arange(300)) == pytest.approx(exact, rel=0.04)
