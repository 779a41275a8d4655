"""Data and weights for machines that have none: made radiographs, many distinct small images, random weight files."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fresh
from harness import say

_SPLITS = ("train", "test")
_LABELS = ("NORMAL", "PNEUMONIA")
_BLOCK = 8  # side of a JPEG block: what is written into whole blocks survives compression
_BITS = 20


def data_of(args: Namespace, scratch: Path, *, count: int = 1200, size: int = 224) -> Path:
    """The given folder, or made radiographs as JPEG in ``{train,test}/CLASS/``; quick ones are few and small.

    Raises:
        SystemExit: the given folder has no train and test.
    """
    if args.data is not None:
        if missing := [split for split in _SPLITS if not (args.data / split).is_dir()]:
            raise SystemExit(f"--data has no {' and no '.join(missing)} folder; it needs train/CLASS/ and test/CLASS/")
        return Path(args.data)
    count, size = (120, 64) if args.quick else (count, size)
    say(f"making {count} radiographs")
    fresh.call("made:radiographs", folder=scratch / "phantom", count=count, size=size)
    return scratch / "phantom"


def sizes(data: Path) -> dict[str, int]:
    """Files in each split."""
    return {split: sum(1 for path in (data / split).rglob("*") if path.is_file()) for split in _SPLITS}


def described(args: Namespace, data: Path) -> str:
    """The data in words, without a path."""
    counts = ", ".join(f"{count} {split}" for split, count in sizes(data).items())
    return f"{data.name if args.data is not None else 'made radiographs'} ({counts})"


def radiographs(folder: str, count: int, size: int) -> dict[str, Any]:
    """Synthetic radiographs by xenograft's own writer, saved again as JPEG, as the paper's images are."""
    import cv2

    from xenograft.data.phantom import write_phantoms

    write_phantoms(Path(folder), count=count, size=size, seed=1)
    for path in list(Path(folder).rglob("*.png")):
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path.with_suffix(".jpg")), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
        path.unlink()
    return {"images": count}


def many(folder: str, count: int, size: int) -> dict[str, Any]:
    """Many images, all with different pixels, cheaply: 40 radiographs, each copy numbered in a pattern of blocks.

    A comment in the file would not do: images with equal pixels are recognised and put into one group.
    """
    import cv2

    from xenograft.data.phantom import phantoms

    drawn = phantoms(40, size=max(size, 64), seed=2)
    bases = [cv2.resize(phantom.pixels, (size, size)) for phantom in drawn]
    for split in _SPLITS:
        for label in _LABELS:
            (Path(folder) / split / label).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = bases[index % len(bases)].copy()
        for bit, block in zip(range(_BITS), _blocks(size), strict=False):
            pixels[block] = 160 if index >> bit & 1 else 96
        split, label = _SPLITS[index % 10 >= 8], _LABELS[index % 2]  # what is in the image does not matter here
        cv2.imwrite(f"{folder}/{split}/{label}/m{index:06d}.jpg", pixels)
    return {"images": count}


def distinct(folder: str, count: int, size: int) -> dict[str, Any]:
    """Many images no two of which look alike: a radiograph under coarse random shading."""
    import cv2
    import numpy as np

    from xenograft.data.phantom import phantoms

    bases = [cv2.resize(phantom.pixels, (size, size)).astype(np.float32) for phantom in phantoms(40, size=64, seed=2)]
    rng = np.random.default_rng(3)
    for split in _SPLITS:
        for label in _LABELS:
            (Path(folder) / split / label).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        shading = cv2.resize(rng.standard_normal((7, 7), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        pixels = np.clip(bases[index % len(bases)] / 2 + 40 + 45 * shading, 0, 255).astype(np.uint8)
        split, label = _SPLITS[index % 10 >= 8], _LABELS[rng.integers(2)]
        cv2.imwrite(f"{folder}/{split}/{label}/m{index:06d}.jpg", pixels)
    return {"images": count}


def _blocks(size: int) -> Iterator[tuple[slice, slice]]:
    for number in range((size // _BLOCK) ** 2):
        top, left = divmod(number, size // _BLOCK)
        yield slice(top * _BLOCK, (top + 1) * _BLOCK), slice(left * _BLOCK, (left + 1) * _BLOCK)


def originals(folder: str, count: int, megapixels: float = 1.8) -> dict[str, Any]:
    """Large gray JPEG files with the noise of a real film, so that they decode as slowly as real ones."""
    import cv2
    import numpy as np

    from xenograft.data.phantom import phantoms

    Path(folder).mkdir(parents=True, exist_ok=True)
    height = round((megapixels * 1e6 / 1.3) ** 0.5)
    rng = np.random.default_rng(3)
    for index, phantom in enumerate(phantoms(count, size=512, seed=3)):
        large = cv2.resize(phantom.pixels, (round(height * 1.3), height), interpolation=cv2.INTER_CUBIC)
        noisy = large + rng.normal(0.0, 4.0, large.shape)
        cv2.imwrite(f"{folder}/{index:04d}.jpg", np.clip(noisy, 0, 255).astype(np.uint8))
    return {"images": count}


def weights_of(args: Namespace, scratch: Path, names: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
    """(folder with a weight file for each name, {"paths": by name, "random": names of the made ones})."""
    folder = scratch / "weights"
    say(f"weights of {', '.join(names)}")
    given = str(args.weights_dir) if args.weights_dir is not None else None
    return folder, fresh.call("made:fill_weights", folder=folder, names=names, given=given)


def weights_note(found: dict[str, Any]) -> str:
    """Which networks had random weights."""
    drawn = ", ".join(found["random"])
    return f"Random weights, which cost as much time as real ones: {drawn}." if drawn else "Real weights throughout."


def fill_weights(folder: str, names: list[str], given: str | None) -> dict[str, Any]:
    """Copy the weight files that are there, make random ones for the others."""
    from xenograft.backbones.catalog import lookup

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths, drawn = {}, []
    for name in names:
        spec = lookup(name)
        there = (
            next((Path(given) / file for file in spec.files if (Path(given) / file).is_file()), None) if given else None
        )
        if there is not None:
            paths[name] = target / there.name
            shutil.copyfile(there, paths[name])
        else:
            # a name without a known hash: any other would rightly be refused
            paths[name] = target / next(file.name for file in spec.accepted if not file.expected)
            _save_random(name, paths[name])
            drawn.append(name)
    return {"paths": {name: str(path) for name, path in paths.items()}, "random": drawn}


def _save_random(name: str, path: Path) -> None:
    """Random weights under torchvision's names, with batch-norm statistics that keep activations in the usual range."""
    import torch
    from safetensors.torch import save_file
    from torchvision import models

    torch.manual_seed(0)
    network = models.get_model(name, weights=None, **inception_options(name))
    network.train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the plain average, not a moving one
        network(torch.randn(4, 3, 128, 128))
    tensors = network.state_dict()
    torch.save(tensors, path) if path.suffix == ".pth" else save_file(tensors, path)


def inception_options(name: str) -> dict[str, Any]:
    """Inception's second head is for training from scratch only; its own initialisation takes long."""
    return {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
