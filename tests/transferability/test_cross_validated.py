import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from xenograft.errors import DataError
from xenograft.transferability.cross_validated import _macro_auroc, cross_validated, grouped_folds
from xenograft.transferability.task import Undefined

from .makers import task


def standardised(features, inside, outside):
    mean, sd = features[inside].mean(axis=0), features[inside].std(axis=0)
    return (features[inside] - mean) / sd, (features[outside] - mean) / sd


def pairs_auroc(labels, scores):
    """All pairs of an image with and one without, ties half; the mean over classes for several."""
    areas = []
    for c in range(scores.shape[1]) if scores.shape[1] > 2 else [1]:
        gap = scores[labels == c, c][:, None] - scores[labels != c, c][None, :]
        areas.append(((gap > 0) + 0.5 * (gap == 0)).mean())
    return np.mean(areas)


@pytest.mark.parametrize("classes", [2, 3])
def test_knn_by_counting_the_most_similar(classes):
    features, labels, groups = task(1, n=90, d=5, classes=classes, gain=0.6, patients=40)
    accuracy, auroc = [], []
    for inside, outside in grouped_folds(labels, groups, seed=0):
        near = np.argsort(-cosine_similarity(*standardised(features, inside, outside)[::-1]), axis=1)
        k = int(np.sqrt(len(inside)))
        votes = np.array([np.bincount(labels[inside][row[:k]], minlength=classes) for row in near]) / k
        accuracy.append(np.mean(votes.argmax(axis=1) == labels[outside]))
        auroc.append(pairs_auroc(labels[outside], votes))
    found = cross_validated(features, labels, groups, model="knn")
    assert (found.accuracy, found.auroc) == pytest.approx((np.mean(accuracy), np.mean(auroc)))


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_by_another_solver(classes):
    features, labels, groups = task(2, n=90, d=5, classes=classes, gain=0.6, patients=40)
    auroc = []
    for inside, outside in grouped_folds(labels, groups, seed=0):
        a, b = standardised(features, inside, outside)
        fit = LogisticRegression(C=0.01, solver="newton-cg", tol=1e-8).fit(a, labels[inside])
        auroc.append(pairs_auroc(labels[outside], fit.predict_proba(b)))
    found = cross_validated(features, labels, groups, model="logistic")
    assert found.auroc == pytest.approx(np.mean(auroc), abs=0.01)
    assert found.folds == 5


def test_macro_auroc_by_pairs():
    rng = np.random.default_rng(0)
    labels, scores = np.arange(30) % 3, rng.integers(0, 4, size=(30, 3)) + 1.0
    scores /= scores.sum(axis=1, keepdims=True)
    assert _macro_auroc(labels, scores) == pytest.approx(pairs_auroc(labels, scores))
    assert _macro_auroc(labels % 2, scores[:, :2]) == pytest.approx(roc_auc_score(labels % 2, scores[:, 1]))


def test_patients_are_never_on_both_sides():
    _, labels, groups = task(3, n=200, patients=60, classes=3)
    folds = grouped_folds(labels, groups, seed=1)
    assert len(folds) == 5
    for inside, outside in folds:
        assert not set(groups[inside]) & set(groups[outside])
        assert set(labels[inside]) == set(labels[outside]) == {0, 1, 2}
    assert sorted(np.concatenate([outside for _, outside in folds])) == list(range(200))


def test_copies_of_a_patient_do_not_help():
    """Pure noise, each patient's images alike: by image k-NN would be sure, by patient it guesses."""
    rng = np.random.default_rng(4)
    features = np.repeat(rng.normal(size=(150, 8)), 20, axis=0)
    labels, groups = np.repeat(np.arange(150) % 2, 20), np.repeat(np.arange(150), 20)
    assert cross_validated(features, labels, np.arange(3000), model="knn").auroc > 0.95
    assert abs(cross_validated(features, labels, groups, model="knn").auroc - 0.5) < 0.15


def test_fewer_folds_for_few_patients():
    features, labels, groups = task(5, n=40, patients=20)
    groups[labels == 1] = 100 + np.arange((labels == 1).sum()) % 3
    assert cross_validated(features, labels, groups, model="knn").folds == 3
    groups[labels == 1] = 100
    with pytest.raises(Undefined, match="a class needs two patients"):
        cross_validated(features, labels, groups, model="knn")


def test_order_of_rows_does_not_matter_and_it_repeats():
    features, labels, groups = task(6, n=100, patients=50)
    order = np.random.default_rng(0).permutation(100)
    for model in ("knn", "logistic"):
        wanted = cross_validated(features, labels, groups, model=model)
        assert cross_validated(features, labels, groups, model=model) == wanted
        found = cross_validated(features[order], labels[order], groups[order], model=model)
        assert found.auroc == pytest.approx(wanted.auroc, abs=0.05)


def test_errors():
    features, labels, groups = task()
    with pytest.raises(DataError, match="knn or logistic"):
        cross_validated(features, labels, groups, model="svm")
    with pytest.raises(DataError, match="patient keys"):
        cross_validated(features, labels, groups[:-1], model="knn")
    with pytest.raises(Undefined, match="same for all"):
        cross_validated(np.ones((60, 2)), labels, groups, model="knn")
