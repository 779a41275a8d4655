import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.transferability.leep import leep, nleep
from xenograft.transferability.task import Undefined

from .makers import source, task


def by_loop(table, labels):
    """The three steps of the paper, image by image."""
    n, z = table.shape
    joint = {(y, s): sum(table[i, s] for i in range(n) if labels[i] == y) / n for y in set(labels) for s in range(z)}
    marginal = [sum(joint[y, s] for y in set(labels)) for s in range(z)]
    return np.mean(
        [
            np.log(sum(joint[labels[i], s] / marginal[s] * table[i, s] for s in range(z) if marginal[s]))
            for i in range(n)
        ]
    )


def entropy(labels):
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return -(share * np.log(share)).sum()


def test_by_hand():
    """Two images, two source classes: P(y=0 | z) = (0.8, 0.2), so each label has probability 0.64 + 0.04."""
    table = np.array([[0.8, 0.2], [0.2, 0.8]])
    assert leep(table, np.array([0, 1])) == pytest.approx(np.log(0.68))


@pytest.mark.parametrize("seed", range(4))
def test_by_loop(seed):
    labels = np.r_[0, 1, 2, np.random.default_rng(seed).integers(0, 3, 27)]
    table = source(seed, n=30, labels=labels, gain=seed)
    assert leep(table, labels) == pytest.approx(by_loop(table, labels.tolist()), abs=1e-12)


def test_bounds():
    labels = np.array([0, 1, 1, 0, 1])
    assert leep(np.eye(2)[labels], labels) == 0
    assert leep(np.full((5, 3), 1 / 3), labels) == pytest.approx(-entropy(labels))
    assert leep(np.c_[np.eye(2)[labels], np.zeros(5)], labels) == 0  # a source class that never occurs


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 6), st.integers(2, 4))
def test_order_of_rows_classes_and_source_classes(seed, z, classes):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, 20)]
    table = source(seed, n=len(labels), z=z)
    rows, columns = rng.permutation(len(labels)), rng.permutation(z)
    changed = leep(table[rows][:, columns], (labels.max() - labels)[rows])
    assert changed == pytest.approx(leep(table, labels), abs=1e-12)
    assert -entropy(labels) - 1e-12 <= changed <= 0


def test_nleep_of_clusters_that_are_the_classes():
    """Ten far clusters, one label each: the components know the class."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(10), 12)
    centres = 50 * rng.normal(size=(10, 6))
    features = centres[cluster] + rng.normal(size=(120, 6))
    assert nleep(features, cluster % 2) == pytest.approx(0, abs=1e-6)
    mixed = np.arange(120) % 2
    assert nleep(features, mixed) == pytest.approx(-np.log(2), abs=0.02)


def test_nleep_is_leep_of_a_mixture_on_principal_components():
    """The same by scikit-learn's own PCA; its signs may differ, which the mixture does not see."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    features, labels, _ = task(4, n=150, d=7, gain=3)
    reduced = PCA(0.8, svd_solver="full").fit_transform(features)
    reduced /= reduced[:, 0].std()
    memberships = GaussianMixture(10, random_state=0).fit(reduced).predict_proba(reduced)
    assert nleep(features, labels) == pytest.approx(by_loop(memberships, labels.tolist()), abs=1e-6)


@pytest.mark.parametrize("power", [-6, 6])
def test_nleep_does_not_depend_on_scale_and_origin_and_repeats(power):
    features, labels, _ = task(5, n=50, d=3, gain=2)
    wanted = nleep(features, labels)
    assert nleep(features, labels) == wanted
    assert nleep(10.0**power * (features + 3), labels) == pytest.approx(wanted, abs=1e-6)
    assert nleep(features, 1 - labels) == pytest.approx(wanted, abs=1e-12)


def test_nleep_undefined():
    features, labels, _ = task(0, n=9, classes=2)
    with pytest.raises(Undefined, match="9 images are fewer than the 10"):
        nleep(features, labels)
    with pytest.raises(Undefined, match="same for all"):
        nleep(np.ones((60, 3)), np.arange(60) % 2)


def test_nleep_of_few_distinct_images_says_nothing_about_convergence():
    features = np.repeat(np.eye(3), 10, axis=0)
    assert -np.log(2) - 1e-9 <= nleep(features, np.arange(30) % 2) <= 0
