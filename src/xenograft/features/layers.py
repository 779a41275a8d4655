"""(backbone graph, batches of prepared images) -> average-pooled features after every stage of the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xenograft.backbones.build import Backbone
from xenograft.backbones.graph import PixelGraph
from xenograft.errors import DataError, UsageError

Array = NDArray[np.float32]

_AT_ONCE = 32  # images: the first stages of a wide network hold tens of megabytes for each


def stage_features(graph: PixelGraph, batches: Iterable[NDArray[np.uint8]]) -> dict[str, Array]:
    """Run each image once and keep the spatial mean of what every stage hands to the next.

    A stage is one of `Backbone.stages`, the unit of freezing: it runs from the module it is named after to the module
    that names the next one, so a transition or pooling in between belongs to the earlier stage. The last one is what
    `Backbone.features` gives, pooled as the network itself does it. Token networks are averaged over all tokens.

    On the device of the graph, at f32, in evaluation and inference mode; the graph's training modes and hooks are as
    before afterwards. The same batches give the same numbers on the same machine; another batch size may change the
    last bits. Memory: the activations of at most 32 images, and the result, N x the sum of D_s x 4 bytes. On a CPU a
    graph in channels-last format is faster, 1.1 to 1.6 times in our measurements.

    Args:
        graph: a `PixelGraph` over a `Backbone`.
        batches: (n, C, S, S) uint8, prepared, C and S as in ``graph.input_shape``; any n, also 0.

    Returns:
        Stage name -> (N, D_s) float32, in the order of the stages; rows in the order of the images.

    Raises:
        DataError: E-DATA-05, a batch of another shape or type, or no image at all.
        UsageError: E-USAGE-03, a timm model whose stages do not follow one another as modules.
    """
    backbone = graph.network
    if not isinstance(backbone, Backbone):
        raise UsageError(
            f"features by layer need a backbone from backbones.build, not {type(backbone).__name__}",
            code="E-USAGE-03",
        )
    names = [name for name, _ in backbone.stages()]
    kept: dict[str, list[Array]] = {name: [] for name in names}
    with _evaluating(graph), _tapped(backbone, names) as taps, torch.inference_mode():
        for part in _parts(graph, batches):
            taps.clear()
            taps[names[-1]] = graph(part)
            for name in names:
                if name not in taps:
                    raise _no_stages(backbone, name)
                kept[name].append(taps[name].float().cpu().numpy())
    if not kept[names[-1]]:
        raise DataError("batches: got no image; allowed: at least one", code="E-DATA-05")
    return {name: np.concatenate(kept.pop(name)) for name in names}  # pop: one stage at a time is held twice


@contextmanager
def _tapped(backbone: Backbone, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """While open, a run fills the dictionary with every stage's pooled output but the last one's.

    What enters a stage is read before it enters, since its first module may change it in place.
    """
    taps: dict[str, Tensor] = {}
    modules = dict(backbone.trunk.named_modules())
    channels_last = getattr(backbone.trunk, "output_fmt", "NCHW") == "NHWC"

    def tap(name: str) -> Any:
        def read(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if name in taps or not inputs or not isinstance(inputs[0], Tensor) or inputs[0].ndim not in (3, 4):
                raise _no_stages(backbone, name)
            taps[name] = _averaged(inputs[0], channels_last=channels_last)

        return read

    hooks = []
    try:
        for name, following in pairwise(names):
            if following not in modules:
                raise _no_stages(backbone, name)
            hooks.append(modules[following].register_forward_pre_hook(tap(name)))
        yield taps
    finally:
        for hook in hooks:
            hook.remove()


def _averaged(output: Tensor, *, channels_last: bool) -> Tensor:
    """(n, C, h, w), (n, h, w, C) or (n, tokens, C) -> (n, C)."""
    if output.ndim == 3:
        return output.mean(dim=1)
    return output.mean(dim=(1, 2) if channels_last else (2, 3))


@contextmanager
def _evaluating(graph: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in graph.modules()]
    graph.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _parts(graph: PixelGraph, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Tensor]:
    for batch in batches:
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != graph.input_shape:
            allowed = ", ".join(str(length) for length in graph.input_shape)
            raise DataError(
                f"batches: got shape {batch.shape}, type {batch.dtype}; allowed: (n, {allowed}) uint8", code="E-DATA-05"
            )
        for start in range(0, len(batch), _AT_ONCE):
            # a copy where it is needed: torch takes neither negative strides nor memory that cannot be written
            part = np.require(batch[start : start + _AT_ONCE], requirements=["C", "W"])
            yield torch.from_numpy(part).to(graph.scale.device)


def _no_stages(backbone: Backbone, name: str) -> UsageError:
    return UsageError(
        f"the stage {name!r} of {backbone.spec.name} does not end where another module begins; "
        "take a backbone of the catalog for features by layer",
        code="E-USAGE-03",
    )
