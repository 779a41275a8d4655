"""(source-class probabilities, labels) -> negative conditional entropy of the labels given the source class."""

from __future__ import annotations

import numpy as np

from xenograft.transferability.task import Array, check_source


def nce(source: Array, labels: Array) -> float:
    """-H(Y | Z), Z being the most probable source class of each image (Tran, Nguyen & Hassner 2019, arXiv:1908.08142).

    The paper has images with labels of both tasks; the network's own decision stands for the source label, as in
    Nguyen et al. 2020, arXiv:2002.12462.

    Args:
        source: (N, Z) probabilities of the classes that the network was trained on. labels: (N,) class index.

    Returns:
        Nats, from minus the entropy of the labels to 0, higher is better. With few images per source class it flatters.
        Order of rows, of classes and of source classes do not change it (ties go to the first source class).
        Cost: O(N Z).

    Raises:
        DataError: `check_source`. Undefined: one class.
    """
    table, truth = check_source(source, labels)
    counts = np.zeros((table.shape[1], int(truth.max()) + 1))
    np.add.at(counts, (table.argmax(axis=1), truth), 1)
    within = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)
    seen = counts > 0
    return float((counts[seen] * np.log(counts[seen] / within[seen])).sum() / len(truth))
