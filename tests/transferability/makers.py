"""Tasks for the tests of transferability scores."""

import numpy as np
from hypothesis import strategies as st
from scipy.stats import ortho_group


def task(seed=0, n=60, d=6, classes=2, gain=1.0, patients=None):
    """Gaussian classes whose means lie `gain` apart in every direction; every class occurs."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.repeat(np.arange(classes), 4), rng.integers(0, classes, n - 4 * classes)]
    means = gain * rng.normal(size=(classes, d))
    features = means[labels] + rng.normal(size=(n, d)) * rng.uniform(0.5, 2, size=d) + rng.normal(size=d)
    groups = np.arange(n) if patients is None else np.r_[np.arange(patients), rng.integers(0, patients, n - patients)]
    return features, labels, groups


def source(seed=0, n=60, z=7, labels=None, gain=0.0):
    """Probabilities of z source classes; with a gain they know the label."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, z))
    if labels is not None:
        logits[np.arange(n), labels] += gain
    table = np.exp(logits)
    return table / table.sum(axis=1, keepdims=True)


def rotation(d, seed):
    return ortho_group.rvs(d, random_state=seed) if d > 1 else np.array([[-1.0]])


tasks = st.builds(
    task,
    seed=st.integers(0, 10_000),
    n=st.integers(20, 50),
    d=st.integers(1, 8),
    classes=st.integers(2, 4),
    gain=st.floats(0, 2),
)
