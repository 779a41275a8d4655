from __future__ import annotations

import torch

from xenograft.backbones import build, catalog
from xenograft.train.network import Classifier
from xenograft.train.objective import objective_of


def test_two_classes_share_one_logit() -> None:
    network = Classifier(build.build(catalog.lookup("resnet18"), tensors=None, seed=0), objective_of(2))
    logits = network(torch.zeros(2, 3, 32, 32))
    assert logits.shape == (2, 1)
    assert network.objective.probabilities(logits).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_four_classes_have_a_logit_each() -> None:
    network = Classifier(build.build(catalog.lookup("resnet18"), tensors=None, seed=0), objective_of(4))
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


def test_two_findings_have_a_logit_each() -> None:
    network = Classifier(build.build(catalog.lookup("resnet18"), tensors=None, seed=0), objective_of(2, True))
    logits = network(torch.zeros(3, 3, 32, 32))
    assert logits.shape == (3, 2)
    assert network.objective.probabilities(logits).tolist() == [[0.5, 0.5]] * 3
