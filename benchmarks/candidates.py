"""ImageNet weights at hand, and weaker candidates made of them: the last stages, or all of them, made random again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from xenograft.backbones import catalog, convert, weights
from xenograft.backbones.build import Backbone, build

SHARES = {"ImageNet": 0.0, "last half random": 0.5, "random": 1.0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backbone with a folder of weights for it; None for those that `weights.find` finds by itself."""

    name: str
    backbone: str
    weights_dir: Path | None


def candidates(folder: Path, given: Path | None, *, weaken: tuple[str, ...]) -> Iterator[Candidate]:
    """Every catalog backbone whose weights are here, and the weakened forms of those in `weaken`."""
    for spec in catalog.CATALOG.values():
        found = next(iter(weights.status([spec], weights_dir=given, cache=folder / "none")))
        if found.path is None:
            continue
        yield Candidate(f"{spec.title}, ImageNet", spec.name, given)
        for form, share in list(SHARES.items())[1:] if spec.name in weaken else ():
            place = folder / f"{spec.name}-{share:g}"
            _weaken(spec, found.path, place, share)
            yield Candidate(f"{spec.title}, {form}", spec.name, place)


def _weaken(spec: catalog.BackboneSpec, path: Path, place: Path, share: float) -> None:
    """Weights whose last stages, that share of them, are those of a new network."""
    # the names that the catalog knows no hash of
    name = next(file.name for file in spec.accepted if not file.expected)
    if (place / name).is_file():
        return
    place.mkdir(parents=True, exist_ok=True)
    trained = build(spec, tensors=convert.load_tensors(path), seed=0).trunk.state_dict()
    new = build(spec, tensors=None, seed=1)
    fresh = new.trunk.state_dict()
    modules = _last_modules(new, share)
    mixed = {
        key: (fresh if any(key.startswith(module) for module in modules) else trained)[key].clone() for key in trained
    }
    if name.endswith(".safetensors"):
        save_file(mixed, place / name)
    else:
        torch.save(mixed, place / name)


def _last_modules(backbone: Backbone, share: float) -> tuple[str, ...]:
    """Prefixes of the tensors, buffers with them, of the last stages."""
    stages = backbone.stages()
    count = round(share * len(stages))
    if count == len(stages):
        return ("",)
    names = {id(parameter): name for name, parameter in backbone.trunk.named_parameters()}
    last = [names[id(parameter)] for _, parameters in stages[len(stages) - count :] for parameter in parameters]
    return tuple(sorted({name.rpartition(".")[0] + "." for name in last}))
