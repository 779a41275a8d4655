"""The baseline: how this is usually written. ImageFolder, DataLoader, torchvision in fp32, nothing kept.

Run through `fresh.call`, in a process that never imports xenograft. It is written to be fair: the backbone stays in
evaluation mode (quicker than in training mode), workers and kernels are warm before the clock starts.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Loader = Any
Step = Callable[[Any, Any], None]

_SIDES = {"inception_v3": 299}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def embed_rate(
    backbone: str, folder: str, *, images: int = 256, warm_up: int = 32, weights: str | None = None, workers: int = 2
) -> dict[str, Any]:
    """Images per second from files to pooled features, after `warm_up` images.

    Args:
        backbone: torchvision name. folder: with train/CLASS/. images: how many are timed. weights: file, or random.
    """
    import torch

    network = _headless(backbone, weights)
    data = _folder(folder, "train", _plain(_SIDES.get(backbone, 224), _IMAGENET), images + warm_up)
    loader = _loader(data, min(32, warm_up), workers, shuffle=False)

    def step(inputs: Any, _labels: Any) -> None:
        with torch.inference_mode():
            network(inputs)

    seconds, seen = _timed_pass(loader, step, skip=1)
    return {"rate": seen / seconds, "images": seen, "seconds": seconds}


def epoch_seconds(
    backbone: str, folder: str, *, images: int | None = None, weights: str | None = None, workers: int = 2
) -> dict[str, Any]:
    """One epoch as the paper describes it: augmented training images through the frozen backbone, a step of the head
    on each batch of 64, then the test images once.

    Args:
        images: of training to measure, with as large a share of test; None for all. The rest is scaled up.
    """
    import torch

    size = _SIDES.get(backbone, 224)
    train, test = _folder(folder, "train", _augmented(size), None), _folder(folder, "test", _plain(size, _HALF), None)
    share = 1.0 if images is None else min(1.0, images / len(train))
    network = _headless(backbone, weights)
    with torch.inference_mode():
        width = network(torch.zeros(2, 3, size, size)).shape[1]
    head, step = _head_step(network, width)

    def look(inputs: Any, _labels: Any) -> None:
        with torch.inference_mode():
            head(network(inputs))

    spent = {}
    for name, data, act in (("train", train, step), ("test", test, look)):
        subset = _part(data, round(share * len(data)))
        seconds, seen = _timed_pass(_loader(subset, 64, workers, shuffle=name == "train"), act, skip=1)
        spent[name] = {"measured": seen, "of": len(data), "seconds": seconds * len(data) / seen}
    return {"seconds": sum(part["seconds"] for part in spent.values()), "share": share, **spent}


def training_steps(backbone: str, *, steps: int = 3, batch: int = 64, size: int = 224) -> dict[str, Any]:
    """Median seconds of one step of training everything: forward, backward, AdamW; fp32, NCHW, default allocator."""
    import torch
    from torchvision import models

    torch.manual_seed(0)
    network = models.get_model(backbone, weights=None, num_classes=1)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss_of = torch.nn.BCEWithLogitsLoss()
    inputs, labels = torch.randn(batch, 3, size, size), torch.randint(0, 2, (batch, 1)).float()
    seconds = []
    for _ in range(1 + steps):
        started = time.perf_counter()
        loss = loss_of(network(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - started)
    return {"seconds": statistics.median(seconds[1:]), "steps": seconds[1:], "warm_up": seconds[0]}


def decode_rate(files: list[str], *, gray: bool, threads: int = 2, side: int = 224) -> dict[str, Any]:
    """Images per second from bytes in memory to `side` x `side` pixels, by Pillow at full size; one pass warms up.

    Args:
        gray: keep one channel; else three, as ImageFolder does.
    """
    from PIL import Image

    def load(data: bytes) -> Any:
        image = Image.open(io.BytesIO(data)).convert("L" if gray else "RGB")
        return image.resize((side, side), Image.Resampling.BILINEAR)  # what torchvision's Resize calls

    return {"rate": pooled_rate(load, [Path(file).read_bytes() for file in files], threads)}


def plain_pass(files: list[str], *, threads: int = 2) -> dict[str, Any]:
    """Images per second of the least that a look at a folder takes: read, hash, decode, a thumbnail, its transform."""
    import hashlib

    import numpy as np
    from PIL import Image
    from scipy.fft import dctn

    def look(name: bytes) -> Any:
        data = Path(name.decode()).read_bytes()
        image = Image.open(io.BytesIO(data)).convert("L")
        small = image.resize((32, 32), Image.Resampling.BILINEAR)
        return hashlib.sha256(data).digest(), dctn(np.asarray(small, dtype=np.float32))[:8, :8]

    return {"rate": pooled_rate(look, [file.encode() for file in files], threads)}


def pooled_rate(load: Callable[[bytes], Any], contents: list[bytes], threads: int) -> float:
    """Calls per second of `load` over all contents, in threads, after a warm-up."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(load, contents[: 4 * threads]))
        started = time.perf_counter()
        done = sum(1 for _ in pool.map(load, contents))
        return done / (time.perf_counter() - started)


def _timed_pass(loader: Loader, step: Step, *, skip: int) -> tuple[float, int]:
    """(seconds, images) of one pass, without the first `skip` batches where there are more."""
    skip = skip if len(loader) > skip else 0
    started, seen = time.perf_counter(), 0
    for number, (inputs, labels) in enumerate(loader):
        step(inputs, labels)
        seen += len(labels)
        if number + 1 == skip:
            started, seen = time.perf_counter(), 0
    return time.perf_counter() - started, seen


def _headless(name: str, weights: str | None) -> Any:
    """A frozen torchvision network that gives pooled features."""
    import torch
    from made import inception_options
    from torchvision import models

    torch.manual_seed(0)
    network = models.get_model(name, weights=None, **inception_options(name))
    if weights is not None:
        network.load_state_dict(_tensors(weights), strict=False)  # some files come without a classifier
    for head in ("fc", "classifier"):
        if hasattr(network, head):
            pooling = name.startswith("squeezenet")  # its pooling is a part of the classifier
            setattr(network, head, torch.nn.AdaptiveAvgPool2d(1) if pooling else torch.nn.Identity())
    return network.eval().requires_grad_(False)


def _tensors(path: str) -> dict[str, Any]:
    import torch
    from safetensors.torch import load_file

    return load_file(path) if path.endswith(".safetensors") else torch.load(path, weights_only=True)


def _head_step(network: Any, width: int) -> tuple[Any, Step]:
    """(linear head, one step of training it)."""
    import torch

    head = torch.nn.Linear(width, 2)
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-3)
    loss_of = torch.nn.CrossEntropyLoss()

    def step(inputs: Any, labels: Any) -> None:
        loss = loss_of(head(network(inputs)), labels)  # frozen parameters: nothing is recorded below the head
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return head, step


def _plain(size: int, normalise: tuple[Iterable[float], Iterable[float]]) -> Any:
    from torchvision import transforms

    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(*normalise)]
    return transforms.Compose(steps)


def _augmented(size: int) -> Any:
    """Section 5.7 of the paper, with the strengths that xenograft uses where the paper names none."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.8, 1.0)),
            transforms.RandomRotation(10),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(brightness=0.2, contrast=0.2),
            transforms.ToTensor(),
            transforms.Normalize(*_HALF),
        ]
    )


def _folder(folder: str, split: str, transform: Any, count: int | None) -> Any:
    from torchvision.datasets import ImageFolder

    data = ImageFolder(str(Path(folder) / split), transform=transform)
    return data if count is None else _part(data, count)


def _part(data: Any, count: int) -> Any:
    """`count` images drawn with a fixed seed, or all."""
    import torch
    from torch.utils.data import Subset

    if count >= len(data):
        return data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    return Subset(data, order[: max(1, count)].tolist())


def _loader(data: Any, batch: int, workers: int, *, shuffle: bool) -> Loader:
    from torch.utils.data import DataLoader

    return DataLoader(data, batch_size=batch, shuffle=shuffle, num_workers=workers)
