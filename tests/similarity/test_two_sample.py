"""The classifier two-sample test: what it must find, what it must not, and that no patient is cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from xenograft.errors import DataError
from xenograft.similarity import two_sample as module
from xenograft.similarity.two_sample import two_sample


def test_shifted_gaussians_have_the_auroc_of_theory():
    """Unit Gaussians delta apart: Phi(delta / sqrt 2)."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1500, 4)), rng.normal(size=(1500, 4)) + 0.5
    found = two_sample(a, b)
    assert found["auroc"] == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.02)
    assert found["low"] < norm.cdf(1 / np.sqrt(2)) < found["high"]
    assert (found["folds"], found["groups"], found["method"]) == (5, 3000, "logit")


def test_equal_sets_are_at_one_half_on_average():
    rng = np.random.default_rng(1)
    values = np.array(
        [two_sample(rng.normal(size=(20, 5)), rng.normal(size=(35, 5)), seed=s)["auroc"] for s in range(60)]
    )
    assert abs(values.mean() - 0.5) < 4 * values.std() / np.sqrt(60)


def test_separate_sets_are_told_apart():
    rng = np.random.default_rng(2)
    found = two_sample(rng.normal(size=(20, 40)), rng.normal(size=(20, 40)) + 9)
    assert found["auroc"] == 1
    assert found["low"] < 1
    assert found["method"] == "score"


def test_without_patients_copies_leak_and_with_them_they_do_not():
    """Each patient has its own place, twelve images of it, and there is no difference between the sets."""
    rng = np.random.default_rng(3)
    leaks, honest = [], []
    for seed in range(6):
        rows = np.repeat(rng.normal(size=(24, 60)), 12, axis=0) + 0.1 * rng.normal(size=(288, 60))
        patients = np.repeat(np.arange(12), 12)
        leaks.append(two_sample(rows[:144], rows[144:], seed=seed)["auroc"])
        honest.append(
            two_sample(rows[:144], rows[144:], groups_a=patients, groups_b=100 + patients, seed=seed)["auroc"]
        )
    assert min(leaks) > 0.95
    assert 0.2 < np.mean(honest) < 0.8


def test_folds_cut_no_patient_and_hold_both_sets():
    truth = np.repeat([0, 1], 60)
    group = np.concatenate([np.arange(60) // 4, np.arange(60) // 3 + 10])  # five patients in both
    fold = module._dealt(truth, group, 5, 0)
    assert all(len(np.unique(fold[group == each])) == 1 for each in np.unique(group))
    assert all(len(np.unique(truth[fold == each])) == 2 for each in range(5))


def test_scale_shift_and_type_of_a_feature_do_not_matter():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(40, 3)).astype(np.float16), (rng.normal(size=(40, 3)) + 0.5).astype(np.float16)
    base = two_sample(a, b)["auroc"]
    factors, shifts = np.array([1e-3, 1.0, 1e5]), np.array([7.0, -3.0, 1e4])
    assert two_sample(a * factors + shifts, b * factors + shifts)["auroc"] == pytest.approx(base, abs=1e-3)
    order = [2, 0, 1]
    assert two_sample(a[:, order], b[:, order])["auroc"] == pytest.approx(base, abs=1e-3)
    assert two_sample(np.hstack([a, np.ones((40, 1))]), np.hstack([b, np.ones((40, 1))]))["auroc"] == pytest.approx(
        base
    )


def test_features_that_never_vary_tell_nothing():
    assert two_sample(np.ones((10, 3)), np.ones((12, 3)))["auroc"] == 0.5
    assert two_sample(np.zeros((10, 3)), np.full((12, 3), 1e-200))["auroc"] == 1


def test_same_seed_same_answer():
    a, b = np.random.default_rng(5).normal(size=(2, 30, 4))
    assert two_sample(a, b, seed=3) == two_sample(a, b, seed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "2 or more"),
        ({"folds": 13}, "at most 12, the patients of a"),
        ({"groups_b": np.repeat([0, 1, 2], 4)}, "at most 3, the patients of b"),
        ({"groups_a": [1]}, "a key for each row"),
        ({"level": 1.0}, "below 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    a, b = np.random.default_rng(6).normal(size=(2, 12, 2))
    with pytest.raises(DataError, match=message):
        two_sample(a, b, **options)


def test_a_fold_of_one_set_only_is_refused():
    """All of b's rows but one are of a patient that a has too."""
    a, b = np.random.default_rng(7).normal(size=(2, 6, 2))
    with pytest.raises(DataError, match="folds: got 2"):
        two_sample(a, b, groups_a=np.zeros(6), groups_b=np.array([0, 0, 0, 0, 0, 1]), folds=2)
