import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from xenograft.transferability.nce import nce

from .makers import source


def entropy(labels):
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return -(share * np.log(share)).sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 6), st.integers(2, 4))
def test_mutual_information_minus_entropy(seed, z, classes):
    """-H(Y | Z) = I(Y; Z) - H(Y), by scikit-learn's mutual information; and it keeps through orders."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, 20)]
    table = source(seed, n=len(labels), z=z)
    wanted = mutual_info_score(table.argmax(axis=1), labels) - entropy(labels)
    assert nce(table, labels) == pytest.approx(wanted, abs=1e-12)
    rows, columns = rng.permutation(len(labels)), rng.permutation(z)
    assert nce(table[rows][:, columns], (labels.max() - labels)[rows]) == pytest.approx(wanted, abs=1e-12)


def test_by_hand():
    """Source class 0 holds labels 0, 0, 1 and source class 1 label 1: -(3/4) H(1/3)."""
    table = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    wanted = 0.75 * (2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert nce(table, np.array([0, 0, 1, 1])) == pytest.approx(wanted)


def test_bounds():
    labels = np.array([0, 1, 1, 0, 1])
    assert nce(np.eye(2)[labels], labels) == 0
    assert nce(np.ones((5, 1)), labels) == pytest.approx(-entropy(labels))
