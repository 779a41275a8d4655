from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from xenograft.backbones import build, catalog
from xenograft.train.network import Classifier, class_weights_of, decisions_of, loss_of, probabilities_of


def test_two_classes_share_one_logit() -> None:
    network = Classifier(build.build(catalog.lookup("resnet18"), tensors=None, seed=0), 2)
    logits = network(torch.zeros(2, 3, 32, 32))
    assert logits.shape == (2, 1)
    assert probabilities_of(logits).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_four_classes_have_a_logit_each() -> None:
    network = Classifier(build.build(catalog.lookup("resnet18"), tensors=None, seed=0), 4)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize("classes", [2, 3])
def test_loss_is_the_weighted_log_loss(classes: int) -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(50, 1 if classes == 2 else classes))).float()
    labels = torch.from_numpy(rng.integers(0, classes, 50))
    weights = class_weights_of(labels, classes)
    per_image = weights[labels].numpy()
    expected = log_loss(labels, probabilities_of(logits).numpy(), sample_weight=per_image) * per_image.mean()
    assert float(loss_of(logits, labels, weights)) == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_balanced() -> None:
    labels = torch.tensor([0] * 3 + [1] * 9)
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels.numpy())
    np.testing.assert_allclose(class_weights_of(labels, 2).numpy(), expected)


@pytest.mark.parametrize("outputs", [1, 3])
def test_decisions_agree_with_probabilities(outputs: int) -> None:
    logits = torch.randn(40, outputs, generator=torch.Generator().manual_seed(0))
    assert torch.equal(decisions_of(logits), probabilities_of(logits).argmax(dim=1))
