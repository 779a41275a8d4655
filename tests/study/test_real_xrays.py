"""The main job on the real chest X-rays with real ImageNet weights: bounds far below chance of failing by noise."""

from __future__ import annotations

from pathlib import Path

import pytest

import xenograft


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
