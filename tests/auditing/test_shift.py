import json
import math

import numpy as np
import pytest

from xenograft.auditing.shift import check, reduced

COUNT = 600
BINS = 32


def flat_histograms(count, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(BINS, 5), count)


def plain(material, count=COUNT, seed=0, statistics=None, **options):
    """Images without anatomy: independent statistics, one patient per two images."""
    rng = np.random.default_rng(seed)
    names = ("mean", "sd", "p01", "p25", "p50", "p75", "p99", "black", "white", "border_mean", "border_sd", "sharpness")
    given = {name: rng.normal(0.5, 0.05, count) for name in names} | (statistics or {})
    given = {name: values(rng) if callable(values) else values for name, values in given.items()}
    return material(
        count=count,
        seed=seed,
        thumbnails=np.full((count, 32, 32), 0.5),
        histograms=flat_histograms(count, seed),
        statistics=given,
        **options,
    )


def by_code(made):
    return {finding.code: finding for finding in check(made)}


def in_test(count=COUNT):
    return np.arange(count) // 2 // 2 % 5 == 4


def test_there_are_three_findings_for_each_of_test_and_val(material):
    findings = check(plain(material))
    assert [f.code for f in findings] == [f"A-SHIFT-{k:02}" for k in range(1, 7)]
    assert [f.severity for f in findings] == ["passed", "not_applicable", "passed"] * 2
    assert "--backbone" in findings[1].message
    assert all(f.advice == "" and f.count == 0 for f in findings)


def test_a_brighter_test_split_is_found_and_named(material):
    count = 3000
    moved = {"mean": lambda rng: 0.5 + 0.05 * (rng.normal(size=count) + 1.5 * in_test(count))}
    found = by_code(plain(material, count, statistics=moved))
    assert found["A-SHIFT-01"].severity == "warning"
    assert found["A-SHIFT-01"].numbers["p"] == 1 / 200
    auroc = found["A-SHIFT-01"].numbers["auroc"]
    truth = 0.5 * (1 + math.erf(1.5 / 2))
    assert auroc["low"] < truth < auroc["high"] + 0.01  # the noise of 44 other columns costs a little
    assert found["A-SHIFT-03"].severity == "warning"
    assert found["A-SHIFT-03"].numbers["statistic"] == "mean"
    assert found["A-SHIFT-03"].numbers["low"] < 1.5 < found["A-SHIFT-03"].numbers["high"] + 0.2
    assert "mean moves most" in found["A-SHIFT-03"].message
    assert {found[code].severity for code in ("A-SHIFT-04", "A-SHIFT-06")} == {"passed"}
    json.dumps([f.as_json() for f in found.values()], allow_nan=False)


def test_the_size_is_the_difference_of_means_in_standard_deviations(material):
    made = plain(material, statistics={"sd": lambda rng: 0.5 - 0.03 * (rng.normal(size=COUNT) + 2.5 * in_test())})
    numbers = by_code(made)["A-SHIFT-03"].numbers
    values, labels = made.glances.statistics[:, 1].astype(float), made.labels
    train, test = made.splits == "train", made.splits == "test"
    both = train | test
    within = values.copy()
    for k in (0, 1):
        within[labels == k] -= values[both & (labels == k)].mean()
    each = [values[test & (labels == k)].mean() - values[train & (labels == k)].mean() for k in (0, 1)]
    assert numbers["value"] == pytest.approx(np.mean(each) / within[both].std(), rel=1e-4)
    assert next(iter(numbers["first"])) == numbers["statistic"] == "sd"


def test_another_prevalence_is_no_shift(material):
    """Test has 80 % of a class that is much brighter, train 20 %: only the mix differs."""
    rng = np.random.default_rng(2)
    positive = rng.random(COUNT // 2) < np.where(in_test()[::2], 0.8, 0.2)
    labels = positive.repeat(2)
    bright = {"mean": 0.4 + 0.2 * labels + rng.normal(0, 0.05, COUNT)}
    made = plain(material, statistics=bright, label=[("normal", "pneumonia")[int(k)] for k in labels])
    marginal = bright["mean"][in_test()].mean() - bright["mean"][made.splits == "train"].mean()
    assert marginal > 0.09
    found = by_code(made)
    assert found["A-SHIFT-01"].severity == "passed"
    assert found["A-SHIFT-03"].severity == "passed"


def test_a_shift_within_one_class_is_found_beside_another_prevalence(material):
    positive = np.arange(COUNT) // 2 % 2 == 1
    moved = {"sharpness": lambda rng: 0.5 + 0.05 * (rng.normal(size=COUNT) + 2 * (in_test() & positive))}
    assert by_code(plain(material, statistics=moved))["A-SHIFT-01"].numbers["p"] == 1 / 200


def test_p_values_of_equal_splits_are_uniform_with_images_of_a_patient_alike(material):
    """Ten images per patient: a test that permuted images would find a shift in most of these sets."""
    low = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        patient = np.arange(400) // 10
        alike = {name: rng.normal(0.5, 0.05, 40)[patient] for name in ("mean", "sd", "p50", "sharpness")}
        made = plain(
            material,
            400,
            seed,
            alike,
            patient=[f"P{p}" for p in patient],
            label=[("normal", "pneumonia")[p % 2] for p in patient],
            split=["test" if p // 2 % 3 == 0 else "train" for p in patient],
        )
        low += by_code(made)["A-SHIFT-01"].numbers["p"] <= 0.1
    assert low <= 9  # binomial(40, 0.1): P(more) = 0.5 %


def test_features_are_compared_where_they_are(material):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(COUNT, 200)).astype(np.float32)
    assert by_code(plain(material, features=features))["A-SHIFT-02"].severity == "passed"
    features[in_test(), :20] += 1
    finding = by_code(plain(material, features=features))["A-SHIFT-02"]
    assert finding.severity == "warning"
    assert finding.numbers["columns"] == 64


def test_constant_features_tell_nothing_apart(material):
    finding = by_code(plain(material, features=np.ones((COUNT, 8), np.float32)))["A-SHIFT-02"]
    assert finding.severity == "passed"
    assert finding.numbers["auroc"]["value"] == 0.5


def test_reduced_features_keep_the_variance_they_can():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(300, 3)) @ rng.normal(size=(3, 40))).astype(np.float32)
    components = reduced(features, most=5)
    assert components.shape == (300, 5)
    standard = (features - features.mean(0)) / features.std(0)
    assert (components[:, :3] ** 2).sum() == pytest.approx((standard**2).sum(), rel=1e-4)
    assert reduced(features[:, :2]).shape == (300, 2)
    assert reduced(np.concatenate([features, np.ones((300, 1), np.float32)], axis=1), most=99).shape == (300, 40)
    assert not reduced(np.ones((300, 4), np.float32)).any()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"declared_splits": False}, "drawn here"),
        ({"split": ["train"] * COUNT}, "no split test"),
        ({"split": ["test" if k < 12 else "train" for k in range(COUNT)]}, "fewer than 10 patients"),
        ({"patient": ["A" if k < 560 else f"B{k}" for k in range(COUNT)]}, "fewer than 10 patients"),
        ({"label": ["pneumonia" if t else "normal" for t in in_test()]}, "fewer than 10 patients"),
    ],
)
def test_what_cannot_be_compared_is_not_passed(material, options, reason):
    found = by_code(plain(material, **options))
    assert {found[f"A-SHIFT-{k:02}"].severity for k in (1, 2, 3)} == {"not_applicable"}
    assert reason in found["A-SHIFT-01"].message


def test_images_of_patients_in_both_splits_are_left_out(material):
    patients = [f"P{k // 2}" for k in range(COUNT)]
    patients[0] = patients[in_test().argmax()]  # of train
    found = by_code(plain(material, patient=patients))["A-SHIFT-01"]
    splits = plain(material).splits
    assert found.total == int(np.isin(splits, ("train", "test")).sum()) - 3


def test_large_splits_are_sampled(material):
    count = 14_000
    found = by_code(plain(material, count))["A-SHIFT-01"]
    assert found.total <= 5_000 + count // 5
    assert found.severity == "passed"


def test_the_same_data_give_the_same_findings(material):
    assert check(plain(material)) == check(plain(material))
