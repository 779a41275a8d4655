from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from xenograft.train.objective import Binary, MultiClass, MultiLabel, Objective, balanced, objective_of

UNKNOWN = torch.tensor(
    [
        [1, 0, -1],
        [0, -1, -1],
        [-1, 1, 0],
        [0, 0, 0],
        [-1, -1, -1],
        [0, 1, 0],
    ]
)


def logits_of(objective: Objective, count: int = 6) -> Tensor:
    return torch.randn(count, objective.outputs, generator=torch.Generator().manual_seed(0))


def labels_of(objective: Objective, count: int = 6) -> Tensor:
    return UNKNOWN if objective.multi_label else torch.arange(count) % max(2, objective.outputs)


def test_what_a_data_set_needs_decides() -> None:
    assert objective_of(2) == Binary()
    assert objective_of(5) == MultiClass(5)
    assert objective_of(2, True) == MultiLabel(2)
    assert [objective_of(2).outputs, objective_of(5).outputs, objective_of(1, True).outputs] == [1, 5, 1]
    assert [objective_of(5).multi_label, objective_of(5, True).multi_label] == [False, True]


@pytest.mark.parametrize("classes", [2, 3])
def test_loss_is_the_weighted_log_loss(classes: int) -> None:
    rng = np.random.default_rng(0)
    objective = objective_of(classes)
    logits = torch.from_numpy(rng.normal(size=(50, objective.outputs))).float()
    labels = torch.from_numpy(rng.integers(0, classes, 50))
    weights = objective.class_weights(labels)
    per_image = weights[labels].numpy()
    expected = log_loss(labels, objective.probabilities(logits).numpy(), sample_weight=per_image) * per_image.mean()
    assert float(objective.loss(logits, labels, weights)) == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_balanced() -> None:
    labels = torch.tensor([0] * 3 + [1] * 9)
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels.numpy())
    np.testing.assert_allclose(balanced(labels, 2).numpy(), expected)
    np.testing.assert_allclose(objective_of(2).class_weights(labels).numpy(), expected)


@pytest.mark.parametrize("objective", [Binary(), MultiClass(3)], ids=["binary", "multiclass"])
def test_decisions_agree_with_probabilities(objective: Objective) -> None:
    logits = logits_of(objective, 40)
    decided = objective.probabilities(logits).argmax(dim=1)
    labels = torch.where(torch.arange(40) < 25, decided, (decided + 1) % max(2, objective.outputs))
    assert objective.right(logits, labels) == 25
    assert objective.known(labels) == 40


def test_findings_are_weighted_over_the_images_where_they_are_known() -> None:
    weights = MultiLabel(3).class_weights(UNKNOWN)
    for k in range(2):
        known = UNKNOWN[UNKNOWN[:, k] >= 0, k].numpy()
        np.testing.assert_allclose(weights[k], compute_class_weight("balanced", classes=np.array([0, 1]), y=known))
    assert weights[2].tolist() == [0.5, 0.0]  # never present: an image of validation that has it weighs nothing
    assert MultiLabel(1).class_weights(torch.full((4, 1), -1)).tolist() == [[0.0, 0.0]]


def test_the_loss_of_findings_is_the_mean_over_what_is_known() -> None:
    objective = MultiLabel(3)
    logits, weights = logits_of(objective), torch.tensor([[0.6, 3.0], [0.7, 1.6], [1.2, 0.9]])
    losses = []
    for i, k in np.argwhere(UNKNOWN.numpy() >= 0):
        present = 1 / (1 + np.exp(-float(logits[i, k])))
        truth = int(UNKNOWN[i, k])
        losses.append(-np.log(present if truth else 1 - present) * float(weights[k, truth]))
    assert len(losses) == objective.known(UNKNOWN) == 11
    assert float(objective.loss(logits, UNKNOWN, weights)) == pytest.approx(np.mean(losses), rel=1e-6)


def test_probabilities_of_findings_are_sigmoids_that_need_not_sum_to_one() -> None:
    logits = torch.tensor([[0.0, 2.0, -1.0], [3.0, 3.0, 3.0]])
    found = MultiLabel(3).probabilities(logits)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), 1 / (1 + np.exp(-logits.double().numpy())), rtol=1e-12)
    assert found.sum(1)[1] > 2.8


def test_right_decisions_about_findings_are_counted_where_they_are_known() -> None:
    logits = torch.where(UNKNOWN == 1, 2.0, -2.0)
    assert MultiLabel(3).right(logits, UNKNOWN) == 11
    assert MultiLabel(3).right(-logits, UNKNOWN) == 0
    assert MultiLabel(3).right(torch.full_like(logits, 2.0), UNKNOWN) == 3


def test_an_unknown_label_gives_no_gradient_whatever_the_logit() -> None:
    objective = MultiLabel(3)
    weights = objective.class_weights(UNKNOWN)
    logits = logits_of(objective).requires_grad_()
    loss = objective.loss(logits, UNKNOWN, weights)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, UNKNOWN < 0)
    elsewhere = torch.where(UNKNOWN < 0, 30.0 - logits.detach(), logits.detach())
    assert objective.loss(elsewhere, UNKNOWN, weights) == loss.detach()


def test_nothing_known_is_no_loss_and_no_gradient() -> None:
    objective = MultiLabel(3)
    nothing = torch.full((4, 3), -1)
    logits = logits_of(objective, 4).requires_grad_()
    loss = objective.loss(logits, nothing, torch.ones(3, 2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert (loss.item(), objective.share(nothing, nothing).item()) == (0.0, 0.0)  # type: ignore[union-attr]
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("objective", [Binary(), MultiClass(3), MultiLabel(3)], ids=lambda o: type(o).__name__)
def test_the_closed_form_is_the_gradient_of_the_loss(objective: Objective) -> None:
    labels, logits = labels_of(objective), logits_of(objective).requires_grad_()
    weights = objective.class_weights(labels)
    objective.loss(logits, labels, weights).backward()  # type: ignore[no-untyped-call]
    answers = objective.answers(logits.detach(), out=torch.empty_like(logits))
    errors = (answers - objective.targets(labels)) * objective.weights(labels, weights) / objective.known(labels)
    torch.testing.assert_close(errors, logits.grad)


@pytest.mark.parametrize("objective", [Binary(), MultiClass(3), MultiLabel(3)], ids=lambda o: type(o).__name__)
def test_the_shares_of_parts_make_up_the_loss_of_the_batch(objective: Objective) -> None:
    labels, logits = labels_of(objective), logits_of(objective)
    weights = objective.class_weights(labels)
    parts = [slice(0, 2), slice(2, 4), slice(4, 5), slice(5, 6)]  # 3, 5, 0 and 3 known findings
    total = sum(objective.loss(logits[p], labels[p], weights) * objective.share(labels[p], labels) for p in parts)
    torch.testing.assert_close(total, objective.loss(logits, labels, weights))
