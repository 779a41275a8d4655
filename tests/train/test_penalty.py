"""L2-SP against autograd, and as part of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xenograft.train.loop import TrainingData, fit
from xenograft.train.machine import Machine
from xenograft.train.objective import Binary
from xenograft.train.penalty import StartingPoint
from xenograft.train.recipes import Recipe, lookup

RECIPE = replace(lookup("l2_sp"), epochs=4, batch_size=10, patience=0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.backbone = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), nn.Tanh())
            self.head = nn.Linear(4, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(inputs))
        return logits


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 2, (20,), generator=generator)
    return torch.randn(20, 5, generator=generator) + labels[:, None], labels


def moved(network: Net) -> None:
    """Away from the start, or the penalty would be 0."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def loss_of(network: Net) -> Tensor:
    inputs, labels = batch()
    return nn.functional.binary_cross_entropy_with_logits(network(inputs)[:, 0], labels.float())


def test_the_gradient_is_that_of_the_penalised_loss() -> None:
    network = Net().double()
    recipe = replace(RECIPE, l2_sp=0.3, l2_head=0.07)
    start = StartingPoint(network, recipe)
    first = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    moved(network)
    inputs, labels = batch()

    def data_loss() -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(network(inputs.double())[:, 0], labels.double())

    pull = sum(((p - first[f"backbone.{n}"]) ** 2).sum() for n, p in network.backbone.named_parameters())
    shrink = sum((p**2).sum() for p in network.head.parameters())
    expected = torch.autograd.grad(data_loss() + 0.3 / 2 * pull + 0.07 / 2 * shrink, list(network.parameters()))
    network.zero_grad()
    data_loss().backward()  # type: ignore[no-untyped-call]
    start.add_gradients()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-14)


def test_other_recipes_have_no_penalty_and_keep_no_copy() -> None:
    network = Net()
    start = StartingPoint(network, lookup("full"))
    moved(network)
    loss_of(network).backward()  # type: ignore[no-untyped-call]
    before = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    start.add_gradients()
    for parameter, gradient in zip(network.parameters(), before, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)
    assert start._start == []


def train(network: Net, recipe: Recipe = RECIPE, **more: Any) -> Any:
    inputs, labels = batch()

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(20, generator=torch.Generator().manual_seed(number))
        for part in torch.split(order, 10):
            yield inputs[part], labels[part]

    weights = Binary().class_weights(labels)
    source = TrainingData(epoch, 2, lambda: iter([(inputs, labels)]), Binary(), weights)
    options = {"measure": lambda *_: {"loss": 0.0, "accuracy": 0.0, "f1": 0.0, "auroc": 0.0}, **more}
    return fit(network, source, recipe=recipe, machine=options.pop("machine", Machine()), **options)


def distance(network: Net) -> float:
    first = Net()
    pairs = zip(network.backbone.parameters(), first.backbone.parameters(), strict=True)
    return sum(float((p - q).detach().square().sum()) for p, q in pairs) ** 0.5


def test_the_stronger_the_pull_the_nearer_it_stays() -> None:
    distances = []
    for pull in (0.0, 1.0, 20.0):
        network = Net()
        train(network, replace(RECIPE, epochs=20, l2_sp=pull, backbone_lr=0.05))
        distances.append(distance(network))
    assert distances[0] > 1.5 * distances[1] > 3 * distances[2] > 0


def test_parts_of_a_batch_are_penalised_once() -> None:
    whole, parts = Net(), Net()
    train(whole)
    train(parts, machine=Machine(micro_batch=3))
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_p2_a_resumed_run_is_drawn_to_the_first_weights_not_to_the_checkpoints(tmp_path: Path) -> None:
    recipe = replace(RECIPE, l2_sp=5.0)
    whole = Net()
    train(whole, recipe)
    checkpoint = tmp_path / "checkpoint.safetensors"

    class Stop(Exception):  # noqa: N818
        pass

    steps: list[int] = []

    def killed(images: int) -> None:
        steps.append(images)
        if len(steps) == 5:
            raise Stop

    with pytest.raises(Stop):
        train(Net(), recipe, checkpoint=checkpoint, on_step=killed)
    resumed = Net()
    train(resumed, recipe, checkpoint=checkpoint)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
