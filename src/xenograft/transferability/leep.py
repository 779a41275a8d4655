"""(source-class probabilities, labels) -> LEEP; (features, labels) -> NLEEP, with mixture components as classes."""

from __future__ import annotations

import warnings

import numpy as np

from xenograft.evaluation.metrics import Floats
from xenograft.transferability.compressed import principal
from xenograft.transferability.task import Array, Index, check_source, check_task, undefined

KEPT = 0.8
COMPONENTS_PER_CLASS = 5


def leep(source: Array, labels: Array) -> float:
    """Log expected empirical prediction (Nguyen, Hassner, Seeger & Archambeau 2020, arXiv:2002.12462).

    Mean log-probability of the label when the network's source class is a dummy z: p(y | x) = sum_z P(y | z) p(z | x),
    P(y | z) being counted on the same images.

    Args:
        source: (N, Z) probabilities of the classes that the network was trained on. labels: (N,) class index.

    Returns:
        Nats, at most 0, higher is better; never below minus the entropy of the labels. Order of rows, of classes and of
        source classes do not change it. Cost: O(N Z C).

    Raises:
        DataError: `check_source`. Undefined: one class.
    """
    return _mean_log(*check_source(source, labels))


def nleep(features: Array, labels: Array, *, seed: int = 0) -> float:
    """LEEP without a source head (Li, Jia, Sang, Zhu, Green, Wang & Gong 2021, arXiv:2011.13567).

    Principal components that keep 80 % of the variance; a Gaussian mixture of 5 components a class (full covariances,
    scikit-learn), whose memberships take the place of the source probabilities.

    Args:
        features: (N, D). labels: (N,) class index. seed: of the mixture's k-means start.

    Returns:
        Nats, at most 0, higher is better; images are few for many components, and then it flatters. Scaling and
        moving the features do not change it; rotation and the order of rows may lead the mixture to another optimum.
        Cost: O(N D min(N, D)), and O(N C k^2) for each step of the mixture on k principal components.

    Raises:
        DataError: `check_task`.
        Undefined: one class; equal features; fewer images than components.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    table, truth = check_task(features, labels)
    components = COMPONENTS_PER_CLASS * (int(truth.max()) + 1)
    if len(table) < components:
        raise undefined(f"{len(table)} images are fewer than the {components} mixture components of NLEEP")
    reduced = principal(table, share=KEPT)
    reduced /= reduced[:, 0].std()  # the mixture adds a fixed 1e-6 to variances: give it a fixed scale
    mixture = GaussianMixture(components, random_state=seed)
    # One thread: sums in one order, so that it repeats; on a busy machine ten times as fast for small data.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few distinct images, or the last digits of a likelihood
        memberships = mixture.fit(reduced).predict_proba(reduced)
    return _mean_log(memberships, truth)


def _mean_log(source: Floats, labels: Index) -> float:
    onehot = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.float64)
    joint = onehot.T @ source  # (C, Z) N P(y, z)
    marginal = joint.sum(axis=0)
    given = np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)
    of_truth = (source * given[labels]).sum(axis=1)
    return min(0.0, float(np.log(of_truth).mean()))  # above 0 where probabilities sum to one only about
