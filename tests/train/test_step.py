"""Gradients in parts, memory that runs out, and a compiler that fails."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from xenograft.errors import ProcessError
from xenograft.train import step as step_module
from xenograft.train.machine import Machine
from xenograft.train.objective import Binary, MultiLabel
from xenograft.train.step import Step

WEIGHTS = torch.tensor([0.7, 1.6])


def network(outputs: int = 1) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, outputs))


def batch(count: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, 8, 8, generator=generator), torch.arange(count) % 2


class Narrow(nn.Module):
    """A network that runs out of memory above a number of images, in the backward pass too where asked."""

    def __init__(self, most: int, *, error: type[Exception] = torch.OutOfMemoryError, backward: bool = False) -> None:
        super().__init__()
        self.inner, self.most, self.error, self.in_backward = network(), most, error, backward
        self.met: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.met.append(len(images))
        output: Tensor = self.inner(images)
        if len(images) > self.most:
            if not self.in_backward:
                raise self.error("CUDA out of memory. Tried to allocate 20 MiB.\nmore")
            output.register_hook(self._fail)
        return output

    def _fail(self, _gradient: Tensor) -> Tensor:
        raise self.error("CUDA out of memory.")


def gradients(net: nn.Module) -> list[Tensor]:
    found = [p.grad for p in net.parameters()]
    assert all(grad is not None for grad in found)
    return [grad.clone() for grad in found if grad is not None]


def reference() -> list[Tensor]:
    """The gradient of the class-weighted mean loss, by torch's own weighting."""
    net = network()
    images, labels = batch()
    loss = functional.binary_cross_entropy_with_logits(net(images)[:, 0], labels.float(), weight=WEIGHTS[labels])
    loss.backward()  # type: ignore[no-untyped-call]
    return gradients(net)


@pytest.mark.parametrize("micro_batch", [None, 2, 3, 4, 10, 11])
def test_the_gradient_of_the_parts_is_the_batchs(micro_batch: int | None) -> None:
    net = network()
    sums = Step(net, Machine(micro_batch=micro_batch), Binary(), WEIGHTS)(*batch())
    for expected, grad in zip(reference(), gradients(net), strict=True):
        torch.testing.assert_close(grad, expected, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        logits = network()(batch()[0])[:, 0]
    losses = functional.binary_cross_entropy_with_logits(
        logits, batch()[1].float(), weight=WEIGHTS[batch()[1]], reduction="sum"
    )
    assert sums[0] == pytest.approx(losses.item(), rel=1e-5)
    assert sums[1] == ((logits > 0).long() == batch()[1]).sum()


@pytest.mark.parametrize("micro_batch", [None, 2, 3, 4, 10])
def test_the_gradient_of_parts_with_more_and_fewer_known_findings_is_the_batchs(micro_batch: int | None) -> None:
    images, _ = batch()
    labels = torch.randint(-1, 2, (11, 3), generator=torch.Generator().manual_seed(2))
    labels[:4] = -1  # the first parts have nothing to learn from
    known, truth, weights = labels >= 0, labels == 1, torch.tensor([[0.7, 1.6], [0.6, 4.0], [1.0, 1.0]])
    of_value = torch.where(truth, weights[:, 1], weights[:, 0])
    whole, net = network(3), network(3)
    losses = functional.binary_cross_entropy_with_logits(whole(images), truth.float(), of_value, reduction="none")
    losses[known].mean().backward()  # type: ignore[no-untyped-call]
    sums = Step(net, Machine(micro_batch=micro_batch), MultiLabel(3), weights)(images, labels)
    for expected, grad in zip(gradients(whole), gradients(net), strict=True):
        torch.testing.assert_close(grad, expected, atol=1e-6, rtol=1e-5)
    assert sums[0] == pytest.approx(losses[known].sum().item(), rel=1e-5)
    assert sums[1] == ((network(3)(images) > 0) == truth)[known].sum()


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_p11_the_parts_are_halved_once_and_the_step_starts_over(error: type[Exception], backward: bool) -> None:
    net = Narrow(6, error=error, backward=backward)
    step = Step(net, Machine(), Binary(), WEIGHTS)
    step(*batch())
    assert net.met == [11, 4, 4, 3]
    assert step.machine.micro_batch == 5
    for expected, grad in zip(reference(), gradients(net.inner), strict=True):
        torch.testing.assert_close(grad, expected, atol=1e-6, rtol=1e-5)
    notices = step.take_notices()
    assert [notice.code for notice in notices] == ["W-PROC-11"]
    assert "11 images a pass; training went on with 5" in notices[0].message
    assert step.take_notices() == []


def test_p11_a_second_time_is_an_error_that_says_what_to_do() -> None:
    step = Step(Narrow(3), Machine(), Binary(), WEIGHTS)
    with pytest.raises(ProcessError, match=r"E-PROC-11 .* 4 images of \(3, 8, 8\).*Tried to allocate 20 MiB.*--micro"):
        step(*batch())


def test_p11_a_resumed_run_that_halved_before_does_not_halve_again() -> None:
    with pytest.raises(ProcessError, match="E-PROC-11"):
        Step(Narrow(3), Machine(micro_batch=5), Binary(), WEIGHTS, may_halve=False)(*batch())


def test_p11_parts_of_two_cannot_be_halved() -> None:
    with pytest.raises(ProcessError, match="E-PROC-11"):
        Step(Narrow(1), Machine(micro_batch=2), Binary(), WEIGHTS)(*batch())


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        Step(network(), Machine(), Binary(), WEIGHTS)(torch.zeros(4, 3, 9, 9), torch.zeros(4, dtype=torch.int64))


def test_a_compiler_that_fails_is_left_out_with_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(_network: nn.Module, **_options: object) -> object:
        def fails(_images: Tensor) -> Tensor:
            raise FileNotFoundError("no gcc here")

        return fails

    monkeypatch.setattr(step_module.torch, "compile", compiled)
    net = network()
    step = Step(net, Machine(), Binary(), WEIGHTS, compiled=True)
    step(*batch())
    step(*batch())
    for expected, grad in zip(reference(), gradients(net), strict=True):
        torch.testing.assert_close(grad, expected, atol=1e-6, rtol=1e-5)
    assert [(n.code, "no gcc here" in n.message) for n in step.take_notices()] == [("W-PROC-16", True)]


def test_other_sizes_than_the_usual_are_not_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def compiled(net: nn.Module, **_options: object) -> object:
        def run(images: Tensor) -> Tensor:
            sizes.append(len(images))
            output: Tensor = net(images)
            return output

        return run

    monkeypatch.setattr(step_module.torch, "compile", compiled)
    step = Step(network(), Machine(), Binary(), WEIGHTS, compiled=True)
    for count in (8, 8, 5, 8):
        step(*batch(count))
    assert sizes == [8, 8, 8]
