import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from xenograft.transferability.sfda import sfda
from xenograft.transferability.task import Undefined

from .makers import rotation, task, tasks


def posterior(features, labels, amount):
    """As the paper: generalised eigenvectors of between and shrunk within scatter, then a linear discriminant."""
    classes = np.unique(labels)
    d = features.shape[1]
    within, priors, means = np.zeros((d, d)), [], []
    for c in classes:
        part = features[labels == c]
        priors.append(len(part) / len(labels))
        means.append(part.mean(axis=0))
        within += priors[-1] * np.cov(part.T, bias=True).reshape(d, d)
    if amount is None:
        amount = max(np.exp(-5 * np.linalg.norm(within, 2)), 1e-10)

    def shrunk(matrix):
        return (1 - amount) * matrix + amount * np.trace(matrix) / d * np.eye(d)

    between = shrunk(np.cov(features.T, bias=True).reshape(d, d)) - shrunk(within)
    _, vectors = eigh(between, shrunk(within))
    projected, centres = features @ vectors, np.array(means) @ vectors
    scores = np.array(
        [[x @ m - 0.5 * m @ m + np.log(prior) for m, prior in zip(centres, priors, strict=True)] for x in projected]
    )
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True), amount


def by_steps(features, labels):
    table, amount = posterior(features, labels, None)
    soft = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    means = np.array([features[labels == c].mean(axis=0) for c in np.unique(labels)])
    mixed = features.copy()
    for i, c in enumerate(labels):
        others = np.delete(means, c, axis=0).mean(axis=0)
        mixed[i] = soft[i, c] * features[i] + (1 - soft[i, c]) * others
    again, _ = posterior(mixed, labels, amount)
    return again[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize(("n", "d", "classes"), [(60, 6, 2), (60, 1, 3), (90, 12, 4), (40, 20, 2)])
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_by_the_steps_of_the_paper(n, d, classes, scale):
    """A small scale shrinks much, a large one not at all."""
    features, labels, _ = task(n + d, n=n, d=d, classes=classes, gain=0.5)
    assert sfda(scale * features, labels) == pytest.approx(by_steps(scale * features, labels), abs=1e-8)


def test_scale_changes_how_much_is_shrunk():
    features, labels, _ = task(5, n=40, d=20, gain=0.3)
    assert sfda(features, labels) > sfda(features / 100, labels) + 0.01


def test_certain_where_classes_are_far_apart_or_do_not_vary():
    features, labels, _ = task(1, n=40, d=4)
    assert sfda(features + 100 * labels[:, None], labels) == pytest.approx(1)
    assert sfda(np.eye(2)[labels], labels) == pytest.approx(1)
    assert sfda(np.random.default_rng(0).normal(size=(40, 90)), labels) == pytest.approx(1)


def test_undefined():
    with pytest.raises(Undefined, match="same for all"):
        sfda(np.ones((4, 2)), np.array([0, 1, 0, 1]))


@settings(max_examples=25, deadline=None)
@given(tasks, st.integers(0, 99))
def test_rotation_origin_and_order_do_not_matter(made, seed):
    features, labels, _ = made
    rng = np.random.default_rng(seed)
    d = features.shape[1]
    order = rng.permutation(len(labels))
    changed = (features @ rotation(d, seed) + rng.normal(size=d))[order]
    value = sfda(features, labels)
    assert 0 <= value <= 1
    assert sfda(changed, labels.max() - labels[order]) == pytest.approx(value, abs=1e-6)
