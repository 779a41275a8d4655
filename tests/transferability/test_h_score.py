import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf

from xenograft.transferability.h_score import h_score, shrunk_h_score
from xenograft.transferability.task import Undefined

from .makers import rotation, task, tasks


def of_means(features, labels):
    """(N, D) each image replaced by the mean of its class."""
    out = np.empty_like(features)
    for c in np.unique(labels):
        out[labels == c] = features[labels == c].mean(axis=0)
    return out


@pytest.mark.parametrize(("n", "d", "classes"), [(60, 6, 2), (60, 1, 2), (80, 10, 4), (12, 30, 2)])
def test_trace_by_explicit_matrices(n, d, classes):
    features, labels, _ = task(n + d, n=n, d=d, classes=classes)
    within = np.cov(of_means(features, labels), rowvar=False).reshape(d, d)
    wanted = np.trace(np.linalg.pinv(np.cov(features, rowvar=False).reshape(d, d), rcond=1e-10) @ within)
    assert h_score(features, labels) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(("n", "d", "classes"), [(60, 6, 2), (60, 1, 2), (80, 10, 4), (12, 30, 2)])
def test_shrunk_by_explicit_matrices(n, d, classes):
    features, labels, _ = task(n + d, n=n, d=d, classes=classes)
    fit = LedoitWolf().fit(features)
    between = np.cov(of_means(features, labels), rowvar=False, bias=True).reshape(d, d)
    wanted = np.trace(np.linalg.inv(fit.covariance_) @ ((1 - fit.shrinkage_) * between))
    assert shrunk_h_score(features, labels) == pytest.approx(wanted, rel=1e-9)


def test_one_feature_is_the_correlation_ratio():
    """In one dimension the H-score is the variance explained by the class: 1 - within / total."""
    features = np.array([[0.0], [2.0], [4.0], [6.0]])
    assert h_score(features, np.array([0, 0, 1, 1])) == pytest.approx(1 - 1 / 5)


def test_more_columns_than_images_fool_it_but_not_the_shrunk_one():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(40, 200)), np.arange(40) % 2
    assert h_score(features, labels) == pytest.approx(1)
    assert shrunk_h_score(features, labels) < 0.2


def test_dead_and_doubled_features():
    features, labels, _ = task(1, n=300, d=3, gain=2)
    wide = np.c_[features, features, np.zeros((300, 2))]
    assert h_score(wide, labels) == pytest.approx(h_score(features, labels), rel=1e-8)
    assert 0 < shrunk_h_score(wide, labels) < 1
    for score in (h_score, shrunk_h_score):
        with pytest.raises(Undefined, match="same for all"):
            score(np.full((300, 2), 0.3), labels)


@settings(max_examples=25, deadline=None)
@given(tasks, st.integers(0, 99), st.floats(-4, 4))
def test_rotation_scale_origin_and_order_do_not_matter(made, seed, power):
    features, labels, _ = made
    rng = np.random.default_rng(seed)
    d = features.shape[1]
    order = rng.permutation(len(labels))
    changed = 10**power * (features @ rotation(d, seed) + rng.normal(size=d))[order]
    for score in (h_score, shrunk_h_score):
        value = score(features, labels)
        assert score(changed, labels.max() - labels[order]) == pytest.approx(value, abs=1e-7)
        assert -1e-9 <= value <= min(labels.max(), d) + 1e-9
    skewed = features @ (np.eye(d) + np.triu(rng.normal(size=(d, d)), 1))
    assert h_score(skewed, labels) == pytest.approx(h_score(features, labels), abs=1e-6)
