import math

import numpy as np
import pytest
from sklearn import metrics as sk

from xenograft.errors import DataError
from xenograft.evaluation.metrics import METRICS, binary_metrics, confusion, multiclass_metrics, per_class_metrics

CLIP = 1e-7


def binary_reference(labels, scores, threshold, weights=None):
    predicted = (scores >= threshold).astype(int)
    kw = {"sample_weight": weights}
    recall = sk.recall_score(labels, predicted, **kw)
    specificity = sk.recall_score(labels, predicted, pos_label=0, **kw)
    return {
        "loss": sk.log_loss(labels, np.clip(np.stack([1 - scores, scores], axis=1), CLIP, 1 - CLIP), **kw),
        "accuracy": sk.accuracy_score(labels, predicted, **kw),
        "precision": sk.precision_score(labels, predicted, zero_division=0, **kw),
        "recall": recall,
        "specificity": specificity,
        "f1": sk.f1_score(labels, predicted, zero_division=0, **kw),
        "g_mean": math.sqrt(recall * specificity),
        "auroc": sk.roc_auc_score(labels, scores, **kw),
        "average_precision": sk.average_precision_score(labels, scores, **kw),
    }


def binary_data(seed, n=151, decimals=1):
    """Scores rounded to a few distinct values, zeros and ones among them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return labels, np.clip(np.round(0.4 * labels + 0.5 * rng.normal(0.6, 0.6, n), decimals), 0, 1)


def multiclass_data(seed, n=120, classes=4):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, n - classes)]
    raw = rng.integers(1, 5, (n, classes)) + 2 * np.eye(classes)[labels]
    return labels, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 8])
@pytest.mark.parametrize("threshold", [0.5, 0.1, 1.0])
def test_binary_agrees_with_scikit_learn(seed, decimals, threshold):
    labels, scores = binary_data(seed, decimals=decimals)
    got = binary_metrics(labels, scores, threshold=threshold)
    assert tuple(got) == METRICS
    assert got == pytest.approx(binary_reference(labels, scores, threshold), abs=1e-12, rel=1e-12)


@pytest.mark.parametrize("decimals", [1, 8])
def test_binary_weights_agree_with_scikit_learn_and_with_repeated_rows(decimals):
    labels, scores = binary_data(7, decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 4, (6, labels.size))
    got = binary_metrics(labels, scores, threshold=0.5, weights=weights.astype(np.float32))
    for b, row in enumerate(weights):
        values = {name: v[b] for name, v in got.items()}
        assert values == pytest.approx(binary_reference(labels, scores, 0.5, row), abs=1e-12, rel=1e-12)
        repeated = binary_metrics(np.repeat(labels, row), np.repeat(scores, row), threshold=0.5)
        assert values == pytest.approx(repeated, abs=1e-12, rel=1e-12)


def test_fractional_weights_agree_with_scikit_learn():
    labels, scores = binary_data(8)
    weights = np.random.default_rng(2).random(labels.size)
    got = binary_metrics(labels, scores, threshold=0.5, weights=weights)
    assert got["auroc"].shape == ()
    values = {name: float(v) for name, v in got.items()}
    assert values == pytest.approx(binary_reference(labels, scores, 0.5, weights), abs=1e-12, rel=1e-12)


def test_resnet18_transfer_row_of_the_paper():
    labels = np.repeat([1, 0, 1, 0], [384, 37, 6, 197])
    scores = np.repeat([0.9, 0.9, 0.1, 0.1], [384, 37, 6, 197])
    got = binary_metrics(labels, scores, threshold=0.5)
    percent = {name: round(100 * got[name], 1) for name in ("accuracy", "precision", "recall")}
    assert percent == {"accuracy": 93.1, "precision": 91.2, "recall": 98.5}
    assert round(got["g_mean"], 3) == 0.910  # the paper prints 0.904
    assert confusion(labels, (scores >= 0.5).astype(int), classes=2).tolist() == [[197, 37], [6, 384]]


def test_a_score_at_the_threshold_is_positive():
    assert binary_metrics(np.array([1, 0]), np.array([0.5, 0.4]), threshold=0.5)["accuracy"] == 1


def test_all_scores_equal():
    got = binary_metrics(np.array([0, 1, 1, 1]), np.full(4, 0.3), threshold=0.5)
    assert got["auroc"] == 0.5
    assert got["average_precision"] == 0.75


def test_all_predicted_negative_has_zero_precision_and_f1():
    got = binary_metrics(np.array([0, 1]), np.array([0.1, 0.2]), threshold=0.5)
    assert (got["precision"], got["recall"], got["f1"], got["specificity"], got["g_mean"]) == (0, 0, 0, 1, 0)


def test_a_missing_class_leaves_its_metrics_undefined():
    positive = binary_metrics(np.array([1, 1]), np.array([0.6, 0.4]), threshold=0.5)
    assert {name for name, v in positive.items() if math.isnan(v)} == {"specificity", "g_mean", "auroc"}
    negative = binary_metrics(np.array([0, 0]), np.array([0.6, 0.4]), threshold=0.5)
    undefined = {"recall", "g_mean", "auroc", "average_precision"}
    assert {name for name, v in negative.items() if math.isnan(v)} == undefined
    weighted = binary_metrics(np.array([0, 1]), np.array([0.3, 0.7]), threshold=0.5, weights=np.array([[1, 0], [1, 1]]))
    assert np.isnan(weighted["auroc"]).tolist() == [True, False]


def test_certain_and_wrong_costs_the_clip():
    got = binary_metrics(np.array([0, 1]), np.array([1.0, 1.0]), threshold=0.5)
    assert got["loss"] == pytest.approx((-math.log(CLIP) - math.log(1 - CLIP)) / 2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_multiclass_agrees_with_scikit_learn(seed, weighted):
    labels, table = multiclass_data(seed)
    weights = np.random.default_rng(seed).integers(1, 4, labels.size) if weighted else None
    predicted, kw = table.argmax(axis=1), {"sample_weight": weights}
    got = multiclass_metrics(labels, table, weights=None if weights is None else weights[None])
    recalls = sk.recall_score(labels, predicted, average=None, **kw)
    one_hot = np.eye(4, dtype=int)[labels]
    expected = {
        "loss": sk.log_loss(labels, table, **kw),
        "accuracy": sk.accuracy_score(labels, predicted, **kw),
        "precision": sk.precision_score(labels, predicted, average="macro", zero_division=0, **kw),
        "recall": recalls.mean(),
        "f1": sk.f1_score(labels, predicted, average="macro", zero_division=0, **kw),
        "g_mean": recalls.prod() ** 0.25,
        "auroc": sk.roc_auc_score(one_hot, table, average="macro", **kw),
        "average_precision": sk.average_precision_score(one_hot, table, average="macro", **kw),
    }
    values = {name: float(np.squeeze(got[name])) for name in expected}
    assert values == pytest.approx(expected, abs=1e-12, rel=1e-12)


def test_per_class_is_one_against_the_rest():
    labels, table = multiclass_data(9)
    for k, row in enumerate(per_class_metrics(labels, table)):
        hard = binary_metrics((labels == k).astype(int), (table.argmax(axis=1) == k).astype(float), threshold=0.5)
        soft = binary_metrics((labels == k).astype(int), table[:, k], threshold=0.5)
        ranked = {"loss", "auroc", "average_precision"}
        assert row == pytest.approx({name: (soft if name in ranked else hard)[name] for name in METRICS})
    specificities = [row["specificity"] for row in per_class_metrics(labels, table)]
    assert multiclass_metrics(labels, table)["specificity"] == pytest.approx(np.mean(specificities))


def test_two_classes_agree_both_ways():
    labels, scores = binary_data(3)
    table = np.stack([1 - scores, scores], axis=1)
    got, whole = per_class_metrics(labels, table)[1], multiclass_metrics(labels, table)
    # argmax gives a tie at 0.5 to class 0, a threshold to class 1
    expected = binary_metrics(labels, scores, threshold=float(np.nextafter(0.5, 1)))
    assert got == pytest.approx(expected)
    assert {m: whole[m] for m in ("loss", "accuracy", "g_mean", "auroc")} == pytest.approx(
        {m: expected[m] for m in ("loss", "accuracy", "g_mean", "auroc")}
    )


def test_a_class_without_images_leaves_the_macro_undefined():
    got = multiclass_metrics(np.array([0, 1]), np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))
    assert got["accuracy"] == 1
    assert math.isnan(got["auroc"])
    assert math.isnan(got["recall"])


def test_confusion_rows_are_the_truth():
    assert confusion(np.array([0, 0, 2]), np.array([1, 0, 2]), classes=3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "N > 0"),
        ([[0, 1]], [0.1, 0.2], "N > 0"),
        ([0.0, 1.0], [0.1, 0.2], "integers"),
        ([0, 2], [0.1, 0.2], "0 to 1"),
        ([0, 1], [0.1], "shape of labels"),
        ([0, 1], [0.1, np.nan], "1 nan of 2"),
        ([0, 1], [0.1, 1.2], "0.1 to 1.2"),
        ([0, 1], [-np.inf, 0.2], "-inf"),
        ([0, 1], ["a", "b"], "real numbers"),
        ([0, 1], [], "at least one"),
    ],
)
def test_unusable_binary_input(labels, scores, message):
    with pytest.raises(DataError, match=message) as caught:
        binary_metrics(np.array(labels, dtype=None if labels else int), np.array(scores), threshold=0.5)
    assert caught.value.code == "E-DATA-05"


@pytest.mark.parametrize("threshold", [np.nan, -0.1, 1.1])
def test_unusable_threshold(threshold):
    with pytest.raises(DataError, match="threshold"):
        binary_metrics(np.array([0, 1]), np.array([0.1, 0.2]), threshold=threshold)


@pytest.mark.parametrize(
    "weights", [[1.0], [[1.0, 2.0, 3.0]], [-1.0, 1.0], [np.nan, 1.0], [np.inf, 1.0], [[[1.0, 1.0]]]]
)
def test_unusable_weights(weights):
    with pytest.raises(DataError, match="weights"):
        binary_metrics(np.array([0, 1]), np.array([0.1, 0.2]), threshold=0.5, weights=np.array(weights))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([0.1, 0.9], "C >= 2"),
        ([[1.0], [1.0]], "C >= 2"),
        ([[0.5, 0.5]], "one for each of 2"),
        ([[0.5, 0.5], [0.5, 0.6]], "sum of 1 by 0.1"),
        ([[0.5, 0.5], [np.nan, 0.6]], "nan"),
    ],
)
def test_unusable_probabilities(table, message):
    with pytest.raises(DataError, match=message):
        multiclass_metrics(np.array([0, 1]), np.array(table))


def test_unusable_predictions():
    with pytest.raises(DataError, match="predicted"):
        confusion(np.array([0, 1]), np.array([0]), classes=2)
    with pytest.raises(DataError, match="predicted"):
        confusion(np.array([0, 1]), np.array([0, 2]), classes=2)
