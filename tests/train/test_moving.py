"""What moves, when, and how quickly: on a small ResNet, whose stages are known by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xenograft.backbones import build, catalog
from xenograft.train import loop
from xenograft.train.machine import Machine
from xenograft.train.moving import Unfreezing, parameter_groups
from xenograft.train.network import Classifier
from xenograft.train.objective import Binary
from xenograft.train.recipes import Recipe, lookup

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
GRADUAL = replace(lookup("gradual"), epochs=10, batch_size=8, backbone_lr=1e-3, patience=0)


def classifier() -> Classifier:
    network = Classifier(build.build(catalog.lookup("timm:test_resnet"), tensors=None, seed=0), Binary())
    network.backbone.freeze("all")
    return network


def stage_of(name: str) -> str:
    return "head" if name.startswith("head.") else next((s for s in STAGES if f".{s}." in name), "stem")


def measure(labels: Any, probabilities: Any) -> dict[str, float]:
    return {"loss": 0.0, "accuracy": 0.0, "f1": 0.0, "auroc": 0.0}


def data(*, lie: bool = False) -> loop.TrainingData:
    """One step an epoch; `lie` turns validation's labels round, so that learning makes its loss worse."""
    labels = torch.arange(8) % 2
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) + labels[:, None, None, None]

    def epoch(_number: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield images, labels

    weights = Binary().class_weights(labels)
    return loop.TrainingData(epoch, 1, lambda: iter([(images, 1 - labels if lie else labels)]), Binary(), weights)


def train(network: nn.Module, recipe: Recipe = GRADUAL, source: loop.TrainingData | None = None, **more: Any) -> Any:
    return loop.fit(network, source or data(), recipe=recipe, measure=measure, machine=Machine(), **more)


def test_each_stage_learns_at_a_share_of_the_next_ones_rate() -> None:
    network = classifier()
    recipe = replace(lookup("layerwise"), backbone_lr=0.8, lr_decay=0.5, head_lr=2.0)
    rates = {id(p): group["peak"] for group in parameter_groups(network, recipe) for p in group["params"]}
    expected = {"stem": 0.05, "layer1": 0.1, "layer2": 0.2, "layer3": 0.4, "layer4": 0.8, "head": 2.0}
    for name, parameter in network.named_parameters():
        assert rates.pop(id(parameter)) == pytest.approx(expected[stage_of(name)]), name
    assert rates == {}


def test_without_decay_there_are_two_groups_in_the_order_that_checkpoints_know() -> None:
    network = classifier()
    groups = parameter_groups(network, lookup("full"))
    assert [group["peak"] for group in groups] == [1e-4, 1e-3]
    flat = [id(p) for group in groups for p in group["params"]]
    assert flat == [id(p) for p in network.parameters()]


def test_frozen_stages_are_in_no_group_with_decay_either() -> None:
    network = classifier()
    network.backbone.freeze(1)
    groups = parameter_groups(network, replace(lookup("partial"), lr_decay=0.5))
    assert [group["peak"] for group in groups] == [1e-4, 1e-3]


def test_a_rate_is_its_peak_times_the_share_of_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[list[float]] = []
    plain = torch.optim.AdamW.step

    def step(self: Any, *args: Any, **more: Any) -> Any:
        met.append([group["lr"] for group in self.param_groups])
        return plain(self, *args, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(classifier(), replace(lookup("layerwise"), epochs=3, warmup=0.0, backbone_lr=1e-3, lr_decay=0.5))
    peaks = np.array([1e-3 / 16, 1e-3 / 8, 1e-3 / 4, 1e-3 / 2, 1e-3, 1e-3])
    cosine = [1.0, 1.0, 0.5]  # a warm-up of one step, then the cosine over the two that follow
    np.testing.assert_allclose(met, [peaks * share for share in cosine], rtol=1e-12)


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def test_stages_join_one_by_one_and_the_frozen_ones_keep_every_bit() -> None:
    network = classifier()
    states = [copied(network)]
    plain = loop._validate

    def validate(*args: Any) -> Any:
        states.append(copied(network))
        return plain(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_validate", validate)
        train(network, replace(GRADUAL, epochs=7, unfreeze_every=1))
    # seven epochs leave three openings: at least half of the epochs train everything
    trained = [0, 2, 4, 5, 5, 5, 5]
    for epoch, (before, after) in enumerate(itertools.pairwise(states)):
        moved = {stage_of(name) for name in before if not torch.equal(before[name], after[name])}
        assert moved == {"head", *STAGES[5 - trained[epoch] :]}, epoch


def test_patience_waits_until_everything_trains() -> None:
    fitted = train(classifier(), replace(GRADUAL, patience=2), data(lie=True))
    assert fitted.best_epoch < 5
    assert len(fitted.history) == 5 + 2


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_p2_a_run_stopped_between_two_openings_resumes_exactly(tmp_path: Path, optimiser: str) -> None:
    recipe = replace(GRADUAL, epochs=6, optimiser=optimiser)  # type: ignore[arg-type]
    whole = classifier()
    expected = train(whole, recipe)

    class Stop(Exception):  # noqa: N818
        pass

    steps: list[int] = []

    def killed(images: int) -> None:
        steps.append(images)
        if len(steps) == 3:
            raise Stop

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stop):
        train(classifier(), recipe, checkpoint=checkpoint, on_step=killed)
    resumed = classifier()
    fitted = train(resumed, recipe, checkpoint=checkpoint)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert [row["selection_loss"] for row in fitted.history] == [row["selection_loss"] for row in expected.history]


def test_nothing_is_compiled_before_everything_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    network, compiled = classifier(), []
    begun: list[int] = []

    def compile_(module: nn.Module, **_more: Any) -> Callable[..., Any]:
        def call(images: Tensor) -> Any:
            compiled.append(len(begun))
            return module(images)

        return call

    plain = Unfreezing.begin

    def begin(self: Unfreezing, epoch: int) -> None:
        begun.append(epoch)
        plain(self, epoch)

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(Unfreezing, "begin", begin)
    asked: list[int] = []

    def pays(_device: str, steps: int) -> bool:
        asked.append(steps)
        return True

    monkeypatch.setattr(loop, "pays_to_compile", pays)
    train(network, replace(GRADUAL, epochs=6))
    assert asked == [3]  # the steps of those epochs that train everything
    assert compiled == [4, 5, 6]


def test_a_network_without_stages_has_nothing_to_unfreeze() -> None:
    unfreezing = Unfreezing(nn.Linear(2, 1), GRADUAL)
    unfreezing.begin(0)
    assert unfreezing.epochs == 0
