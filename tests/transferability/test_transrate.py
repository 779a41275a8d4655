import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenograft.errors import DataError
from xenograft.transferability.task import Undefined
from xenograft.transferability.transrate import transrate

from .makers import rotation, task, tasks


def by_determinants(features, labels, eps, centre="all"):
    """The listing of the paper, with log-determinants of D x D, on features of total variance 1."""

    def rate(z):
        return 0.5 * np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * eps))[1]

    z = features - features.mean(axis=0)
    z = z / np.sqrt((z**2).sum() / len(z))
    whole = rate(z)
    for c in np.unique(labels) if centre == "class" else ():
        z[labels == c] -= z[labels == c].mean(axis=0)
    return whole - sum((labels == c).mean() * rate(z[labels == c]) for c in np.unique(labels))


@pytest.mark.parametrize(("n", "d", "classes"), [(60, 6, 2), (60, 1, 3), (14, 30, 2), (90, 12, 4)])
@pytest.mark.parametrize("eps", [1e-4, 0.5])
@pytest.mark.parametrize("centre", ["all", "class"])
def test_by_determinants(n, d, classes, eps, centre):
    features, labels, _ = task(n + d, n=n, d=d, classes=min(classes, n // 5))
    found = transrate(features, labels, distortion=eps, centre=centre)
    assert found == pytest.approx(by_determinants(features, labels, eps, centre), abs=1e-8)


def test_by_hand():
    """Four points of one dimension at -1 and 1: the classes are as long to code as the whole."""
    assert transrate(np.array([[-1.0], [1.0], [-1.0], [1.0]]), np.array([0, 0, 1, 1])) == pytest.approx(0, abs=1e-12)
    # Class 0 at 0 exactly, class 1 at -s and s, total variance 1: s^2 = 2.
    found = transrate(np.array([[0.0], [0.0], [-1.0], [1.0]]), np.array([0, 0, 1, 1]), distortion=1.0)
    assert found == pytest.approx(0.5 * np.log(2) - 0.5 * 0.5 * np.log(3))


def test_two_classes_of_equal_size_are_told_apart_only_when_each_is_centred():
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(500, 4)), np.arange(1000) % 2
    features = np.repeat(noise, 2, axis=0)
    near, far = (features + gap * labels[:, None] for gap in (0.1, 10))
    assert transrate(near, labels) == pytest.approx(0, abs=1e-3)
    assert transrate(far, labels) == pytest.approx(0, abs=1e-3)
    assert transrate(far, labels, centre="class") > transrate(near, labels, centre="class") + 1


def test_errors():
    features, labels, _ = task()
    for wrong in (0, -1, np.nan, np.inf):
        with pytest.raises(DataError, match="above 0"):
            transrate(features, labels, distortion=wrong)
    with pytest.raises(DataError, match="all or class"):
        transrate(features, labels, centre="none")
    with pytest.raises(Undefined, match="same for all"):
        transrate(np.ones((4, 2)), np.array([0, 1, 0, 1]))


def test_a_class_of_one_image_counts():
    features, labels, _ = task(3, n=30, d=2)
    labels[0] = 5
    assert transrate(features, labels) == pytest.approx(by_determinants(features, labels, 1e-4), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(tasks, st.integers(0, 99), st.floats(-4, 4))
def test_rotation_scale_origin_and_order_do_not_matter(made, seed, power):
    features, labels, _ = made
    rng = np.random.default_rng(seed)
    d = features.shape[1]
    order = rng.permutation(len(labels))
    changed = 10**power * (features @ rotation(d, seed) + rng.normal(size=d))[order]
    for centre in ("all", "class"):
        value = transrate(features, labels, centre=centre)
        assert value >= 0
        assert transrate(changed, labels.max() - labels[order], centre=centre) == pytest.approx(value, abs=1e-6)
