from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xenograft.data.augment import PAPER
from xenograft.data.batches import PixelSource
from xenograft.data.ingest import ingest
from xenograft.data.manifest import Manifest
from xenograft.data.preprocess import Preprocess
from xenograft.errors import LabelError
from xenograft.features.engine import EngineChoice
from xenograft.features.extract import Extractor, FrozenBackbone


@dataclass(frozen=True, slots=True)
class CountingChoice(EngineChoice):
    """An engine whose features are the mean of each image's quarters, and which counts what it embeds."""

    log: list[int] = field(default_factory=list)
    poison: bool = False
    batch_size: int = 8

    def build(self, graph: Any, *, images: int = 0) -> Any:
        self.log.append(0)
        return self

    def embed(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for batch in batches:
            self.log[-1] += len(batch)
            halves = batch.reshape(len(batch), 4, -1).astype(np.float32).mean(axis=2)
            yield np.full_like(halves, np.nan) if self.poison else halves


@pytest.fixture
def manifest(phantom_folder: Path) -> Manifest:
    return ingest(phantom_folder)


def extractor(cache: Path | None, *, weights: str = "w", size: int = 32, poison: bool = False) -> Extractor:
    choice = CountingChoice("openvino", "f32", "cpu", "1", poison=poison)
    preprocess = Preprocess(size=size)
    pixels = PixelSource(preprocess, cache=None if cache is None else cache / "pixels")
    return Extractor(FrozenBackbone("fake", weights, preprocess, lambda: None), choice, pixels, cache)


def log_of(tool: Extractor) -> list[int]:
    assert isinstance(tool.engine, CountingChoice)
    return tool.engine.log


def test_second_run_builds_no_engine_and_gives_the_same_bits(tmp_path: Path, manifest: Manifest) -> None:
    first, second = extractor(tmp_path), extractor(tmp_path)
    features = first.features(manifest)
    np.testing.assert_array_equal(second.features(manifest), features)
    assert features.shape == (len(manifest), 4)
    assert log_of(first) == [len(set(manifest.column("sha256")))]
    assert log_of(second) == []


def test_only_what_is_missing_is_embedded(tmp_path: Path, manifest: Manifest) -> None:
    extractor(tmp_path).features(manifest.subset("train"))
    rest = extractor(tmp_path)
    everything = rest.features(manifest)
    assert log_of(rest) == [len(manifest) - len(manifest.subset("train"))]
    np.testing.assert_array_equal(everything, extractor(None).features(manifest))


@pytest.mark.parametrize("change", [{"weights": "other"}, {"size": 48}])
def test_p10_changed_weights_or_preprocessing_embed_again(
    tmp_path: Path, manifest: Manifest, change: dict[str, Any]
) -> None:
    extractor(tmp_path).features(manifest)
    changed = extractor(tmp_path, **change)
    changed.features(manifest)
    assert len(log_of(changed)) == 1


def test_p10_a_changed_library_is_another_key(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor(tmp_path).features(manifest)
    monkeypatch.setattr("xenograft.features.extract.version", lambda _name: "99")
    upgraded = extractor(tmp_path)
    upgraded.features(manifest)
    assert len(log_of(upgraded)) == 1


def test_p10_a_changed_image_is_embedded_again_and_a_renamed_one_is_not(tmp_path: Path, phantom_folder: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(phantom_folder, folder)
    before = ingest(folder)
    extractor(tmp_path / "cache").features(before)
    first = next(before.rows())
    (folder / first.path).write_bytes((folder / first.path).read_bytes() + b"\0")
    (folder / before.column("path")[1]).rename((folder / before.column("path")[1]).with_suffix(".bmp.png"))
    after = extractor(tmp_path / "cache")
    after.features(ingest(folder))
    assert log_of(after) == [1]


def test_views_differ_from_each_other_and_repeat(tmp_path: Path, manifest: Manifest) -> None:
    one, other = (extractor(tmp_path).features(manifest, augment=PAPER, view=view, seed=5) for view in (0, 1))
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(other, extractor(None).features(manifest, augment=PAPER, view=1, seed=5))


def test_l17_features_that_are_not_finite_name_the_image(manifest: Manifest) -> None:
    with pytest.raises(LabelError, match=r"E-LABEL-17 .*\.png"):
        extractor(None, poison=True).features(manifest)


def test_progress_counts_every_embedded_image(manifest: Manifest) -> None:
    seen: list[int] = []
    tool = replace(extractor(None), progress=seen.append)
    tool.features(manifest)
    assert sum(seen) == len(set(manifest.column("sha256"))) == tool.embedded
