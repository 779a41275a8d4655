from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from xenograft.study.arm import measure
from xenograft.train import heads
from xenograft.train.heads import HeadData, fit_linear, fit_logistic
from xenograft.train.objective import Binary, objective_of
from xenograft.train.recipes import lookup


def data(classes: int = 2, *, views: int = 1, scale: float = 1.0, count: int = 240) -> HeadData:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count)
    centres = rng.normal(size=(classes, 12))
    features = (rng.normal(size=(count, 12)) + centres[labels]).astype(np.float32) * scale
    half = count // 2
    train = np.stack([features[:half] + rng.normal(size=(half, 12)) * 0.01 * scale for _ in range(views)])
    groups = np.arange(half) // 2
    objective = objective_of(classes)
    return HeadData(train.astype(np.float32), labels[:half], groups, features[half:], labels[half:], objective)


def findings(*, views: int = 1) -> HeadData:
    """Three findings, a quarter of the labels unknown."""
    rng = np.random.default_rng(1)
    truth = (rng.random((240, 3)) < [0.5, 0.3, 0.2]).astype(np.int64)
    features = (rng.normal(size=(views, 240, 12)) + truth @ rng.normal(size=(3, 12))).astype(np.float32)
    labels = np.where(rng.random(truth.shape) < 0.25, -1, truth)
    groups = np.arange(120) // 2
    return HeadData(features[:, :120], labels[:120], groups, features[0, 120:], labels[120:], objective_of(3, True))


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_papers_head_separates_what_can_be_separated(classes: int, views: int) -> None:
    given = data(classes, views=views)
    head = fit_linear(given, recipe=replace(lookup("probe"), head_lr=0.02), seed=0, measure=measure)
    scores = head.probabilities(given.val)
    assert scores.shape == (120, classes)
    np.testing.assert_allclose(scores.sum(1), 1.0)
    auroc = roc_auc_score(given.val_labels, scores[:, 1] if classes == 2 else scores, multi_class="ovr")
    assert auroc > 0.85
    assert len(head.history) == 20


def test_a_seed_decides_everything() -> None:
    given = data()
    first, again = (fit_linear(given, recipe=lookup("probe"), seed=4, measure=measure) for _ in range(2))
    other = fit_linear(given, recipe=lookup("probe"), seed=5, measure=measure)
    np.testing.assert_array_equal(first.weight, again.weight)
    assert not np.array_equal(first.weight, other.weight)


def test_standardising_makes_the_scale_of_features_irrelevant() -> None:
    recipe = lookup("random")
    plain, tiny = (fit_linear(d, recipe=recipe, seed=0, measure=measure) for d in (data(), data(scale=2.0**-20)))
    np.testing.assert_allclose(plain.probabilities(data().val), tiny.probabilities(data(scale=2.0**-20).val), atol=1e-4)


def test_logistic_equals_scikit_learn_at_the_chosen_strength() -> None:
    given = data()
    head = fit_logistic(given, seed=0)
    scaler = StandardScaler().fit(given.train[0])
    reference = LogisticRegression(C=head.chosen["C"], class_weight="balanced", max_iter=1000).fit(
        scaler.transform(given.train[0]), given.train_labels
    )
    expected = reference.predict_proba(scaler.transform(given.val))
    np.testing.assert_allclose(head.probabilities(given.val), expected, atol=2e-3)
    assert head.chosen["C"] in heads.STRENGTHS


def test_validation_labels_cannot_reach_the_logistic_choice() -> None:
    given = data()
    swapped = replace(given, val_labels=1 - given.val_labels, val=given.val[::-1])
    np.testing.assert_array_equal(fit_logistic(given, seed=0).weight, fit_logistic(swapped, seed=0).weight)


def test_patients_are_never_cut_by_the_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    given = data(views=2)
    seen: list[bool] = []
    original = heads.StratifiedGroupKFold.split

    def watched(self: object, x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> object:
        for inside, outside in original(self, x, y, groups):
            seen.append(set(groups[inside]).isdisjoint(groups[outside]))
            yield inside, outside

    monkeypatch.setattr(heads.StratifiedGroupKFold, "split", watched)
    fit_logistic(given, seed=0)
    assert seen == [True] * 5


class Lazy:
    """Views without the rest of an array."""

    def __init__(self, views: np.ndarray) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.views[index]


def test_logistic_takes_views_that_are_read_lazily_and_leaves_them_alone() -> None:
    given = data(views=3)
    lazy = fit_logistic(replace(given, train=Lazy(np.asarray(given.train))), seed=0)
    np.testing.assert_array_equal(lazy.weight, fit_logistic(given, seed=0).weight)
    np.testing.assert_array_equal(given.train, data(views=3).train)


def test_a_feature_that_never_moves_is_harmless() -> None:
    given = data()
    train, val = given.train.copy(), given.val.copy()
    train[..., 0], val[..., 0] = 7.0, 7.0
    head = fit_logistic(replace(given, train=train, val=val), seed=0)
    assert np.isfinite(head.weight).all()
    assert np.isfinite(head.probabilities(val)).all()


@pytest.mark.parametrize("views", [1, 2])
def test_each_finding_has_the_logistic_head_that_it_would_have_alone(views: int) -> None:
    given = findings(views=views)
    head = fit_logistic(given, seed=3)
    assert head.probabilities(given.val).shape == (120, 3)
    for k in range(3):
        known = given.train_labels[:, k] >= 0
        train = np.asarray(given.train)[:, known]
        alone = fit_logistic(
            HeadData(train, given.train_labels[known, k], given.groups[known], given.val, given.val_labels, Binary()),
            seed=3,
        )
        np.testing.assert_array_equal(head.weight[k], alone.weight[0])
        assert head.bias[k] == alone.bias[0]
        np.testing.assert_allclose(head.probabilities(given.val)[:, k], alone.probabilities(given.val)[:, 1])
        assert head.chosen[f"C_{k}"] == alone.chosen["C"]
    assert head.chosen["folds"] == 5
    assert json.loads(json.dumps(head.chosen)) == head.chosen


def test_folds_of_a_finding_keep_the_patients_of_whom_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    given = findings()
    seen: list[np.ndarray] = []
    original = heads.StratifiedGroupKFold.split

    def watched(self: object, x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> object:
        seen.append(groups)
        return original(self, x, y, groups)

    monkeypatch.setattr(heads.StratifiedGroupKFold, "split", watched)
    fit_logistic(given, seed=0)
    for k, groups in enumerate(seen):
        np.testing.assert_array_equal(groups, given.groups[given.train_labels[:, k] >= 0])
    assert len(seen) == 3


def test_what_is_unknown_of_a_finding_never_influences_its_logistic_row() -> None:
    given = findings()
    features = np.asarray(given.train).copy()
    features[:, given.train_labels[:, 1] < 0] *= -3
    np.testing.assert_array_equal(
        fit_logistic(given, seed=0).weight[1], fit_logistic(replace(given, train=features), seed=0).weight[1]
    )


@pytest.mark.parametrize(("value", "low", "high"), [(0, 0.0, 0.02), (1, 0.98, 1.0), (-1, 0.5, 0.5)])
def test_a_finding_that_is_always_the_same_gets_a_constant_answer(value: int, low: float, high: float) -> None:
    given = findings()
    labels = given.train_labels.copy()
    labels[:, 1] = np.where(labels[:, 1] >= 0, value, -1)
    head = fit_logistic(replace(given, train_labels=labels), seed=0)
    assert not head.weight[1].any()
    answers = head.probabilities(given.val)[:, 1]
    assert len(set(answers)) == 1
    assert low <= answers[0] <= high
    assert 0 < answers[0] < 1
    assert set(head.chosen) == {"C_0", "C_2", "folds"}


def test_no_finding_to_fit_leaves_nothing_chosen() -> None:
    given = findings()
    head = fit_logistic(replace(given, train_labels=np.zeros_like(given.train_labels)), seed=0)
    assert head.chosen == {}
    assert not head.weight.any()


def test_a_class_that_one_fold_would_take_whole_is_not_cross_validated() -> None:
    """Stratified folds by patient put both patients of the rare class into one."""
    groups = np.repeat([0, 1, 2], [7, 38, 38])
    labels = np.zeros(83, dtype=np.int64)
    labels[[0, 1, *range(45, 63)]] = 1
    features = np.random.default_rng(0).normal(size=(1, 83, 4)).astype(np.float32)
    given = HeadData(features, labels, groups, features[0], labels, Binary())
    inside = [np.unique(labels[part]).tolist() for part, _ in folds_of(given)]
    assert [0] in inside  # or this test shows nothing
    assert fit_logistic(given, seed=0).chosen == {"C": 1e-2, "folds": 1.0}


def folds_of(given: HeadData) -> list[tuple[np.ndarray, np.ndarray]]:
    splitter = heads.StratifiedGroupKFold(n_splits=2, shuffle=True, random_state=0)
    return list(splitter.split(np.asarray(given.train)[0], given.train_labels, given.groups))


def test_too_few_patients_to_cross_validate() -> None:
    given = data()
    single = replace(given, groups=np.zeros_like(given.groups))
    assert fit_logistic(single, seed=0).chosen == {"C": 1e-2, "folds": 1.0}
