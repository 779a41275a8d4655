"""(network, batch) -> gradients: the batch in parts that fit the memory, each counted by its share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xenograft.errors import Notice, ProcessError
from xenograft.train.machine import Machine, moved, out_of_memory, release
from xenograft.train.objective import Objective


class Step:
    """Gradients of whole batches, in parts of `machine.micro_batch` images.

    When memory runs out, the parts are halved once and the step starts over: its gradients are those of the whole
    batch again, but the statistics of batch normalisation have met the images before the failure twice.

    Args:
        machine: its `micro_batch` shrinks when memory runs out; the attribute says what is used.
        class_weights: of the objective. may_halve: False where that has happened already. compiled: by torch.compile.

    While `eager` is set, what was compiled rests: each change of what trains would be compiled anew.
    """

    def __init__(
        self,
        network: nn.Module,
        machine: Machine,
        objective: Objective,
        class_weights: Tensor,
        *,
        may_halve: bool = True,
        compiled: bool = False,
    ) -> None:
        self.machine = machine
        self._notices: list[Notice] = []
        self.network = network
        self._objective = objective
        self._weights = class_weights.to(machine.device)
        self._may_halve = may_halve
        self._compiled: Callable[..., Any] | None = torch.compile(network, dynamic=False) if compiled else None
        self._compiled_for = 0
        self.eager = False

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Leave the gradient of the batch's mean loss in the parameters.

        Args:
            inputs: (N, ...). labels: (N,) or (N, L), of the objective.

        Returns:
            (2,) on the device: the sum of the known labels' losses and how many of them were decided rightly.

        Raises:
            ProcessError: memory ran out a second time (P11).
        """
        try:
            return self._gradients(inputs, labels)
        except Exception as error:
            if out_of_memory(error):
                self._halve(len(labels), inputs, error)
            elif self._compiled is not None:
                self._stay_eager(error)
            else:
                raise
        # after the handler: as long as the error is held, so are the activations of the part that failed
        release(self.machine.device)
        return self(inputs, labels)

    def take_notices(self) -> list[Notice]:
        """What happened since the last call."""
        taken, self._notices = self._notices, []
        return taken

    def _gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        machine, objective = self.machine, self._objective
        self.network.zero_grad(set_to_none=True)
        inputs, labels = moved(inputs, machine.device), moved(labels, machine.device)
        sums = torch.zeros(2, device=machine.device)
        sizes = machine.parts(len(labels))
        for part, truth in zip(torch.split(inputs, sizes), torch.split(labels, sizes), strict=True):
            with torch.autocast(machine.device, torch.bfloat16, enabled=machine.bf16):
                logits = self._forward(len(part))(part)
            loss = objective.loss(logits.float(), truth, self._weights)
            (loss * objective.share(truth, labels)).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                right = objective.right(logits, truth)
                sums += torch.stack([loss.detach() * objective.known(truth), right.float()])
        return sums

    def _forward(self, count: int) -> Callable[..., Any]:
        """The compiled network for parts of the usual size alone: each other size would be compiled anew."""
        if self._compiled is None or self.eager:
            return self.network
        self._compiled_for = self._compiled_for or count
        return self._compiled if count == self._compiled_for else self.network

    def _halve(self, count: int, inputs: Tensor, error: Exception) -> None:
        part = max(self.machine.parts(count))
        said = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        if not self._may_halve or part < 4:
            raise ProcessError(
                f"memory ran out on {self.machine.device} at {part} images of {tuple(inputs.shape[1:])} a pass "
                f"({said}); choose a smaller --micro-batch, a smaller --size or a smaller backbone",
                code="E-PROC-11",
            ) from error
        self._may_halve = False
        self._compiled_for = 0
        self.machine = self.machine.with_parts(part // 2)
        text = f"memory ran out at {part} images a pass; training went on with {part // 2}"
        self._notices.append(Notice("W-PROC-11", text))

    def _stay_eager(self, error: Exception) -> None:
        self._compiled = None
        said = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        self._notices.append(Notice("W-PROC-16", f"torch.compile failed, training went on without it ({said})"))
