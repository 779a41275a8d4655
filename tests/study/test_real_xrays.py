"""The main job on the real chest X-rays with real ImageNet weights: bounds far below chance of failing by noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import xenograft
from xenograft.features.engine import has_bf16


@pytest.mark.realdata
def test_probes_on_the_real_xrays(chest_xray: Path, weights_dir: Path, tmp_path: Path) -> None:
    study = xenograft.compare(
        chest_xray, backbones="mobilenet_v2,efficientnet_lite0", recipes="probe", seeds=1, resamples=200,
        weights_dir=weights_dir, offline=True, cache_dir=tmp_path / "cache", output=tmp_path / "study",
    )  # fmt: skip
    auroc = {run.backbone: run.test["policies"]["fixed"]["metrics"]["auroc"]["value"] for run in study.runs}
    assert auroc["mobilenet_v2"] >= 0.94
    assert auroc["efficientnet_lite0"] >= 0.955
    assert study.record.data["catalog"] == "chest_xray"
    assert study.runs[0].test["n"] == 624
    assert study.runs[0].test["patients"] == 428
    page = (tmp_path / "study" / "report" / "index.html").read_text(encoding="utf-8")
    assert "published: transfer" in page
    assert "does not generalise by itself" in page


@pytest.fixture
def both_precisions(chest_xray: Path, weights_dir: Path, tmp_path: Path) -> dict[str, Any]:
    """``{precision: study}`` of two frozen backbones, their features in ``tmp_path / precision / cache``."""
    if not has_bf16("cpu"):
        pytest.skip("this processor does not multiply bf16")
    return {
        precision: xenograft.compare(
            chest_xray, backbones="mobilenet_v2,squeezenet1_1", recipes="probe", seeds=1, resamples=500,
            engine="openvino", precision=precision, weights_dir=weights_dir, offline=True,
            cache_dir=tmp_path / precision / "cache", output=tmp_path / precision / "study",
        )
        for precision in ("bf16", "f32")
    }  # fmt: skip


@pytest.mark.realdata
def test_bf16_moves_neither_features_nor_metrics(both_precisions: dict[str, Any], tmp_path: Path) -> None:
    bf16, f32 = (_features(tmp_path / precision / "cache") for precision in ("bf16", "f32"))
    cosine = {name: _cosines(bf16[name], f32[name]) for name in f32}
    assert {name: len(values) for name, values in cosine.items()} == dict.fromkeys(cosine, 5808)
    assert cosine["squeezenet1_1"].min() > 0.999
    # depthwise convolutions lose more, whoever rounds their weights
    assert np.median(cosine["mobilenet_v2"]) > 0.999
    assert np.quantile(cosine["mobilenet_v2"], 0.01) > 0.997
    for exact, quick in zip(both_precisions["f32"].runs, both_precisions["bf16"].runs, strict=True):
        for policy, card in exact.test["policies"].items():
            for name, metric in card["metrics"].items():
                moved = quick.test["policies"][policy]["metrics"][name]["value"]
                assert metric["low"] <= moved <= metric["high"], (exact.backbone, policy, name)


def _features(cache: Path) -> dict[str, np.ndarray]:
    """{backbone: (N, D)} rows of a feature store, in the order of the images' hashes."""
    found = {}
    for key in (cache / "features").iterdir():
        shards = [load_file(shard) for shard in key.glob("*.safetensors")]
        order = np.lexsort(np.concatenate([shard["contents"] for shard in shards]).T)
        backbone = json.loads((key / "key.json").read_text(encoding="utf-8"))["backbone"]
        found[backbone] = np.concatenate([shard["rows"] for shard in shards])[order]
    return found


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
