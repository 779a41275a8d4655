import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from xenograft.errors import DataError
from xenograft.evaluation.delong import clustered_delong_test
from xenograft.evaluation.mean_auroc import Part, mean_auroc_test


def case(seed, n=60, owners=25, runs=(1, 1), gains=(1.5, 0.8), grid=None):
    """Labels, patients with images of both classes, and correlated scores of runs of two arms."""
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, 0, 1, rng.integers(0, 2, n - 4)]
    patients = np.r_[0, 1, 2, 3, rng.integers(0, owners, n - 4)]
    shared = rng.normal(size=owners)[patients] + rng.normal(size=n)
    arms = []
    for gain, count in zip(gains, runs, strict=True):
        own = gain * labels + shared + 0.5 * rng.normal(size=n)
        scores = [1 / (1 + np.exp(-(own + 0.7 * rng.normal(size=n)))) for _ in range(count)]
        arms.append([np.round(s * grid) / grid if grid else s for s in scores])
    return Part(labels, patients, *arms)


def components(labels, scores):
    """V10 of the positives and V01 of the negatives, by all pairs (DeLong et al. 1988, Eq. 4)."""
    pairs = 0.5 + 0.5 * np.sign(scores[labels == 1][:, None] - scores[labels == 0][None, :])
    return pairs.mean(axis=1), pairs.mean(axis=0)


def brute_force(part):
    """Difference and variance: Obuchowski's covariances of every pair of runs, weighted, patient by patient."""
    labels, patients = part.labels, part.patients
    signs = [1 / len(part.a)] * len(part.a) + [-1 / len(part.b)] * len(part.b)
    each = [components(labels, s) for s in (*part.a, *part.b)]
    areas = [v10.mean() for v10, _ in each]
    m, n = (labels == 1).sum(), (labels == 0).sum()
    names = np.unique(patients)
    i10, i01 = (sum((labels[patients == c] == k).any() for c in names) for k in (1, 0))

    def sums(values, area, of, c):
        return (values[patients[labels == of] == c] - area).sum()

    variance = 0.0
    for (r, s), (q, t) in product(enumerate(signs), repeat=2):
        x = [(sums(each[r][0], areas[r], 1, c), sums(each[r][1], areas[r], 0, c)) for c in names]
        y = [(sums(each[q][0], areas[q], 1, c), sums(each[q][1], areas[q], 0, c)) for c in names]
        s10 = i10 / (i10 - 1) / m * sum(u[0] * v[0] for u, v in zip(x, y, strict=True))
        s01 = i01 / (i01 - 1) / n * sum(u[1] * v[1] for u, v in zip(x, y, strict=True))
        cross = sum(u[0] * v[1] + u[1] * v[0] for u, v in zip(x, y, strict=True))
        s11 = len(names) / (len(names) - 1) * cross
        variance += s * t * (s10 / m + s01 / n + s11 / (m * n))
    return sum(s * area for s, area in zip(signs, areas, strict=True)), variance


@pytest.mark.parametrize("grid", [None, 8])
@pytest.mark.parametrize("seed", range(5))
def test_one_run_of_each_arm_is_the_clustered_delong_test(seed, grid):
    part = case(seed, grid=grid)
    wanted = clustered_delong_test(part.labels, part.a[0], part.b[0], part.patients)
    found = mean_auroc_test([part])
    assert wanted["method"] == "wald"
    for name in ("difference", "low", "high", "p"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-12)


@pytest.mark.parametrize("runs", [(1, 3), (3, 2), (5, 5)])
@pytest.mark.parametrize("grid", [None, 6])
def test_several_runs_by_all_pairs(runs, grid):
    part = case(3, n=40, owners=14, runs=runs, grid=grid)
    difference, variance = brute_force(part)
    found = mean_auroc_test([part], level=0.9)
    assert found["difference"] == pytest.approx(difference, abs=1e-12)
    assert found["high"] - found["low"] == pytest.approx(2 * norm.ppf(0.95) * math.sqrt(variance), abs=1e-12)
    assert found["p"] == pytest.approx(2 * norm.sf(abs(difference) / math.sqrt(variance)), abs=1e-12)


def test_folds_have_other_patients_so_their_variances_add_up():
    parts = [case(seed, n=40 + 10 * seed, owners=15, runs=(2, 2)) for seed in range(3)]
    each = [brute_force(part) for part in parts]
    found = mean_auroc_test(parts)
    assert found["difference"] == pytest.approx(np.mean([d for d, _ in each]), abs=1e-12)
    error = math.sqrt(sum(v for _, v in each)) / 3
    assert found["high"] - found["difference"] == pytest.approx(norm.ppf(0.975) * error, abs=1e-12)


def test_the_order_of_runs_parts_and_images_does_not_matter():
    parts = [case(seed, runs=(3, 4)) for seed in (1, 2)]
    order = np.random.default_rng(0).permutation(60)
    other = [
        Part(p.labels[order], p.patients[order], [s[order] for s in p.a[::-1]], [s[order] for s in p.b[::-1]])
        for p in parts[::-1]
    ]
    assert mean_auroc_test(other) == pytest.approx(mean_auroc_test(parts), abs=1e-12)
    swapped = mean_auroc_test([Part(p.labels, p.patients, p.b, p.a) for p in parts])
    assert swapped["p"] == pytest.approx(mean_auroc_test(parts)["p"], abs=1e-12)
    assert swapped["difference"] == pytest.approx(-mean_auroc_test(parts)["difference"], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_runs_in_another_order_differ_by_exactly_nothing(seed):
    part = case(seed, runs=(3, 1), n=47)
    first, second, third = part.a
    same = Part(part.labels, part.patients, part.a, [third, first, second])
    assert mean_auroc_test([same]) == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_repeating_every_run_adds_no_information():
    part = case(4, runs=(2, 3))
    twice = Part(part.labels, part.patients, [*part.a, *part.a], [*part.b, *part.b])
    assert mean_auroc_test([twice]) == pytest.approx(mean_auroc_test([part]), abs=1e-12)


@pytest.mark.parametrize(("folds", "count"), [(1, 1500), (3, 600)])
def test_equal_arms_are_told_apart_in_five_of_a_hundred(folds, count):
    """Data sets with up to four images a patient and three seeds an arm; a tolerance of three standard errors."""
    rng = np.random.default_rng(folds)
    claimed = 0
    for _ in range(count):
        parts = []
        for _ in range(folds):
            owners = 40
            patients = np.repeat(np.arange(owners), rng.integers(1, 5, owners))
            labels = (np.arange(owners) % 2)[patients]  # every image of a patient has one class
            shared = labels + rng.normal(size=owners)[patients]
            arms = []
            for _ in range(2):
                own = shared + 0.8 * rng.normal(size=owners)[patients]  # the arm's error is one of the patient
                arms.append([norm.cdf((own + 0.5 * rng.normal(size=patients.size)) / 2) for _ in range(3)])
            parts.append(Part(labels, patients, *arms))
        claimed += mean_auroc_test(parts)["p"] < 0.05
    assert claimed / count == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / count))


def test_one_class_only_is_undefined():
    part = case(0)
    ones = Part(np.ones(60, dtype=np.int64), part.patients, part.a, part.b)
    assert set(mean_auroc_test([part, ones]).values()) == {None}


def test_one_patient_of_a_class_has_a_difference_without_variance():
    labels = np.array([1, 1, 0, 0, 0])
    patients = np.array([0, 0, 1, 2, 3])
    part = Part(labels, patients, [np.array([0.9, 0.4, 0.5, 0.2, 0.1])], [np.array([0.1, 0.4, 0.5, 0.2, 0.9])])
    assert mean_auroc_test([part]) == {"difference": pytest.approx(4 / 6), "low": None, "high": None, "p": None}


def test_arms_that_differ_without_variance_have_no_p():
    labels = np.array([0, 0, 0, 1, 1, 1])
    perfect, wrong = np.linspace(0.1, 0.9, 6), np.linspace(0.9, 0.1, 6)
    found = mean_auroc_test([Part(labels, np.arange(6), [perfect], [wrong])])
    assert found == {"difference": 1.0, "low": None, "high": None, "p": None}


def test_bad_input_is_refused():
    part = case(0)
    for wrong in ([], [part._replace(a=[])], [part, part._replace(b=[])]):
        with pytest.raises(DataError, match=r"E-DATA-05 .*runs"):
            mean_auroc_test(wrong)
    with pytest.raises(DataError, match="E-DATA-05"):
        mean_auroc_test([part._replace(b=[part.b[0][:-1]])])
    with pytest.raises(DataError, match="E-DATA-05"):
        mean_auroc_test([part._replace(patients=part.patients[:-1])])
    with pytest.raises(DataError, match="E-DATA-05"):
        mean_auroc_test([part], level=1.0)
