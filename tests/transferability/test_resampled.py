import math

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.transferability.h_score import shrunk_h_score
from xenograft.transferability.resampled import score_intervals, share_drawn, subsample_interval, subsamples

from .makers import source, task


def test_half_of_the_patients_of_every_stratum_without_copies():
    _, labels, groups = task(0, n=150, patients=60, classes=3)
    patients = [len(set(groups[labels == k])) for k in range(3)]
    sizes = {}
    for patient in np.unique(groups):
        sizes.setdefault(min(set(labels[groups == patient]), key=lambda k: (patients[k], k)), set()).add(patient)
    drawn = list(subsamples(labels, groups, resamples=30, seed=1))
    for at in drawn:
        assert len(np.unique(at)) == len(at)
        chosen = set(groups[at])
        assert set(at) == set(np.flatnonzero(np.isin(groups, list(chosen))))  # whole patients
        for members in sizes.values():
            half = len(members) / 2
            assert len(chosen & members) in {math.floor(half), math.ceil(half)}
    share = np.mean([np.isin(groups, groups[at]).mean() for at in drawn])
    assert share == pytest.approx(0.5, abs=0.06)


def test_of_an_odd_number_the_middle_one_goes_either_way_and_a_lonely_one_stays():
    labels = np.array([0, 0, 0, 0, 0, 1])
    counts = [np.bincount(labels[at], minlength=2) for at in subsamples(labels, np.arange(6), resamples=200, seed=0)]
    assert {tuple(count) for count in counts} == {(2, 1), (3, 1)}
    assert np.mean([count[0] for count in counts]) == pytest.approx(2.5, abs=0.15)


@pytest.mark.parametrize(("classes", "patients", "each"), [(7, 40, 6), (14, 60, 20), (3, 61, 5)])
def test_patients_with_images_of_several_classes_are_halved_as_well(classes, patients, each):
    groups = np.repeat(np.arange(patients), each)
    labels = np.random.default_rng(classes).integers(classes, size=len(groups))
    halves = list(subsamples(labels, groups, resamples=100, seed=0))
    counts = [len(np.unique(groups[at])) for at in halves]
    assert set(counts) == {patients // 2, -(-patients // 2)}
    drawn = np.mean([np.isin(np.arange(patients), groups[at]) for at in halves], axis=0)
    assert drawn.min() > 0.25  # none always in or always out
    assert drawn.max() < 0.75
    assert share_drawn(groups, halves) == pytest.approx(0.5, abs=0.01)


def test_the_spread_of_halves_is_that_of_studies_where_patients_hold_several_classes():
    """A mean whose patients differ: the claimed error against that of 300 studies of 40 patients, seven classes."""

    def study(seed):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), 6)
        values = rng.normal(size=40)[groups] + 0.5 * rng.normal(size=240)
        halves = list(subsamples(rng.integers(7, size=240), groups, resamples=25, seed=seed))
        drawn = np.array([values[at].mean() for at in halves])
        low, high = subsample_interval(values.mean(), drawn, share=share_drawn(groups, halves))
        return values.mean(), ((high - low) / 2 / 1.96) ** 2

    means, claimed = np.array([study(seed) for seed in range(300)]).T
    assert np.sqrt(claimed.mean()) == pytest.approx(means.std(ddof=1), rel=0.15)  # 0.27 of it by sets of classes


def test_more_than_half_counts_for_more():
    drawn = np.array([39.0, 40.0, 41.0])
    assert subsample_interval(5.0, drawn, share=0.8) == pytest.approx((5 - 2 * 1.959964, 5 + 2 * 1.959964))
    assert all(math.isnan(end) for end in subsample_interval(5.0, drawn, share=1.0))
    groups = np.arange(8)
    halves = list(subsamples(np.array([0, 0, 0, 0, 0, 0, 1, 2]), groups, resamples=5, seed=0))
    assert share_drawn(groups, halves) == pytest.approx(5 / 8)  # the only patients of their classes stay
    assert math.isnan(share_drawn(groups, []))


def test_same_seed_same_subsamples_another_seed_others():
    _, labels, groups = task(0)
    first, again, other = (list(subsamples(labels, groups, resamples=3, seed=seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_interval_of_a_mean_is_the_textbook_one():
    """Half-samples of 400 patients: the spread of their means is the standard error of the whole mean."""
    values = np.random.default_rng(3).exponential(size=400)
    halves = subsamples(np.zeros(400, dtype=int), np.arange(400), resamples=2000, seed=0)
    low, high = subsample_interval(values.mean(), np.array([values[at].mean() for at in halves]))
    error = values.std(ddof=1) / 20
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.15 * error)


def test_a_shift_between_halves_and_whole_does_not_move_the_interval():
    drawn = np.array([39.0, 40.0, 41.0])
    assert subsample_interval(5.0, drawn, level=0.95) == pytest.approx((5 - 1.959964, 5 + 1.959964))


def test_too_few_known_subsamples_give_no_interval():
    for drawn in ([], [1.0], [1.0, 2.0, math.nan]):
        assert all(math.isnan(end) for end in subsample_interval(5.0, np.array(drawn)))


def test_it_covers_what_studies_of_this_size_give():
    """Patients with two correlated images each: intervals of one study hold the mean score of many studies."""

    def study(seed):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 2)
        labels = (np.arange(60) % 2)[groups]
        own = rng.normal(size=(60, 4))[groups]
        return own + 0.5 * rng.normal(size=(120, 4)) + 0.8 * labels[:, None], labels, groups

    target = np.mean([shrunk_h_score(*study(seed)[:2]) for seed in range(1000, 1400)])
    held = 0
    for seed in range(40):
        entry = score_intervals(*study(seed), names=["h_score"], resamples=25, seed=seed)["h_score"]
        held += entry["low"] <= target <= entry["high"]
    assert held >= 33  # nominal 38; quantiles of the halves turned around the value hold about 29


def test_values_reproduce_and_lie_within_bounds():
    features, labels, groups = task(1, n=60, d=4, gain=4, patients=40)
    names = ["knn_auroc", "gbc", "leep", "logme"]
    found = score_intervals(features, labels, groups, source=source(), names=names, resamples=6, seed=3)
    again = score_intervals(features, labels, groups, source=source(), names=names, resamples=6, seed=3)
    assert found == again
    assert list(found) == names
    assert found["knn_auroc"]["high"] <= 1
    assert found["gbc"]["high"] <= 0
    for entry in found.values():
        assert entry["low"] <= entry["value"] + 1e-9
        assert entry["high"] >= entry["value"] - 1e-9


def test_undefined_scores_have_no_interval():
    features, labels, groups = task(2, n=40)
    found = score_intervals(features, labels, groups, names=["nce", "nleep"], resamples=4)
    assert found["nce"]["value"] is found["nce"]["low"] is None
    assert "not given" in found["nce"]["why"]
    few = score_intervals(features[:12], labels[:12], groups[:12], names=["nleep"], resamples=4)["nleep"]
    assert few["value"] is not None
    assert few["low"] is few["high"] is None  # six images are fewer than ten components
    one = score_intervals(features, labels * 0, groups, resamples=4)
    assert all(entry["low"] is None for entry in one.values())


def test_wrong_arguments():
    features, labels, groups = task()
    with pytest.raises(DataError, match="1 or more"):
        score_intervals(features, labels, groups, names=["gbc"], resamples=0)
    with pytest.raises(DataError, match="level"):
        score_intervals(features, labels, groups, names=["gbc"], resamples=2, level=1.0)
