"""`timm:NAME` -> BackboneSpec, read off the model itself without allocating its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xenograft.backbones.catalog import TIMM_PREFIX, BackboneSpec, Triple, WeightFile, unknown_backbone
from xenograft.backbones.zoo import zoo
from xenograft.errors import UsageError, printable

_SAFE_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
_BLOCK = re.compile(r"\w+(\.\d+)?")
_WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def timm_spec(name: str) -> BackboneSpec:
    """Make the row of `timm:NAME` or `timm:NAME.TAG`.

    Raises:
        UsageError: E-USAGE-03, timm has no such model, or it takes no square RGB image.
    """
    timm = zoo("timm")
    model_name = name.removeprefix(TIMM_PREFIX)
    if not _SAFE_NAME.fullmatch(model_name) or not timm.is_model(model_name):
        raise unknown_backbone(model_name, timm.list_models(), hint="see timm.list_models()")
    model = _shape_only(model_name)
    cfg: Mapping[str, Any] = model.pretrained_cfg
    size = _side(name, cfg)
    return BackboneSpec(
        name=name,
        source="timm",
        title=model_name,
        width=_width(model, size),
        stages=tuple(timm_stages(model)),
        accepted=tuple(
            WeightFile(file)
            for file in (f"{model_name}.safetensors", f"{model_name}/model.safetensors", f"{model_name}.pth")
        ),
        params_m=round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1),
        depthwise=_is_depthwise(model),
        size=size,
        mean=_triple(cfg["mean"]),
        std=_triple(cfg["std"]),
        interpolation=str(cfg.get("interpolation", "bicubic")),
        url=_address(cfg),
        licence=str(cfg.get("license") or "not stated"),
    )


def timm_stages(model: Any) -> dict[str, list[str]]:
    """timm's own layer groups, input -> output: stage name -> parameter names, each parameter once.

    The first stage is called `stem`; another by the block that it begins with (`blocks.3`), or by the shorter module
    path that its first and last parameter share (`layer2`).
    """
    from timm.models import group_parameters

    try:
        groups = group_parameters(model, model.group_matcher(coarse=True))
    except (AttributeError, NotImplementedError, AssertionError):  # a model that declares no groups
        return {"all": [name for name, _ in model.named_parameters()]}
    stages: dict[str, list[str]] = {}
    for number, (_, names) in enumerate(sorted(groups.items())):
        stage = "stem" if number == 0 else _stage_name(names[0], names[-1])
        stages[stage if stage not in stages else f"{stage}#{number}"] = list(names)
    return stages


def _stage_name(first: str, last: str) -> str:
    block = _BLOCK.match(first)
    names = [name for name in (_shared_path(first, last), block[0] if block else first) if name]
    return min(names, key=len)


def _shared_path(first: str, last: str) -> str:
    parts: list[str] = []
    for one, other in zip(first.split(".")[:-1], last.split(".")[:-1], strict=False):
        if one != other:
            break
        parts.append(one)
    return ".".join(parts)


def _shape_only(model_name: str) -> Any:
    """The model without its classifier on the meta device: every shape, no memory, milliseconds."""
    import torch

    timm = zoo("timm")
    try:
        with torch.device("meta"):
            return timm.create_model(model_name, pretrained=False, num_classes=0).eval()
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        raise UsageError(
            f"timm cannot build {printable(model_name)!r}: {printable(error)}; see timm.list_pretrained()",
            code="E-USAGE-03",
        ) from error


def _width(model: Any, size: int) -> int:
    """Length of the pooled features; some heads widen them after pooling, so ask the network, not its attributes."""
    import torch

    try:
        with torch.no_grad(), torch.device("meta"):
            return int(model(torch.empty(1, 3, size, size)).shape[1])
    except (RuntimeError, NotImplementedError, AttributeError, IndexError):
        return int(getattr(model, "head_hidden_size", None) or model.num_features)


def _is_depthwise(model: Any) -> bool:
    return any(1 < getattr(module, "groups", 1) == getattr(module, "in_channels", 0) for module in model.modules())


def _side(name: str, cfg: Mapping[str, Any]) -> int:
    channels, height, width = cfg["input_size"]
    if channels != 3 or height != width:
        raise UsageError(
            f"{name} takes {channels} x {height} x {width} input; only square RGB models are usable", code="E-USAGE-03"
        )
    return int(height)


def _triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _address(cfg: Mapping[str, Any]) -> str | None:
    """Where the weights lie: the Hugging Face repository first, the publisher's own file otherwise."""
    if hub := cfg.get("hf_hub_id"):
        file = cfg.get("hf_hub_filename") or "model.safetensors"
        return f"https://huggingface.co/{hub}/resolve/main/{file}" if file.endswith(_WEIGHT_SUFFIXES) else None
    url = cfg.get("url") or ""
    return url if url.endswith(_WEIGHT_SUFFIXES) else None
