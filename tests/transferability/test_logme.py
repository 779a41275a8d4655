import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from xenograft.transferability.logme import logme
from xenograft.transferability.task import Undefined

from .makers import rotation, task, tasks


def by_density(features, labels):
    """Largest log density of each one-hot target under N(0, FF'/alpha + I/beta), by a general optimiser."""
    n = len(labels)
    gram = features @ features.T
    found = []
    for c in np.unique(labels):
        y = (labels == c).astype(float)

        def loss(logs, y=y):
            covariance = gram * np.exp(-logs[0]) + np.eye(n) * np.exp(-logs[1])
            return -multivariate_normal.logpdf(y, np.zeros(n), covariance)

        starts = [(np.log(np.trace(gram) / n) + shift, 1.0) for shift in (-2.0, 2.0, 6.0)]
        fits = [minimize(loss, s, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}) for s in starts]
        found.append(-min(fit.fun for fit in fits) / n)
    return np.mean(found)


@pytest.mark.parametrize(
    ("n", "d", "classes", "gain"), [(40, 3, 2, 1.0), (30, 8, 3, 0.5), (25, 4, 2, 3.0), (16, 24, 2, 0.5)]
)
def test_evidence_is_the_largest_density_of_the_labels(n, d, classes, gain):
    features, labels, _ = task(n + d, n=n, d=d, classes=classes, gain=gain)
    assert logme(features, labels) == pytest.approx(by_density(features, labels), abs=2e-6)


@pytest.mark.parametrize("labels", [[1, 1, 1, 0, 0], [1, 1, 1, 0]])
def test_one_column_by_search(labels):
    """F = ones: the evidence on a fine grid of r = beta sigma / alpha; its maximum may lie at r = 0."""
    labels = np.array(labels)
    n = len(labels)
    wanted = []
    for y in (labels, 1 - labels):
        energy = y.sum() ** 2 / n
        ratios = np.exp(np.linspace(-25, 25, 400_001))
        noise = (energy / (1 + ratios) + y.sum() - energy) / n
        wanted.append((-0.5 * (np.log(2 * np.pi) + np.log(noise) + 1 + np.log1p(ratios) / n)).max())
    assert logme(np.ones((n, 1)), labels) == pytest.approx(np.mean(wanted), abs=1e-7)


def test_columns_beyond_the_rank_do_not_count():
    features, labels, _ = task(1, n=30, d=4)
    turned = features @ rotation(40, 1)[:4]
    assert logme(turned, labels) == pytest.approx(logme(features, labels), abs=1e-9)
    assert logme(np.c_[features, np.zeros((30, 50))], labels) == pytest.approx(logme(features, labels), abs=1e-9)


def test_features_of_zeros_leave_noise_alone():
    labels = np.array([0, 0, 0, 1])
    wanted = np.mean([-0.5 * (np.log(2 * np.pi * share) + 1) for share in (0.75, 0.25)])
    assert logme(np.zeros((4, 3)), labels) == pytest.approx(wanted)


def test_exact_labels_have_no_maximum():
    labels = np.array([0, 1, 0, 1, 1, 0])
    with pytest.raises(Undefined, match="exact linear function"):
        logme(np.c_[labels, 1 - labels], labels)


def test_separated_classes_score_higher():
    scores = [logme(*task(2, n=80, gain=gain)[:2]) for gain in (0, 0.5, 1, 2)]
    assert scores == sorted(scores)


def test_it_has_no_intercept_so_the_origin_matters():
    features, labels, _ = task(3)
    assert logme(features + 5, labels) != pytest.approx(logme(features, labels), abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(tasks, st.integers(0, 99), st.floats(-4, 4))
def test_rotation_scale_and_order_do_not_matter(made, seed, power):
    features, labels, _ = made
    try:
        wanted = logme(features, labels)
    except Undefined:
        return
    order = np.random.default_rng(seed).permutation(len(labels))
    changed = 10**power * (features @ rotation(features.shape[1], seed))[order]
    assert logme(changed, labels.max() - labels[order]) == pytest.approx(wanted, abs=1e-6)
    assert logme(features.astype(np.float32), labels) == pytest.approx(wanted, abs=1e-4)
