import json
import math

import numpy as np
import pytest

from xenograft.errors import DataError
from xenograft.evaluation.metrics import METRICS, binary_metrics
from xenograft.evaluation.paired import (
    paired_difference,
    paired_difference_multiclass,
    paired_difference_multilabel,
)
from xenograft.evaluation.resampled import Resampled, Universe, mean, overall
from xenograft.evaluation.scorecard import scorecard
from xenograft.evaluation.uncertainty import cluster_weights, percentile_interval, two_sided

B = 60
CUTS = {"fixed": 0.5, "youden": 0.4}


def patients(n):
    return np.array([f"p{k // 3:03}" for k in range(n)])


def two(seed=0, n=90):
    """Labels of patients with images of one class or both, and the scores of a run."""
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, 0, 1, np.random.default_rng(99).integers(0, 2, n - 4)]
    scores = np.round(np.clip(0.25 * labels + 0.7 * rng.random(n), 0, 1), 2)
    return labels, np.stack([1 - scores, scores], axis=1)


def three(seed=0, n=90):
    raw = np.random.default_rng(seed).gamma(1.0, size=(n, 3)) + 1.5 * np.eye(3)[np.arange(n) % 3]
    return np.arange(n) % 3, raw / raw.sum(axis=1, keepdims=True)


def findings(seed=0, n=90):
    fixed = np.random.default_rng(98)
    labels = np.where(fixed.random((n, 2)) < 0.2, -1, fixed.integers(0, 2, (n, 2)))
    return labels, np.clip(0.3 * labels + 0.6 * np.random.default_rng(seed).random((n, 2)) + 0.05, 0, 1)


KINDS = pytest.mark.parametrize("kind", [two, three, findings])


@KINDS
def test_one_run_on_all_images_has_the_intervals_of_its_scorecard(kind):
    labels, table = kind()
    got = Universe(labels, patients(90), resamples=B, seed=5).resample(table, CUTS).card()
    wanted = scorecard(labels, table, patients(90), thresholds=CUTS, resamples=B, rng=np.random.default_rng(5))
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert got["level"] == wanted["level"]
    assert list(got["policies"]) == list(wanted["policies"])
    for name, policy in wanted["policies"].items():
        assert got["policies"][name]["metrics"] == policy["metrics"]
        assert got["policies"][name]["per_class"] == policy.get("per_class", {})
    assert got["per_class"] == (wanted["per_class"] if kind is three else {})


def test_the_order_of_images_does_not_matter():
    labels, table = two()
    order = np.random.default_rng(3).permutation(90)
    whole = Universe(labels, patients(90), resamples=B).resample(table, CUTS)
    shuffled = Universe(labels[order], patients(90)[order], resamples=B).resample(table[order], CUTS)
    for key, drawn in whole.drawn.items():
        assert shuffled.drawn[key] == pytest.approx(drawn, abs=1e-12, nan_ok=True)


def test_a_mean_over_runs_is_taken_within_each_resample():
    """By repeating images as often as they were drawn, and scikit-free metrics of those."""
    labels, first = two(1)
    second = two(2)[1]
    keys = patients(90)
    got = mean([Universe(labels, keys, resamples=B, seed=7).resample(table, CUTS) for table in (first, second)])
    weights = cluster_weights(labels, keys, resamples=B, rng=np.random.default_rng(7))
    for b, row in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(90), row)
        for name, cut in CUTS.items():
            each = [binary_metrics(labels[drawn], table[drawn, 1], threshold=cut) for table in (first, second)]
            for metric in METRICS:
                assert got.drawn[name, "", metric][b] == pytest.approx((each[0][metric] + each[1][metric]) / 2)
    whole = [binary_metrics(labels, table[:, 1], threshold=0.5)["auroc"] for table in (first, second)]
    assert got.value["fixed", "", "auroc"] == pytest.approx(sum(whole) / 2)
    assert got.card()["policies"]["fixed"]["metrics"]["auroc"]["low"] == pytest.approx(
        percentile_interval(got.drawn["fixed", "", "auroc"])[0]
    )


def test_folds_that_test_on_different_images_share_the_resamples_of_all_patients():
    labels, table = two(1)
    keys = patients(90)
    universe = Universe(labels, keys, resamples=B, seed=2)
    parts = [np.arange(0, 45), np.arange(89, 44, -1)]  # the second in another order
    runs = [universe.resample(table[at], CUTS, at) for at in parts]
    weights = cluster_weights(labels, keys, resamples=B, rng=np.random.default_rng(2)).astype(int)
    for run, at in zip(runs, parts, strict=True):
        for b in range(B):
            drawn = np.repeat(at, weights[b, at])
            wanted = binary_metrics(labels[drawn], table[drawn, 1], threshold=0.5)
            assert run.drawn["fixed", "", "auroc"][b] == pytest.approx(wanted["auroc"])
            assert run.drawn["fixed", "", "recall"][b] == pytest.approx(wanted["recall"])
    both = mean(runs)
    assert both.drawn["fixed", "", "f1"] == pytest.approx(
        (runs[0].drawn["fixed", "", "f1"] + runs[1].drawn["fixed", "", "f1"]) / 2
    )


def test_a_fold_that_was_not_drawn_leaves_the_mean_undefined_there():
    labels, table = two(1, n=18)
    universe = Universe(labels, patients(18), resamples=400)
    fold, rest = (universe.resample(table[at], CUTS, at) for at in (np.arange(3), np.arange(3, 18)))
    never = cluster_weights(labels, patients(18), resamples=400, rng=np.random.default_rng(0))[:, :3].sum(axis=1) == 0
    assert never.any()
    assert np.isnan(fold.drawn["fixed", "", "accuracy"][never]).all()
    assert not np.isnan(rest.drawn["fixed", "", "accuracy"]).any()
    both = mean([fold, rest])
    assert np.array_equal(np.isnan(both.drawn["fixed", "", "accuracy"]), never)
    entry = both.card()["policies"]["fixed"]["metrics"]["accuracy"]
    assert entry["value"] is not None
    assert entry["low"] is None  # more than one in twenty is undefined
    same = both.minus(rest).difference(("fixed", "", "accuracy"))
    assert same["difference"] is not None
    assert (same["low"], same["p"]) == (None, None)


@pytest.mark.parametrize(
    ("kind", "paired"),
    [(three, paired_difference_multiclass), (findings, paired_difference_multilabel)],
)
def test_differences_are_those_of_the_paired_bootstrap(kind, paired):
    labels, _ = kind()
    arms = [[kind(seed)[1] for seed in seeds] for seeds in ((1, 2), (3, 4, 5))]
    universe = Universe(labels, patients(90), resamples=B, seed=4)
    a, b = (mean([universe.resample(table, {"fixed": 0.5}) for table in tables]) for tables in arms)
    wanted = paired(labels, *arms, patients(90), resamples=B, rng=np.random.default_rng(4))
    policy = "argmax" if kind is three else "fixed"
    for metric in METRICS:
        assert a.minus(b).difference((policy, "", metric)) == pytest.approx(wanted[metric], abs=1e-12)


def test_differences_of_two_classes_with_thresholds_of_their_own():
    labels, _ = two()
    arms = [[two(seed)[1] for seed in seeds] for seeds in ((1, 2), (3, 4, 5))]
    cuts = [(0.4, 0.5), (0.3, 0.45, 0.6)]
    universe = Universe(labels, patients(90), resamples=B, seed=4)
    a, b = (
        mean([universe.resample(table, {"own": cut}) for table, cut in zip(tables, own, strict=True)])
        for tables, own in zip(arms, cuts, strict=True)
    )
    scores = [[table[:, 1] for table in tables] for tables in arms]
    wanted = paired_difference(
        labels, *scores, patients(90), threshold_a=cuts[0], threshold_b=cuts[1], resamples=B,
        rng=np.random.default_rng(4),
    )  # fmt: skip
    for metric in METRICS:
        assert a.minus(b).difference(("own", "", metric)) == pytest.approx(wanted[metric], abs=1e-12)


def test_the_p_of_a_difference_is_that_of_its_resamples():
    key = ("fixed", "", "auroc")
    drawn = np.linspace(-0.1, 0.4, 200)
    found = Resampled({key: 0.15}, {key: drawn}).difference(key, level=0.9)
    assert found["p"] == two_sided(drawn)
    assert (found["low"], found["high"]) == pytest.approx((-0.075, 0.375))


def test_what_not_all_runs_have_is_left_out():
    labels, table = two()
    universe = Universe(labels, patients(90), resamples=B)
    both, one = universe.resample(table, CUTS), universe.resample(table, {"fixed": 0.5})
    assert {key[0] for key in mean([both, one]).value} == {"fixed"}
    assert {key[0] for key in one.minus(both).value} == {"fixed"}
    assert all(value == 0 for value in both.minus(one).value.values())


def test_overall_keys_are_those_of_all_images_under_one_policy():
    labels, table = findings()
    found = Universe(labels, patients(90), resamples=B).resample(table, CUTS)
    assert {key[1] for key in found.value} == {"", "0", "1"}
    assert set(found.only(overall("youden")).value) == {("youden", "", metric) for metric in METRICS}


def test_undefined_stays_undefined():
    table = np.tile([0.3, 0.7], (6, 1))
    found = Universe(np.ones(6, dtype=np.int64), np.arange(6), resamples=B).resample(table, {"fixed": 0.5})
    assert math.isnan(found.value["fixed", "", "auroc"])
    entry = found.card()["policies"]["fixed"]["metrics"]
    assert entry["auroc"] == {"value": None, "low": None, "high": None}
    assert entry["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_bad_input_is_refused():
    labels, table = two()
    universe = Universe(labels, patients(90), resamples=B)
    with pytest.raises(DataError, match="E-DATA-05"):
        universe.resample(table[:5], CUTS)
    with pytest.raises(DataError, match="E-DATA-05"):
        universe.resample(table, {})
