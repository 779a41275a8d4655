"""What a run has reached, to a file and back: a resumed run equals the uninterrupted one (P2)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from xenograft.errors import Notice
from xenograft.storage import atomic_write


@dataclass(slots=True)
class Fitted:
    """What came out of the loop.

    Args:
        history: as in RunRecord. best_epoch: the one (from 1) with the lowest validation loss.
        stopped: why training ended early, where the loss was not finite any more.
        micro_batch: images per pass at the end; None is the whole batch. notices: what happened on the way.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    micro_batch: int | None = None
    notices: list[Notice] = field(default_factory=list)


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of everything a network has learned."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def save_checkpoint(
    path: Path,
    fingerprint: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    best: dict[str, Tensor],
    fitted: Fitted,
) -> None:
    """Network, optimiser and best epoch as one safetensors file: no pickle, written whole or not at all."""
    tensors = {f"network/{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{k}": torch.as_tensor(v) for k, v in state.items() if v is not None}
    about = {"facts": json.dumps(asdict(fitted)), "fingerprint": fingerprint}
    data = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, about)
    atomic_write(path, data)


def resume(
    path: Path | None, fingerprint: str, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[Fitted, dict[str, Tensor]]:
    """Continue from `path` where it holds this very run; else start. A damaged file costs its epochs, nothing else."""
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
    try:
        if path is None or not path.is_file():
            return Fitted(), state_of(network)
        with safe_open(path, framework="pt") as stored:
            about = stored.metadata()
            if about["fingerprint"] != fingerprint:
                return Fitted(), state_of(network)
            fitted = _fitted(json.loads(about["facts"]))
            for key in stored.keys():  # noqa: SIM118 - safe_open is no mapping
                group, _, name = key.partition("/")
                groups[group][name] = stored.get_tensor(key).clone()  # or the file stays mapped and cannot be replaced
    except (SafetensorError, KeyError, ValueError, TypeError):
        return Fitted(), state_of(network)
    network.load_state_dict(groups["network"])
    _restore(optimiser, groups["optimiser"])
    device = next(network.parameters()).device
    return fitted, {k: v.to(device) for k, v in groups["best"].items()}


def _fitted(facts: dict[str, Any]) -> Fitted:
    notices = [Notice(**{**notice, "items": tuple(notice["items"])}) for notice in facts.pop("notices", [])]
    return Fitted(**facts, notices=notices)


def _restore(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        like = parameters[int(index)]
        if tensor.shape == like.shape:
            # fused optimisers walk memory, not indices: the state must lie as its parameter does (channels last)
            tensor = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)  # noqa: PLW2901
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
