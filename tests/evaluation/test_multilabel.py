import math

import numpy as np
import pytest
from sklearn import metrics as sk

from xenograft.errors import DataError
from xenograft.evaluation.metrics import METRICS, binary_metrics
from xenograft.evaluation.multilabel import groups_of, multilabel_metrics, per_label_metrics

CUTS = [0.5, 0.35, 0.6]


def case(seed, n=160, missing=0.3, decimals=2):
    """Labels (n, 3) with gaps, a rare finding among them, and scores with ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 3)) < [0.5, 0.3, 0.12]).astype(np.int64)
    scores = np.clip(np.round(0.3 * truth + rng.random((n, 3)) * 0.7, decimals), 0, 1)
    return np.where(rng.random((n, 3)) < missing, -1, truth), scores


def reference(labels, scores, threshold, weights=None):
    predicted = (scores >= threshold).astype(int)
    kw = {"sample_weight": weights}
    recall, specificity = (sk.recall_score(labels, predicted, pos_label=k, **kw) for k in (1, 0))
    return {
        "loss": sk.log_loss(labels, np.clip(np.stack([1 - scores, scores], axis=1), 1e-7, 1 - 1e-7), **kw),
        "accuracy": sk.accuracy_score(labels, predicted, **kw),
        "precision": sk.precision_score(labels, predicted, zero_division=0, **kw),
        "recall": recall,
        "specificity": specificity,
        "f1": sk.f1_score(labels, predicted, zero_division=0, **kw),
        "g_mean": math.sqrt(recall * specificity),
        "auroc": sk.roc_auc_score(labels, scores, **kw),
        "average_precision": sk.average_precision_score(labels, scores, **kw),
    }


def references(labels, scores, cuts, weights=None):
    known = [column != -1 for column in labels.T]
    return [
        reference(labels[rows, k], scores[rows, k], cuts[k], None if weights is None else weights[rows])
        for k, rows in enumerate(known)
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decimals", [1, 8])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_each_finding_agrees_with_scikit_learn_on_the_images_where_it_is_known(seed, decimals, missing):
    labels, scores = case(seed, decimals=decimals, missing=missing)
    expected = references(labels, scores, CUTS)
    got = per_label_metrics(labels, scores, thresholds=CUTS)
    assert [tuple(row) for row in got] == [METRICS] * 3
    for row, wanted in zip(got, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-12, rel=1e-12)
    means = {name: np.mean([row[name] for row in expected]) for name in METRICS}
    assert multilabel_metrics(labels, scores, thresholds=CUTS) == pytest.approx(means, abs=1e-12, rel=1e-12)


@pytest.mark.parametrize("fractions", [False, True])
def test_weights_agree_with_scikit_learn(fractions):
    labels, scores = case(5)
    rng = np.random.default_rng(1)
    weights = rng.random((4, len(labels))) if fractions else rng.integers(0, 4, (4, len(labels)))
    got = per_label_metrics(labels, scores, weights=weights)
    means = multilabel_metrics(labels, scores, weights=weights)
    for b, drawn in enumerate(weights):
        expected = references(labels, scores, [0.5] * 3, drawn)
        for row, wanted in zip(got, expected, strict=True):
            assert {m: v[b] for m, v in row.items()} == pytest.approx(wanted, abs=1e-12, rel=1e-12)
        assert means["f1"][b] == pytest.approx(np.mean([wanted["f1"] for wanted in expected]))
    assert multilabel_metrics(labels, scores, weights=weights[0])["auroc"].shape == ()


def test_mean_accuracy_is_the_share_of_right_decisions_where_everything_is_known():
    labels, scores = case(6, missing=0)
    right = (scores >= 0.5) == (labels == 1)
    assert multilabel_metrics(labels, scores)["accuracy"] == pytest.approx(right.mean())


def test_probabilities_of_unknown_labels_do_not_matter():
    labels, scores = case(7)
    other = np.where(labels == -1, np.random.default_rng(8).integers(0, 2, labels.shape), scores)
    assert not np.array_equal(other, scores)
    assert per_label_metrics(labels, other) == per_label_metrics(labels, scores)
    assert multilabel_metrics(labels, other) == multilabel_metrics(labels, scores)


def test_findings_in_another_order_give_the_same_numbers_in_that_order():
    labels, scores = case(9)
    order = [2, 0, 1]
    got = per_label_metrics(labels[:, order], scores[:, order], thresholds=[CUTS[k] for k in order])
    straight = per_label_metrics(labels, scores, thresholds=CUTS)
    assert got == [straight[k] for k in order]


def test_a_finding_without_positives_leaves_the_means_undefined_and_the_others_whole():
    labels, scores = case(10)
    without = labels.copy()
    without[:, 1] = np.minimum(without[:, 1], 0)
    got, whole = per_label_metrics(without, scores), per_label_metrics(labels, scores)
    assert (got[0], got[2]) == (whole[0], whole[2])
    undefined = {"recall", "g_mean", "auroc", "average_precision"}
    assert {name for name, v in got[1].items() if math.isnan(v)} == undefined
    assert {name for name, v in multilabel_metrics(without, scores).items() if math.isnan(v)} == undefined


def test_a_finding_that_is_known_nowhere_is_undefined_throughout():
    labels, scores = case(11)
    labels[:, 2] = -1
    assert all(math.isnan(v) for v in per_label_metrics(labels, scores)[2].values())
    assert not any(math.isnan(v) for v in per_label_metrics(labels, scores)[1].values())
    assert all(math.isnan(v) for v in multilabel_metrics(labels, scores).values())


def test_weights_that_hold_no_known_label_leave_a_finding_undefined():
    labels = np.array([[1, 1], [0, -1], [1, -1]])
    weights = np.array([[1.0, 1, 1], [0, 1, 1]])
    rows = per_label_metrics(labels, np.full((3, 2), 0.9), weights=weights)
    assert [name for name in METRICS if np.isnan(rows[1][name]).tolist() != [False, True]] == [
        "specificity", "g_mean", "auroc",  # without a negative in either
    ]  # fmt: skip
    assert rows[0]["f1"].tolist() == pytest.approx([0.8, 2 / 3])


@pytest.mark.parametrize("seed", range(6))
def test_groups_keep_ranking_metrics_and_are_few(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(300) < 0.05
    scores = np.round(rng.random(300), 1 + seed)
    groups = groups_of(truth, scores)
    raw, coarse = (binary_metrics(truth, s, threshold=0.5) for s in (scores, 1 - groups / max(groups.max(), 1)))
    assert {m: coarse[m] for m in ("auroc", "average_precision")} == pytest.approx(
        {m: raw[m] for m in ("auroc", "average_precision")}, abs=1e-12
    )
    assert np.array_equal(np.unique(groups), np.arange(groups.max() + 1))
    assert groups.max() <= 2 * truth.sum()
    assert (np.diff(groups[np.argsort(-scores, kind="stable")]) >= 0).all()


@pytest.mark.parametrize(
    ("labels", "scores", "thresholds", "message"),
    [
        ([0, 1], [0.1, 0.2], 0.5, "labels: got shape"),
        ([[0, 2]], [[0.1, 0.2]], 0.5, "values 0 to 2"),
        ([[0, -2]], [[0.1, 0.2]], 0.5, "values -2 to 0"),
        ([[0.0, 1.0]], [[0.1, 0.2]], 0.5, "integers"),
        ([[0, 1]], [[0.1], [0.2]], 0.5, "the shape of labels"),
        ([[0, 1]], [[0.1, np.nan]], 0.5, "1 nan of 2"),
        ([[0, 1]], [[0.1, 1.5]], 0.5, "values 0.1 to 1.5"),
        ([[0, 1]], [[0.1, 0.2]], [0.5], "one for each of 2 findings"),
        ([[0, 1]], [[0.1, 0.2]], [0.5, 1.5], "threshold: got 1.5"),
    ],
)
def test_unusable_input(labels, scores, thresholds, message):
    with pytest.raises(DataError, match=message) as caught:
        multilabel_metrics(np.array(labels), np.array(scores), thresholds=thresholds)
    assert caught.value.code == "E-DATA-05"


def test_no_image_is_unusable():
    with pytest.raises(DataError, match="N > 0"):
        per_label_metrics(np.zeros((0, 3), dtype=int), np.zeros((0, 3)))
