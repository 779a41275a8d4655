import json
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xenograft.auditing.trivial import (
    MILD,
    STRENGTHS,
    aurocs,
    grouped_folds,
    out_of_fold,
    predicted,
    sampled,
    trivial_baseline,
    trivial_features,
)
from xenograft.errors import DataError


def told(count, **facts):
    return [json.dumps({key: values[k] for key, values in facts.items() if values[k]}) for k in range(count)]


def test_table_has_a_column_for_everything_that_is_not_anatomy(material):
    made = material(count=40, width=[200] * 20 + [400] * 20, height=[100] * 40, bytes=np.arange(1, 41) * 1000)
    table = trivial_features(made)
    assert table.values.shape == (40, len(table.names)) == (40, len(table.families))
    assert np.isfinite(table.values).all()
    assert list(dict.fromkeys(table.families)) == [
        "file size", "dimensions", "depth and colour", "file type", "intensity", "histogram", "border",
    ]  # fmt: skip
    assert np.allclose(np.exp(table.of("file size")[:, 0]), np.arange(1, 41) * 1000)
    assert table.of("dimensions")[[0, -1], 2].tolist() == [2, 4]
    assert np.allclose((table.of("histogram") ** 2).sum(axis=1), 1, atol=1e-5)
    assert table.names[table.families.index("border")] == "border_mean"
    assert table.of("border").shape == (40, 2)
    assert "colour" not in [n for n, f in zip(table.names, table.families, strict=True) if f == "intensity"]


def test_words_become_levels_rare_ones_pooled_and_missing_its_own(material):
    makers = ["Siemens"] * 20 + ["Philips"] * 10 + ["GE", "Agfa"] + [""] * 8
    table = trivial_features(material(count=40, acquisition=told(40, manufacturer=makers)))
    names = [n for n, f in zip(table.names, table.families, strict=True) if f == "acquisition: manufacturer"]
    assert names == ["manufacturer = Philips", "manufacturer = (missing)", "manufacturer = (other)"]
    assert table.of("acquisition: manufacturer").sum(axis=0).tolist() == [10, 8, 2]


def test_ages_are_numbers_in_years_with_the_median_where_they_are_missing(material):
    ages = [f"{k:03}Y" for k in range(20, 57)] + ["006M", "", "unknown"]
    table = trivial_features(material(count=40, acquisition=told(40, age=ages)))
    age = table.of("acquisition: age")
    assert age.shape == (40, 2)
    assert age[:3, 0].tolist() == [20, 21, 22]
    assert age[37].tolist() == [0.5, 0]
    median = float(np.median([*range(20, 57), 0.5]))
    assert age[38].tolist() == age[39].tolist() == [median, 1]


def test_hostile_facts_do_not_break_the_table(material):
    values = ["9" * 400, "1e308", "-1e99", "a\x00b\nc", "\udcff", "nan", "inf", "٣"] * 5
    table = trivial_features(material(count=40, acquisition=told(40, age=values, **{"k\n": values})))
    assert np.isfinite(table.values).all()
    assert all(name.isprintable() for name in (*table.names, *table.families))


def test_few_numbers_are_levels(material):
    sites = [str(k % 4) for k in range(40)]
    table = trivial_features(material(count=40, acquisition=told(40, site=sites)))
    assert table.of("acquisition: site").shape == (40, 3)
    assert set(np.unique(table.of("acquisition: site"))) == {0, 1}


def test_a_sample_keeps_groups_whole_and_rare_classes_complete():
    rng = np.random.default_rng(0)
    labels = (rng.random(6000) < 0.02).astype(np.int64)
    groups = np.arange(6000) // 3
    chosen = sampled(labels, groups, most=1000, seed=1)
    assert 1000 <= len(chosen) < 1600
    assert np.array_equal(np.isin(groups, groups[chosen]), np.isin(np.arange(6000), chosen))
    assert np.isin(np.flatnonzero(labels == 1), chosen).all()
    assert np.array_equal(chosen, sampled(labels, groups, most=1000, seed=1))
    assert not np.array_equal(chosen, sampled(labels, groups, most=1000, seed=2))
    assert np.array_equal(sampled(labels, groups, most=6000, seed=1), np.arange(6000))


def test_folds_never_cut_a_group_and_are_alike():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 300, 1000)
    labels = (rng.permutation(300) < 90)[groups].astype(np.int64)
    fold = grouped_folds(labels, groups, seed=0)
    assert all(len(np.unique(fold[groups == g])) == 1 for g in np.unique(groups))
    sizes = np.array([[((fold == f) & (labels == k)).sum() for k in (0, 1)] for f in range(5)])
    assert (sizes.max(axis=0) / sizes.min(axis=0)).max() < 1.25
    assert not np.array_equal(fold, grouped_folds(labels, groups, seed=1))


def test_folds_follow_the_smallest_class():
    labels = np.array([0] * 10 + [1] * 3)
    assert set(grouped_folds(labels, np.arange(13), seed=0)) == {0, 1, 2}
    assert grouped_folds(labels, np.r_[np.arange(10), [20, 20, 20]], seed=0) is None


@pytest.fixture
def columns():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 240)
    return rng.normal(size=(240, 4)) + 1.2 * np.eye(4)[labels], labels


def test_out_of_fold_agrees_with_scikit_learn(columns):
    values, labels = columns
    folds = grouped_folds(labels, np.arange(240) // 2, seed=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=MILD, class_weight="balanced", max_iter=500))
    theirs = cross_val_predict(model, values, labels, cv=PredefinedSplit(folds), method="predict_proba")
    ours, strength = out_of_fold(values, labels, folds)
    assert strength == MILD
    assert np.allclose(ours, theirs, atol=5e-3)


def test_the_strength_with_the_lowest_loss_is_chosen(columns):
    values, labels = columns
    noise = np.random.default_rng(0).normal(size=(240, 150))
    folds = grouped_folds(labels, np.arange(240), seed=0)
    assert out_of_fold(noise, labels, folds, strengths=STRENGTHS)[1] == STRENGTHS[0]
    assert out_of_fold(10 * values, labels, folds, strengths=STRENGTHS)[1] > STRENGTHS[0]


def test_one_class_predicts_itself():
    assert predicted(np.ones((4, 1)), np.full(4, 1), np.ones((2, 1)), classes=3).tolist() == [[0, 1, 0]] * 2


def test_aurocs_agree_with_scikit_learn(columns):
    values, labels = columns
    folds = grouped_folds(labels, np.arange(240), seed=0)
    probabilities, _ = out_of_fold(values, labels, folds)
    found = aurocs(labels, {"all": probabilities}, np.arange(240), resamples=100, seed=0)["all"]
    assert found["value"] == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"))
    assert found["low"] < found["value"] < found["high"]
    assert found == aurocs(labels, {"all": probabilities}, np.arange(240), resamples=100, seed=0)["all"]


def test_images_are_compared_within_strata_only():
    rng = np.random.default_rng(0)
    strata = np.repeat([0, 1, 2], 40)
    labels = rng.integers(0, 2, 120)
    scores = rng.normal(size=120) + labels + 100 * strata * (1 - labels.mean())
    scores[strata == 2] = 5.0
    labels[strata == 2] = 1  # a stratum without a pair
    found = aurocs(labels, {"": scores}, np.arange(120), strata=strata, resamples=20, seed=0)[""]
    parts = [(labels[strata == s], scores[strata == s]) for s in (0, 1)]
    pairs = [truth.sum() * (40 - truth.sum()) for truth, _ in parts]
    assert found["value"] == pytest.approx(np.average([roc_auc_score(*part) for part in parts], weights=pairs))


@pytest.fixture
def large_files(material):
    """The positive class has larger files by one standard deviation."""
    rng = np.random.default_rng(5)
    labels = np.arange(1200) // 2 % 2
    return material(count=1200, bytes=np.exp(10 + 0.2 * (labels + rng.normal(size=1200))).astype(int))


def test_baseline_finds_what_was_planted(large_files):
    splits = large_files.splits
    train, test = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    found = trivial_baseline(large_files, train, test, resamples=200, seed=0)
    truth = 0.5 * (1 + math.erf(1 / 2))
    assert found["auroc"]["low"] < truth < found["auroc"]["high"]
    assert found["probabilities"].shape == (len(test), 2)
    assert np.allclose(found["probabilities"].sum(axis=1), 1)
    theirs = roc_auc_score(large_files.labels[test], found["probabilities"][:, 1])
    assert found["auroc"]["value"] == pytest.approx(theirs)
    assert found["strength"] in STRENGTHS
    assert (found["train"], found["test"]) == (len(train), len(test))
    assert "log bytes" in found["columns"]


def test_baseline_looks_at_test_labels_for_the_score_only(material, large_files):
    splits, labels = large_files.splits, large_files.manifest.column("label")
    train, test = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    other = ["normal" if s == "test" else label for s, label in zip(splits, labels, strict=True)]
    turned = material(count=1200, label=other, bytes=large_files.manifest.column("bytes"))
    first, second = (trivial_baseline(m, train, test, resamples=20, seed=0) for m in (large_files, turned))
    assert np.array_equal(first["probabilities"], second["probabilities"])
    assert second["auroc"]["value"] is None  # one class in test


def test_baseline_of_three_classes(material):
    labels = np.arange(300) // 2 % 3
    made = material(count=300, classes=("a", "b", "c"), width=200 + 40 * labels)
    train, test = np.flatnonzero(made.splits != "test"), np.flatnonzero(made.splits == "test")
    found = trivial_baseline(made, train, test, resamples=20, seed=0)
    assert found["probabilities"].shape == (len(test), 3)
    assert found["auroc"]["value"] > 0.99


def test_baseline_needs_two_classes_and_a_test(material):
    made = material(count=40)
    normal = np.flatnonzero(made.labels == 0)
    with pytest.raises(DataError, match="1 classes"):
        trivial_baseline(made, normal, normal, resamples=20, seed=0)
    with pytest.raises(DataError, match="0 images"):
        trivial_baseline(made, np.arange(40), normal[:0], resamples=20, seed=0)
