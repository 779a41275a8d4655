import math

import numpy as np
import pytest
from scipy.optimize import minimize

from xenograft.errors import DataError
from xenograft.evaluation.variation import variation


def drawn(rng, sizes, *, data, seed):
    """Runs of folds with these components of their standard deviation."""
    folds = np.repeat(np.arange(len(sizes)), sizes)
    return 0.8 + rng.normal(0, data, len(sizes))[folds] + rng.normal(0, seed, folds.size), folds


def by_hand(values, folds):
    """Henderson's equations: both sums of squares set to their expectations, by all pairs of runs."""
    n, names = values.size, np.unique(folds)
    within = between = 0.0
    for i in range(n):
        for j in range(n):
            square = (values[i] - values[j]) ** 2
            if folds[i] == folds[j]:
                within += square / (2 * (folds == folds[i]).sum())
            between += square / (2 * n)
    between -= within
    seed = within / (n - names.size)
    sizes = np.array([(folds == f).sum() for f in names])
    return seed, max(0.0, (between - (names.size - 1) * seed) / (n - (sizes**2).sum() / n))


@pytest.mark.parametrize("sizes", [(3, 3, 3, 3), (5, 2, 1, 3), (1, 1, 4)])
@pytest.mark.parametrize("data", [0.0, 0.05])
def test_both_components_by_all_pairs(sizes, data):
    for seed in range(5):
        values, folds = drawn(np.random.default_rng(seed), sizes, data=data, seed=0.02)
        within, between = by_hand(values, folds)
        found = variation(values, folds)
        assert found["sd_seed"] == pytest.approx(math.sqrt(within))
        assert found["sd_data"] == pytest.approx(math.sqrt(between), abs=1e-9)
        assert found["sd"] == pytest.approx(values.std(ddof=1))
        assert (found["runs"], found["folds"]) == (sum(sizes), len(sizes))


def test_balanced_components_are_those_of_restricted_likelihood():
    """Where neither component is at its bound, both methods agree for equal groups (Searle et al. 1992, 3.8)."""
    values, folds = drawn(np.random.default_rng(1), (4,) * 6, data=0.05, seed=0.02)

    def deviance(logs):
        inner, outer = np.exp(logs)
        cover = inner * np.eye(24) + outer * (folds[:, None] == folds[None, :])
        weight = np.linalg.inv(cover)
        total = weight.sum()
        centre = weight.sum(axis=0) @ values / total
        return np.linalg.slogdet(cover)[1] + math.log(total) + (values - centre) @ weight @ (values - centre)

    best = minimize(deviance, np.log([4e-4, 2e-3]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    found = variation(values, folds)
    assert (found["sd_seed"], found["sd_data"]) == pytest.approx(np.exp(best.x / 2), rel=1e-4)


@pytest.mark.parametrize("sizes", [(3,) * 5, (6, 1, 2, 4, 2)])
def test_the_truth_is_found_on_average(sizes):
    """Variances: 0.03 squared of the seed without bias; 0.06 squared of the data, where the cut at 0 is rare."""
    rng = np.random.default_rng(2)
    found = [variation(*drawn(rng, sizes, data=0.06, seed=0.03)) for _ in range(2000)]
    assert np.mean([f["sd_seed"] ** 2 for f in found]) == pytest.approx(0.03**2, rel=0.05)
    assert np.mean([f["sd_data"] ** 2 for f in found]) == pytest.approx(0.06**2, rel=0.08)


def test_folds_that_differ_less_than_seeds_do_have_no_component():
    found = variation(np.array([0.7, 0.9, 0.72, 0.88]), np.array([0, 0, 1, 1]))
    assert found["sd_data"] == 0.0
    assert found["sd_seed"] == pytest.approx(math.sqrt((0.02 + 0.0128) / 2))


def test_seeds_alone():
    found = variation(np.array([0.8, 0.9, 0.85]), np.full(3, -1))
    assert found == {
        "runs": 3, "folds": 1, "sd": pytest.approx(0.05), "sd_seed": pytest.approx(0.05), "sd_data": None,
    }  # fmt: skip


def test_folds_without_repeated_seeds_cannot_be_told_apart_from_seeds():
    found = variation(np.array([0.8, 0.9, 0.85]), np.arange(3))
    assert found == {"runs": 3, "folds": 3, "sd": pytest.approx(0.05), "sd_seed": None, "sd_data": None}


@pytest.mark.parametrize(("values", "runs"), [([0.8], 1), ([np.nan, 0.8], 1), ([np.nan], 0), ([], 0)])
def test_too_little_is_undefined(values, runs):
    found = variation(np.array(values), np.zeros(len(values), dtype=np.int64))
    assert found == {"runs": runs, "folds": runs, "sd": None, "sd_seed": None, "sd_data": None}


def test_undefined_values_are_left_out():
    whole = variation(np.array([0.8, 0.9, 0.7, 0.75]), np.array([0, 0, 1, 1]))
    assert variation(np.array([0.8, np.nan, 0.9, 0.7, 0.75]), np.array([0, 2, 0, 1, 1])) == whole


def test_bad_input_is_refused():
    for values, folds in ((np.zeros(3), np.zeros(2, dtype=np.int64)), (np.zeros((2, 2)), np.zeros((2, 2)))):
        with pytest.raises(DataError, match="E-DATA-05"):
            variation(values, folds)
