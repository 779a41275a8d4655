"""Thin wrappers around xenograft's public functions, one for each thing that is measured.

The only file here that knows xenograft's insides: when they change, this file does. Run through `fresh.call`; every
function imports what it needs before its clock starts.
"""

from __future__ import annotations

import importlib
import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

_STAGES = (
    "sklearn.model_selection",
    "scipy.sparse.csgraph",
    "xenograft.study.run",
    "xenograft.study.runs",
    "xenograft.features.engine_openvino",
    "xenograft.features.engine_torch",
)


def compare_command(
    data: Path, *, backbones: str, weights_dir: Path, cache: Path, output: Path, **more: Any
) -> list[str]:
    """``xenograft compare`` with frozen probes; `more` are further options (``seeds=3``)."""
    options = {"backbones": backbones, "recipes": "probe", "weights_dir": weights_dir, "cache_dir": cache, **more}
    flags = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", "xenograft", "compare", str(data), *flags, "--offline", "-o", str(output)]


def cold(backbone: str, data: str, cache: str, *, weights_dir: str, size: int | None = None) -> dict[str, Any]:
    """Files to features with empty caches, as a study does it.

    Args:
        cache: a new folder. size: input side, the backbone's own by default.

    Returns:
        ``seconds_read`` (list, read, check, split), ``seconds_compile`` (network from its weights, engine from the
        network), ``seconds_embed`` (the rest until every feature is in the store) and ``images``.
    """
    _import_all()
    started = time.perf_counter()
    config, arm, workshop = _prepared(backbone, data, cache, weights_dir, size)
    manifest = _read(config, arm, workshop)
    read = time.perf_counter()
    extractor = workshop.extractor(arm)
    extractor.embed(manifest)  # into the store; `features` would also load the whole table into memory
    ended = time.perf_counter()
    return {
        "seconds_read": read - started,
        "seconds_compile": extractor.compile_seconds,
        "seconds_embed": ended - read - extractor.compile_seconds,
        "images": len(manifest),
    }


def bare_rate(backbone: str, *, weights_dir: str, seconds: float = 5.0, size: int | None = None) -> dict[str, Any]:
    """Images per second of the engine alone, on random pixels already in memory."""
    _import_all()
    _, arm, workshop = _prepared(backbone, ".", ".", weights_dir, size)
    engine = workshop.engine.build(workshop.extractor(arm).backbone.graph())
    pixels = _random_batches(engine.batch_size, arm.preprocess.size)
    _drain(engine, pixels, seconds / 5)
    images, spent = _drain(engine, pixels, seconds)
    return {"rate": images / spent, "images": images, "batch": engine.batch_size, **workshop.engine.as_json()}


def training_steps(backbone: str, *, steps: int = 3, batch: int = 64, size: int = 224) -> dict[str, Any]:
    """Median seconds of one step of training everything, as the recipe ``scratch`` does it on a processor."""
    import torch

    from xenograft.data.augment import NONE
    from xenograft.study.arm import measure
    from xenograft.train import loop
    from xenograft.train.allocator import keep_freed_memory
    from xenograft.train.objective import Binary
    from xenograft.train.recipes import lookup

    keep_freed_memory()
    images = _random_images(batch * (1 + steps), size)
    few = replace(images, pixels=images.pixels[:8], labels=images.labels[:8], contents=images.contents[:8])
    source = loop.TrainingData(
        epoch=lambda number: images.epoch(number, batch_size=batch, augment=NONE, seed=0, threads=2),
        steps=images.steps(batch),
        validation=lambda: few.in_order(batch),
        objective=Binary(),
        class_weights=Binary().class_weights(torch.from_numpy(images.labels)),
    )
    marks: list[tuple[float, int]] = [(time.perf_counter(), 0)]
    recipe = replace(lookup("scratch"), epochs=1, batch_size=batch)
    machine = _processor(backbone, batch, size)
    loop.fit(
        _trainable(backbone, size),
        source,
        recipe=recipe,
        measure=measure,
        machine=machine,
        on_step=lambda seen: marks.append((time.perf_counter(), marks[-1][1] + seen)),
    )
    seconds = _step_seconds(marks, batch)
    return {"seconds": statistics.median(seconds[1:]), "steps": seconds[1:], "warm_up": seconds[0], "on": str(machine)}


def decode_rate(files: list[str], *, threads: int = 2, side: int = 224, working: int | None = None) -> dict[str, Any]:
    """Images per second from bytes in memory to one prepared channel.

    Args:
        working: smallest side to decode; None takes what a study takes for this `side`.
    """
    from usual_loop import pooled_rate

    from xenograft.data.preprocess import Preprocess, prepare, working_side
    from xenograft.data.readers import decode_picture

    preprocess = Preprocess(size=side)
    working = working or working_side(preprocess)

    def load(data: bytes) -> Any:
        return prepare(decode_picture(data, suffix=".jpeg", working=working).pixels, preprocess)

    return {"rate": pooled_rate(load, [Path(file).read_bytes() for file in files], threads), "working": working}


def imported_by(arguments: list[str]) -> dict[str, Any]:
    """The modules in memory after one command line, in the order of their import."""
    from xenograft.cli.main import main

    status = main(arguments)
    if status:
        raise SystemExit(status)
    return {"modules": [name for name in sys.modules if not name.startswith("__")]}


def import_seconds(modules: list[str]) -> dict[str, Any]:
    """Seconds to import these modules; names that only exist while a program runs are passed over."""
    started = time.perf_counter()
    for name in modules:
        with suppress(Exception):
            importlib.import_module(name)
    return {"seconds": time.perf_counter() - started}


def gpu_rate(backbone: str, *, weights_dir: str, seconds: float = 5.0) -> dict[str, Any]:
    """Images per second of the torch engine on random pixels, and the share of time the GPU was not in the network."""
    _import_all()
    _, arm, workshop = _prepared(backbone, ".", ".", weights_dir, None)
    graph = workshop.extractor(arm).backbone.graph()
    engine = workshop.engine.build(graph)
    pixels = _random_batches(engine.batch_size, arm.preprocess.size)
    _drain(engine, pixels, seconds / 2)
    passes = _watch(graph)
    images, spent = _drain(engine, pixels, seconds)
    return {"rate": images / spent, "waits": 1.0 - _busy_seconds(passes) / spent, "batch": engine.batch_size}


def gpu_cold(backbone: str, data: str, cache: str, *, weights_dir: str) -> dict[str, Any]:
    """The same from files that were just read: here the GPU may wait for pixels. Its first images only warm it up."""
    _import_all()
    config, arm, workshop = _prepared(backbone, data, cache, weights_dir, None)
    manifest = _read(config, arm, workshop)
    extractor = workshop.extractor(arm)
    passes: list[Any] = []
    make = extractor.backbone.graph
    extractor.backbone = replace(extractor.backbone, graph=lambda: _watched(make(), passes))
    warm_up = min(64, len(manifest) // 2)
    extractor.features(manifest.take(range(warm_up)))
    passes.clear()
    started, before = time.perf_counter(), extractor.embedded
    extractor.features(manifest)
    seconds = time.perf_counter() - started
    images = extractor.embedded - before
    return {"rate": images / seconds, "waits": 1.0 - _busy_seconds(passes) / seconds, "images": images}


def _import_all() -> None:
    for name in _STAGES:
        importlib.import_module(name)


def _prepared(backbone: str, data: str, cache: str, weights_dir: str, size: int | None) -> tuple[Any, Any, Any]:
    """(StudyConfig, Arm, Workshop) of one probe, as `xenograft.study.run` makes them."""
    from xenograft.study import run, runs
    from xenograft.study.config import make_config
    from xenograft.study.watch import Silent

    values = {
        "data": data, "backbones": backbone, "recipes": "probe", "seeds": 1, "weights_dir": weights_dir,
        "offline": True, **({"size": size} if size else {}),
    }  # fmt: skip
    config = make_config(values)
    pixels = run.open_pixels(config, Path(cache))
    workshop = runs.make_workshop(config, pixels, cache=Path(cache), watcher=Silent())
    return config, next(run.plan(config)), workshop


def _read(config: Any, arm: Any, workshop: Any) -> Any:
    """The manifest of a study of this one arm."""
    from xenograft.study.reading import read_data

    return read_data(
        config, workshop.sources, cache=workshop.cache, watcher=workshop.watcher, preprocesses=[arm.preprocess]
    )


def _random_batches(count: int, side: int) -> list[Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (count, 1, side, side), dtype=np.uint8) for _ in range(8)]


def _drain(engine: Any, pixels: Sequence[Any], seconds: float) -> tuple[int, float]:
    """(images, seconds) of embedding `pixels` over and over for at least `seconds`."""
    started = time.perf_counter()

    def stream() -> Iterator[Any]:
        for batch in itertools.cycle(pixels):
            if time.perf_counter() - started > seconds:
                return
            yield batch

    images = sum(len(part) for part in engine.embed(stream()))
    return images, time.perf_counter() - started


def _random_images(count: int, size: int) -> Any:
    import numpy as np

    from xenograft.train.images import ImageSet

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 1, size, size), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    return ImageSet(pixels, labels, tuple(f"{index:064x}" for index in range(count)))


def _trainable(backbone: str, size: int) -> Any:
    """The network as `xenograft.study.tuned` trains it from scratch."""
    import torch

    from xenograft.backbones.build import build
    from xenograft.backbones.catalog import lookup
    from xenograft.backbones.graph import PixelGraph
    from xenograft.data.preprocess import Preprocess
    from xenograft.train.network import Classifier
    from xenograft.train.objective import Binary

    network = Classifier(build(lookup(backbone), tensors=None, seed=0), Binary())
    network.backbone.freeze("all")
    return PixelGraph(network, Preprocess(size=size)).to(memory_format=torch.channels_last)


def _processor(backbone: str, batch: int, size: int) -> Any:
    """What the study chooses on this machine, were there no GPU."""
    from xenograft.backbones.catalog import lookup
    from xenograft.train.machine import choose_machine, total_memory

    return choose_machine(lookup(backbone), device="cpu", batch_size=batch, size=size, memory=total_memory("cpu"))


def _step_seconds(marks: Sequence[tuple[float, int]], batch: int) -> list[float]:
    """Seconds between whole batches, from (time, images so far): a step may report in parts."""
    times = [time_ for time_, seen in marks if seen % batch == 0]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def _watch(graph: Any) -> list[tuple[Any, Any]]:
    """Pairs of CUDA events around every forward pass of `graph` from now on."""
    pairs: list[tuple[Any, Any]] = []
    _watched(graph, pairs)
    return pairs


def _watched(graph: Any, pairs: list[tuple[Any, Any]]) -> Any:
    """`graph`, which from now on adds a pair of CUDA events to `pairs` for every forward pass."""
    import torch

    def before(*_: Any) -> None:
        pair = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        pair[0].record()
        pairs.append(pair)

    def after(*_: Any) -> None:
        pairs[-1][1].record()

    graph.register_forward_pre_hook(before)
    graph.register_forward_hook(after)
    return graph


def _busy_seconds(pairs: Sequence[tuple[Any, Any]]) -> float:
    import torch

    torch.cuda.synchronize()
    return sum(first.elapsed_time(last) for first, last in pairs) / 1000
