from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from xenograft.errors import DataError
from xenograft.transferability.gbc import gbc
from xenograft.transferability.task import Undefined

from .makers import rotation, task, tasks


def by_matrices(features, labels, shape):
    """Bhattacharyya distance with full D x D covariance matrices; up to 64 columns."""
    parts = [features[labels == c] for c in np.unique(labels)]
    d = features.shape[1]
    total = 0.0
    for p, q in permutations(parts, 2):
        s1, s2 = (np.diag(z.var(axis=0)) if shape == "diagonal" else z.var(axis=0).mean() * np.eye(d) for z in (p, q))
        middle = (s1 + s2) / 2
        m = p.mean(axis=0) - q.mean(axis=0)
        far = m @ np.linalg.inv(middle) @ m / 8
        logs = [np.linalg.slogdet(s)[1] for s in (middle, s1, s2)]
        total += np.exp(-(far + 0.5 * (logs[0] - (logs[1] + logs[2]) / 2)))
    return -total


@pytest.mark.parametrize(("n", "d", "classes"), [(60, 6, 2), (60, 1, 3), (90, 12, 4)])
def test_spherical_by_matrices_as_no_rotation_changes_it(n, d, classes):
    features, labels, _ = task(n + d, n=n, d=d, classes=classes)
    assert gbc(features, labels) == pytest.approx(by_matrices(features, labels, "spherical"), rel=1e-9)


def test_diagonal_by_matrices_on_principal_components():
    from sklearn.decomposition import PCA

    features, labels, _ = task(2, n=80, d=9, classes=3, gain=0.4)
    components = PCA().fit_transform(features)
    assert gbc(features, labels, shape="diagonal") == pytest.approx(by_matrices(components, labels, "diagonal"))


def test_one_dimension_is_the_integral_of_the_root_of_the_densities():
    features = np.array([0.0, 1.0, 2.0, 1.0, 4.0, 9.0, 6.0])[:, None]
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    p, q = (norm(z.mean(), z.std()) for z in (features[labels == 0], features[labels == 1]))
    overlap = quad(lambda x: np.sqrt(p.pdf(x) * q.pdf(x)), -40, 60, points=[1, 6], limit=200)[0]
    for shape in ("spherical", "diagonal"):
        assert gbc(features, labels, shape=shape) == pytest.approx(-2 * overlap, rel=1e-8)


def test_only_64_components_are_kept():
    from sklearn.decomposition import PCA

    features, labels, _ = task(5, n=150, d=80, gain=0.1)
    reduced = PCA(64, svd_solver="full").fit_transform(features)
    assert gbc(features, labels) == pytest.approx(by_matrices(reduced, labels, "spherical"), rel=1e-9)


def test_bounds():
    features, labels, _ = task(1, n=40, d=3)
    twice = np.r_[features, features]
    alike = np.repeat([0, 1], 40)
    assert gbc(twice, alike) == pytest.approx(-2)
    assert gbc(features + 1e4 * labels[:, None], labels) == 0


def test_undefined_and_wrong():
    features, labels, _ = task(1, n=20)
    labels[:] = 0
    labels[3] = 1
    with pytest.raises(Undefined, match="single image"):
        gbc(features, labels)
    with pytest.raises(DataError, match="spherical or diagonal"):
        gbc(features, labels, shape="full")


@settings(max_examples=25, deadline=None)
@given(tasks, st.integers(0, 99), st.floats(-4, 4), st.sampled_from(["spherical", "diagonal"]))
def test_rotation_scale_origin_and_order_do_not_matter(made, seed, power, shape):
    features, labels, _ = made
    rng = np.random.default_rng(seed)
    d = features.shape[1]
    order = rng.permutation(len(labels))
    changed = 10**power * (features @ rotation(d, seed) + rng.normal(size=d))[order]
    value = gbc(features, labels, shape=shape)
    assert gbc(changed, labels.max() - labels[order], shape=shape) == pytest.approx(value, abs=1e-6)
    classes = labels.max() + 1
    assert -classes * (classes - 1) - 1e-9 <= value <= 0
