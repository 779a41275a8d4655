import itertools
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from xenograft.errors import DataError
from xenograft.evaluation.averages import AVERAGED, AVERAGES, multiclass_averages, multilabel_averages
from xenograft.evaluation.metrics import binary_metrics, multiclass_metrics, per_class_metrics
from xenograft.evaluation.multilabel import multilabel_metrics, per_label_metrics

NAMES = [f"{metric}_{average}" for metric in AVERAGED for average in AVERAGES]
CUTS = [0.5, 0.35, 0.6]


def classes_case(seed, classes=4, n=150, decimals=8):
    """Classes of unequal size and probabilities that know something of them; ties with few decimals."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), np.minimum(rng.geometric(0.45, n - classes) - 1, classes - 1)]
    table = rng.dirichlet(np.ones(classes), n) * 0.7 + 0.3 * np.eye(classes)[labels]
    table = np.round(table, decimals)
    return labels, table / table.sum(axis=1, keepdims=True)


def findings_case(seed, missing=0.3, n=160, decimals=2):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 3)) < [0.5, 0.3, 0.12]).astype(np.int64)
    scores = np.clip(np.round(0.3 * truth + rng.random((n, 3)) * 0.7, decimals), 0, 1)
    return np.where(rng.random((n, 3)) < missing, -1, truth), scores


def decisions(labels, predicted, average, weights):
    options = {"average": average, "sample_weight": weights, "zero_division": 0}
    return {
        "precision": sk.precision_score(labels, predicted, **options),
        "recall": sk.recall_score(labels, predicted, **options),
        "f1": sk.f1_score(labels, predicted, **options),
    }


def classes_reference(labels, table, weights=None):
    shown, found = np.eye(table.shape[1], dtype=int)[labels], {}
    for average in AVERAGES:
        values = decisions(labels, table.argmax(axis=1), average, weights) | {
            "auroc": sk.roc_auc_score(labels, table, multi_class="ovr", average=average, sample_weight=weights),
            "average_precision": sk.average_precision_score(shown, table, average=average, sample_weight=weights),
        }
        found |= {f"{metric}_{average}": value for metric, value in values.items()}
    return found


def findings_reference(labels, scores, weights=None):
    """Of findings that are all known."""
    found = {}
    for average in AVERAGES:
        values = decisions(labels, (scores >= CUTS).astype(int), average, weights) | {
            "auroc": sk.roc_auc_score(labels, scores, average=average, sample_weight=weights),
            "average_precision": sk.average_precision_score(labels, scores, average=average, sample_weight=weights),
        }
        found |= {f"{metric}_{average}": value for metric, value in values.items()}
    return found


def hand_till(labels, table, weights):
    """The mean over pairs, pair by pair."""
    found = []
    for i, j in itertools.permutations(range(table.shape[1]), 2):
        of_i, of_j = labels == i, labels == j
        above = table[of_i, i][:, None] - table[of_j, i]
        pairs = weights[of_i][:, None] * weights[of_j]
        found.append((pairs * ((above > 0) + 0.5 * (above == 0))).sum() / pairs.sum())
    return np.mean(found)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decimals", [1, 8])
def test_classes_agree_with_scikit_learn(seed, decimals):
    labels, table = classes_case(seed, decimals=decimals)
    got = multiclass_averages(labels, table)
    ovo = got.pop("auroc_ovo")
    assert list(got) == NAMES
    assert got == pytest.approx(classes_reference(labels, table), abs=1e-12)
    assert ovo == pytest.approx(sk.roc_auc_score(labels, table, multi_class="ovo", average="macro"), abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 8])
@pytest.mark.parametrize("fractions", [False, True])
def test_weighted_classes_agree_with_scikit_learn(fractions, decimals):
    labels, table = classes_case(5, decimals=decimals)
    rng = np.random.default_rng(1)
    weights = rng.random((4, 150)) if fractions else rng.integers(0, 4, (4, 150)).astype(float)
    got = multiclass_averages(labels, table, weights=weights)
    for b, drawn in enumerate(weights):
        values = {m: v[b] for m, v in got.items()}
        assert values.pop("auroc_ovo") == pytest.approx(hand_till(labels, table, drawn), abs=1e-12)
        assert values == pytest.approx(classes_reference(labels, table, drawn), abs=1e-12)
    assert multiclass_averages(labels, table, weights=weights[0])["auroc_ovo"].shape == ()


def test_one_versus_one_of_repeated_images_is_that_of_their_weights():
    labels, table = classes_case(6)
    times = np.random.default_rng(2).integers(1, 4, len(labels))
    rows = np.repeat(np.arange(len(labels)), times)
    expected = sk.roc_auc_score(labels[rows], table[rows], multi_class="ovo", average="macro")
    assert multiclass_averages(labels, table, weights=times)["auroc_ovo"] == pytest.approx(expected)


def test_macro_is_that_of_multiclass_metrics():
    labels, table = classes_case(7)
    got, whole = multiclass_averages(labels, table), multiclass_metrics(labels, table)
    assert {m: got[f"{m}_macro"] for m in AVERAGED} == pytest.approx({m: whole[m] for m in AVERAGED}, abs=1e-12)


def test_micro_decisions_and_weighted_recall_are_the_accuracy():
    labels, table = classes_case(8)
    got, accuracy = multiclass_averages(labels, table), multiclass_metrics(labels, table)["accuracy"]
    for name in ("precision_micro", "recall_micro", "f1_micro", "recall_weighted"):
        assert got[name] == pytest.approx(accuracy)


def test_two_classes_have_one_auroc():
    rng = np.random.default_rng(9)
    labels, scores = np.arange(80) % 2, rng.random(80)
    got = multiclass_averages(labels, np.stack([1 - scores, scores], axis=1))
    auroc = binary_metrics(labels, scores, threshold=0.5)["auroc"]
    for name in ("auroc_macro", "auroc_weighted", "auroc_ovo"):
        assert got[name] == pytest.approx(auroc)


def test_one_versus_one_does_not_depend_on_how_frequent_classes_are():
    labels, table = classes_case(10)
    rare = np.where(labels == 0, 0.1, 1.0)
    got, whole = multiclass_averages(labels, table, weights=rare), multiclass_averages(labels, table)
    assert got["auroc_ovo"] == pytest.approx(whole["auroc_ovo"])
    assert abs(got["auroc_macro"] - whole["auroc_macro"]) > 1e-4


def test_a_class_that_no_resampled_image_has():
    labels, table = classes_case(11)
    weights = np.stack([np.ones(150), labels != 2])
    got = multiclass_averages(labels, table, weights=weights)
    undefined = {name for name, values in got.items() if np.isnan(values[1])}
    assert undefined == {"recall_macro", "auroc_macro", "average_precision_macro", "auroc_ovo"}
    rows, kept = per_class_metrics(labels, table, weights=weights[1]), [0, 1, 3]
    support = np.bincount(labels)[kept]
    expected = np.average([float(rows[k]["auroc"]) for k in kept], weights=support)
    assert got["auroc_weighted"][1] == pytest.approx(expected)
    assert not any(np.isnan(values[0]) for values in got.values())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decimals", [1, 8])
def test_findings_agree_with_scikit_learn(seed, decimals):
    labels, scores = findings_case(seed, missing=0, decimals=decimals)
    got = multilabel_averages(labels, scores, thresholds=CUTS)
    assert list(got) == NAMES
    assert got == pytest.approx(findings_reference(labels, scores), abs=1e-12)


@pytest.mark.parametrize("fractions", [False, True])
def test_weighted_findings_agree_with_scikit_learn(fractions):
    labels, scores = findings_case(5, missing=0)
    rng = np.random.default_rng(1)
    weights = rng.random((4, 160)) if fractions else rng.integers(0, 4, (4, 160))
    got = multilabel_averages(labels, scores, thresholds=CUTS, weights=weights)
    for b, drawn in enumerate(weights):
        assert {m: v[b] for m, v in got.items()} == pytest.approx(findings_reference(labels, scores, drawn), abs=1e-12)


def test_unknown_entries_are_left_out_of_micro():
    labels, scores = findings_case(6)
    drawn = np.random.default_rng(2).random(160)
    known = labels >= 0
    pooled = labels[known], scores[known], np.repeat(drawn[:, None], 3, axis=1)[known]
    said = (scores >= CUTS)[known]
    got = multilabel_averages(labels, scores, thresholds=CUTS, weights=drawn)
    assert got["auroc_micro"] == pytest.approx(sk.roc_auc_score(pooled[0], pooled[1], sample_weight=pooled[2]))
    assert got["average_precision_micro"] == pytest.approx(
        sk.average_precision_score(pooled[0], pooled[1], sample_weight=pooled[2])
    )
    assert got["f1_micro"] == pytest.approx(sk.f1_score(pooled[0], said, sample_weight=pooled[2]))


def test_unknown_entries_are_left_out_of_the_others():
    labels, scores = findings_case(7)
    drawn = np.random.default_rng(3).random(160)
    got = multilabel_averages(labels, scores, thresholds=CUTS, weights=drawn)
    whole = multilabel_metrics(labels, scores, thresholds=CUTS, weights=drawn)
    rows = per_label_metrics(labels, scores, thresholds=CUTS, weights=drawn)
    support = drawn @ (labels == 1)
    for metric in AVERAGED:
        assert got[f"{metric}_macro"] == pytest.approx(whole[metric], abs=1e-12)
        assert got[f"{metric}_weighted"] == pytest.approx(np.average([row[metric] for row in rows], weights=support))


def test_probabilities_of_unknown_labels_do_not_matter():
    labels, scores = findings_case(8)
    other = np.where(labels == -1, 1 - scores, scores)
    assert not np.array_equal(other, scores)
    assert multilabel_averages(labels, other) == multilabel_averages(labels, scores)


def test_a_finding_that_is_known_nowhere_leaves_only_macro_undefined():
    labels, scores = findings_case(9)
    labels[:, 2] = -1
    got, without = multilabel_averages(labels, scores), multilabel_averages(labels[:, :2], scores[:, :2])
    assert {name for name, value in got.items() if math.isnan(value)} == {f"{metric}_macro" for metric in AVERAGED}
    defined = [name for name in NAMES if "macro" not in name]
    assert {name: got[name] for name in defined} == pytest.approx({name: without[name] for name in defined})


def test_nothing_known_is_undefined():
    got = multilabel_averages(np.full((4, 2), -1), np.full((4, 2), 0.5))
    assert all(math.isnan(value) for value in got.values())


def test_unusable_input():
    with pytest.raises(DataError, match="C >= 2"):
        multiclass_averages(np.array([0, 1]), np.array([0.5, 0.5]))
    with pytest.raises(DataError, match="one for each of 2 findings"):
        multilabel_averages(np.array([[0, 1]]), np.array([[0.1, 0.2]]), thresholds=[0.5])
    with pytest.raises(DataError, match="weights"):
        multilabel_averages(np.array([[0, 1]]), np.array([[0.1, 0.2]]), weights=np.ones(3))
