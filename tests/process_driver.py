"""One extraction as a process of its own, for `test_processes`: a tiny real OpenVINO network, and no torch to load.

Prints one JSON line for each batch embedded, for each line said, and at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xenograft.data.batches import PixelSource
from xenograft.data.ingest import ingest
from xenograft.data.preprocess import Preprocess
from xenograft.errors import XenograftError
from xenograft.features.engine import choose_engine
from xenograft.features.extract import Extractor, FrozenBackbone
from xenograft.rowstore import ShardWriter

SIDE = 32
SHARD = 8  # rows, so that a hundred images make many shards


@dataclass(frozen=True)
class Ended:
    """What a driver said, and what it left."""

    code: int
    lines: list[dict[str, Any]]
    error: str
    out: Path

    @property
    def embedded(self) -> int:
        return sum(line.get("embedded", 0) for line in self.lines)

    @property
    def said(self) -> list[str]:
        return [line["said"] for line in self.lines if "said" in line]

    @property
    def last(self) -> dict[str, Any]:
        assert self.code == 0, self.error
        return self.lines[-1]

    def features(self) -> NDArray[np.float32]:
        assert self.code == 0, self.error
        return np.load(self.out, allow_pickle=False)


class Driver:
    """Starts this file as processes of their own."""

    def __init__(self, data: Path, network: Path, folder: Path) -> None:
        self._options = {"data": str(data), "network": str(network)}
        self._folder = folder
        self._count = 0

    def start(self, cache: Path, *, before: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
        self._count += 1
        out = self._folder / f"{self._count}.npy"
        given = self._options | {"cache": str(cache), "out": str(out)} | options
        # files, not pipes: what a killed process said last must not be lost, and a full pipe must not stop it
        with out.with_suffix(".out").open("w") as said, out.with_suffix(".err").open("w") as error:
            process = subprocess.Popen(
                [*before, sys.executable, __file__, json.dumps(given)], stdout=said, stderr=error, text=True
            )
        process.out = out  # type: ignore[attr-defined]
        return process

    @staticmethod
    def said(process: subprocess.Popen[str]) -> str:
        out: Path = process.out  # type: ignore[attr-defined]
        return out.with_suffix(".out").read_text()

    def end(self, process: subprocess.Popen[str]) -> Ended:
        code = process.wait(timeout=60)
        lines = [json.loads(line) for line in self.said(process).splitlines()]
        out: Path = process.out  # type: ignore[attr-defined]
        return Ended(code, lines, out.with_suffix(".err").read_text(), out)

    def run(self, cache: Path, **options: Any) -> Ended:
        return self.end(self.start(cache, **options))


def write_network(path: Path) -> Path:
    """A made convolutional network with one uint8 pixel input, (N, 1, 32, 32) -> (N, 24), as ONNX."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    kernel = numpy_helper.from_array(rng.normal(0, 0.1, (24, 1, 5, 5)).astype(np.float32), "kernel")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["values", "kernel"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 1, SIDE, SIDE])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 24])
    graph = helper.make_graph(nodes, "made", [pixels], [features], [kernel])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def make_extractor(
    network: Path, cache: Path | None, *, pixels: Path | None = None, threads: int = 2, weights: str = "made"
) -> Extractor:
    """An extractor of the made network, as a study builds one."""
    preprocess = Preprocess(size=SIDE)
    frozen = FrozenBackbone("made", weights, preprocess, lambda: network)
    engine = choose_engine("openvino", "f32", threads=threads)
    source = PixelSource(preprocess, cache=pixels, threads=threads)
    return Extractor(frozen, engine, source, cache=cache)


def main(options: dict[str, Any]) -> None:
    """Extract, slowly or waiting for a gate where asked; the features go to a file."""
    ShardWriter.ROWS = SHARD
    cache, pixels = (None if options.get(k) is None else Path(options[k]) for k in ("cache", "pixels"))
    tool = make_extractor(Path(options["network"]), cache, pixels=pixels, threads=options.get("threads", 2))

    def embedded(images: int) -> None:
        tell(embedded=images)
        time.sleep(options.get("delay", 0.0))
        while "gate" in options and not Path(options["gate"]).exists():
            time.sleep(0.01)

    tool.progress = embedded
    tool.say = lambda text: tell(said=text)
    features = tool.features(ingest(options["data"]))
    np.save(options["out"], features, allow_pickle=False)
    tell(done=True, decoded=tool.pixels.decoded, notices=[notice.code for notice in tool.notices])


def tell(**facts: Any) -> None:
    """One line for the test, at once: the process may be killed the moment after."""
    print(json.dumps(facts), flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except XenograftError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
